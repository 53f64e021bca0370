"""A model family: labels → challenger → evaluation → champion, the same four assets for every model that learns from
labels.
"""

import hashlib
from typing import Any

import dagster as dg
import pandas as pd
import pandera.pandas as pa

from assets.models.challenger import Challenger, train_challenger
from assets.models.champion import BeforePromotion, InUse, choose_champion, record_promotion
from assets.models.evaluation import Evaluation, evaluate
from orchestration_project.core.contracts import Contract
from orchestration_project.model_output import Result, Run, governed_asset
from orchestration_project.performers.rules import Rules
from orchestration_project.stores.families import Family
from orchestration_project.stores.home import Home
from orchestration_project.stores.labels import FIRST_ID, current
from orchestration_project.stores.model_versions import ModelVersion

HOLDOUT_SHARE = 0.2

MOST_TRAINING_SECONDS = 86_400.0
"""A training may take a day: sentence embeddings of a million labels do."""


class Labels(Contract):
    """Texts with the label that a person gave them."""

    message_id: str = pa.Field(unique=True, description="The labelled message.")
    text: str = pa.Field(str_length={"min_value": 1}, description="What was written.")
    label: str = pa.Field(str_length={"min_value": 1}, description="What it was labelled.")
    source: str = pa.Field(description="The file it came in, or whose verdict it is.")
    is_holdout: bool = pa.Field(description="Kept out of training, to evaluate on; fixed by a hash of a message id.")


def is_holdout(message_id: str) -> bool:
    """Whether a text is kept out of training: one in five, by a hash of the id that it came with first. So it stays what
    it was in every training, also where another message says the same and is labelled anew.
    """
    return int(hashlib.sha256(message_id.encode()).hexdigest()[:8], 16) / 16**8 < HOLDOUT_SHARE


def labels_of(home: Home, family: Family) -> pd.DataFrame:
    """Rows of `Labels`: what the checkout ships, what was imported into this home, and what people decided."""
    rows = current(home, family)
    return rows.assign(is_holdout=rows.pop(FIRST_ID).map(is_holdout).astype("bool"))


def model_family(
    family: Family, *, rules: Rules | None = None, before_promotion: BeforePromotion | None = None
) -> list[dg.AssetsDefinition]:
    """The four assets of a family.

    `rules` of the same family are measured on the labels. `before_promotion` gets the candidate's labels and raises
    where something in use does not fit them; then the older champion stays.
    """
    shared: dict[str, Any] = {"partitions_def": None, "group_name": "models", "owners": ["team:data-science"]}

    def labels(home: Home) -> pd.DataFrame:
        return labels_of(home, family)

    def challenger(labels: pd.DataFrame, home: Home, run: Run) -> Result:
        return train_challenger(family.name, labels, home, rules, run)

    def evaluation(labels: pd.DataFrame, challenger: pd.DataFrame, home: Home) -> Result:
        return evaluate(_record(challenger), labels, home)

    def champion(
        labels: pd.DataFrame, challenger: pd.DataFrame, evaluation: pd.DataFrame, home: Home, run: Run
    ) -> pd.DataFrame:
        return choose_champion(_record(challenger), evaluation, labels, home, run, before_promotion)

    parts: list[tuple[Any, type[Contract], str, dict[str, Any]]] = [
        (labels, Labels, f"What people labelled, for the {family.name} model.", {"kinds": {"csv"}}),
        (
            challenger,
            Challenger,
            f"A {family.name} model trained on the labels, not yet in use.",
            {"kinds": {"scikitlearn"}, "limit_seconds": MOST_TRAINING_SECONDS},
        ),
        (evaluation, Evaluation, f"How good the {family.name} challenger is on labels it never saw.", {}),
        (champion, InUse, f"The {family.name} model in use.", {"record": record_promotion, "kinds": {"mlflow"}}),
    ]
    names = ("labels", "challenger", "evaluation")
    return [
        governed_asset(
            contract=contract,
            name=f"{family.name}_{function.__name__}",
            inputs={name: f"{family.name}_{name}" for name in names},
            description=description,
            **shared,
            **more,
        )(function)
        for function, contract, description, more in parts
    ]


def _record(challenger: pd.DataFrame) -> ModelVersion:
    return ModelVersion.from_json(challenger["record"].iloc[0])

"""How good a challenger is on labels that it never saw, beside the version in use on the same ones."""

from typing import Any

import dagster as dg
import pandas as pd
import pandera.pandas as pa

from assets.models.figures import as_markdown, confusion_matrix, reliability_diagram
from orchestration_project.core.calibration import reliability
from orchestration_project.core.comparison import OVERALL, Difference, paired_bootstrap
from orchestration_project.core.contracts import Contract, records
from orchestration_project.core.errors import ArtifactRefused
from orchestration_project.model_output import Result
from orchestration_project.performers.model import loaded
from orchestration_project.performers.scoring import score
from orchestration_project.stores import champions
from orchestration_project.stores.home import Home
from orchestration_project.stores.model_versions import ModelVersion

_DIFFERENCE = "F1 less that of the version in use on the same labels; null: none can be compared."


class Evaluation(Contract):
    """How good the challenger is on the holdout, per class and over all."""

    label: str = pa.Field(unique=True, description="Class, or 'all'.")
    precision: float = pa.Field(ge=0, le=1, nullable=True, description="Precision; of 'all' the macro mean.")
    recall: float = pa.Field(ge=0, le=1, nullable=True, description="Recall; of 'all' the macro mean.")
    f1: float = pa.Field(ge=0, le=1, nullable=True, description="F1; of 'all' the macro mean.")
    difference: float = pa.Field(ge=-1, le=1, nullable=True, description=_DIFFERENCE)
    difference_low: float = pa.Field(ge=-1, le=1, nullable=True, description="Lower end of its 95 % interval.")
    difference_high: float = pa.Field(ge=-1, le=1, nullable=True, description="Upper end of its 95 % interval.")
    p_worse: float = pa.Field(ge=0, le=1, nullable=True, description="One-sided p-value against 'not worse'.")
    n: int = pa.Field(ge=0, description="Labelled messages of the class.")
    accuracy: float = pa.Field(ge=0, le=1, nullable=True, description="Share of right answers; only of 'all'.")
    ece: float = pa.Field(ge=0, le=1, nullable=True, description="Expected calibration error; only of 'all'.")
    accepted_share: float = pa.Field(ge=0, le=1, nullable=True, description="Share accepted; only of 'all'.")
    accepted_error: float = pa.Field(ge=0, le=1, nullable=True, description="Error among accepted; only of 'all'.")


def evaluate(challenger: ModelVersion, labels: pd.DataFrame, home: Home) -> Result:
    """Score a challenger, and compare it with the version in use, on the held-out labels."""
    held = held_out(labels)
    truth = held["label"].tolist()
    answers = loaded(home, challenger).predict(held["text"].tolist())
    scores = score(answers, truth, challenger.threshold)
    rows = [{"label": label, **found} for label, found in scores.pop("per_class").items()]
    frame = pd.DataFrame(rows)
    overall: dict[str, Any] = {"label": OVERALL, **{name: frame[name].mean() for name in ("precision", "recall")}}
    overall |= {"f1": scores.pop("macro_f1"), **scores}
    differences = compare(challenger, held, home)
    compared = pd.DataFrame(
        [
            {
                "label": one.label,
                "difference": one.difference,
                "difference_low": one.low,
                "difference_high": one.high,
                "p_worse": one.p_worse,
            }
            for one in differences
        ],
        columns=["label", "difference", "difference_low", "difference_high", "p_worse"],
    ).astype({"label": "str"})
    frame = pd.concat([frame, pd.DataFrame([overall])], ignore_index=True)
    frame = frame.merge(compared, on="label", how="left", validate="one_to_one")
    shown = {name: round(float(value), 4) for name, value in overall.items() if name != "label" and value == value}
    confidence = answers["confidence"].to_numpy()
    bins = reliability(confidence, (answers["label"] == held["label"]).to_numpy())
    pictures = {
        "confusion": as_markdown(confusion_matrix(truth, answers["label"].tolist()), "confusion matrix"),
        "reliability": as_markdown(reliability_diagram(bins, overall["ece"], confidence), "reliability diagram"),
    }
    facts = {**shown, **{name: dg.MetadataValue.md(picture) for name, picture in pictures.items()}}
    return Result(frame[list(Evaluation.to_schema().columns)], facts)


def held_out(labels: pd.DataFrame) -> pd.DataFrame:
    """The labels that no version was trained on, numbered from 0."""
    return labels[labels["is_holdout"]].reset_index(drop=True)


def compare(candidate: ModelVersion, held: pd.DataFrame, home: Home) -> list[Difference]:
    """How much better than the version in use a candidate is on these labels: `all` first, then each label.

    Empty when there is no version in use, when its file can no longer be read, and when the two answer other labels.
    """
    with home.ledger.read() as connection:
        incumbent = champions.champion(connection, candidate.family)
    if incumbent is None or set(incumbent.labels) != set(candidate.labels):
        return []
    texts = held["text"].tolist()
    try:
        before = loaded(home, incumbent).predict(texts)["label"]
    except ArtifactRefused:  # it decides nothing any more, and so stands in nobody's way
        return []
    after = loaded(home, candidate).predict(texts)["label"]
    return paired_bootstrap(held["label"].tolist(), after.tolist(), before.tolist())


def differences_of(evaluation: pd.DataFrame) -> list[Difference]:
    """The differences that an evaluation found, `all` first; empty when nothing was compared."""
    found = evaluation[evaluation["p_worse"].notna()].sort_values("label", key=lambda labels: labels != OVERALL)
    return [
        Difference(row["label"], row["difference"], row["difference_low"], row["difference_high"], row["p_worse"])
        for row in records(found)
    ]

"""A model family: labels → challenger → evaluation → champion, the same four assets for every model that learns from
labels.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pandera.pandas as pa
import sqlalchemy as sa

from assets.models.evaluation import Evaluation, evaluate
from orchestration_project.core.contracts import Contract
from orchestration_project.core.errors import FileRefused, Refused
from orchestration_project.core.statistics import acceptance_threshold
from orchestration_project.governance import audit
from orchestration_project.model_output import Result, governed_asset
from orchestration_project.performers.rules import Rules
from orchestration_project.stores import batches, champions
from orchestration_project.stores.files import publish_file, temporary_beside
from orchestration_project.stores.home import Home
from orchestration_project.stores.model_versions import ModelVersion

CODE_VERSION = "1"
"""Goes up when the same labels would train another model."""

HOLDOUT_SHARE = 0.2


class Labels(Contract):
    """Texts with the label that a person gave them."""

    message_id: str = pa.Field(unique=True, description="The labelled message.")
    text: str = pa.Field(str_length={"min_value": 1}, description="What was written.")
    label: str = pa.Field(str_length={"min_value": 1}, description="What it was labelled.")
    is_holdout: bool = pa.Field(description="Kept out of training, to evaluate on; fixed by a hash of the message id.")


class Challenger(Contract):
    """The model version that wants to be champion: one row."""

    family: str = pa.Field(description="Model family.")
    version: str = pa.Field(description="Digest of labels, code and library versions.")
    number: int = pa.Field(ge=1, description="Number of the version in the model registry.")
    path: str = pa.Field(description="Artifact, below the home.")
    sha256: str = pa.Field(description="Digest of the artifact.")
    threshold: float = pa.Field(nullable=True, ge=0, le=1, description="Acceptance threshold; null: accepts nothing.")
    temperature: float = pa.Field(gt=0, description="Calibration temperature.")
    labels: str = pa.Field(description="JSON list of the labels it can answer.")
    rules: str = pa.Field(description="JSON: how right each rule of the family is on the labels.")


class InUse(Contract):
    """The version in use after this step, and why: one row."""

    family: str = pa.Field(description="Model family.")
    version: str = pa.Field(description="Version in use.")
    is_new: bool = pa.Field(description="Whether this step put it in use.")
    reason: str = pa.Field(description="Why it was promoted, or why the older one stays.")
    champion: str = pa.Field(description="JSON of the ledger's record.")


def is_holdout(message_id: str) -> bool:
    """Whether a message is kept out of training: one in five, by a hash of its id, the same in every training."""
    return int(hashlib.sha256(message_id.encode()).hexdigest()[:8], 16) / 16**8 < HOLDOUT_SHARE


def read_labels(file: Path, column: str) -> pd.DataFrame:
    """Rows of `Labels` from a CSV with message_id, text and the given label column; rows without a label are left
    out. FileRefused for a file that is not there or lacks a column.
    """
    wanted = ["message_id", "text", column]
    try:
        frame = pd.read_csv(file, dtype="str", keep_default_na=False, usecols=wanted)[wanted]
    except FileNotFoundError as error:
        raise FileRefused(f"There is no label file {file}. Put it there, or name another in the family.") from error
    except ValueError as error:
        raise FileRefused(f"{file} is no label file ({error}). Give it the columns {', '.join(wanted)}.") from error
    frame = frame.rename(columns={column: "label"})
    frame = frame[frame["label"] != ""].reset_index(drop=True)
    return frame.assign(is_holdout=frame["message_id"].map(is_holdout).astype("bool"))


def version_of(labels: pd.DataFrame, *choices: object) -> str:
    """Version digest of what these labels train: the same labels, choices, code and libraries give the same version."""
    import joblib
    import numpy
    import scipy
    import sklearn

    libraries = [module.__version__ for module in (joblib, numpy, scipy, sklearn)]
    content = labels.sort_values("message_id").to_json(orient="values")
    return hashlib.sha256(json.dumps([CODE_VERSION, libraries, choices, content]).encode()).hexdigest()[:12]


def model_family(
    name: str,
    labels_file: Path,
    column: str,
    *,
    rules: Rules | None = None,
    before_promotion: Callable[[Sequence[str]], None] | None = None,
) -> list[dg.AssetsDefinition]:
    """The four assets of a family that learns `column` of a label file.

    `rules` of the same family are measured on the labels. `before_promotion` gets the challenger's labels and raises
    where something in use does not fit them; then the older champion stays.
    """
    shared: dict[str, Any] = {"partitions_def": None, "group_name": "models", "owners": ["team:data-science"]}

    def labels(home: Home) -> pd.DataFrame:
        return read_labels(labels_file, column)

    def challenger(labels: pd.DataFrame, home: Home) -> Result:
        return train_challenger(name, labels, home, rules)

    def evaluation(labels: pd.DataFrame, challenger: pd.DataFrame, home: Home) -> Result:
        return evaluate(challenger.iloc[0], labels, home)

    def champion(challenger: pd.DataFrame, evaluation: pd.DataFrame, home: Home) -> pd.DataFrame:
        return choose_champion(challenger.iloc[0], evaluation, home, before_promotion)

    parts: list[tuple[Any, type[Contract], str, dict[str, Any]]] = [
        (labels, Labels, f"What people labelled, for the {name} model.", {"kinds": {"csv"}}),
        (challenger, Challenger, f"A {name} model trained on the labels, not yet in use.", {"kinds": {"scikitlearn"}}),
        (evaluation, Evaluation, f"How good the {name} challenger is on labels it never saw.", {}),
        (champion, InUse, f"The {name} model in use.", {"record": record_promotion, "kinds": {"mlflow"}}),
    ]
    return [
        governed_asset(
            contract=contract,
            name=f"{name}_{function.__name__}",
            inputs={"labels": f"{name}_labels", "challenger": f"{name}_challenger", "evaluation": f"{name}_evaluation"},
            description=description,
            **shared,
            **more,
        )(function)
        for function, contract, description, more in parts
    ]


def train_challenger(family: str, labels: pd.DataFrame, home: Home, rules: Rules | None) -> Result:
    """Train on the labels that are not held out, choose the acceptance threshold out of fold, register the version.

    Refused when no label is held out. The order of the labels makes no difference.
    """
    from orchestration_project.performers.text_classifier import train
    from orchestration_project.stores.registry import Registry

    if not labels["is_holdout"].any():
        raise Refused(f"None of the {len(labels)} labels of {family} is held out to evaluate on. Label more messages.")
    target_error = home.settings.target_error
    seen = labels[~labels["is_holdout"]].sort_values("message_id")
    training = train(seen["text"].tolist(), seen["label"].tolist())
    out_of_fold = training.out_of_fold
    right = (out_of_fold["label"] == out_of_fold["answer"]).to_numpy()
    threshold = acceptance_threshold(out_of_fold["confidence"].to_numpy(), right, target_error)
    version = version_of(labels, target_error, rules.read().digest if rules else None)
    draft = temporary_beside(home.artifacts / family / version)
    sha256 = training.classifier.save(draft)
    artifact = draft.with_name(f"{version}-{sha256[:8]}.joblib")  # another machine rounds otherwise: another file
    publish_file(draft, artifact)
    measured = rules.measure(seen, seen["label"], target_error) if rules else {}
    registered = Registry(home.registry_url, home.artifacts).add(
        family,
        artifact,
        digest=sha256,
        metrics={"out_of_fold_accuracy": float(right.mean())},
        params={"code_version": CODE_VERSION, "labels": str(len(labels))},
        tags={"version": version},
        run_name=version,
    )
    row = {
        "family": family,
        "version": version,
        "number": registered.number,
        "path": home.below(artifact),
        "sha256": sha256,
        "threshold": float("nan") if threshold is None else threshold,
        "temperature": training.temperature,
        "labels": json.dumps(training.classifier.labels),
        "rules": json.dumps(measured),
    }
    facts = {
        "version": version,
        "registry number": registered.number,
        "labels trained on": len(seen),
        "acceptance threshold": "none: nothing is accepted" if threshold is None else threshold,
        "rules measured": json.dumps(measured.get("rules", {})),
    }
    return Result(pd.DataFrame([row]), facts)


def choose_champion(
    challenger: "pd.Series[Any]",
    evaluation: pd.DataFrame,
    home: Home,
    before_promotion: Callable[[Sequence[str]], None] | None,
) -> pd.DataFrame:
    """Promote the challenger unless the version in use was better on the same holdout; say why either way.

    The registry's alias is for people who look there; what a run loads is the ledger's record, written when this is
    published.
    """
    from orchestration_project.stores.registry import Registry

    with home.ledger.read() as connection:
        incumbent = champions.champion(connection, challenger["family"])
    overall = evaluation[evaluation["label"] == "all"].iloc[0]
    in_use = float(overall["f1_in_use"])
    figures = overall.drop(["label", "f1_in_use"]).dropna()
    metrics = {str(name): float(value) for name, value in figures.items()}
    threshold = challenger["threshold"]
    candidate = ModelVersion(
        family=challenger["family"],
        version=challenger["version"],
        path=challenger["path"],
        sha256=challenger["sha256"],
        threshold=None if pd.isna(threshold) else float(threshold),
        labels=tuple(json.loads(challenger["labels"])),
        metrics={"macro_f1": metrics.pop("f1"), **metrics},
        rules=json.loads(challenger["rules"]),
    )
    reason, is_new = _verdict(candidate, incumbent, in_use)
    if is_new:
        if before_promotion is not None:
            before_promotion(candidate.labels)
        Registry(home.registry_url, home.artifacts).promote(candidate.family, int(challenger["number"]))
    chosen = candidate if is_new or incumbent is None else incumbent
    row = {"family": chosen.family, "version": chosen.version, "is_new": is_new, "reason": reason}
    return pd.DataFrame([{**row, "champion": chosen.to_json()}])


def record_promotion(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Put a promoted version in use, in the transaction that publishes the champion's row; batches that were refused
    may try again.
    """
    for row in rows:
        if row["is_new"]:
            new = ModelVersion.from_json(row["champion"])
            champions.promote(connection, new)
            resumed = batches.resume_refused(connection, cause=f"promotion-{new.version}")
            detail = {"reason": row["reason"], "batches_resumed": resumed}
            audit.append(connection, "promoted", f"{new.family}/{new.version}", detail)


def _verdict(candidate: ModelVersion, incumbent: ModelVersion | None, in_use: float) -> tuple[str, bool]:
    """Why the candidate is promoted or not, and whether it is; `in_use` is the incumbent's macro-F1 on the same
    holdout, or nan.
    """
    if incumbent is None:
        return "the first version of its family", True
    if (incumbent.version, incumbent.sha256) == (candidate.version, candidate.sha256):
        return "the same labels and code gave the version in use", False
    if pd.isna(in_use):
        return f"the file of the version in use, {incumbent.version}, is lost or changed", True
    new = candidate.metrics["macro_f1"]
    if new < in_use:
        return f"macro-F1 on the holdout is {new:.3f}, that of the version in use {in_use:.3f}", False
    return f"macro-F1 on the holdout is {new:.3f}, that of the version before {in_use:.3f}", True

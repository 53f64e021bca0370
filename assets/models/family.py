"""A model family: labels → challenger → evaluation → champion, the same four assets for every model that learns from
labels.
"""

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pandera.pandas as pa
import sqlalchemy as sa

from orchestration_project.core.contracts import Contract
from orchestration_project.core.statistics import (
    acceptance_threshold,
    classification_scores,
    expected_calibration_error,
)
from orchestration_project.governance import audit
from orchestration_project.model_output import Result, governed_asset
from orchestration_project.performers.rules import Rules
from orchestration_project.stores import batches, champions
from orchestration_project.stores.champions import Champion
from orchestration_project.stores.home import Home

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


class Evaluation(Contract):
    """How good the challenger is on the holdout, per class and over all."""

    label: str = pa.Field(unique=True, description="Class, or 'all'.")
    precision: float = pa.Field(ge=0, le=1, nullable=True, description="Precision; of 'all' the macro mean.")
    recall: float = pa.Field(ge=0, le=1, nullable=True, description="Recall; of 'all' the macro mean.")
    f1: float = pa.Field(ge=0, le=1, nullable=True, description="F1; of 'all' the macro mean.")
    n: int = pa.Field(ge=0, description="Labelled messages of the class.")
    accuracy: float = pa.Field(ge=0, le=1, nullable=True, description="Share of right answers; only of 'all'.")
    ece: float = pa.Field(ge=0, le=1, nullable=True, description="Expected calibration error; only of 'all'.")
    accepted_share: float = pa.Field(ge=0, le=1, nullable=True, description="Share accepted; only of 'all'.")
    accepted_error: float = pa.Field(ge=0, le=1, nullable=True, description="Error among accepted; only of 'all'.")


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
    out.
    """
    frame = pd.read_csv(file, dtype="str", keep_default_na=False)[["message_id", "text", column]]
    frame = frame.rename(columns={column: "label"})
    frame = frame[frame["label"] != ""].reset_index(drop=True)
    return frame.assign(is_holdout=frame["message_id"].map(is_holdout).astype("bool"))


def version_of(labels: pd.DataFrame, *choices: object) -> str:
    """Version digest of what these labels train: the same labels, choices, code and libraries give the same version."""
    import joblib
    import numpy
    import sklearn

    libraries = [module.__version__ for module in (joblib, numpy, sklearn)]
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
    """Train on the labels that are not held out, choose the acceptance threshold out of fold, register the version."""
    from orchestration_project.performers.text_classifier import train
    from orchestration_project.stores.registry import Registry

    target_error = home.settings.target_error
    seen = labels[~labels["is_holdout"]]
    training = train(seen["text"].tolist(), seen["label"].tolist())
    out_of_fold = training.out_of_fold
    right = (out_of_fold["label"] == out_of_fold["answer"]).to_numpy()
    threshold = acceptance_threshold(out_of_fold["confidence"].to_numpy(), right, target_error)
    version = version_of(labels, target_error, rules.read().digest if rules else None)
    artifact = home.artifacts / family / f"{version}.joblib"
    sha256 = training.classifier.save(artifact)
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


def evaluate(challenger: "pd.Series[Any]", labels: pd.DataFrame, home: Home) -> Result:
    """Score a challenger on the held-out labels."""
    from orchestration_project.performers.text_classifier import load

    held = labels[labels["is_holdout"]].reset_index(drop=True)
    answers = load(home.root / challenger["path"], challenger["sha256"]).predict(held["text"].tolist())
    right = (answers["label"] == held["label"]).to_numpy()
    accepted = (answers["confidence"] >= challenger["threshold"]).to_numpy()
    scores = classification_scores(held["label"].tolist(), answers["label"].tolist())
    rows = pd.DataFrame([{"label": label, **found} for label, found in scores["per_class"].items()])
    overall: dict[str, Any] = {
        "label": "all",
        **{name: float(rows[name].mean()) for name in ("precision", "recall", "f1")},
        "n": scores["n"],
        "accuracy": scores["accuracy"],
        "ece": expected_calibration_error(answers["confidence"].to_numpy(), right),
        "accepted_share": float(accepted.mean()),
        "accepted_error": float((~right[accepted]).mean()) if accepted.any() else float("nan"),
    }
    frame = pd.concat([rows, pd.DataFrame([overall])], ignore_index=True)
    shown = {name: round(float(value), 4) for name, value in overall.items() if name != "label" and value == value}
    plot = dg.MetadataValue.md(confusion_plot(held["label"].tolist(), answers["label"].tolist()))
    return Result(frame[list(Evaluation.to_schema().columns)], {**shown, "confusion": plot})


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
    metrics = {name: float(overall[name]) for name in overall.index if name != "label" and pd.notna(overall[name])}
    threshold = challenger["threshold"]
    candidate = Champion(
        family=challenger["family"],
        version=challenger["version"],
        path=challenger["path"],
        sha256=challenger["sha256"],
        threshold=None if pd.isna(threshold) else float(threshold),
        labels=tuple(json.loads(challenger["labels"])),
        metrics={"macro_f1": metrics.pop("f1"), **metrics},
        rules=json.loads(challenger["rules"]),
    )
    reason, is_new = _verdict(candidate, incumbent)
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
            new = Champion.from_json(row["champion"])
            champions.promote(connection, new)
            resumed = batches.resume_refused(connection, cause=f"promotion-{new.version}")
            detail = {"reason": row["reason"], "batches_resumed": resumed}
            audit.append(connection, "promoted", f"{new.family}/{new.version}", detail)


def confusion_plot(truth: Sequence[str], answer: Sequence[str]) -> str:
    """The confusion matrix as a picture in Markdown (PNG, base64)."""
    import base64

    from matplotlib.figure import Figure
    from sklearn.metrics import ConfusionMatrixDisplay

    labels = sorted({*truth, *answer})
    size = 2.5 + 0.5 * len(labels)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.add_subplot()
    ConfusionMatrixDisplay.from_predictions(
        truth, answer, labels=labels, ax=axes, cmap="Blues", colorbar=False, xticks_rotation="vertical"
    )
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=80)
    return f"![confusion matrix](data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()})"


def _verdict(candidate: Champion, incumbent: Champion | None) -> tuple[str, bool]:
    if incumbent is None:
        return "the first version of its family", True
    if incumbent.version == candidate.version:
        return "the same labels and code gave the version in use", False
    new, old = candidate.metrics["macro_f1"], incumbent.metrics["macro_f1"]
    if new < old:
        return f"macro-F1 on the holdout is {new:.3f}, that of the version in use {old:.3f}", False
    return f"macro-F1 on the holdout is {new:.3f}, before {old:.3f}", True

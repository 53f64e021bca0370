"""How good a challenger is on labels that it never saw, beside the version in use on the same ones."""

import io
from collections.abc import Sequence
from typing import Any

import dagster as dg
import pandas as pd
import pandera.pandas as pa

from orchestration_project.core.contracts import Contract
from orchestration_project.core.errors import ArtifactRefused
from orchestration_project.core.statistics import classification_scores, expected_calibration_error
from orchestration_project.model_output import Result
from orchestration_project.stores import champions
from orchestration_project.stores.home import Home


class Evaluation(Contract):
    """How good the challenger is on the holdout, per class and over all."""

    label: str = pa.Field(unique=True, description="Class, or 'all'.")
    precision: float = pa.Field(ge=0, le=1, nullable=True, description="Precision; of 'all' the macro mean.")
    recall: float = pa.Field(ge=0, le=1, nullable=True, description="Recall; of 'all' the macro mean.")
    f1: float = pa.Field(ge=0, le=1, nullable=True, description="F1; of 'all' the macro mean.")
    f1_in_use: float = pa.Field(
        ge=0, le=1, nullable=True, description="F1 of the version in use on the same labels; null: none can be scored."
    )
    n: int = pa.Field(ge=0, description="Labelled messages of the class.")
    accuracy: float = pa.Field(ge=0, le=1, nullable=True, description="Share of right answers; only of 'all'.")
    ece: float = pa.Field(ge=0, le=1, nullable=True, description="Expected calibration error; only of 'all'.")
    accepted_share: float = pa.Field(ge=0, le=1, nullable=True, description="Share accepted; only of 'all'.")
    accepted_error: float = pa.Field(ge=0, le=1, nullable=True, description="Error among accepted; only of 'all'.")


def evaluate(challenger: "pd.Series[Any]", labels: pd.DataFrame, home: Home) -> Result:
    """Score a challenger, and the version in use, on the held-out labels."""
    from orchestration_project.performers.text_classifier import load

    held = labels[labels["is_holdout"]].reset_index(drop=True)
    answers = load(home.root / challenger["path"], challenger["sha256"]).predict(held["text"].tolist())
    right = (answers["label"] == held["label"]).to_numpy()
    accepted = (answers["confidence"] >= challenger["threshold"]).to_numpy()
    scores = classification_scores(held["label"].tolist(), answers["label"].tolist())
    in_use = f1_in_use(str(challenger["family"]), held, home)
    rows = pd.DataFrame(
        [
            {"label": label, **found, "f1_in_use": in_use.get(label, float("nan"))}
            for label, found in scores["per_class"].items()
        ]
    )
    overall: dict[str, Any] = {
        "label": "all",
        **{name: float(rows[name].mean()) for name in ("precision", "recall", "f1")},
        "f1_in_use": in_use.get("all", float("nan")),
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


def f1_in_use(family: str, held: pd.DataFrame, home: Home) -> dict[str, float]:
    """Label → F1 of the version in use on these labels, and `all` → the macro mean; empty when there is no version in
    use, or its file is lost or changed.
    """
    from orchestration_project.performers.text_classifier import load

    with home.ledger.read() as connection:
        champion = champions.champion(connection, family)
    if champion is None:
        return {}
    try:
        classifier = load(home.root / champion.path, champion.sha256)
    except ArtifactRefused:  # it decides nothing any more, and so stands in nobody's way
        return {}
    answers = classifier.predict(held["text"].tolist())
    scores = classification_scores(held["label"].tolist(), answers["label"].tolist())
    return {"all": scores["macro_f1"], **{label: found["f1"] for label, found in scores["per_class"].items()}}


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

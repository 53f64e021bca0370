"""The pictures of an evaluation, as Markdown that Dagster's UI shows: confusion matrix and reliability diagram."""

import base64
import io
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestration_project.core.calibration import ReliabilityBin
from orchestration_project.core.redaction import redact
from orchestration_project.core.statistics import Floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_LABELS = 25
"""Labels of a confusion matrix that can still be read; of more, those that are mistaken most are shown."""


def confusion_matrix(truth: Sequence[str], answer: Sequence[str]) -> "Figure":
    """How often each label (rows) was answered as each (columns). Their names are redacted."""
    from matplotlib.figure import Figure
    from sklearn.metrics import ConfusionMatrixDisplay

    labels = sorted({*truth, *answer})
    if len(labels) > MOST_LABELS:
        mistaken = Counter(name for pair in zip(truth, answer, strict=True) if pair[0] != pair[1] for name in pair)
        labels = sorted(sorted(labels, key=lambda label: (-mistaken[label], label))[:MOST_LABELS])
    shown = [pair for pair in zip(truth, answer, strict=True) if set(pair) <= set(labels)]
    size = 2.5 + 0.5 * len(labels)
    figure = Figure(figsize=(size, size), layout="constrained")
    ConfusionMatrixDisplay.from_predictions(
        [true for true, _ in shown],
        [answered for _, answered in shown],
        labels=labels,
        display_labels=[redact(label) for label in labels],
        ax=figure.add_subplot(),
        cmap="Blues",
        colorbar=False,
        xticks_rotation="vertical",
    )
    return figure


def reliability_diagram(bins: Sequence[ReliabilityBin], error: float, confidence: Floats) -> "Figure":
    """How right answers are against how sure they claim to be (the diagonal is perfect), above the share of answers
    with each confidence.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 5.2), layout="constrained")
    above, below = figure.subplots(2, height_ratios=[3, 1], sharex=True)
    above.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1)
    above.plot([own["confidence"] for own in bins], [own["accuracy"] for own in bins], marker="o", color="tab:blue")
    above.set(ylabel="share that is right", xlim=(0, 1), ylim=(0, 1), title=f"expected calibration error {error:.3f}")
    below.hist(confidence, bins=15, range=(0, 1), weights=[1 / max(1, len(confidence))] * len(confidence))
    below.set(xlabel="confidence", ylabel="share of answers")
    return figure


def as_markdown(figure: "Figure", title: str) -> str:
    """A picture inside a line of Markdown (PNG, base64)."""
    return f"![{title}](data:image/png;base64,{base64.b64encode(as_png(figure)).decode()})"


def as_png(figure: "Figure") -> bytes:
    """A picture as PNG; the same figure gives the same bytes."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=80, metadata={"Software": None})
    return stream.getvalue()

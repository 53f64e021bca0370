"""The models of the workflow, a family each. Their labels are `assets/samples/labels.csv`."""

from collections.abc import Sequence
from pathlib import Path

from assets.feedback import alert, route
from assets.feedback.issue import RULES
from assets.models.family import model_family

LABELS = Path(__file__).parents[1] / "samples" / "labels.csv"


def check_tables(labels: Sequence[str]) -> None:
    """Raise TableRefused when a table of the workflow names an issue that nobody could answer any more."""
    route.check_labels(labels)
    alert.check_labels(labels)


sentiment = model_family("sentiment", LABELS, "sentiment")
issue = model_family("issue", LABELS, "issue", rules=RULES, before_promotion=check_tables)

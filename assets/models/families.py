"""The models of the workflow, a family each. Their labels are `assets/samples/labels.csv`."""

from pathlib import Path

from assets.feedback.issue import RULES
from assets.feedback.route import check_labels
from assets.models.family import model_family

LABELS = Path(__file__).parents[1] / "samples" / "labels.csv"

sentiment = model_family("sentiment", LABELS, "sentiment")
issue = model_family("issue", LABELS, "issue", rules=RULES, before_promotion=check_labels)

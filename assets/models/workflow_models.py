"""The models of the workflow, a family each, as `families.toml` lists them."""

from collections.abc import Sequence

from assets.feedback import alert, route
from assets.feedback.issue import RULES
from assets.models.family import model_family
from orchestration_project.stores.families import require_family


def check_tables(labels: Sequence[str]) -> None:
    """Raise TableRefused when a table of the workflow names an issue that nobody could answer any more."""
    route.check_labels(labels)
    alert.check_labels(labels)


sentiment = model_family(require_family("sentiment"))
issue = model_family(require_family("issue"), rules=RULES, before_promotion=check_tables)

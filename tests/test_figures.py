"""The pictures of an evaluation: what is written on them."""

from assets.models.figures import confusion_matrix
from orchestration_project.core.redaction import E_MAIL, PHONE


def test_names_of_labels_are_redacted_on_the_confusion_matrix() -> None:
    (axes,) = confusion_matrix(["billing", "jane@example.com"], ["415-555-2671", "billing"]).axes
    for ticks in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [tick.get_text() for tick in ticks] == [PHONE, "billing", E_MAIL]

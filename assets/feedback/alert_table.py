"""The thresholds of alerts, a decision table that the business keeps: `alert.csv`."""

from pathlib import Path

from orchestration_project.core.decision_table import DecisionTable

TABLE = Path(__file__).with_name("alert.csv")
INPUTS = ("issue", "window_hours", "volume", "change", "share", "priority")
DEFAULT_WINDOW_HOURS = 24


def read_table() -> DecisionTable:
    """The table as it stands in its file; TableRefused if it contradicts itself. What no rule matches raises no
    alert.
    """
    return DecisionTable.read(TABLE, inputs=INPUTS, outputs=("severity",), default_required=False)


def window_hours() -> list[int]:
    """The window lengths that the rules name, in hours; a day where none is named."""
    cells = [row.when["window_hours"] for row in read_table().rows]
    named = {int(float(value)) for cell in cells for value in cell.values}
    return sorted(named) or [DEFAULT_WINDOW_HOURS]

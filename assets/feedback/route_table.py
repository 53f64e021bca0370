"""The table that routes, a decision table that the business keeps: `route.csv`."""

import re
from pathlib import Path

from orchestration_project.core.decision_table import DecisionTable
from orchestration_project.core.errors import TableRefused

TABLE = Path(__file__).with_name("route.csv")

OUTPUTS = {
    "team": (r".+", "the name of a team"),
    "priority": (r"[1-4]", "a whole number from 1, most urgent, to 4"),
    "respond_within_hours": (r"(?![0.]+$)\d+(\.\d+)?", "a number of hours above 0"),
}
"""What the table decides: column → the form of its cells, and that form in words."""


def read_table() -> DecisionTable:
    """The decision table as it stands in its file; TableRefused if it contradicts itself."""
    table = DecisionTable.read(TABLE, inputs=("issue", "decided_by", "text"), outputs=tuple(OUTPUTS))
    for row in table.rows:
        for name, (form, words) in OUTPUTS.items():
            if not re.fullmatch(form, row.then[name]):
                raise TableRefused(f"{TABLE}, rule '{row.rule}', {name} is '{row.then[name]}'. Write {words}.")
    return table

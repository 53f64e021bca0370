"""The thresholds of alerts, a decision table that the business keeps: `alert.csv`."""

import re
from pathlib import Path

import pandas as pd

from orchestration_project.core.decision_table import DecisionTable, Rule
from orchestration_project.core.errors import TableRefused

TABLE = Path(__file__).with_name("alert.csv")
INPUTS = ("issue", "window_hours", "volume", "change", "share", "priority")
NUMBERS = INPUTS[1:]
DEFAULT_WINDOW_HOURS = 24


def read_table() -> DecisionTable:
    """The table as it stands in its file; TableRefused if it contradicts itself. What no rule matches raises no
    alert.
    """
    table = DecisionTable.read(TABLE, inputs=INPUTS, outputs=("severity",), default_required=False)
    for row in table.rows:
        for name in NUMBERS:
            if row.when[name].text and name not in table.numeric:
                raise _refusal(row, name, "numbers in all of this column, such as >=12")
        window = row.when["window_hours"]
        if window.text and not (window.test == "one of" and all(re.fullmatch("[1-9][0-9]*", v) for v in window.values)):
            raise _refusal(row, "window_hours", "whole hours: 24 or 24|168")
        if not row.then["severity"]:
            raise _refusal(row, "severity", "one, such as high")
    return table


def breaches(candidates: pd.DataFrame) -> pd.DataFrame:
    """What the table says of each candidate, on its index: `rule` and `severity` of the first rule that it breaches, or
    nulls, and `rank`, the rule's place in the table (0 is the first), behind all rules where none is breached.
    """
    table = read_table()
    order = {row.rule: number for number, row in enumerate(table.rows)}
    found = table.apply(candidates[list(INPUTS)])
    return found.assign(rank=found["rule"].map(order).fillna(len(order)).astype("int64"))


def window_hours() -> list[int]:
    """The window lengths that the rules name, in hours; a day where none is named."""
    named = {int(value) for row in read_table().rows for value in row.when["window_hours"].values}
    return sorted(named) or [DEFAULT_WINDOW_HOURS]


def _refusal(row: Rule, name: str, wanted: str) -> TableRefused:
    text = row.when[name].text if name in row.when else row.then[name]
    return TableRefused(f"{TABLE}, rule '{row.rule}', {name} is '{text}'. Write {wanted}.")

"""Which team answers each unhappy customer, how urgently, by a decision table that the business keeps: `route.csv`."""

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from assets.feedback.issue import CASCADE, possible_labels
from orchestration_project.core.contracts import Contract, UtcTime
from orchestration_project.core.decision_table import DecisionTable
from orchestration_project.core.errors import TableRefused
from orchestration_project.model_output import governed_asset
from orchestration_project.stores.home import Home

TABLE = Path(__file__).with_name("route.csv")

OUTPUTS = {
    "team": (r".+", "the name of a team"),
    "priority": (r"[1-4]", "a whole number from 1, most urgent, to 4"),
    "respond_within_hours": (r"(?![0.]+$)\d+(\.\d+)?", "a number of hours above 0"),
}
"""What the table decides: column → the form of its cells, and that form in words."""


class Route(Contract):
    """Who answers a message, and by when."""

    message_id: str = pa.Field(unique=True, description="The message.")
    received_at: UtcTime = pa.Field(description="When it came in, UTC.")
    issue: str = pa.Field(description="What it is about.")
    accepted: bool = pa.Field(description="Whether the issue was decided with enough confidence.")
    decided_by: str = pa.Field(description="Kind of performer that decided the issue.")
    team: str = pa.Field(description="Team that answers.")
    priority: int = pa.Field(ge=1, le=4, description="1 is most urgent.")
    respond_within_hours: float = pa.Field(gt=0, description="Hours in which the customer gets an answer.")
    rule: str = pa.Field(description="The rule of route.csv that decided.")


def read_table() -> DecisionTable:
    """The decision table as it stands in its file; TableRefused if it contradicts itself."""
    table = DecisionTable.read(TABLE, inputs=("issue", "decided_by", "text"), outputs=tuple(OUTPUTS))
    for row in table.rows:
        for name, (form, words) in OUTPUTS.items():
            if not re.fullmatch(form, row.then[name]):
                raise TableRefused(f"{TABLE}, rule '{row.rule}', {name} is '{row.then[name]}'. Write {words}.")
    return table


def check_labels(labels: Sequence[str]) -> None:
    """Raise TableRefused, naming every cell, when the table names an issue that neither a model with these labels nor
    the rules can answer.
    """
    read_table().check_labels("issue", possible_labels(labels))


@governed_asset(contract=Route, group_name="feedback", kinds={"duckdb", "csv"}, owners=["team:customer-care"])
def route(feedback: pd.DataFrame, issue: pd.DataFrame, home: Home) -> pd.DataFrame:
    """Which team answers each unhappy customer, and how urgently."""
    table = read_table()
    table.check_labels("issue", CASCADE.labels(home))
    decided = issue[["message_id", "label", "accepted", "decided_by"]].rename(columns={"label": "issue"})
    rows = decided.merge(feedback[["message_id", "received_at", "text"]], on="message_id", validate="one_to_one")
    found = table.apply(rows).astype({"priority": "int64", "respond_within_hours": "float64"})
    return pd.concat([rows.drop(columns="text"), found], axis="columns")

"""Which team answers each unhappy customer, how urgently, by a decision table that the business keeps: `route.csv`."""

from collections.abc import Sequence

import pandas as pd
import pandera.pandas as pa

from assets.feedback.issue import CASCADE, possible_labels
from assets.feedback.route_table import read_table
from orchestration_project.core.contracts import Contract, UtcTime
from orchestration_project.model_output import governed_asset
from orchestration_project.stores.home import Home


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

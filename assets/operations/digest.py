"""The daily digest: what came in on the last whole day with messages, what was decided surely, what was alerted."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import duckdb
import pandas as pd
import pandera.pandas as pa

from orchestration_project.core.contracts import Contract, empty_frame
from orchestration_project.model_output import governed_asset
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.outbox import Notice

NEEDED = {"feedback", "sentiment", "issue", "alert"}


class Digest(Contract):
    """One calendar day."""

    day: str = pa.Field(unique=True, description="The last whole day with messages, in the project's time zone.")
    messages: int = pa.Field(ge=1, description="Messages that came in.")
    unhappy: int = pa.Field(ge=0, description="Messages whose issue was looked for.")
    accepted_share: float = pa.Field(ge=0, le=1, description="Share of messages whose sentiment was decided surely.")
    issues: str = pa.Field(description="JSON object: issue → unhappy messages.")
    alerts: int = pa.Field(ge=0, description="Alerts about this day.")


LAST_DAY = """
WITH days AS (
    SELECT message_id, strftime(timezone($zone, received_at), '%Y-%m-%d') AS day FROM feedback
), last AS (
    SELECT message_id, day FROM days
    WHERE day = (SELECT max(day) FROM days WHERE day < strftime(timezone($zone, $moment::TIMESTAMPTZ), '%Y-%m-%d'))
), counted AS (
    SELECT label, count(*) AS n FROM issue JOIN last USING (message_id) GROUP BY label ORDER BY n DESC, label
)
SELECT any_value(day) AS day, count(*) AS messages,
    (SELECT coalesce(sum(n), 0) FROM counted)::BIGINT AS unhappy,
    avg(coalesce(sentiment.accepted, false)::DOUBLE) AS accepted_share,
    coalesce((SELECT json_group_object(label, n) FROM counted), '{}')::VARCHAR AS issues,
    (SELECT count(*) FROM alert WHERE alert.day = (SELECT max(day) FROM last)) AS alerts
FROM last LEFT JOIN sentiment USING (message_id)
HAVING count(*) > 0
"""


def announce(digest: Mapping[str, Any]) -> Notice:
    """The digest as a notice, once for each state of a day."""
    issues = json.loads(digest["issues"])
    lines = [
        f"- Messages: {digest['messages']}, of them unhappy: {digest['unhappy']}",
        f"- Sentiment decided surely: {digest['accepted_share']:.0%}",
        f"- Alerts: {digest['alerts']}",
        *(f"- {issue.replace('_', ' ')}: {count}" for issue, count in issues.items()),
    ]
    key = f"digest/{digest['day']}/{digest['messages']}/{digest['alerts']}"
    return Notice(key, f"Digest of {digest['day']}", "\n".join(lines), {"issues": issues})


@governed_asset(
    contract=Digest,
    partitions_def=None,
    announce=announce,
    output_required=False,
    deps=["feedback", "sentiment", "issue", "alert"],
    group_name="operations",
    kinds={"duckdb"},
    owners=["team:executives"],
)
def digest(warehouse: duckdb.DuckDBPyConnection, home: Home) -> pd.DataFrame:
    """What came in on the last whole day with messages, and how surely it was decided."""
    views = {
        name for (name,) in warehouse.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
    }
    if not views >= NEEDED:
        return empty_frame(Digest)
    return last_whole_day(warehouse, home.settings.time_zone, now())


def last_whole_day(warehouse: duckdb.DuckDBPyConnection, time_zone: str, moment: datetime) -> pd.DataFrame:
    """The figures of the last day with messages that had ended at this moment; no row when there is none."""
    return warehouse.execute(LAST_DAY, {"zone": time_zone, "moment": moment}).df()

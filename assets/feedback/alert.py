"""What the executives are told: a breach of a threshold in `alert.csv`, once for each issue and day, or a single urgent
message.
"""

import json
from collections.abc import Mapping
from typing import Any

import duckdb
import pandas as pd
import pandera.pandas as pa

from assets.feedback.alert_table import INPUTS, read_table
from orchestration_project.core.contracts import Contract, UtcTime, empty_frame
from orchestration_project.model_output import Batch, governed_asset
from orchestration_project.stores.outbox import Notice


class Alert(Contract):
    """One alert."""

    key: str = pa.Field(unique=True, description="What it is about: issue and day, or one message.")
    issue: str = pa.Field(description="Issue.")
    day: str = pa.Field(description="Calendar day in the project's time zone; of a single message its day in UTC.")
    rule: str = pa.Field(description="The rule of alert.csv that was breached.")
    severity: str = pa.Field(description="How severe the rule says it is.")
    team: str = pa.Field(description="Team that answers.")
    window_end: UtcTime = pa.Field(description="Time of the last message it speaks of.")
    window_hours: float = pa.Field(nullable=True, description="Length of the window; null: a single message.")
    volume: int = pa.Field(ge=1, description="Unhappy messages.")
    baseline: float = pa.Field(
        nullable=True, description="Usual volume; null: too little history, or a single message."
    )
    change: float = pa.Field(nullable=True, description="Volume against the baseline.")
    share: float = pa.Field(nullable=True, description="Share in all unhappy messages of the window.")
    accepted: int = pa.Field(ge=0, description="Messages whose issue was decided with enough confidence.")
    by_safe_state: int = pa.Field(ge=0, description="Messages that no performer could decide.")
    themes: str = pa.Field(description="JSON list of typical words and phrases.")
    quotes: str = pa.Field(description="JSON list of representative messages: message_id and text.")
    message_ids: str = pa.Field(description="JSON list of the messages it speaks of.")


URGENT = """
SELECT 'message/' || message_id AS key, route.issue, strftime(route.received_at, '%Y-%m-%d') AS day, route.team,
    route.received_at AS window_end, 1 AS volume, route.accepted::INTEGER AS accepted,
    (route.decided_by = 'safe_state')::INTEGER AS by_safe_state, route.priority, '[]' AS themes,
    to_json([{'message_id': message_id, 'text': feedback.text}])::VARCHAR AS quotes,
    to_json([message_id])::VARCHAR AS message_ids
FROM route JOIN feedback USING (message_id, batch)
WHERE batch = $batch
ORDER BY route.received_at, message_id
"""


def announce(alert: Mapping[str, Any]) -> Notice:
    """The notice of one alert, in words for an executive."""
    return Notice(str(alert["key"]), title_of(alert), body_of(alert), facts_of(alert))


@governed_asset(
    contract=Alert,
    announce=announce,
    output_required=False,
    group_name="feedback",
    kinds={"duckdb", "csv"},
    owners=["team:executives"],
)
def alert(
    summary: pd.DataFrame, route: pd.DataFrame, warehouse: duckdb.DuckDBPyConnection, batch: Batch
) -> pd.DataFrame:
    """What the executives are told."""
    if route.empty:
        return empty_frame(Alert)
    of_windows = summary.assign(key=summary["issue"] + "/" + summary["day"])
    of_messages = warehouse.execute(URGENT, {"batch": batch}).df().astype({"window_end": "datetime64[us, UTC]"})
    raised = breaches(pd.concat([of_messages, of_windows], ignore_index=True))
    known = warehouse.execute("SELECT key FROM alert WHERE batch <> $batch", {"batch": batch}).fetchall()
    raised = raised[~raised["key"].isin([key for (key,) in known])].reset_index(drop=True)
    return raised if len(raised) else empty_frame(Alert)


def breaches(candidates: pd.DataFrame) -> pd.DataFrame:
    """The candidates (windows and single messages) that a rule of alert.csv raises; the first rule for each key."""
    found = read_table().apply(candidates[list(INPUTS)])
    raised = pd.concat([candidates, found[["rule", "severity"]]], axis="columns")[found["rule"].notna()]
    order = {row.rule: number for number, row in enumerate(read_table().rows)}
    raised = raised.sort_values("rule", key=lambda rule: rule.map(order), kind="stable").drop_duplicates("key")
    counts = {"volume": "int64", "accepted": "int64", "by_safe_state": "int64"}
    return raised[list(Alert.to_schema().columns)].astype(counts).sort_index().reset_index(drop=True)


def title_of(alert: Mapping[str, Any]) -> str:
    """One line: what, how much, against what."""
    issue = str(alert["issue"]).replace("_", " ")
    if pd.isna(alert["window_hours"]):
        message_id = json.loads(alert["message_ids"])[0]
        return f"{alert['severity'].capitalize()}: an urgent message about {issue} ({message_id}), for {alert['team']}"
    change = "" if pd.isna(alert["change"]) else f", {alert['change']:+.0%} against {alert['baseline']:.1f}"
    hours = f"{alert['window_hours']:.0f} hours"
    return f"{alert['severity'].capitalize()}: {issue}, {alert['volume']} unhappy messages in {hours}{change}"


def body_of(alert: Mapping[str, Any]) -> str:
    """The alert in Markdown: when, who answers, how sure, themes and quotes with their message ids."""
    lines = [
        f"- Until: {pd.Timestamp(alert['window_end']):%Y-%m-%d %H:%M} UTC",
        f"- Team: {alert['team']}",
        f"- Rule: {alert['rule']} of alert.csv",
    ]
    if not pd.isna(alert["share"]):
        lines.append(f"- Share of all unhappy messages: {alert['share']:.0%}")
    unsure = alert["volume"] - alert["accepted"] - alert["by_safe_state"]
    lines.append(f"- Decided surely {alert['accepted']}, unsurely {unsure}, by the safe state {alert['by_safe_state']}")
    if themes := json.loads(alert["themes"]):
        lines.append(f"- Themes: {', '.join(themes)}")
    quoted = [f"> {quote['text']}\n>\n> — {quote['message_id']}" for quote in json.loads(alert["quotes"])]
    return "\n\n".join(["\n".join(lines), *quoted])


def facts_of(alert: Mapping[str, Any]) -> dict[str, Any]:
    """The alert as JSON values, for programs."""
    names = ("issue", "day", "rule", "severity", "team", "window_hours", "volume", "baseline", "change", "share")
    facts: dict[str, Any] = {name: None if pd.isna(alert[name]) else alert[name] for name in names}
    facts |= {name: int(alert[name]) for name in ("volume", "accepted", "by_safe_state")}
    return facts | {name: json.loads(alert[name]) for name in ("themes", "quotes", "message_ids")}

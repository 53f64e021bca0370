"""What the executives are told: a breach of a threshold in `alert.csv`, once for each issue and day, or a single urgent
message.

The rows of `summary` and `alert` quote customers word for word and stay in the warehouse. Their notices are redacted as
the outbox records them: addresses and numbers are missing there, in the facts too.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import pandas as pd
import pandera.pandas as pa
import sqlalchemy as sa

from assets.feedback.alert_table import breaches, read_table
from assets.feedback.feedback import PERSONAL
from assets.feedback.issue import CASCADE, possible_labels
from orchestration_project.core.contracts import Contract, UtcTime, empty_frame
from orchestration_project.core.redaction import redact
from orchestration_project.model_output import Batch, governed_asset
from orchestration_project.stores.home import Home
from orchestration_project.stores.outbox import Notice
from orchestration_project.stores.schema import OUTBOX

MOST_QUOTED = 600
"""Most characters of a message that a notice quotes; the alert's row keeps all of it, and the facts all but addresses and
numbers."""


class Alert(Contract):
    """One alert."""

    key: str = pa.Field(unique=True, description="What it is about: issue and day, or one message.")
    issue: str = pa.Field(description="Issue.")
    day: str = pa.Field(description="Calendar day in the project's time zone.")
    rule: str = pa.Field(description="The rule of alert.csv that was breached.")
    route_rule: str = pa.Field(nullable=True, description="The rule of route.csv that made a single message urgent.")
    severity: str = pa.Field(description="How severe the rule says it is.")
    team: str = pa.Field(description="Team that answers.")
    respond_within_hours: float = pa.Field(nullable=True, description="Hours to answer a single message in.")
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
SELECT 'message/' || message_id AS key, route.issue,
    strftime(timezone($zone, route.received_at), '%Y-%m-%d') AS day, route.rule AS route_rule, route.team,
    route.respond_within_hours, route.received_at AS window_end, 1 AS volume, route.accepted::INTEGER AS accepted,
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


def check_labels(labels: Sequence[str]) -> None:
    """Raise TableRefused, naming every cell, when alert.csv names an issue that neither a model with these labels nor
    the rules can answer: it would never raise an alert.
    """
    read_table().check_labels("issue", possible_labels(labels))


@governed_asset(
    contract=Alert,
    announce=announce,
    output_required=False,
    deps=["feedback"],
    group_name="feedback",
    kinds={"duckdb", "csv"},
    owners=["team:executives"],
    tags=PERSONAL,
)
def alert(
    summary: pd.DataFrame, route: pd.DataFrame, warehouse: duckdb.DuckDBPyConnection, batch: Batch, home: Home
) -> pd.DataFrame:
    """What the executives are told."""
    read_table().check_labels("issue", CASCADE.labels(home))
    if route.empty:
        return empty_frame(Alert)
    of_windows = summary.assign(key=summary["issue"] + "/" + summary["day"])
    urgent = warehouse.execute(URGENT, {"batch": batch, "zone": home.settings.time_zone})
    of_messages = urgent.df().astype({"window_end": "datetime64[us, UTC]"})
    raised = raised_by(pd.concat([of_messages, of_windows], ignore_index=True))
    raised = raised[~raised["key"].isin(told_by_others(home, batch))].reset_index(drop=True)
    return raised if len(raised) else empty_frame(Alert)


def told_by_others(home: Home, batch: str) -> list[str]:
    """Keys of the notices that other batches recorded: nobody is told the same thing twice, whatever became of it."""
    with home.ledger.read() as connection:
        return list(connection.execute(sa.select(OUTBOX.c.key).where(OUTBOX.c.partition != batch)).scalars())


def raised_by(candidates: pd.DataFrame) -> pd.DataFrame:
    """The candidates (windows and single messages) that a rule of alert.csv raises; the first rule for each key."""
    found = pd.concat([candidates, breaches(candidates)], axis="columns")
    raised = found[found["rule"].notna()].sort_values("rank", kind="stable").drop_duplicates("key")
    counts = {"volume": "int64", "accepted": "int64", "by_safe_state": "int64"}
    return raised[list(Alert.to_schema().columns)].astype(counts).sort_index().reset_index(drop=True)


def title_of(alert: Mapping[str, Any]) -> str:
    """One line: what, how much, against what is usual; of a single message what kind of danger, who answers by when."""
    severity = str(alert["severity"]).capitalize()
    if pd.isna(alert["window_hours"]):
        message_id = json.loads(alert["message_ids"])[0]
        within = f"within {_hours(alert['respond_within_hours'])}"
        return f"{severity}: {_words(alert['route_rule'])}, message {message_id} for {alert['team']} {within}"
    what = f"{_messages(alert['volume'])} about {_words(alert['issue'])} in {_hours(alert['window_hours'])}"
    return f"{severity}: {what}, {_against_usual(alert)}"


def body_of(alert: Mapping[str, Any]) -> str:
    """The alert in Markdown: who answers, when, how much, how sure, themes and quotes with their message ids."""
    lines = _of_message(alert) if pd.isna(alert["window_hours"]) else _of_window(alert)
    quoted = [f"> {_shortened(quote['text'])}\n>\n> — {quote['message_id']}" for quote in json.loads(alert["quotes"])]
    return "\n\n".join(["\n".join(f"- {line}" for line in lines), *quoted])


def _of_message(alert: Mapping[str, Any]) -> list[str]:
    certainty = "sure" if alert["accepted"] else "decided by the safe state" if alert["by_safe_state"] else "unsure"
    return [
        f"Team: {alert['team']}, to answer within {_hours(alert['respond_within_hours'])}",
        f"Received: {_moment(alert['window_end'])}",
        f"Issue: {_words(alert['issue'])}, {certainty}",
        f"Why: the rule {alert['route_rule']} of route.csv, the rule {alert['rule']} of alert.csv",
    ]


def _of_window(alert: Mapping[str, Any]) -> list[str]:
    volume, hours = _messages(alert["volume"]), _hours(alert["window_hours"])
    unsure = alert["volume"] - alert["accepted"] - alert["by_safe_state"]
    return [
        f"Team: {alert['team']}",
        f"Volume: {volume} in {hours} until {_moment(alert['window_end'])}, {_against_usual(alert)}",
        f"Share: {alert['share']:.0%} of all unhappy messages of that time",
        f"Themes: {', '.join(json.loads(alert['themes'])) or 'none stands out'}",
        f"Certainty: issue sure in {alert['accepted']}, unsure in {unsure}, "
        f"decided by the safe state in {alert['by_safe_state']}",
        f"Why: the rule {alert['rule']} of alert.csv",
    ]


def _against_usual(alert: Mapping[str, Any]) -> str:
    if pd.isna(alert["change"]):
        return "what is usual is not known yet"
    return f"{alert['change']:+,.0%} against the usual {alert['baseline']:,.1f}"


def _messages(volume: int) -> str:
    return f"{volume:,} unhappy message{'' if volume == 1 else 's'}"


def _hours(hours: float) -> str:
    return f"{hours:g} hour{'' if hours == 1 else 's'}"


def _moment(time: Any) -> str:
    return f"{pd.Timestamp(time):%Y-%m-%d %H:%M} UTC"


def _words(name: Any) -> str:
    return str(name).replace("_", " ").replace("-", " ")


def _shortened(text: str) -> str:
    """A text on one line, so that all of it stays in its quote, and of a length that is read."""
    line = redact(" ".join(text.split()))  # a number that the cut went through would not be known as one
    return line if len(line) <= MOST_QUOTED else f"{line[: MOST_QUOTED - 1].rstrip()}…"


def facts_of(alert: Mapping[str, Any]) -> dict[str, Any]:
    """The alert as JSON values, for programs."""
    names = ("issue", "day", "rule", "route_rule", "severity", "team", "respond_within_hours", "window_hours")
    names += ("volume", "baseline", "change", "share")
    facts: dict[str, Any] = {name: None if pd.isna(alert[name]) else alert[name] for name in names}
    facts |= {name: int(alert[name]) for name in ("volume", "accepted", "by_safe_state")}
    return facts | {name: json.loads(alert[name]) for name in ("themes", "quotes", "message_ids")}

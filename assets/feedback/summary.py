"""What unhappy customers write about, per issue and day: how much, against what is usual, in which words.

Windows trail: the window of a message is the time up to it. Every window that holds a message of this batch is judged,
and of each issue and calendar day one is kept: the fullest of those that breach the first rule of alert.csv that any
of them breaches, or the fullest of all if none does. So a batch of one message and a file of two weeks are summed up
alike, and two batches that only together make a surge make it in whichever is summed up last.
"""

import json
from collections.abc import Mapping
from typing import Any

import duckdb
import pandas as pd
import pandera.pandas as pa

from assets.feedback.alert_table import breaches, window_hours
from assets.feedback.feedback import PERSONAL
from assets.feedback.quotes import quotes
from assets.feedback.themes import themes
from orchestration_project.core.contracts import Contract, UtcTime, empty_frame, records
from orchestration_project.model_output import Batch, governed_asset
from orchestration_project.stores.home import Home

BASELINE_DAYS = 7
"""How far the usual volume looks back, behind the window."""

FEWEST_BASELINE_DAYS = 2
"""With less history than this there is no usual volume, and no change against it."""

MOST_TEXTS = 2_000
"""Most messages of one window that are read for its themes."""

OTHERS_DAYS = 28
"""How far back the other issues' messages go that a window's words are held against."""

OTHERS_TEXTS = 500
"""Most messages of each other issue that a window's words are held against, the latest ones."""


class Summary(Contract):
    """One issue on one day: the most telling of the trailing windows that end on it."""

    issue: str = pa.Field(description="What the messages are about.")
    day: str = pa.Field(str_matches=r"^\d{4}-\d{2}-\d{2}$", description="Calendar day in the project's time zone.")
    window_hours: float = pa.Field(gt=0, description="Length of the window.")
    window_end: UtcTime = pa.Field(description="Time of the window's last message.")
    volume: int = pa.Field(ge=1, description="Unhappy messages of the issue in the window.")
    baseline: float = pa.Field(nullable=True, ge=0, description="Usual volume of a window; null: too little history.")
    change: float = pa.Field(
        nullable=True, description="Volume against the baseline (at least 1): 0.5 is half as much again."
    )
    share: float = pa.Field(ge=0, le=1, description="Share of the issue in all unhappy messages of the window.")
    accepted: int = pa.Field(ge=0, description="Messages whose issue was decided with enough confidence.")
    by_safe_state: int = pa.Field(ge=0, description="Messages that no performer could decide.")
    team: str = pa.Field(description="Team that most of the messages go to.")
    themes: str = pa.Field(description="JSON list of the words and phrases typical of the issue.")
    quotes: str = pa.Field(description="JSON list of representative messages: message_id and text.")
    message_ids: str = pa.Field(description="JSON list of the messages in the window.")

    @pa.dataframe_check
    def one_row_per_issue_day_window(cls, frame: pd.DataFrame) -> Any:
        """an issue has one row for each day and window length"""
        return ~frame.duplicated(["issue", "day", "window_hours"])


WINDOWS = """
WITH batch_span AS (
    SELECT min(received_at) AS first, max(received_at) AS last FROM route WHERE batch = $batch
), history AS (
    SELECT route.* FROM route, batch_span
    WHERE received_at > first - to_hours($window) - to_days($baseline) AND received_at < last + to_hours($window)
), begin AS (
    SELECT min(received_at) AS beginning FROM route
), measured AS (
    SELECT issue, received_at AS window_end, $window::DOUBLE AS window_hours,
        strftime(timezone($zone, received_at), '%Y-%m-%d') AS day,
        count(*) OVER w AS volume,
        -- a sum is several times faster here than a count with a filter
        (sum((batch = $batch)::INTEGER) OVER w)::BIGINT AS own,
        (sum(accepted::INTEGER) OVER w)::BIGINT AS accepted,
        (sum((decided_by = 'safe_state')::INTEGER) OVER w)::BIGINT AS by_safe_state,
        mode(team) OVER w AS team,
        count(*) OVER everything AS total,
        count(*) OVER earlier AS earlier,
        least($baseline, date_diff('microsecond', beginning, received_at) / 86400e6 - $window / 24.0) AS days
    FROM history, begin
    WINDOW w AS (PARTITION BY issue ORDER BY received_at
                 RANGE BETWEEN to_hours($window) - to_microseconds(1) PRECEDING AND CURRENT ROW),
           everything AS (ORDER BY received_at
                 RANGE BETWEEN to_hours($window) - to_microseconds(1) PRECEDING AND CURRENT ROW),
           earlier AS (PARTITION BY issue ORDER BY received_at
                 RANGE BETWEEN to_hours($window) + to_days($baseline) - to_microseconds(1) PRECEDING
                       AND to_hours($window) PRECEDING)
), compared AS (
    SELECT *, CASE WHEN days >= $fewest_days THEN earlier / days * $window / 24.0 END AS baseline
    FROM measured WHERE own > 0
)
SELECT DISTINCT issue, day, window_hours, window_end, volume, baseline,
    CASE WHEN baseline IS NOT NULL THEN volume / greatest(baseline, 1.0) - 1.0 END AS change, -- greatest skips nulls
    volume / total AS share, accepted, by_safe_state, team
FROM compared
ORDER BY window_end, issue
"""

WORDS = """
SELECT route.message_id, feedback.text
FROM route JOIN feedback USING (message_id)
WHERE route.issue = $issue AND route.received_at > $window_end - to_hours($window) AND route.received_at <= $window_end
ORDER BY route.received_at, route.message_id
"""

LATELY = """
SELECT route.issue, feedback.text
FROM route JOIN feedback USING (message_id), (SELECT max(received_at) AS last FROM route WHERE batch = $batch)
WHERE route.received_at > last - to_days($days) AND route.received_at <= last
QUALIFY row_number() OVER (PARTITION BY route.issue ORDER BY route.received_at DESC, route.message_id) <= $most
ORDER BY route.issue, route.received_at, route.message_id
"""


@governed_asset(
    contract=Summary,
    deps=["feedback"],
    group_name="feedback",
    kinds={"duckdb"},
    owners=["team:customer-care"],
    tags=PERSONAL,
)
def summary(route: pd.DataFrame, warehouse: duckdb.DuckDBPyConnection, batch: Batch, home: Home) -> pd.DataFrame:
    """What unhappy customers write about, how much, and what is unusual."""
    if route.empty:
        return empty_frame(Summary)
    lately = texts_lately(warehouse, batch)
    rows: list[dict[str, Any]] = []
    for window in window_hours():
        kept = most_telling(windows_of(warehouse, batch, window, home.settings.time_zone))
        rows += [{**row, **words_of(warehouse, row, lately)} for row in records(kept)]
    return pd.DataFrame(rows, columns=list(Summary.to_schema().columns))


def windows_of(warehouse: duckdb.DuckDBPyConnection, batch: str, window: int, time_zone: str) -> pd.DataFrame:
    """Every trailing window of an issue that holds a message of the batch, with its figures, the earliest first."""
    parameters = {"batch": batch, "window": window, "zone": time_zone}
    parameters |= {"baseline": BASELINE_DAYS, "fewest_days": FEWEST_BASELINE_DAYS}
    frame = warehouse.execute(WINDOWS, parameters).df()
    return frame.astype({"window_end": "datetime64[us, UTC]"})


def most_telling(windows: pd.DataFrame) -> pd.DataFrame:
    """Of windows of one length, one for each issue and day: by the first rule of alert.csv, then the fullest, then the
    latest.
    """
    ranked = windows.assign(rank=breaches(windows.assign(priority=None))["rank"])
    ranked = ranked.sort_values(["rank", "volume", "window_end"], ascending=[True, False, False])
    kept = ranked.drop_duplicates(["issue", "day"]).drop(columns="rank")
    return kept.sort_values(["day", "issue"], ignore_index=True)


def texts_lately(warehouse: duckdb.DuckDBPyConnection, batch: str) -> dict[str, list[str]]:
    """The latest texts of each issue up to the batch's last message."""
    parameters = {"batch": batch, "days": OTHERS_DAYS, "most": OTHERS_TEXTS}
    found = warehouse.execute(LATELY, parameters).df()
    return {str(issue): group["text"].tolist() for issue, group in found.groupby("issue")}


def words_of(
    warehouse: duckdb.DuckDBPyConnection, row: Mapping[str, Any], lately: Mapping[str, list[str]]
) -> dict[str, str]:
    """Themes, quotes and message ids of one window, each as JSON; its themes are what it says and the other issues
    lately do not.
    """
    issue = str(row["issue"])
    parameters = {"issue": issue, "window_end": row["window_end"], "window": int(row["window_hours"])}
    own = warehouse.execute(WORDS, parameters).df()
    texts = dict(zip(own["message_id"], own["text"], strict=True))
    chosen = quotes(list(texts), list(texts.values()))
    found = {
        "themes": themes({**lately, issue: list(texts.values())[-MOST_TEXTS:]})[issue],
        "quotes": [{"message_id": message_id, "text": texts[message_id]} for message_id in chosen],
        "message_ids": list(texts),
    }
    return {name: json.dumps(value, ensure_ascii=False) for name, value in found.items()}

"""Summary: the SQL of trailing windows against plain loops, and which words, quotes and batches a window shows."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from workflow_steps import MATTERS, failure, put_routed, routed, rows_of, run, use_model

from assets.feedback.alert import alert
from assets.feedback.summary import BASELINE_DAYS, FEWEST_BASELINE_DAYS, Summary, most_telling, summary, windows_of
from orchestration_project.core.contracts import check
from orchestration_project.core.settings import Settings
from orchestration_project.stores import outbox
from orchestration_project.stores.home import Home

START = datetime(2026, 3, 26, 22, 30, tzinfo=UTC)  # three days before Berlin's clocks change
DAY = timedelta(days=1)
Message = Mapping[str, Any]


# The SQL


def peaks_by_hand(history: list[Message], batch: str, window: int, zone: str) -> dict[tuple[str, str], dict[str, Any]]:
    """What is kept where no rule is breached, without SQL: (issue, day) → the figures of its fullest window."""
    length = timedelta(hours=window)
    begin = min(message["received_at"] for message in history)
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for message in sorted(history, key=lambda message: message["received_at"]):
        end, issue = message["received_at"], message["issue"]
        everything = [other for other in history if end - length < other["received_at"] <= end]
        inside = [other for other in everything if other["issue"] == issue]
        if batch not in {other["batch"] for other in inside}:
            continue
        before = [other for other in history if other["issue"] == issue and other["received_at"] <= end - length]
        earlier = [other for other in before if other["received_at"] > end - length - BASELINE_DAYS * DAY]
        days = min(BASELINE_DAYS, (end - begin) / DAY - window / 24)
        baseline = len(earlier) / days * window / 24 if days >= FEWEST_BASELINE_DAYS else None
        figures = {
            "window_end": end,
            "volume": len(inside),
            "baseline": baseline,
            "change": None if baseline is None else len(inside) / max(baseline, 1) - 1,
            "share": len(inside) / len(everything),
            "accepted": sum(other["accepted"] for other in inside),
            "by_safe_state": sum(other["decided_by"] == "safe_state" for other in inside),
            "teams": Counter(other["team"] for other in inside),
        }
        key = (issue, f"{end.astimezone(ZoneInfo(zone)):%Y-%m-%d}")
        if key not in found or found[key]["volume"] <= figures["volume"]:
            found[key] = figures
    return found


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    """One for every question: to connect takes longer than to ask."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def asked(
    database: duckdb.DuckDBPyConnection, history: list[Message], batch: str, window: int = 24, zone: str = "UTC"
) -> pd.DataFrame:
    database.register("route", routed(history))
    return most_telling(windows_of(database, batch, window, zone))


# Steps of six hours, so that messages often stand exactly on the edge of a window, or a microsecond beside it.
MOMENTS = st.builds(
    lambda steps, beside: START + steps * timedelta(hours=6) + timedelta(microseconds=beside),
    st.integers(0, 60),
    st.integers(-1, 1),
)
HISTORIES = st.lists(
    st.fixed_dictionaries(
        {
            "batch": st.sampled_from(["a", "b", "c"]),
            "issue": st.sampled_from(["delivery", "billing"]),
            "received_at": MOMENTS,
            "accepted": st.booleans(),
            "decided_by": st.sampled_from(["model", "safe_state"]),
            "team": st.sampled_from(["Logistics", "Finance"]),
        }
    ),
    min_size=1,
    max_size=25,
)
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Auckland", "America/St_Johns"])


@settings(max_examples=60, deadline=None)
@given(history=HISTORIES, batch=st.sampled_from(["a", "b"]), window=st.sampled_from([1, 24, 72]), zone=ZONES)
def test_the_sql_finds_what_plain_loops_find(
    database: duckdb.DuckDBPyConnection, history: list[Message], batch: str, window: int, zone: str
) -> None:
    numbered: list[Message] = [{**message, "message_id": str(number)} for number, message in enumerate(history)]
    expected = peaks_by_hand(numbered, batch, window, zone)
    found = asked(database, numbered, batch, window, zone)
    assert [(row["day"], row["issue"]) for _, row in found.iterrows()] == sorted(key[::-1] for key in expected)
    for _, row in found.iterrows():
        figures = expected[row["issue"], row["day"]]
        teams = figures.pop("teams")
        assert teams[row["team"]] == max(teams.values())
        assert row["window_end"] == figures.pop("window_end")
        for name, value in figures.items():
            assert pd.isna(row[name]) if value is None else row[name] == pytest.approx(value), name


def complaints(count: int, at: datetime, **same: Any) -> list[dict[str, Any]]:
    """Messages a minute apart, the last at the given moment."""
    moments = [at - timedelta(minutes=number) for number in range(count)]
    return [
        {"message_id": f"{same.get('batch', 'x')}-{moment.isoformat()}", "received_at": moment, **same}
        for moment in moments
    ]


@pytest.mark.parametrize(
    ("age", "has_baseline"), [(timedelta(days=3), True), (timedelta(days=3, microseconds=-1), False)]
)
def test_too_little_history_gives_neither_baseline_nor_change(
    database: duckdb.DuckDBPyConnection, age: timedelta, has_baseline: bool
) -> None:
    first, batch = {"message_id": "first", "received_at": START, "batch": "old"}, complaints(20, START + age, batch="b")
    row = asked(database, [first, *batch], "b").iloc[-1]
    assert (row["volume"], pd.notna(row["baseline"]), pd.notna(row["change"])) == (20, has_baseline, has_baseline)


def test_change_counts_against_at_least_one_message(database: duckdb.DuckDBPyConnection) -> None:
    history = [*complaints(1, START, batch="old", issue="billing"), *complaints(5, START + 9 * DAY, batch="b")]
    [row] = asked(database, history, "b").to_dict("records")
    assert (row["baseline"], row["change"]) == (0, 4)


# The asset


@pytest.fixture
def history(home: Home) -> list[dict[str, Any]]:
    """Ten quiet days: a complaint about delivery and one about billing, each day."""
    quiet = [
        message
        for day in range(10)
        for message in (
            *complaints(1, START + day * DAY, batch="old"),
            *complaints(
                1, START + day * DAY, batch="old-billing", issue="billing", team="Finance", text="Charged twice"
            ),
        )
    ]
    put_routed(home, "old", quiet)
    use_model(home, "issue", MATTERS)
    return quiet


TEXTS = [
    "My parcel sits in the depot at Derby",
    "The depot again: tracking says Derby, Derby, Derby",
    "No parcel. The depot does not answer",
    "Hi, charged for a parcel that never left the depot",
]


def summed_up(home: Home, batch: str, messages: Iterable[Message]) -> pd.DataFrame:
    put_routed(home, batch, messages)
    result = run(home, summary, batch=batch)
    assert result.success, failure(result)
    return rows_of(home, "summary", batch)


def test_themes_quotes_and_ids_are_json_and_speak_of_the_window(home: Home, history: list[dict[str, Any]]) -> None:
    surge = complaints(14, START + 10 * DAY, batch="b")
    surge = [{**message, "text": f"{TEXTS[number % 4]} ({number})"} for number, message in enumerate(surge)]
    [row] = summed_up(home, "b", surge).to_dict("records")
    themes, quotes, ids = (json.loads(row[name]) for name in ("themes", "quotes", "message_ids"))
    assert {"depot", "parcel"} <= set(themes)
    assert "charged" not in themes  # the other issue says it more
    assert len(quotes) == 3
    texts = {message["message_id"]: message["text"] for message in surge}
    assert all(texts[quote["message_id"]] == quote["text"] for quote in quotes)
    assert set(ids) == texts.keys()
    assert row["volume"] == len(ids) == 14
    assert (row["team"], row["accepted"], row["share"]) == ("Logistics", 14, 1)


def test_themes_hold_a_window_against_what_other_issues_said_on_earlier_days(home: Home) -> None:
    """All of the window is about delivery; that everybody says 'box' shows only in the days before."""
    said = [
        {**message, "issue": "quality", "text": "The tea in this box is stale, the box before was fresh"}
        for message in complaints(30, START + 5 * DAY, batch="old")
    ]
    put_routed(home, "old", said)
    surge = complaints(12, START + 10 * DAY, batch="b", text="Box at the depot. Tracking stands still. Box! Sorting!")
    [themes] = summed_up(home, "b", surge)["themes"].map(json.loads)
    assert themes.index("box") == len(themes) - 1
    assert {"depot", "tracking stands", "sorting"} <= set(themes)


def test_a_batch_of_many_days_is_summed_up_day_by_day(home: Home) -> None:
    messages = [message for day in range(4) for message in complaints(day + 1, START + day * DAY, batch="b")]
    found = summed_up(home, "b", messages)
    assert found["day"].tolist() == ["2026-03-26", "2026-03-27", "2026-03-28", "2026-03-29"]
    assert found["volume"].tolist() == [1, 2, 3, 4]


def test_the_time_zone_setting_says_which_day_it_is(tmp_path: Path) -> None:
    home = Home(Settings(home=tmp_path, time_zone="Europe/Berlin"))
    home.prepare()
    message = complaints(1, START + timedelta(hours=1), batch="b")  # half past midnight in Berlin
    assert summed_up(home, "b", message)["day"].tolist() == ["2026-03-27"]


def test_a_batch_without_unhappy_customers_has_an_empty_summary(home: Home, history: list[dict[str, Any]]) -> None:
    put_routed(home, "b", complaints(1, START + 10 * DAY, batch="b"))
    assert len(summed_up(home, "b", [])) == 0


def test_an_issue_has_one_row_for_each_day_and_window(home: Home) -> None:
    once = summed_up(home, "b", complaints(2, START, batch="b"))
    twice = pd.concat([once, once])
    assert check(Summary, once).refused == frozenset()
    assert check(Summary, twice).refused == {1}


# Several batches


def in_two_batches() -> dict[str, list[dict[str, Any]]]:
    """Half a surge each: together 14 messages in a day, alone 7, which no rule of alert.csv minds."""
    early, late = START + 10 * DAY, START + 10 * DAY + timedelta(hours=5)
    return {"early": complaints(7, early, batch="early"), "late": complaints(7, late, batch="late")}


def notices(home: Home) -> list[dict[str, Any]]:
    with home.ledger.read() as connection:
        return [notice for notice in outbox.recorded(connection) if notice["asset"] == "alert"]


@pytest.mark.parametrize("order", [("early", "late"), ("late", "early")])
def test_two_batches_that_breach_only_together_alert_in_whichever_is_summed_up_last(
    home: Home, history: list[dict[str, Any]], order: tuple[str, str]
) -> None:
    halves = in_two_batches()
    for batch in order:
        assert notices(home) == []
        put_routed(home, batch, halves[batch])
        result = run(home, summary, alert, batch=batch)
        assert result.success, failure(result)
    [notice] = notices(home)
    assert (notice["batch"], notice["key"]) == (order[1], "delivery/2026-04-06")
    assert notice["facts"]["volume"] == 14
    assert set(notice["facts"]["message_ids"]) == {
        message["message_id"] for half in halves.values() for message in half
    }


@pytest.mark.parametrize("attempt", range(3))
def test_two_batches_summed_up_at_once_alert_once(home: Home, history: list[dict[str, Any]], attempt: int) -> None:
    halves = in_two_batches()

    def work(batch: str) -> str:
        put_routed(home, batch, halves[batch])
        return failure(run(home, summary, alert, batch=batch))

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, halves)) == ["", ""]
    [notice] = notices(home)
    assert notice["facts"]["volume"] == 14


def test_a_batch_of_older_messages_does_not_change_what_was_said_of_newer_days(
    home: Home, history: list[dict[str, Any]]
) -> None:
    newer = summed_up(home, "newer", complaints(6, START + 10 * DAY, batch="newer"))
    older = summed_up(home, "older", complaints(6, START + 5 * DAY + timedelta(hours=1), batch="older"))
    assert newer["day"].tolist() == ["2026-04-05"]
    assert older["day"].tolist() == ["2026-03-31", "2026-04-01"][-len(older) :]
    assert older["volume"].max() == 7  # with the quiet day's own
    again = run(home, summary, batch="newer")
    assert again.success
    [row] = rows_of(home, "summary", "newer").to_dict("records")
    assert row["volume"] == 6
    assert row["baseline"] > newer["baseline"][0]  # the older messages are part of what is usual

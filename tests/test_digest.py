"""The daily digest: one calendar day in figures that add up, told once for each state of the day."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from workflow_steps import failure, put, put_routed, routed, rows_of, run

from assets.feedback.alert import Alert
from assets.feedback.issue import Issue
from assets.feedback.sentiment import Sentiment
from assets.operations.digest import digest, last_whole_day
from orchestration_project.core.contracts import empty_frame
from orchestration_project.core.settings import Settings
from orchestration_project.stores import manifest, outbox
from orchestration_project.stores.home import Home
from orchestration_project.stores.warehouse import by_asset

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
DECISION = {"confidence": 0.9, "state": "decided", "performer": "a model", "version": "1", "reason": ""}
DECISION |= {"degraded": False, "message_digest": "0"}


def message(name: str, hours: float, label: str | None, accepted: bool = True) -> dict[str, Any]:
    """A message so many hours after noon; with a label it is unhappy about that, else content."""
    moment = NOON + timedelta(hours=hours)
    return {"message_id": name, "received_at": moment, "label": label, "accepted": accepted}


def put_batch(home: Home, batch: str, messages: list[dict[str, Any]], alert_days: tuple[str, ...] = ()) -> None:
    """Publish what the steps of a batch would have published."""
    unhappy = [one for one in messages if one["label"]]
    put_routed(home, batch, messages)
    rows = routed(messages).assign(**DECISION)
    feelings = ["negative" if one["label"] else "positive" for one in messages]
    put(home, "sentiment", batch, rows.assign(label=feelings), Sentiment)
    issues = routed(unhappy).assign(**DECISION, label=pd.Series([one["label"] for one in unhappy], dtype="str"))
    put(home, "issue", batch, issues, Issue)
    alerts = pd.DataFrame([{"key": f"delivery/{day}", "issue": "delivery", "day": day} for day in alert_days])
    texts = {name: "" for name in ("rule", "severity", "team", "themes", "quotes", "message_ids", "route_rule")}
    numbers = {"volume": 1, "accepted": 1, "by_safe_state": 0, "window_hours": 24.0, "respond_within_hours": 1.0}
    numbers |= {"baseline": 1.0, "change": 0.0, "share": 1.0}
    told = alerts.assign(**texts, **numbers, window_end=pd.Timestamp(NOON)) if alert_days else empty_frame(Alert)
    put(home, "alert", batch, told, Alert)


def told(home: Home) -> list[dict[str, Any]]:
    with home.ledger.read() as connection:
        return outbox.recorded(connection)


def digested(home: Home) -> dict[str, Any]:
    result = run(home, digest)
    assert result.success, failure(result)
    [row] = rows_of(home, "digest").to_dict("records")
    return {**row, "issues": json.loads(row["issues"])}


def test_the_figures_are_those_of_the_last_day_over_all_batches(home: Home) -> None:
    put_batch(home, "b1", [message("m1", 0, "delivery"), message("m2", 1, "billing"), message("old", -24, "delivery")])
    put_batch(
        home,
        "b2",
        [message("m3", 2, "delivery", accepted=False), message("m4", 3, None)],
        alert_days=("2026-03-12", "2026-03-11"),
    )
    assert digested(home) == {
        "day": "2026-03-12",
        "messages": 4,
        "unhappy": 3,
        "accepted_share": 0.75,
        "issues": {"delivery": 2, "billing": 1},
        "alerts": 1,
    }


def test_the_day_is_one_of_the_time_zone_setting(tmp_path: Path) -> None:
    home = Home(Settings(home=tmp_path, time_zone="Pacific/Auckland"))  # thirteen hours ahead
    home.prepare()
    put_batch(home, "b", [message("m1", -2, "delivery"), message("m2", 0, "billing")])
    found = digested(home)
    assert (found["day"], found["messages"], found["issues"]) == ("2026-03-13", 1, {"billing": 1})


def figures(home: Home, moment: datetime) -> list[tuple[str, int]]:
    """(day, messages) of the digest at a moment."""
    with home.ledger.read() as connection:
        current = manifest.all_current(connection)
    with home.warehouse.connect(by_asset((version.asset, version.path) for version in current)) as warehouse:
        found = last_whole_day(warehouse, home.settings.time_zone, moment)
    return list(zip(found["day"], found["messages"], strict=True))


def test_the_day_that_is_told_of_has_ended(home: Home) -> None:
    days = {0: ["m1", "m2"], 24: ["m3"], 24 * 900: ["from the future"]}
    put_batch(home, "b", [message(name, hours, None) for hours, names in days.items() for name in names])
    assert figures(home, NOON + timedelta(hours=11, minutes=59)) == []
    assert figures(home, NOON + timedelta(hours=12)) == [("2026-03-12", 2)]
    assert figures(home, NOON + timedelta(hours=30)) == [("2026-03-12", 2)]
    assert figures(home, NOON + timedelta(hours=36)) == [("2026-03-13", 1)]
    assert figures(home, NOON + timedelta(days=50)) == [("2026-03-13", 1)]


def test_a_day_of_happy_customers_has_no_issues(home: Home) -> None:
    put_batch(home, "b", [message("m1", 0, None)])
    assert digested(home)["issues"] == {}
    [notice] = told(home)
    assert notice["body"].splitlines() == [
        "- Messages: 1, of them unhappy: 0",
        "- Sentiment decided surely: 100%",
        "- Alerts: 0",
    ]


def test_a_message_that_waits_for_its_sentiment_came_in_all_the_same(home: Home) -> None:
    put_batch(home, "b", [message("m1", 0, "delivery")])
    put_routed(home, "halted", [message("m2", 1, None)])
    found = digested(home)
    assert (found["messages"], found["unhappy"], found["accepted_share"]) == (2, 1, 0.5)


def test_a_state_of_the_day_is_told_once_and_a_new_one_again(home: Home) -> None:
    put_batch(home, "b1", [message("m1", 0, "wrong_item")])
    digested(home)
    digested(home)
    [notice] = told(home)
    assert notice["title"] == "Digest of 2026-03-12"
    assert "- wrong item: 1" in notice["body"]
    assert notice["delivered_at"] is not None
    put_batch(home, "b2", [message("m2", 1, "wrong_item")])
    digested(home)
    assert [notice["key"] for notice in told(home)] == ["digest/2026-03-12/1/0", "digest/2026-03-12/2/0"]


@pytest.mark.parametrize("with_feedback", [False, True])
def test_before_the_workflow_ran_there_is_nothing_to_tell(home: Home, with_feedback: bool) -> None:
    if with_feedback:
        put_routed(home, "b", [message("m1", 0, None)])
    result = run(home, digest)
    assert result.success, failure(result)
    assert result.get_asset_materialization_events() == []
    assert told(home) == []

"""Alert: which breaches are told, once for each issue and day, and in words that an executive reads."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from workflow_steps import MATTERS, failure, put_routed, rows_of, run, use_model

from assets.feedback import alert as alert_module
from assets.feedback import alert_table
from assets.feedback.alert import Alert, alert, announce, raised_by
from assets.feedback.alert_table import window_hours
from assets.feedback.summary import summary
from orchestration_project.core.errors import TableRefused
from orchestration_project.core.settings import Settings
from orchestration_project.stores import outbox
from orchestration_project.stores.home import Home

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
HEADER = "rule,issue,window_hours,volume,change,share,priority,severity"


def window(**figures: Any) -> dict[str, Any]:
    plain = {"key": "delivery/2026-03-12", "issue": "delivery", "day": "2026-03-12", "team": "Logistics"}
    plain |= {"window_end": pd.Timestamp(NOON), "window_hours": 24.0, "volume": 1, "share": 0.1, "accepted": 1}
    plain |= {"baseline": None, "change": None, "by_safe_state": 0, "themes": "[]", "quotes": "[]"}
    return {**plain, "message_ids": "[]", "priority": None, "route_rule": None, "respond_within_hours": None, **figures}


def raised(*candidates: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(key, rule, severity) of what alert.csv raises."""
    frame = raised_by(pd.DataFrame(candidates))
    return list(frame[["key", "rule", "severity"]].itertuples(index=False, name=None))


# The table as it ships: each threshold with a row on either side


@pytest.mark.parametrize(
    ("figures", "rule"),
    [
        ({"volume": 60}, "flood"),
        ({"volume": 59}, None),
        ({"volume": 12, "change": 1.5, "baseline": 4.8}, "surge"),
        ({"volume": 11, "change": 9.0, "baseline": 1.1}, None),
        ({"volume": 59, "change": 1.49, "baseline": 23.7}, None),
        ({"volume": 59, "change": None}, None),  # with too little history nothing is a surge
        ({"volume": 30, "share": 0.6}, "main-matter"),
        ({"volume": 30, "share": 0.59}, None),
        ({"volume": 29, "share": 1.0}, None),
        ({"volume": 60, "window_hours": 168.0}, None),
        ({"volume": 1, "window_hours": None, "priority": 1}, "urgent-message"),
        ({"volume": 1, "window_hours": None, "priority": 2}, None),
    ],
)
def test_a_threshold_is_breached_from_its_value_on(figures: dict[str, Any], rule: str | None) -> None:
    assert [found for _, found, _ in raised(window(**figures))] == ([rule] if rule else [])


def test_of_several_rules_the_first_of_the_table_wins() -> None:
    everything = window(volume=60, change=5.0, baseline=10.0, share=0.9)
    assert raised(everything) == [("delivery/2026-03-12", "flood", "critical")]


def test_of_several_windows_of_one_issue_and_day_the_first_rule_wins_and_one_alert_is_raised(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    table = tmp_path / "alert.csv"
    table.write_text("\n".join([HEADER, "week,,168,>=50,,,,high", "day,,24,>=10,,,,low"]), encoding="utf-8")
    monkeypatch.setattr(alert_table, "TABLE", table)
    assert window_hours() == [24, 168]
    both = window(volume=20), window(volume=70, window_hours=168.0)
    assert raised(*both) == raised(*both[::-1]) == [("delivery/2026-03-12", "week", "high")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a,,>=24,>=1,,,,high", "window_hours is '>=24'"),
        ("a,,0,>=1,,,,high", "window_hours is '0'"),
        ("a,,1.5,>=1,,,,high", "window_hours is '1.5'"),
        ("a,,a day,>=1,,,,high", "window_hours is 'a day'. Write numbers"),
        ("a,,24,>=1,,,,", "'a', severity is ''. Write one"),
        ("a,,24,many,,,,high", "volume is 'many'. Write numbers"),
        ("a,,24,>=1,,,,high\nb,,24,>=2,,,,high", "'b' can never match"),
        ("a,delivry,24,>=1,,,,high", "Did you mean 'delivery'?"),
    ],
)
def test_a_table_that_could_not_mean_what_it_says_is_refused(
    home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str, reason: str
) -> None:
    table = tmp_path / "alert.csv"
    table.write_text(f"{HEADER}\n{line}", encoding="utf-8")
    monkeypatch.setattr(alert_table, "TABLE", table)
    with pytest.raises(TableRefused) as refused:
        alert_module.check_labels(list(MATTERS))
    assert reason in str(refused.value)
    use_model(home, "issue", MATTERS)
    put_routed(home, "b", [{"message_id": "m1", "received_at": NOON}])
    assert reason in failure(run(home, summary, alert, batch="b"))
    assert told(home) == []


# The asset


@pytest.fixture
def ready(home: Home) -> Home:
    """A home with a model of issues, and ten quiet days of one complaint about delivery each."""
    use_model(home, "issue", MATTERS)
    put_routed(
        home,
        "old",
        [{"message_id": f"old-{day}", "received_at": NOON - timedelta(days=day)} for day in range(1, 11)],
    )
    return home


def surge(count: int, prefix: str = "s", at: datetime = NOON, **same: Any) -> list[dict[str, Any]]:
    texts = ("Parcel stuck at the depot", "Tracking stands still at the depot", "Sorting centre lost my parcel")
    return [
        {
            "message_id": f"{prefix}-{number}",
            "received_at": at - timedelta(minutes=number),
            "text": f"{texts[number % 3]}, box {number}",
            **same,
        }
        for number in range(count)
    ]


def told(home: Home) -> list[dict[str, Any]]:
    with home.ledger.read() as connection:
        return [notice for notice in outbox.recorded(connection) if notice["asset"] == "alert"]


def sum_up(home: Home, batch: str, messages: list[dict[str, Any]]) -> "list[str]":
    """Publish a batch, run summary and alert on it; the materialised assets."""
    put_routed(home, batch, messages)
    result = run(home, summary, alert, batch=batch)
    assert result.success, failure(result)
    return [event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key]


def test_without_a_breach_nothing_is_materialised_and_nobody_is_told(ready: Home) -> None:
    assert sum_up(ready, "b", surge(11)) == ["summary"]
    assert told(ready) == []
    assert len(rows_of(ready, "alert", "b")) == 0


def test_a_breach_is_materialised_told_and_delivered(ready: Home) -> None:
    assert sum_up(ready, "b", surge(14)) == ["summary", "alert"]
    [notice] = told(ready)
    assert notice["key"] == "delivery/2026-03-12"
    assert notice["delivered_at"] is not None
    [file] = ready.notices.iterdir()
    assert file.read_text(encoding="utf-8") == f"# {notice['title']}\n\n{notice['body']}\n"


def test_an_issue_and_day_is_told_once_however_many_batches_breach_it(ready: Home) -> None:
    assert sum_up(ready, "b1", surge(14)) == ["summary", "alert"]
    assert sum_up(ready, "b2", surge(14, "t", NOON + timedelta(hours=1))) == ["summary"]
    assert sum_up(ready, "b3", surge(14, "u", NOON + timedelta(days=1))) == ["summary", "alert"]
    assert [notice["key"] for notice in told(ready)] == ["delivery/2026-03-12", "delivery/2026-03-13"]


def test_running_again_keeps_the_alert_and_tells_nothing_twice(ready: Home) -> None:
    sum_up(ready, "b", surge(14))
    before = told(ready), rows_of(ready, "alert", "b")
    result = run(ready, summary, alert, batch="b")
    assert result.success, failure(result)
    assert told(ready) == before[0]
    pd.testing.assert_frame_equal(rows_of(ready, "alert", "b"), before[1])


def test_what_one_batch_told_no_other_tells_again_even_when_the_first_takes_it_back(ready: Home) -> None:
    """Older messages raise what is usual, so the first batch, run again, breaches nothing; the second still does."""
    sum_up(ready, "b1", surge(14))
    old = surge(60, "older", NOON - timedelta(days=3))
    put_routed(ready, "older", old)
    assert run(ready, summary, alert, batch="b1").success
    assert len(rows_of(ready, "alert", "b1")) == 0
    assert sum_up(ready, "b2", surge(40, "t", NOON + timedelta(hours=1))) == ["summary"]
    assert [notice["batch"] for notice in told(ready)] == ["b1"]


@pytest.mark.parametrize("in_lots", [False, True])
def test_a_breach_early_in_the_day_is_told_whether_the_day_came_as_one_file_or_in_lots(
    home: Home, in_lots: bool
) -> None:
    """In the morning most is about delivery; by the evening, when delivery's window is fullest, it no longer is."""
    use_model(home, "issue", MATTERS)
    evening = NOON.replace(hour=20)
    morning = surge(35, "morning")
    later = surge(45, "billing", evening, issue="billing") + surge(10, "evening", evening)
    for number, lot in enumerate([morning, later] if in_lots else [morning + later]):
        sum_up(home, f"b{number}", lot)
    [notice] = told(home)
    assert (notice["key"], notice["facts"]["rule"]) == ("delivery/2026-03-12", "main-matter")
    assert (notice["facts"]["volume"], notice["facts"]["share"]) == (35, 1.0)


@pytest.mark.parametrize("attempt", range(3))
def test_batches_that_breach_at_once_tell_it_once(ready: Home, attempt: int) -> None:
    for name in "abc":
        put_routed(ready, name, surge(14, name))
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda name: failure(run(ready, summary, alert, batch=name)), "abc")) == ["", "", ""]
    [notice] = told(ready)
    assert notice["facts"]["volume"] == 42
    assert [len(rows_of(ready, "alert", name)) for name in "abc"].count(1) == 1


def test_each_urgent_message_is_an_alert_of_its_own(ready: Home) -> None:
    danger = {"priority": 1, "team": "Safety", "rule": "injury", "respond_within_hours": 1.0, "issue": "damaged"}
    sum_up(ready, "b", [*surge(2, "cut", **danger), *surge(1, "plain")])
    assert [notice["key"] for notice in told(ready)] == ["message/cut-1", "message/cut-0"]  # as they came in
    [first, _] = rows_of(ready, "alert", "b").to_dict("records")
    assert (first["rule"], first["route_rule"], first["severity"]) == ("urgent-message", "injury", "critical")
    assert json.loads(first["message_ids"]) == ["cut-1"]
    assert pd.isna(first["window_hours"])


def test_the_day_of_windows_and_messages_is_that_of_the_time_zone_setting(tmp_path: Path) -> None:
    home = Home(Settings(home=tmp_path, time_zone="Pacific/Auckland"))
    home.prepare()
    use_model(home, "issue", MATTERS)
    sum_up(home, "b", [*surge(60), *surge(1, "cut", priority=1, rule="injury", team="Safety", issue="damaged")])
    assert {(notice["facts"]["issue"], notice["facts"]["day"]) for notice in told(home)} == {
        ("delivery", "2026-03-13"),
        ("damaged", "2026-03-13"),
    }


# The words


def test_a_surge_reads_as_an_executive_would_say_it(ready: Home) -> None:
    unsure = surge(3, "unsure", accepted=False)
    unknown = surge(1, "unknown", accepted=False, decided_by="safe_state")
    sum_up(ready, "b", [*surge(10), *unsure, *unknown])
    [notice] = told(ready)
    facts, lines = notice["facts"], notice["body"].splitlines()
    assert notice["title"] == "High: 14 unhappy messages about delivery in 24 hours, +1,300% against the usual 1.0"
    assert lines[:6] == [
        "- Team: Logistics",
        "- Volume: 14 unhappy messages in 24 hours until 2026-03-12 12:00 UTC, +1,300% against the usual 1.0",
        "- Share: 100% of all unhappy messages of that time",
        f"- Themes: {', '.join(facts['themes'])}",
        "- Certainty: issue sure in 10, unsure in 3, decided by the safe state in 1",
        "- Why: the rule surge of alert.csv",
    ]
    assert {"parcel", "depot"} & {word for theme in facts["themes"] for word in theme.split()}
    assert len(facts["quotes"]) == 3
    for quote in facts["quotes"]:
        assert f"> {quote['text']}\n>\n> — {quote['message_id']}" in notice["body"]


def test_an_urgent_message_says_what_danger_who_answers_and_by_when(ready: Home) -> None:
    danger = {
        "priority": 1,
        "team": "Safety",
        "rule": "unsafe-food",
        "respond_within_hours": 1.0,
        "issue": "wrong_item",
    }
    sum_up(ready, "b", surge(1, "cut", **danger, accepted=False))
    [notice] = told(ready)
    assert notice["title"] == "Critical: unsafe food, message cut-0 for Safety within 1 hour"
    assert notice["body"].splitlines()[:4] == [
        "- Team: Safety, to answer within 1 hour",
        "- Received: 2026-03-12 12:00 UTC",
        "- Issue: wrong item, unsure",
        "- Why: the rule unsafe-food of route.csv, the rule urgent-message of alert.csv",
    ]
    assert notice["body"].endswith("> Parcel stuck at the depot, box 0\n>\n> — cut-0")


def test_with_too_little_history_it_says_that_nothing_is_usual_yet() -> None:
    notice = announce(window(volume=60, rule="flood", severity="critical"))
    assert notice.title == "Critical: 60 unhappy messages about delivery in 24 hours, what is usual is not known yet"
    assert "Themes: none stands out" in notice.body
    assert (notice.facts["baseline"], notice.facts["change"]) == (None, None)


def test_a_quote_stays_one_paragraph_of_a_length_that_is_read() -> None:
    text = "Dear all,\n\n# Not a heading\n- not a list " + "very " * 500
    quoted = json.dumps([{"message_id": "m1", "text": text}, {"message_id": "m2", "text": "家" * 5_000}])
    body = announce(window(volume=60, rule="flood", severity="critical", quotes=quoted)).body
    assert "> Dear all, # Not a heading - not a list very" in body
    assert all(line.startswith(("- ", ">")) for line in body.splitlines() if line)
    assert max(map(len, body.splitlines())) <= 602


def test_the_facts_are_json_and_name_every_message(ready: Home) -> None:
    sum_up(ready, "b", surge(14))
    [notice] = told(ready)
    assert json.loads(json.dumps(notice["facts"])) == notice["facts"]
    assert sorted(notice["facts"]["message_ids"]) == sorted(message["message_id"] for message in surge(14))
    assert notice["facts"].keys() <= set(Alert.to_schema().columns)


def test_number_that_the_cut_goes_through_is_redacted_and_the_row_keeps_it() -> None:
    text = f"{'x' * 585} 4111 1111 1111 1111 and more"
    notice = announce(
        {**window(quotes=json.dumps([{"message_id": "m1", "text": text}])), "rule": "r", "severity": "high"}
    )
    assert "4111" not in notice.body
    assert notice.facts["quotes"][0]["text"] == text  # the outbox redacts it as it records the notice

"""How often accepted answers are wrong: which checks count, on which day, for whom, and when they are too few."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from reviewed_notes import (
    ASSET,
    SURE,
    Desk,
    acting,
    appeal,
    decide,
    let_time_pass,
    review_of,
    set_review,
    sharing,
    with_checks,
)

from orchestration_project.core.error_estimate import ErrorEstimate
from orchestration_project.core.errors import UnknownName
from orchestration_project.governance import live_errors as module
from orchestration_project.governance import review_orders
from orchestration_project.governance.live_errors import Standing, live_errors
from orchestration_project.governance.overdue_reviews import expire
from orchestration_project.stores import cascades
from orchestration_project.stores.cascades import KnownCascade
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now

FEW = "share = 1\nfewest = 4"


def desk_of(home: Home, *messages: str, batch: str = "b1") -> Desk:
    """A desk whose answers, all of them accepted, are all drawn."""
    desk = Desk(with_checks(home, FEW), dict.fromkeys(messages, SURE), batch=batch)
    desk.publish()
    return desk


def of_all(home: Home) -> Standing:
    (found,) = [one for one in live_errors(home) if one.performer is None]
    return found


def figures(found: Standing) -> tuple[Any, ...]:
    return (found.found.checks, found.found.errors, found.waiting, found.unanswered)


def test_verdicts_on_checks_say_how_often_answers_are_wrong(any_home: Home) -> None:
    desk = desk_of(any_home, *"abcdef")
    for message_id, label in zip("abcd", ("calm", "calm", "angry", "calm"), strict=True):
        decide(desk.home, message_id, label)
    let_time_pass(desk.home, review_of(desk.home, "e").review_id)
    expire(desk.home)
    found = live_errors(desk.home)
    today = now().date()
    assert [(one.asset, one.performer, one.day) for one in found] == [
        (ASSET, None, None),
        (ASSET, "reader", None),
        (ASSET, "reader", today),
    ]
    for one in found:
        assert figures(one) == (4, 1, 1, 1), "an unanswered check is no right answer"
        assert (one.found.error, one.stated, one.is_thin) == (0.25, 0.05, False)
    assert found[0].told() == "live error 25.0 % (0.6 to 80.6 %) of 4 checks; stated at most 5 %"


def test_each_check_counts_by_its_own_probability(home: Home) -> None:
    desk = desk_of(home, *"abcd")
    for message_id in "abcd":
        decide(desk.home, message_id, "angry" if message_id == "a" else "calm")
    set_review(home, review_of(home, "a").review_id, probability=0.1)
    assert of_all(desk.home).found.error == pytest.approx(10 / 13)


def test_too_few_checks_are_called_thin(home: Home) -> None:
    desk = desk_of(home, *"abcd")
    for message_id in "abc":
        decide(desk.home, message_id, "calm")
    found = of_all(desk.home)
    assert (found.is_thin, found.told()) == (True, "too thin: 3 checks of 4")
    decide(desk.home, "d", "calm")
    assert not of_all(desk.home).is_thin


def test_asset_with_people_that_nobody_checked_says_so_and_one_without_is_left_out(home: Home) -> None:
    with home.ledger.write() as connection:
        cascades.record(connection, KnownCascade("quiet", ("reader", "person", "safe"), ("calm",), True))
        cascades.record(connection, KnownCascade("alone", ("reader", "safe"), ("calm",), False))
    (found,) = live_errors(home)
    assert (found.asset, found.told()) == ("quiet", "too thin: 0 checks of 30")
    assert found.facts()["error"] is None


def test_only_checks_count(home: Home) -> None:
    desk = Desk(with_checks(home, "share = 0\nper_day = 0"), {"a": SURE, "b": ("calm", 0.3)})
    desk.publish()
    appeal(desk, "a")
    for message_id in "ab":
        decide(home, message_id, "angry")
    assert figures(of_all(desk.home)) == (0, 0, 0, 0)


def test_verdict_that_corrects_another_counts_in_its_place(home: Home) -> None:
    desk = desk_of(home, "a")
    decide(desk.home, "a", "angry")
    review_orders.reopen(acting(desk.home, "ben"), review_of(home, "a").review_id, "a slip")
    assert figures(of_all(desk.home)) == (1, 1, 0, 0), "it stands until then"
    decide(desk.home, "a", "calm", "ben")
    assert figures(of_all(desk.home)) == (1, 0, 0, 0)


def test_later_decision_on_the_row_leaves_what_was_checked(home: Home) -> None:
    desk = desk_of(home, "a")
    decide(desk.home, "a", "angry")
    desk.publish()
    appeal(desk, "a")
    decide(desk.home, "a", "calm", "ben")
    desk.publish()
    assert figures(of_all(desk.home)) == (1, 1, 0, 0)


def test_days_are_those_of_the_projects_time_zone(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = desk_of(home, "a", "b")
    late = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
    set_review(home, review_of(home, "a").review_id, opened_at=late)
    set_review(home, review_of(home, "b").review_id, opened_at=late - timedelta(hours=2))
    monkeypatch.setattr(module, "now", lambda: late)
    berlin = sharing(desk.home, time_zone="Europe/Berlin")
    assert [str(one.day) for one in live_errors(berlin) if one.day] == ["2026-03-01", "2026-03-02"]
    assert [str(one.day) for one in live_errors(desk.home) if one.day] == ["2026-03-01"]


def test_checks_before_the_window_count_no_more(home: Home) -> None:
    desk = desk_of(home, "a", "b")
    for message_id in "ab":
        decide(desk.home, message_id, "calm")
    set_review(home, review_of(home, "a").review_id, opened_at=now() - timedelta(days=29))
    assert figures(of_all(desk.home)) == (1, 0, 0, 0)


def test_one_asset_may_be_asked_for(home: Home) -> None:
    desk = desk_of(home, "a")
    with home.ledger.write() as connection:
        cascades.record(connection, KnownCascade("quiet", ("reader", "person", "safe"), ("calm",), True))
    assert {one.asset for one in live_errors(desk.home)} == {ASSET, "quiet"}
    assert {one.asset for one in live_errors(desk.home, "quiet")} == {"quiet"}
    with pytest.raises(UnknownName, match="Did you mean 'mood'"):
        live_errors(desk.home, "moot")


@pytest.mark.parametrize(
    ("estimate", "told"),
    [
        (ErrorEstimate(0.031, 0.012, 0.065, 84, 3), "live error 3.1 % (1.2 to 6.5 %) of 84 checks; stated at most 5 %"),
        (ErrorEstimate(0.0, 0.0, 0.1157, 30, 0), "live error 0.0 % (0.0 to 11.6 %) of 30 checks; stated at most 5 %"),
        (ErrorEstimate(0.031, 0.012, 0.065, 12, 3), "too thin: 12 checks of 30"),
    ],
)
def test_estimate_is_told_in_words(estimate: ErrorEstimate, told: str) -> None:
    standing = Standing("mood", None, None, estimate, 0, 0, 0.05, 30)
    assert standing.told() == told
    assert "stated at most 2.5 %" in replace(standing, stated=0.025, fewest=1).told()

"""Random checks: which accepted rows are drawn, with which probability, and that each is drawn once."""

from datetime import timedelta
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
from reviewed_notes import (
    ASSET,
    SILENT,
    SURE,
    UNSURE,
    Desk,
    all_reviews,
    appeal,
    decide,
    let_time_pass,
    requests,
    review_of,
    states,
    with_checks,
    with_policy,
)
from scripted_cascades import SAFE, messages, scripted
from shop_workflow import Mood, order, quarantined, run, send

from orchestration_project.core.errors import Refused
from orchestration_project.governance import random_checks
from orchestration_project.governance.overdue_reviews import expire
from orchestration_project.governance.policy import Checks
from orchestration_project.governance.random_checks import Chance, chance_of
from orchestration_project.model_output import model_output
from orchestration_project.model_output.with_people import people_facts
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.person import Person
from orchestration_project.performers.scripted import Scripted, same_answer
from orchestration_project.stores import draws
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.schema import DRAWS

MANY = {f"m{number}": SURE for number in range(400)}


def checked(home: Home) -> set[str]:
    return {one.message_id for one in all_reviews(home) if one.cause == "check"}


def probability_of(home: Home, batch: str = "b1") -> float | None:
    with home.ledger.read() as connection:
        return draws.probability_of(connection, ASSET, batch)


def test_accepted_answers_of_performers_are_drawn_and_nothing_else(any_home: Home) -> None:
    home = with_checks(any_home)
    desk = Desk(home, {"sure": SURE, "unsure": UNSURE, "silent": SILENT})
    found = desk.publish()
    assert sorted(states(home)) == [
        ("silent", "unsure", "open"),
        ("sure", "check", "open"),
        ("unsure", "unsure", "open"),
    ]
    review = review_of(home, "sure")
    assert (review.probability, review.is_blind, review.proposal["label"]) == (1.0, True, "calm")
    assert (review.proposal["performer"], review.proposal["accepted"]) == ("reader", True)
    assert desk.row("sure")["state"] == "decided", "the answer stands meanwhile"
    assert people_facts(found) == {"waiting_for_people": 2, "decided_by_people": 0, "drawn_for_checks": 1}


def test_what_people_and_the_safe_state_decided_is_not_drawn(home: Home) -> None:
    desk = Desk(with_policy(home, "most_open = 1"), {"a": UNSURE, "silent": SILENT, "b": ("calm", 0.4)})
    desk.publish()
    decide(home, "silent", "angry")
    desk.home = with_checks(home)
    other = Desk(desk.home, {"a": UNSURE}, batch="b2")
    other.publish()
    decide(desk.home, "a", "angry")
    other.publish()
    assert other.row("a")["accepted"]
    assert checked(home) == set()


def test_cascade_without_people_draws_nothing(home: Home) -> None:
    found = Cascade(scripted("reader", same_answer("calm", 0.9)), safe_state=SAFE).decide(
        messages(5), with_checks(home)
    )
    assert (found.waiting, people_facts(found)) == (None, {})


def test_a_share_is_drawn_at_random(any_home: Home) -> None:
    home = with_checks(any_home, "share = 0.2\nper_day = 0")
    Desk(home, MANY).publish()
    assert 40 <= len(checked(home)) <= 120
    assert {one.probability for one in all_reviews(home)} == {0.2}
    assert probability_of(home) == 0.2


def test_who_lacks_the_secret_cannot_tell_which_rows_are_drawn(home: Home) -> None:
    ids, digests = pd.Series([f"m{number}" for number in range(2000)]), pd.Series(["same content"] * 2000)
    chance = Chance("mood", Checks(), None, 0, 1.0)
    first, second = (chance.draw(ids, digests, 0.1, secret) for secret in (b"one", b"other"))
    other_asset = Chance("topic", Checks(), None, 0, 1.0).draw(ids, digests, 0.1, b"one")
    for drawn in (first, second, other_asset):
        assert 140 <= drawn.sum() <= 260
    assert (first & second).sum() < 60
    assert (first & other_asset).sum() < 60
    assert not chance.draw(ids, digests, 0.0, b"one").any()
    assert chance.draw(ids, digests, 1.0, b"one").all()
    assert (first <= chance.draw(ids, digests, 0.2, b"one")).all()


@pytest.mark.parametrize(
    ("accepted", "before", "days", "expected"),
    [
        (10, 0, 1.0, 1.0),  # a quiet day: all of it
        (200, 0, 1.0, 0.1),  # 20 of 200
        (100, 1300, 7.0, 0.1),  # 200 a day over a week
        (10_000, 0, 1.0, 0.01),  # a busy day: the share
        (0, 0, 1.0, 1.0),
        (1, 0, 7.0, 1.0),
    ],
)
def test_on_quiet_days_a_larger_share_is_drawn(accepted: int, before: int, days: float, expected: float) -> None:
    assert Chance("mood", Checks(), None, before, days).probability(accepted) == pytest.approx(expected)


def test_rows_a_day_are_those_of_the_last_seven_days(any_home: Home) -> None:
    home = with_checks(any_home, "per_day = 20\nshare = 0")
    for batch, rows, days_ago in (("old", 9000, 20), ("recent", 700, 3)):
        with home.ledger.write() as connection:
            draws.record(connection, asset=ASSET, partition=batch, probability=1.0, accepted=rows)
            its = DRAWS.c.partition == batch
            connection.execute(sa.update(DRAWS).where(its).values(drawn_at=now() - timedelta(days=days_ago)))
    Desk(home, MANY).publish()
    assert probability_of(home) == pytest.approx(20 / ((700 + 400) / 7))


def test_run_that_is_repeated_draws_the_same_rows_once(any_home: Home) -> None:
    home = with_checks(any_home, "share = 0.1\nper_day = 0")
    desk = Desk(home, MANY)
    desk.publish()
    before = all_reviews(home)
    desk.publish()
    desk.publish(rescore=True)
    desk.home = with_checks(home, "share = 1")
    desk.publish(rescore=True)
    assert all_reviews(home) == before, "whatever the policy says later"


@pytest.mark.parametrize("share", [0.0, 1e-9])
def test_what_is_recorded_is_what_was_drawn_by_also_where_nothing_was_drawn(home: Home, share: float) -> None:
    desk = Desk(with_checks(home, f"share = {share}\nper_day = 0"), {"a": SURE, "b": SURE})
    found = desk.decide()
    desk.home = with_checks(home, "share = 1")
    desk.keep(found)
    assert (checked(home), probability_of(home), found.probability) == (set(), share, share)


def test_row_whose_content_changed_is_not_checked_twice(home: Home) -> None:
    desk = Desk(with_checks(home), {"a": SURE})
    desk.publish()
    desk.texts["a"] = "something else"
    desk.publish()
    assert states(home) == [("a", "check", "open")]


def test_batch_that_was_published_before_it_could_be_drawn_from_is_left_alone(home: Home) -> None:
    send(home, "a,hello,1")
    reader = Scripted("reader", same_answer("glad", 0.9), labels=["glad"])

    def mood_of(*people: Person) -> Any:
        @model_output(Cascade(reader, *people, safe_state=SAFE), contract=Mood)
        def mood(order: pd.DataFrame) -> pd.DataFrame:
            return order[["message_id", "note"]]

        return mood

    assert run(home, order, mood_of()).success
    watched = with_checks(home)
    assert run(watched, mood_of(Person()), order).success
    assert (checked(home), probability_of(home)) == (set(), None)
    send(watched, "b,hello,1")
    assert run(watched, order, mood_of(Person()), batch="b2").success
    assert (checked(home), probability_of(home, "b2")) == ({"b"}, 1.0)
    assert quarantined(home) == []


def test_verdict_on_a_check_that_agrees_asks_for_no_run_and_another_does(home: Home) -> None:
    desk = Desk(with_checks(home), {"a": SURE, "b": SURE})
    desk.publish()
    assert decide(home, "a", "calm").request is None
    assert decide(home, "b", "angry").request is not None
    desk.publish()
    assert desk.column("label") == {"a": "calm", "b": "angry"}
    assert desk.column("decided_by") == {"a": "person", "b": "person"}
    assert states(home) == [("a", "check", "decided"), ("b", "check", "decided")]


def test_check_that_nobody_answers_in_time_changes_nothing(any_home: Home) -> None:
    home = with_checks(any_home, "share = 1\nrespond_hours = 5")
    desk = Desk(home, {"a": SURE})
    desk.publish()
    review = review_of(home, "a")
    assert timedelta(hours=4.9) < review.respond_by - review.opened_at <= timedelta(hours=5.1)
    let_time_pass(home, review.review_id)
    expire(home)
    desk.publish()
    assert (states(home), requests(home)) == ([("a", "check", "closed")], [])
    assert (desk.row("a")["label"], desk.row("a")["accepted"]) == ("calm", True)


def test_checks_take_no_room_from_rows_that_wait(home: Home) -> None:
    home = with_checks(home)
    Desk(home, {f"m{number}": SURE for number in range(40)}).publish()
    unsure = Desk(home, {f"u{number}": UNSURE for number in range(30)}, batch="b2")
    unsure.publish()
    assert list(unsure.column("state").values()).count("pending") == 25


def test_row_that_is_checked_cannot_be_appealed_meanwhile(home: Home) -> None:
    desk = Desk(with_checks(home), {"a": SURE})
    desk.publish()
    with pytest.raises(Refused, match="waits already"):
        appeal(desk, "a")


def test_as_many_a_day_as_the_policy_says_when_batches_come_every_hour(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, daily = now(), [0.0] * 10
    policy = Checks(share=0.0, per_day=20)
    for hour in range(240):
        moment = start + timedelta(hours=hour)
        monkeypatch.setattr(random_checks, "now", lambda moment=moment: moment)
        monkeypatch.setattr(draws, "now", lambda moment=moment: moment)
        with home.ledger.write() as connection:
            probability = chance_of(connection, policy, ASSET, f"b{hour}").probability(50)
            draws.record(connection, asset=ASSET, partition=f"b{hour}", probability=probability, accepted=50)
        daily[hour // 24] += probability * 50
    assert daily[0] == pytest.approx(20 * sum(1 / number for number in range(1, 25))), (
        "nothing is known of the rate yet"
    )
    assert daily[1:] == pytest.approx([20] * 9, rel=0.05)

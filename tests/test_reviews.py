"""Reviews as rows of the ledger: the most pressing first, counted once, in hand of one person for a while."""

from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from reviewed_notes import BATCH, UNSURE, Desk, appeal, counts, decide, let_time_pass, open_check, review_of, with_batch

from orchestration_project.core.settings import PROJECT
from orchestration_project.governance.overdue_reviews import expire
from orchestration_project.governance.policy import Policy
from orchestration_project.governance.review_orders import reopen
from orchestration_project.stores import batches, quarantine, reviews
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import Ledger, now
from orchestration_project.stores.quarantine import RefusedRow
from orchestration_project.stores.reviews import ASKED_FOR, CAUSES, Review
from orchestration_project.stores.schema import REVIEWS

LATER = now() + timedelta(hours=1)


def open_reviews(ledger: Ledger, *message_ids: str, **more: Any) -> None:
    plain: dict[str, Any] = {
        "asset": "mood",
        "partition": "b1",
        "content_digest": "d",
        "cause": "unsure",
        "respond_by": LATER,
    }
    plain["proposal"] = {"label": "calm", "accepted": False}
    with ledger.write() as connection:
        reviews.insert(connection, [{**plain, "message_id": message_id, **more} for message_id in message_ids])


def found(ledger: Ledger, *conditions: sa.ColumnElement[bool], limit: int | None = None) -> list[Review]:
    with ledger.read() as connection:
        return reviews.select(connection, *conditions, limit=limit)


def test_review_is_kept_as_it_was_opened(ledger: Ledger) -> None:
    before = now()
    open_reviews(ledger, "a", cause="check", probability=0.25)
    (review,) = found(ledger)
    assert before <= review.opened_at <= now()
    assert review == Review(
        1,
        "mood",
        "b1",
        "a",
        "d",
        "check",
        "open",
        {"label": "calm", "accepted": False},
        0.25,
        None,
        False,
        None,
        None,
        None,
        [],
        review.opened_at,
        LATER,
        None,
    )
    assert (review.is_blind, review.subject) == (True, "mood/b1")
    with ledger.read() as connection:
        assert reviews.get(connection, 1) == review
        assert reviews.get(connection, 2) is None


def test_opening_none_is_no_error(ledger: Ledger) -> None:
    open_reviews(ledger)
    assert found(ledger) == []


def test_most_pressing_is_first(ledger: Ledger) -> None:
    open_reviews(ledger, "late", respond_by=LATER + timedelta(hours=1))
    open_reviews(ledger, "soon", "soon too", respond_by=LATER - timedelta(minutes=1))
    assert [review.message_id for review in found(ledger)] == ["soon", "soon too", "late"]
    assert [review.message_id for review in found(ledger, limit=1)] == ["soon"]
    assert [review.message_id for review in found(ledger, REVIEWS.c.message_id == "late")] == ["late"]


def test_reviews_of_a_batch_are_its_own_assets(ledger: Ledger) -> None:
    open_reviews(ledger, "a")
    open_reviews(ledger, "b", asset="topic")
    open_reviews(ledger, "c", partition="b2")
    with ledger.read() as connection:
        assert [review.message_id for review in reviews.of_batch(connection, "mood", "b1")] == ["a"]


def test_open_ones_are_counted_of_one_asset_or_of_all(ledger: Ledger) -> None:
    open_reviews(ledger, "a", "b")
    open_reviews(ledger, "c", asset="topic")
    open_reviews(ledger, "d", state="decided")
    with ledger.read() as connection:
        assert reviews.open_count(connection) == 3
        assert reviews.open_count(connection, "mood") == 2
        assert reviews.open_count(connection, "none") == 0
        assert reviews.open_count(connection, "mood", without=["unsure"]) == 0
        assert reviews.open_count(connection, "mood", without=["check"]) == 2


def test_any_number_is_changed_at_once_and_no_other(ledger: Ledger) -> None:
    open_reviews(ledger, *(f"m{number}" for number in range(1203)))
    with ledger.write() as connection:
        reviews.update(connection, range(1, 1202), state="closed")
        reviews.update(connection, [], state="overdue")
    assert [review.review_id for review in found(ledger, REVIEWS.c.state == "open")] == [1202, 1203]


def test_every_cause_is_told_in_words() -> None:
    assert set(ASKED_FOR) < set(CAUSES)
    assert all(CAUSES.values())


def test_page_about_reviews_has_every_cause_and_every_key_of_the_policy() -> None:
    page = (PROJECT / "docs" / "reviews.md").read_text(encoding="utf-8")
    assert [cause for cause in CAUSES if f"| `{cause}` |" not in page] == []
    for key, default in (*vars(Policy().reviews).items(), *vars(Policy().checks).items()):
        assert f"| `{key}` | {default} |" in page


MINUTES = 15.0


def claimed(by: str | None, until: datetime | None) -> Review:
    row: dict[str, Any] = dict.fromkeys(field.name for field in fields(Review))
    row |= {"claimed_by": by, "claimed_until": until}
    return Review(**row)


@pytest.mark.parametrize(
    ("by", "minutes", "is_claimed"),
    [
        (None, None, False),
        ("anna", 10, False),
        ("ben", 10, True),
        ("ben", 0, False),
        ("ben", -1, False),
        ("ben", 14.9, True),
        ("ben", 16, False),  # made before the clock was set back
        ("ben", 60 * 24 * 365, False),
    ],
)
def test_claim_of_another_counts_until_it_ends_and_never_longer_than_any_can(
    by: str | None, minutes: float | None, is_claimed: bool
) -> None:
    until = None if minutes is None else now() + timedelta(minutes=minutes)
    assert claimed(by, until).is_claimed_by_other("anna", MINUTES) is is_claimed


def set_done(home: Home) -> None:
    with home.ledger.write() as connection:
        batches.set_state(connection, BATCH, "done")


def test_messages_that_wait_for_people_are_pending_and_the_rest_of_their_batch_is_done(any_home: Home) -> None:
    desk = Desk(any_home, {"a": UNSURE, "b": UNSURE, "c": ("calm", 0.9), "d": ("calm", 0.9)})
    with_batch(any_home, *"abcd")
    desk.publish()
    assert counts(any_home) == {"done": 2, "pending": 2}
    decide(any_home, "a", "angry")
    assert counts(any_home) == {"working": 4}, "its run is requested"
    desk.publish()
    set_done(any_home)
    assert counts(any_home) == {"done": 3, "pending": 1}


def test_message_that_waits_in_several_assets_counts_once(any_home: Home) -> None:
    with_batch(any_home, *"ab")
    open_reviews(any_home.ledger, "a")
    open_reviews(any_home.ledger, "a", asset="topic")
    assert counts(any_home) == {"done": 1, "pending": 1}


def test_message_with_an_answer_that_stands_is_not_pending(home: Home) -> None:
    desk = Desk(home, {"a": UNSURE, "b": ("calm", 0.9), "c": ("calm", 0.9)})
    with_batch(home, *"abc")
    desk.publish()
    appeal(desk, "b")
    open_check(desk, "c")
    assert counts(home) == {"done": 2, "pending": 1}
    decide(home, "a", "angry")
    desk.publish()
    set_done(home)
    reopen(home, review_of(home, "a").review_id, "a doubt")
    assert counts(home) == {"done": 3}, "a reopened review's verdict stands"


def test_message_whose_review_nobody_decided_in_time_is_done(home: Home) -> None:
    desk = Desk(home, {"a": UNSURE, "b": UNSURE})
    with_batch(home, *"ab")
    desk.publish()
    let_time_pass(home, review_of(home, "a").review_id)
    expire(home)
    desk.publish()
    set_done(home)
    assert counts(home) == {"done": 1, "pending": 1}


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("open", {"quarantined": 1, "pending": 1}),
        ("discarded", {"discarded": 1, "pending": 1}),
        ("superseded", {"pending": 2}),
    ],
)
def test_message_that_a_gate_refused_elsewhere_is_counted_there_alone(
    any_home: Home, state: str, told: dict[str, int]
) -> None:
    with_batch(any_home, *"ab")
    open_reviews(any_home.ledger, *"ab")
    refused = {"asset": "parcel", "partition": BATCH, "run_id": "r", "path": "p", "contract": "1"}
    with any_home.ledger.write() as connection:
        quarantine.replace_refused(connection, **refused, rows=[RefusedRow("a", 0, "too heavy")])
        quarantine.settle(connection, [1], state)
    assert counts(any_home) == told


def test_batch_that_is_halted_or_was_given_up_has_nothing_pending(home: Home) -> None:
    desk = Desk(home, {"a": UNSURE})
    with_batch(home, "a")
    desk.publish()
    with home.ledger.write() as connection:
        batches.set_state(connection, BATCH, "discarded", "a test")
    assert counts(home) == {"discarded": 1}

"""What people decided: one verdict of a row stands, and those that it corrects stay."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestration_project.stores import reviews, verdicts
from orchestration_project.stores.ledger import Ledger, now
from orchestration_project.stores.reviews import Review
from orchestration_project.stores.verdicts import Verdict


@pytest.fixture
def review(ledger: Ledger) -> Review:
    row = {"asset": "mood", "partition": "b1", "message_id": "a", "content_digest": "d", "cause": "unsure"}
    with ledger.write() as connection:
        reviews.insert(connection, [{**row, "proposal": {}, "respond_by": now() + timedelta(hours=1)}])
        (review,) = reviews.select(connection)
        return review


def record(ledger: Ledger, review: Review, label: str, person: str = "anna", note: str | None = None) -> int:
    with ledger.write() as connection:
        return verdicts.record(connection, review, label=label, person=person, note=note)


def told(found: list[Verdict]) -> list[tuple[str, str, bool]]:
    return [(verdict.message_id, verdict.label, verdict.is_current) for verdict in found]


def test_verdict_keeps_who_decided_what_about_which_content(ledger: Ledger, review: Review) -> None:
    before = now()
    number = record(ledger, review, "angry", "ben", "he shouts")
    with ledger.read() as connection:
        (found,) = verdicts.of_review(connection, review.review_id)
    assert before <= found.decided_at <= now()
    own = (number, review.review_id, "mood", "b1", "a", "d", "angry", "ben", "he shouts", True, found.decided_at)
    assert found == Verdict(*own)


def test_correction_stands_and_what_it_corrects_stays(ledger: Ledger, review: Review) -> None:
    record(ledger, review, "angry")
    record(ledger, replace(review, message_id="b"), "merry")
    record(ledger, review, "calm", "ben")
    with ledger.read() as connection:
        everything = verdicts.of_batch(connection, "mood", "b1")
        assert told(everything) == [("a", "angry", False), ("b", "merry", True), ("a", "calm", True)]
        assert told(verdicts.of_review(connection, review.review_id)) == told(everything)
        found = verdicts.current_of_row(connection, review)
        assert found is not None and found.label == "calm"
        assert verdicts.current_of_row(connection, replace(review, message_id="c")) is None
        standing = verdicts.current_of_batch(connection, "mood", "b1")
        assert told(standing) == [("b", "merry", True), ("a", "calm", True)]


def test_verdicts_of_other_assets_and_batches_are_left_as_they_are(ledger: Ledger, review: Review) -> None:
    record(ledger, replace(review, asset="topic"), "parcel")
    record(ledger, replace(review, partition="b2"), "merry")
    record(ledger, review, "angry")
    with ledger.read() as connection:
        assert all(verdict.is_current for verdict in verdicts.select(connection))
        assert told(verdicts.of_batch(connection, "topic", "b1")) == [("a", "parcel", True)]
        assert told(verdicts.select(connection, limit=1)) == [("a", "parcel", True)]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["angry", "calm"])), max_size=6))
def test_last_verdict_of_each_row_stands(ledger: Ledger, review: Review, said: list[tuple[str, str]]) -> None:
    batch = uuid4().hex
    for message_id, label in said:
        record(ledger, replace(review, partition=batch, message_id=message_id), label)
    with ledger.read() as connection:
        standing = verdicts.current_of_batch(connection, "mood", batch)
    assert {verdict.message_id: verdict.label for verdict in standing} == dict(said)
    assert len(standing) == len(dict(said))

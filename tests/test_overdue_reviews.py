"""Reviews that nobody decided in time: the policy's default, which accepts nothing, and somebody is told once."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reviewed_notes import (
    BATCH,
    SILENT,
    SURE,
    UNSURE,
    Desk,
    acting,
    actions,
    all_reviews,
    all_verdicts,
    appeal,
    decide,
    everything,
    let_time_pass,
    open_check,
    requests,
    review_of,
    states,
    with_policy,
)

from orchestration_project.core.errors import FileRefused
from orchestration_project.governance import overdue_reviews
from orchestration_project.governance.overdue_reviews import expire
from orchestration_project.governance.review_orders import reopen
from orchestration_project.stores import outbox
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.schema import AUDIT, OUTBOX


def let_all_pass(home: Home) -> None:
    let_time_pass(home, *(review.review_id for review in all_reviews(home, "open")))


def notices(home: Home) -> list[dict[str, Any]]:
    with home.ledger.read() as connection:
        return [dict(row) for row in connection.execute(sa.select(OUTBOX)).mappings()]


def test_nothing_happens_before_the_time_is_over(home: Home) -> None:
    Desk(home, {"a": UNSURE}).publish()
    before = everything(home)
    assert expire(home) == []
    assert (everything(home), notices(home)) == (before, [])


@pytest.mark.parametrize(
    ("default", "label", "decided_by", "told"),
    [
        ("surest", "calm", "model", "the surest answer stands, not accepted"),
        ("safe_state", "unknown", "safe_state", "the safe state answers"),
    ],
)
def test_overdue_review_takes_the_policys_default(
    any_home: Home, default: str, label: str, decided_by: str, told: str
) -> None:
    home = with_policy(any_home, f'when_overdue = "{default}"')
    desk = Desk(home, {"late": UNSURE, "on time": UNSURE, "sure": SURE})
    desk.publish()
    let_time_pass(home, review_of(home, "late").review_id)
    assert [review.message_id for review in expire(home)] == ["late"]
    assert states(home) == [("late", "unsure", "overdue"), ("on time", "unsure", "open")]
    assert requests(home) == [("b1/verdict-mood/1", "verdicts_on_mood", "requested", None)]
    assert (actions(home), all_verdicts(home)) == (["reviews overdue"], [])
    (notice,) = notices(home)
    assert notice["title"] == "Reviews of mood that nobody decided in time: 1"
    assert notice["body"].startswith(f"- 1 undecided\n- What follows: {told}")
    desk.publish()
    row = desk.row("late")
    assert (row["label"], row["decided_by"], row["accepted"], row["state"]) == (label, decided_by, False, "decided")
    assert desk.column("state") == {"late": "decided", "on time": "pending", "sure": "decided"}


def test_default_that_took_effect_is_not_changed_by_a_later_policy(home: Home) -> None:
    desk = Desk(home, {"a": UNSURE})
    desk.publish()
    let_all_pass(home)
    expire(home)
    desk.home = with_policy(home, 'when_overdue = "safe_state"')
    desk.publish()
    assert desk.row("a")["label"] == "calm"


def test_it_is_told_once(home: Home) -> None:
    Desk(home, {"a": UNSURE, "b": UNSURE}).publish()
    let_all_pass(home)
    assert len(expire(home)) == 2
    before = everything(home)
    assert expire(home) == []
    assert (everything(home), len(notices(home))) == (before, 1)
    told: list[str] = []
    assert outbox.deliver(home, told.append) == 1
    assert told == ["Reviews of mood that nobody decided in time: 2"]


def test_each_batch_is_told_and_run_by_itself(home: Home) -> None:
    Desk(home, {"a": UNSURE}).publish()
    Desk(home, {"b": UNSURE}, batch="b2").publish()
    let_all_pass(home)
    expire(home)
    assert sorted(key for key, *_ in requests(home)) == ["b1/verdict-mood/1", "b2/verdict-mood/1"]
    assert sorted(notice["partition"] for notice in notices(home)) == ["b1", "b2"]
    assert actions(home) == ["reviews overdue"] * 2


def test_check_ends_without_a_verdict_and_asks_for_no_run(home: Home) -> None:
    desk = Desk(home, {"a": SURE})
    desk.publish()
    open_check(desk, "a")
    let_all_pass(home)
    expire(home)
    assert (states(home), requests(home)) == ([("a", "check", "closed")], [])
    desk.publish()
    assert (desk.row("a")["label"], desk.row("a")["accepted"]) == ("calm", True)


def test_appeal_goes_to_a_lead_and_waits_on(home: Home) -> None:
    desk = Desk(home, {"a": SURE})
    desk.publish()
    appeal(desk, "a")
    for times in (1, 2):
        let_all_pass(home)
        expire(home)
        review = review_of(home, "a")
        assert (review.state, review.needs_lead) == ("open", True)
        assert review.respond_by > now() + timedelta(hours=23)
        assert len(notices(home)) == times
    assert "the appeals wait for a lead" in notices(home)[0]["body"]
    assert requests(home) == []
    assert decide(home, "a", "angry", "lea").request is not None


def test_reopened_review_is_decided_as_it_was(home: Home) -> None:
    desk = Desk(home, {"a": UNSURE, "b": SURE})
    desk.publish()
    check = open_check(desk, "b")
    for message_id in "ab":
        decide(home, message_id, "angry")
    desk.publish()
    for review in (review_of(home, "a").review_id, check):
        reopen(acting(home, "lea"), review, "a doubt")
    asked = requests(home)
    let_all_pass(home)
    expire(home)
    assert (states(home), requests(home)) == ([("a", "unsure", "decided"), ("b", "check", "decided")], asked)
    assert notices(home)[0]["body"].startswith("- 2 reopened\n- What follows: the verdicts stand")
    desk.publish()
    assert desk.column("label") == {"a": "angry", "b": "angry"}


def test_verdict_may_still_come(home: Home) -> None:
    desk = Desk(home, {"a": UNSURE})
    desk.publish()
    let_all_pass(home)
    expire(home)
    desk.publish()
    assert decide(home, "a", "merry").request == "b1/verdict-mood/1"
    desk.publish()
    assert (desk.row("a")["label"], desk.row("a")["decided_by"]) == ("merry", "person")
    assert states(home) == [("a", "unsure", "decided")]


def test_run_that_a_verdict_asked_for_takes_the_default_too(home: Home) -> None:
    Desk(home, {"a": UNSURE, "b": UNSURE}).publish()
    decide(home, "a", "angry")
    let_time_pass(home, review_of(home, "b").review_id)
    expire(home)
    assert [(key, tags) for key, *_, tags in requests(home)] == [
        ("b1/verdict-mood/1", {"orchestrate/reviewers": "anna"})
    ]


def test_all_of_it_is_one_transaction(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    Desk(home, {"a": UNSURE}).publish()
    let_all_pass(home)
    before = everything(home)

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(overdue_reviews.outbox, "record", fail)
        with pytest.raises(OSError, match="the disk is full"):
            expire(home)
    assert (everything(home), notices(home)) == (before, [])
    assert len(expire(home)) == 1


def test_policy_that_cannot_be_read_expires_nothing(home: Home) -> None:
    Desk(home, {"a": UNSURE}).publish()
    let_all_pass(home)
    with pytest.raises(FileRefused, match="the key 'respond'"):
        expire(with_policy(home, "respond = 3"))
    assert states(home) == [("a", "unsure", "open")]


def test_policy_is_the_actor(home: Home) -> None:
    Desk(home, {"a": UNSURE}).publish()
    let_all_pass(home)
    expire(home)
    with home.ledger.read() as connection:
        entry = connection.execute(sa.select(AUDIT)).mappings().one()
    assert (entry["actor"], entry["subject"]) == ("policy", f"mood/{BATCH}")


CONFIDENCES = st.lists(st.none() | st.floats(0, 0.49), min_size=1, max_size=5)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(confidences=CONFIDENCES, late=st.integers(0, 31), default=st.sampled_from(["surest", "safe_state"]))
def test_default_never_accepts_anything(home: Home, confidences: list[float | None], late: int, default: str) -> None:
    answers = {f"m{i}": SILENT if sure is None else ("calm", sure) for i, sure in enumerate(confidences)}
    desk = Desk(with_policy(home, f'when_overdue = "{default}"'), answers, batch=uuid4().hex)
    desk.publish()
    opened = [review for review in all_reviews(home, "open") if review.partition == desk.batch]
    chosen = [review for review in opened if late >> int(review.message_id[1:]) & 1]
    let_time_pass(home, *(review.review_id for review in chosen))
    assert {review.review_id for review in expire(desk.home)} == {review.review_id for review in chosen}
    desk.publish()
    assert not any(desk.column("accepted").values())
    gone = {review.message_id for review in chosen}
    assert desk.column("state") == {key: "decided" if key in gone else "pending" for key in answers}
    let_time_pass(home, *(review.review_id for review in opened if review.message_id not in gone))
    expire(desk.home)

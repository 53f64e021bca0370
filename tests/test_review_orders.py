"""What people decide about reviews: verdicts and corrections, and that a refused one changes nothing."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from reviewed_notes import (
    BATCH,
    SURE,
    UNSURE,
    acting,
    actions,
    all_verdicts,
    appeal,
    decide,
    desk_of,
    everything,
    number,
    open_check,
    requests,
    review_of,
)

from orchestration_project.core.errors import NotEntitled, Refused, UnknownName
from orchestration_project.governance import audit, review_orders
from orchestration_project.stores import batches, run_requests, verdicts
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.schema import AUDIT, BATCHES


def test_verdict_comes_with_its_audit_entry_and_the_request_of_its_run(any_home: Home) -> None:
    desk_of(any_home)
    review = review_of(any_home, "a")
    found = review_orders.decide(acting(any_home, "anna"), review.review_id, "angry", "he shouts")
    (verdict,) = all_verdicts(any_home)
    own = (verdict.verdict_id, verdict.label, verdict.person, verdict.note, verdict.is_current)
    assert own == (found.verdict_id, "angry", "anna", "he shouts", True)
    assert (review_of(any_home, "a").state, review_of(any_home, "a").claimed_by) == ("decided", "anna")
    tags = {"orchestrate/reviewers": "anna"}
    assert requests(any_home) == [("b1/verdict-mood/1", "verdicts_on_mood", "requested", tags)]
    with any_home.ledger.read() as connection:
        entry = connection.execute(sa.select(AUDIT).where(AUDIT.c.action == "verdict")).mappings().one()
    assert (entry["actor"], entry["subject"]) == ("anna", "mood/b1")
    assert '"label":"angry"' in entry["detail"]
    assert "shouts" not in entry["detail"]


@pytest.mark.parametrize("broken", [(verdicts, "record"), (run_requests, "request_after_verdict"), (audit, "append")])
def test_verdict_audit_entry_and_request_are_one_transaction(
    any_home: Home, broken: tuple[Any, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk_of(any_home)
    before = everything(any_home)
    module, name = broken
    whole = getattr(module, name)

    def fail_after(*arguments: Any, **named: Any) -> Any:
        whole(*arguments, **named)
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(module, name, fail_after)
        with pytest.raises(OSError, match="the disk is full"):
            decide(any_home, "a", "angry")
    assert everything(any_home) == before
    decide(any_home, "a", "angry")
    assert (len(all_verdicts(any_home)), len(requests(any_home)), actions(any_home)) == (1, 1, ["verdict"])


def test_run_names_everybody_whose_verdict_asked_for_it(home: Home) -> None:
    desk_of(home, a=UNSURE, b=UNSURE, c=UNSURE)
    for message_id, name in (("a", "anna"), ("b", "ben"), ("c", "anna")):
        decide(home, message_id, "angry", name)
    assert [tags for *_, tags in requests(home)] == [{"orchestrate/reviewers": "anna,ben"}]


def test_second_answer_is_refused_and_names_who_was_first(home: Home) -> None:
    desk_of(home)
    decide(home, "a", "angry", "ben")
    before = everything(home)
    told = rf"ben decided review {number(home)} first, at 20.*: angry\. If that is wrong: orchestrate review reopen"
    with pytest.raises(Refused, match=told):
        review_orders.decide(acting(home, "anna"), number(home), "merry")
    assert everything(home) == before


def test_verdict_that_agrees_with_an_accepted_answer_asks_for_no_run(home: Home) -> None:
    desk = desk_of(home, a=SURE, b=SURE)
    open_check(desk, "a")
    open_check(desk, "b")
    assert decide(home, "a", "calm").request is None
    assert decide(home, "b", "angry").request == "b1/verdict-mood/1"


def test_correction_back_to_the_accepted_answer_asks_for_a_run(home: Home) -> None:
    desk = desk_of(home, a=SURE)
    appeal(desk, "a")
    decide(home, "a", "angry")
    desk.publish()
    review_orders.reopen(acting(home, "ben"), number(home), "the model was right")
    assert decide(home, "a", "calm", "ben").request is not None
    desk.publish()
    assert (desk.row("a")["label"], desk.row("a")["performer"]) == ("calm", "ben")


def test_verdict_on_a_batch_that_was_given_up_asks_for_no_run(home: Home) -> None:
    desk_of(home)
    row = {"batch": BATCH, "rows": 2, "duplicates": 0, "state": "discarded", "opened_at": now()}
    with home.ledger.write() as connection:
        connection.execute(sa.insert(BATCHES).values(**row))
    assert decide(home, "a", "angry").request is None
    with home.ledger.read() as connection:
        found = batches.get(connection, BATCH)
    assert found is not None and found.state == "discarded"


def test_correction_stands_and_both_verdicts_stay(home: Home) -> None:
    desk = desk_of(home)
    decide(home, "a", "angry")
    desk.publish()
    review_orders.reopen(acting(home, "ben"), number(home), "she laughs")
    assert desk.publish().frame["label"].tolist() == ["angry", "calm"], "it stands until then"
    decide(home, "a", "merry", "ben")
    desk.publish()
    assert desk.row("a")["label"] == "merry"
    told = [(verdict.label, verdict.person, verdict.is_current) for verdict in all_verdicts(home)]
    assert told == [("angry", "anna", False), ("merry", "ben", True)]
    assert actions(home) == ["verdict", "review reopened", "verdict"]
    assert desk.reader.asked == 2


ORDERS: dict[str, Callable[[Home, int], object]] = {
    "decide": lambda home, review: review_orders.decide(home, review, "angry"),
    "skip": lambda home, review: review_orders.skip(home, review),
    "escalate": lambda home, review: review_orders.escalate(home, review, "why"),
    "reopen": lambda home, review: review_orders.reopen(home, review, "why"),
    "assign": lambda home, review: review_orders.assign(home, review, "ben"),
}


BARRED = [(order, name) for order in ORDERS for name in ("carl", "olga")]
BARRED.remove(("assign", "olga"))  # a lead assigns without being a reviewer


@pytest.mark.parametrize(("order", "name"), BARRED)
def test_without_role_or_skill_nothing_is_changed(home: Home, order: str, name: str) -> None:
    desk_of(home)
    if order == "reopen":
        decide(home, "a", "angry")
    before = everything(home)
    with pytest.raises(NotEntitled, match=r"This takes the (role|skill)"):
        ORDERS[order](acting(home, name), number(home))
    assert everything(home) == before


def test_escalated_review_takes_the_role_lead(home: Home) -> None:
    desk_of(home)
    review_orders.escalate(acting(home, "anna"), number(home), "it may become a legal case")
    before = everything(home)
    with pytest.raises(NotEntitled, match=r"takes the role lead, and ben has the roles reviewer. Ask lea."):
        decide(home, "a", "angry", "ben")
    assert everything(home) == before
    assert decide(home, "a", "angry", "lea").review.needs_lead


@pytest.mark.parametrize("order", ORDERS)
def test_review_that_there_is_not_is_refused(home: Home, order: str) -> None:
    desk_of(home)
    before = everything(home)
    with pytest.raises(UnknownName, match=r"There is no review 77. See what waits: orchestrate review list"):
        ORDERS[order](acting(home, "lea"), 77)
    assert everything(home) == before


@pytest.mark.parametrize("order", ORDERS)
def test_closed_review_is_refused(home: Home, order: str) -> None:
    desk = desk_of(home)
    desk.answers["a"] = SURE
    desk.publish(rescore=True)
    before = everything(home)
    with pytest.raises(Refused, match=r"Review 1 is closed"):
        ORDERS[order](acting(home, "lea"), number(home))
    assert everything(home) == before


@pytest.mark.parametrize("order", ["decide", "skip", "escalate", "assign"])
def test_decided_review_is_refused(home: Home, order: str) -> None:
    desk_of(home)
    decide(home, "a", "angry")
    before = everything(home)
    with pytest.raises(Refused, match=r"anna decided review 1 first"):
        ORDERS[order](acting(home, "lea"), number(home))
    assert everything(home) == before


def test_open_review_cannot_be_reopened(home: Home) -> None:
    desk_of(home)
    before = everything(home)
    with pytest.raises(Refused, match=r"Review 1 is open and has no verdict that could be wrong"):
        review_orders.reopen(acting(home, "lea"), number(home), "why")
    assert everything(home) == before


@pytest.mark.parametrize(("label", "told"), [("angy", "Did you mean 'angry'"), ("x", "There are: angry, calm, merry")])
def test_unknown_label_is_refused_with_the_nearest(home: Home, label: str, told: str) -> None:
    desk_of(home)
    before = everything(home)
    with pytest.raises(UnknownName, match=rf"mood has no label '{label}'.*{told}"):
        decide(home, "a", label)
    assert everything(home) == before

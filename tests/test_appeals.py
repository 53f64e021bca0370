"""Reviews that somebody asked for: appeals, tracked to their end, and checks, decided blind."""

from typing import Any

import pytest
import sqlalchemy as sa
from reviewed_notes import (
    SILENT,
    SURE,
    UNSURE,
    acting,
    actions,
    appeal,
    decide,
    desk_of,
    everything,
    number,
    open_check,
    review_of,
    states,
)

from orchestration_project.core.errors import Refused
from orchestration_project.governance import review_orders
from orchestration_project.stores.home import Home
from orchestration_project.stores.schema import AUDIT


def test_appeal_is_a_review_and_the_decision_stands_until_it_is_decided(home: Home) -> None:
    desk = desk_of(home, a=SURE)
    review = appeal(desk, "a", "it was delivered")
    found = review_of(home, "a")
    assert (found.review_id, found.cause, found.why) == (review, "appeal", "it was delivered")
    assert (found.proposal["label"], found.proposal["accepted"]) == ("calm", True)
    desk.publish()
    assert (states(home), desk.row("a")["label"]) == ([("a", "appeal", "open")], "calm")
    decide(home, "a", "angry", "ben")
    desk.publish()
    assert (states(home), desk.row("a")["label"]) == ([("a", "appeal", "decided")], "angry")
    assert actions(home) == ["appealed", "verdict"]


def test_what_was_appealed_holds_its_reason_out_of_the_audit_log(home: Home) -> None:
    appeal(desk_of(home, a=SURE), "a", "my name is Smith")
    with home.ledger.read() as connection:
        assert "Smith" not in connection.execute(sa.select(AUDIT.c.detail)).scalar_one()


@pytest.mark.parametrize("answer", [SURE, UNSURE, SILENT])
def test_appeal_on_a_row_with_an_open_review_is_refused(home: Home, answer: Any) -> None:
    desk = desk_of(home, a=answer)
    if answer == SURE:
        appeal(desk, "a")
    before = everything(home)
    with pytest.raises(Refused, match=r"Review 1 of a waits already. See: orchestrate review list"):
        appeal(desk, "a")
    assert everything(home) == before


def test_verdict_may_be_appealed(home: Home) -> None:
    desk = desk_of(home, a=UNSURE)
    decide(home, "a", "angry")
    desk.publish()
    appeal(desk, "a")
    decide(home, "a", "merry", "ben")
    desk.publish()
    assert desk.row("a")["label"] == "merry"
    assert states(home) == [("a", "unsure", "decided"), ("a", "appeal", "decided")]


def test_check_does_not_show_what_was_answered_until_it_is_decided(home: Home) -> None:
    desk = desk_of(home, a=SURE)
    open_check(desk, "a")
    assert review_orders.facts(review_of(home, "a"))["proposal"] == {}
    decide(home, "a", "angry")
    assert review_orders.facts(review_of(home, "a"))["proposal"]["label"] == "calm"
    review_orders.reopen(acting(home, "ben"), number(home), "a doubt")
    assert review_orders.facts(review_of(home, "a"))["proposal"] == {}


def test_other_reviews_show_their_proposal_and_why_they_are_here(home: Home) -> None:
    desk_of(home)
    found = review_orders.facts(review_of(home, "a"))
    assert (found["proposal"]["label"], found["why_here"]) == ("calm", "nobody was sure")

"""What publishing decisions does to reviews: opened, kept and closed, whatever happened before."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from reviewed_notes import (
    LABELS,
    SILENT,
    SURE,
    UNSURE,
    Desk,
    acting,
    all_reviews,
    all_verdicts,
    appeal,
    decide,
    let_time_pass,
    open_check,
    review_of,
    set_review,
    states,
    with_policy,
)

from orchestration_project.core.settings import Settings
from orchestration_project.governance import review_orders
from orchestration_project.governance.overdue_reviews import expire
from orchestration_project.performers.person import content_digests
from orchestration_project.stores import reviews
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.reviews import ANY_CONTENT, ASKED_FOR


def test_each_waiting_row_has_a_review_that_shows_what_is_proposed(any_home: Home) -> None:
    Desk(any_home, {"a": UNSURE, "b": SURE, "c": SILENT}).publish()
    assert states(any_home) == [("a", "unsure", "open"), ("c", "unsure", "open")]
    proposal = review_of(any_home, "a").proposal
    assert {name: proposal[name] for name in ("label", "confidence", "accepted", "performer")} == {
        "label": "calm",
        "confidence": 0.3,
        "accepted": False,
        "performer": "reader",
    }
    nothing = review_of(any_home, "c").proposal
    assert (nothing["label"], nothing["confidence"], nothing["runner_up"]) == (None, None, None)


def test_respond_by_time_is_the_policys(home: Home) -> None:
    before = now()
    Desk(with_policy(home, "respond_hours = 2"), {"a": UNSURE}).publish()
    review = review_of(home, "a")
    assert 7200 <= (review.respond_by - before).total_seconds() <= 7200 + (now() - before).total_seconds()


def test_row_keeps_its_review_when_it_is_published_again(home: Home) -> None:
    desk = Desk(home, {"a": UNSURE, "b": UNSURE})
    desk.publish()
    before = all_reviews(home)
    desk.publish()
    desk.publish(rescore=True)
    assert all_reviews(home) == before


def test_review_is_closed_when_its_row_waits_no_more(home: Home) -> None:
    desk = Desk(home, {"a": UNSURE, "b": UNSURE})
    desk.publish()
    desk.answers["a"] = SURE
    desk.publish(rescore=True)
    assert states(home) == [("a", "unsure", "closed"), ("b", "unsure", "open")]
    del desk.texts["b"]
    desk.publish()
    assert states(home) == [("a", "unsure", "closed"), ("b", "unsure", "closed")], "its message is gone"


def test_row_whose_content_changed_gets_another_review(home: Home) -> None:
    desk = Desk(home, {"a": UNSURE})
    desk.publish()
    desk.texts["a"] = "something else"
    desk.publish()
    assert states(home) == [("a", "unsure", "closed"), ("a", "unsure", "open")]


def test_verdict_that_is_made_while_a_run_decides_leaves_no_review_behind(home: Home) -> None:
    desk = Desk(home, {"a": UNSURE, "b": UNSURE})
    desk.publish()
    under_way = desk.decide()
    decide(home, "a", "angry")
    desk.keep(under_way)
    assert states(home) == [("a", "unsure", "decided"), ("b", "unsure", "open")]
    desk.publish()
    assert desk.column("state") == {"a": "decided", "b": "pending"}


def test_review_that_is_overdue_while_a_run_decides_is_not_opened_anew(home: Home) -> None:
    desk = Desk(home, {"a": UNSURE})
    desk.publish()
    under_way = desk.decide()
    let_time_pass(home, review_of(home, "a").review_id)
    expire(home)
    desk.keep(under_way)
    assert states(home) == [("a", "unsure", "overdue")]
    desk.publish()
    assert desk.row("a")["state"] == "decided"


def test_verdict_on_an_appeal_that_is_made_while_a_run_asks_again_leaves_no_review_behind(home: Home) -> None:
    desk = Desk(home, {"a": SURE})
    desk.publish()
    appeal(desk, "a")
    desk.answers["a"] = UNSURE
    under_way = desk.decide(rescore=True)
    decide(home, "a", "angry")
    desk.keep(under_way)
    assert states(home) == [("a", "appeal", "decided")]
    desk.publish()
    assert (desk.row("a")["state"], desk.row("a")["label"]) == ("decided", "angry")


def test_row_that_waits_has_a_review_of_its_own_beside_an_appeal_and_a_check(home: Home) -> None:
    desk = Desk(home, {"a": SURE, "b": SURE})
    desk.publish()
    appeal(desk, "a")
    open_check(desk, "b")
    desk.answers.update(a=UNSURE, b=UNSURE)
    for _ in range(3):
        desk.publish(rescore=True)
        set_review(home, review_of(home, "a").review_id, respond_by=now())
    assert states(home) == [
        ("a", "appeal", "open"),
        ("b", "check", "open"),
        ("a", "unsure", "open"),
        ("b", "unsure", "open"),
    ]


def test_check_on_the_same_content_does_not_stand_for_the_review_of_a_row_that_waits(home: Home) -> None:
    desk = Desk(home, {"a": UNSURE})
    desk.publish()
    check = review_of(home, "a").review_id
    set_review(home, check, cause="check")
    desk.publish()
    assert states(home) == [("a", "check", "open"), ("a", "unsure", "open")]


def test_reopened_review_stays_open_while_its_verdict_stands_and_no_longer(home: Home) -> None:
    desk = Desk(home, {"a": UNSURE})
    desk.publish()
    decide(home, "a", "angry")
    desk.publish()
    review_orders.reopen(acting(home, "ben"), review_of(home, "a").review_id, "a doubt")
    desk.publish()
    assert (states(home), desk.row("a")["label"]) == ([("a", "unsure", "open")], "angry")
    desk.texts["a"] = "something else"
    desk.publish()
    assert states(home) == [("a", "unsure", "closed"), ("a", "unsure", "open")]


class Desks(RuleBasedStateMachine):
    """Anything that can happen to the rows of a batch, in any order."""

    def __init__(self, new_home: Callable[[], Home]) -> None:
        super().__init__()
        self.home = with_policy(new_home(), "most_open = 3")
        confidences = {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.9, "e": None}
        self.desk = Desk(self.home, {key: ("calm" if sure else None, sure) for key, sure in confidences.items()})
        self.edits = 0
        self.is_published = True
        self.desk.publish()

    def teardown(self) -> None:
        self.home.ledger.close()

    @rule(rescore=st.booleans())
    def publish(self, rescore: bool) -> None:
        self.desk.publish(rescore=rescore)
        self.is_published = True

    @precondition(lambda self: self.open_ids())
    @rule(data=st.data(), label=st.sampled_from(LABELS), person=st.sampled_from(["anna", "ben"]))
    def decide(self, data: st.DataObject, label: str, person: str) -> None:
        chosen = data.draw(st.sampled_from(self.open_ids("open", "overdue")))
        set_review(self.home, chosen, needs_lead=False)
        review_orders.decide(acting(self.home, person), chosen, label)
        self.is_published = False

    @precondition(lambda self: self.open_ids())
    @rule(data=st.data())
    def expire(self, data: st.DataObject) -> None:
        let_time_pass(self.home, data.draw(st.sampled_from(self.open_ids())))
        expire(self.home)
        self.is_published = False

    @precondition(lambda self: self.open_ids("decided"))
    @rule(data=st.data())
    def reopen(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from(self.open_ids("decided")))
        review_orders.reopen(acting(self.home, "lea"), chosen, "a doubt")

    @rule(message_id=st.sampled_from("abcde"))
    def appeal(self, message_id: str) -> None:
        if not any(review.message_id == message_id for review in all_reviews(self.home, "open")):
            appeal(self.desk, message_id)

    @rule(message_id=st.sampled_from("abcde"), confidence=st.none() | st.sampled_from([0.2, 0.4, 0.9]))
    def change(self, message_id: str, confidence: float | None) -> None:
        self.edits += 1
        self.desk.texts[message_id] = f"edit {self.edits}"
        self.desk.answers[message_id] = ("merry" if confidence else None, confidence)
        self.is_published = False

    @invariant()
    def each_row_is_in_one_state_and_no_default_is_accepted(self) -> None:
        assert self.desk.stored is not None
        assert self.desk.stored["message_id"].tolist() == list("abcde")
        for message_id in "abcde":
            row = self.desk.row(message_id)
            assert row["state"] in ("decided", "pending")
            assert row["label"] is not None or row["state"] == "pending"
            sure = row["confidence"] is not None and row["confidence"] >= 0.5
            assert row["accepted"] == ((row["decided_by"] == "person" and row["state"] == "decided") or sure)

    @invariant()
    def at_most_one_verdict_of_a_row_stands(self) -> None:
        standing = [verdict.message_id for verdict in all_verdicts(self.home) if verdict.is_current]
        assert len(standing) == len(set(standing))

    @invariant()
    def rows_wait_exactly_where_a_review_is_open_once_all_is_published(self) -> None:
        if not self.is_published:
            return
        stands = {verdict.review_id for verdict in all_verdicts(self.home)}
        opened = [
            review.message_id
            for review in all_reviews(self.home, "open")
            if review.cause not in ASKED_FOR and review.review_id not in stands
        ]
        pending = [message_id for message_id, state in self.desk.column("state").items() if state == "pending"]
        assert sorted(opened) == pending
        with self.home.ledger.read() as connection:
            assert reviews.undecided_messages(connection) == ({"b1": len(pending)} if pending else {})
        digests = dict(zip("abcde", content_digests(self.desk.rows, self.home.secret), strict=True))
        holding = {
            verdict.message_id: (verdict.label, verdict.person)
            for verdict in all_verdicts(self.home)
            if verdict.is_current and verdict.content_digest in (ANY_CONTENT, digests[verdict.message_id])
        }
        rows = {message_id: self.desk.row(message_id) for message_id in "abcde"}
        by_people = {
            message_id: (row["label"], row["performer"])
            for message_id, row in rows.items()
            if row["decided_by"] == "person" and row["state"] == "decided"
        }
        assert by_people == holding

    def open_ids(self, *chosen: str) -> list[int]:
        return [review.review_id for review in all_reviews(self.home, *(chosen or ("open",)))]


def test_rows_reviews_and_verdicts_agree_whatever_happened(made_ledger: Path, tmp_path: Path) -> None:
    def new_home() -> Home:
        home = Home(replace(Settings(), home=tmp_path / uuid4().hex))
        home.prepare()
        shutil.copyfile(made_ledger, home.root / "ledger.db")
        return home

    class Own(Desks):
        def __init__(self) -> None:
            super().__init__(new_home)

    run_state_machine_as_test(Own, settings=settings(max_examples=15, stateful_step_count=15, deadline=None))

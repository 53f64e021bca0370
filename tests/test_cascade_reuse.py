"""The cascade: which stored decisions are reused, and which are never."""

from typing import Any

import pandas as pd
import pytest
from scripted_cascades import SAFE, by_row, column, decide, decided, failing, messages, scripted

from orchestration_project.core.erasing import ERASED
from orchestration_project.performers.cascade import Cascade, Decisions
from orchestration_project.performers.reuse import erased
from orchestration_project.performers.safe_label import SafeLabel
from orchestration_project.performers.scripted import Scripted, same_answer
from orchestration_project.stores.home import Home


def test_a_stored_decision_is_reused_accepted_or_not_and_nobody_is_asked(home: Home):
    def performer() -> Scripted:
        return scripted("only", by_row({"m0": ("red", 0.9), "m1": ("red", 0.1), "m2": ("green", None)}))

    stored = decided(home, performer()).frame
    again = performer()
    found = decided(home, again, stored=stored)
    pd.testing.assert_frame_equal(found.frame, stored)
    assert (again.asked, found.reused, found.work) == (0, 3, [])


def test_a_decision_is_asked_for_again_when_the_content_changed(home: Home):
    stored = decided(home, scripted("only", same_answer("red", 0.9))).frame
    changed = messages()
    changed.loc[1, "text"] = "something else"
    again = scripted("only", same_answer("green", 0.9))
    found = decided(home, again, rows=changed, stored=stored)
    assert column(found, "label") == ["red", "green", "red"]
    assert (again.asked, found.reused) == (1, 2)


def test_nothing_is_another_content_than_the_word_none(home: Home):
    rows = messages().assign(text=pd.Series([None, "x", "y"], dtype="str"))
    stored = decided(home, scripted("only", same_answer("red", 0.9)), rows=rows).frame
    for word in ("None", "nan", "<NA>", ""):
        rows.loc[0, "text"] = word
        assert decided(home, scripted("only", same_answer("red", 0.9)), rows=rows, stored=stored).reused == 2


@pytest.mark.parametrize(
    "cascade",
    [
        Cascade(scripted("other name", same_answer("green", 0.9)), safe_state=SAFE),
        Cascade(scripted("only", same_answer("green", 0.9), kind="rules"), safe_state=SAFE),
        Cascade(
            scripted("before", same_answer(None, None)), scripted("only", same_answer("green", 0.9)), safe_state=SAFE
        ),
        Cascade(scripted("only", same_answer("green", 0.9)), safe_state=SafeLabel("another")),
    ],
)
def test_another_cascade_asks_again(home: Home, cascade: Cascade):
    stored = decided(home, scripted("only", same_answer("red", 0.9))).frame
    found = decide(cascade, home, stored=stored)
    assert column(found, "label") == ["green"] * 3
    assert found.reused == 0


def test_an_answer_of_the_safe_state_is_never_reused(home: Home):
    silent = scripted("only", by_row({"m0": ("red", 0.9), "m1": (None, None), "m2": (None, None)}))
    stored = decided(home, silent).frame
    again = scripted("only", same_answer("green", 0.9))
    found = decided(home, again, stored=stored)
    assert column(found, "label") == ["red", "green", "green"]
    assert (again.asked, found.reused) == (2, 1)


def test_an_answer_behind_a_failure_is_never_reused(home: Home):
    stored = decided(home, scripted("only", failing(ValueError("x"))), scripted("next", same_answer("red", 0.9))).frame
    assert column(Decisions(stored), "accepted") == [True] * 3
    again = scripted("only", same_answer("green", 0.9))
    found = decided(home, again, scripted("next", same_answer("red", 0.9)), stored=stored)
    assert column(found, "label") == ["green"] * 3
    assert column(found, "degraded") == [False] * 3
    assert found.reused == 0


def test_stored_decisions_on_other_messages_change_nothing(home: Home):
    stored = decided(home, scripted("only", same_answer("red", 0.9)), rows=messages(5)).frame
    again = scripted("only", same_answer("green", 0.9))
    rows = pd.concat([messages(5).tail(1), messages(7).tail(2)])
    found = decided(home, again, rows=rows, stored=stored)
    assert column(found, "label") == ["red", "green", "green"]
    assert decided(home, again, rows=rows, stored=stored.head(0)).reused == 0


def test_an_answer_that_its_performer_cannot_give_any_more_is_asked_for_again(home: Home):
    stored = decided(
        home, scripted("only", by_row({"m0": ("red", 0.9), "m1": ("green", 0.9), "m2": ("red", 0.1)}))
    ).frame
    promoted = Scripted("only", same_answer("crimson", 0.9), labels=["green", "crimson"], threshold=0.5)
    found = decided(home, promoted, stored=stored)
    assert column(found, "label") == ["crimson", "green", "crimson"]
    assert (promoted.asked, found.reused) == (2, 1)
    assert found.labels == {"green", "crimson", "unknown"}


def test_it_is_asked_for_again_though_another_performer_still_answers_so(home: Home):
    stored = decided(home, scripted("only", same_answer("red", 0.9))).frame
    promoted = Scripted("only", same_answer("crimson", 0.9), labels=["crimson"], threshold=0.5)
    found = decide(Cascade(promoted, safe_state=SAFE), home, stored=stored.assign(performer="safe label unknown"))
    assert (column(found, "label"), found.reused) == (["crimson"] * 3, 0)
    still_there = Scripted("next", same_answer("red", 0.9), labels=["red"])
    before = decided(home, scripted("only", same_answer("red", 0.9)), still_there).frame
    found = decided(home, promoted, still_there, stored=before)
    assert (column(found, "label"), found.reused) == (["crimson"] * 3, 0)


def test_a_proposal_without_a_label_that_waits_for_a_person_is_reused(home: Home):
    stored = decided(home, scripted("only", same_answer("red", 0.9))).frame
    waiting = stored.assign(label=pd.Series([None] * 3, dtype="str"), state="pending")
    again = scripted("only", same_answer("red", 0.9))
    assert decide(Cascade(again, safe_state=SAFE), home, stored=waiting).reused == 3


@pytest.mark.parametrize(
    "made",
    [
        {},
        {"performer": "gone", "label": "crimson"},
        {"performer": "anna", "decided_by": "person", "label": "crimson"},
        {"performer": "safe label unknown", "decided_by": "safe_state", "label": "unknown", "accepted": False},
        {"degraded": True},
    ],
)
def test_a_decision_on_an_erased_message_stands_whoever_made_it(home: Home, made: dict[str, Any]):
    stored = decided(home, scripted("only", same_answer("red", 0.9))).frame
    stored.loc[1, ["message_digest", "reason"]] = ERASED
    for name, value in made.items():
        stored.loc[1, name] = value
    again = scripted("only", same_answer("green", 0.9))
    found = decided(home, again, stored=erased(stored))
    assert found.frame.loc[1].to_dict() == stored.loc[1].to_dict()
    assert column(found, "label") == ["green", stored.loc[1, "label"], "green"]
    assert (again.asked, found.reused) == (2, 1)
    assert {*stored.loc[[1], "label"]} <= found.labels

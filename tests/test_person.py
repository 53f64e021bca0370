"""People behind other performers: which rows wait, for which cause, and how verdicts and defaults decide them."""

from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reviewed_notes import (
    BATCH,
    SILENT,
    SURE,
    UNSURE,
    Desk,
    appeal,
    decide,
    let_time_pass,
    review_of,
    set_review,
    states,
    with_policy,
)
from scripted_cascades import SAFE, by_row, failing, messages, scripted

from orchestration_project.core.contracts import check
from orchestration_project.core.errors import PerformerFailed
from orchestration_project.performers.asking import Work
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.decision import Decision
from orchestration_project.performers.familiarity import UNKNOWN_KIND
from orchestration_project.performers.performer import Performer
from orchestration_project.performers.person import Person, Said, content_digests, let_wait
from orchestration_project.performers.scripted import Scripted, same_answer
from orchestration_project.stores.home import Home


def test_unsure_rows_wait_and_the_rest_is_decided_at_once(home: Home) -> None:
    desk = Desk(home, {"sure": SURE, "unsure": UNSURE, "silent": SILENT})
    found = desk.publish()
    assert desk.column("state") == {"sure": "decided", "unsure": "pending", "silent": "pending"}
    assert desk.column("accepted") == {"sure": True, "unsure": False, "silent": False}
    assert desk.column("label") == {"sure": "calm", "unsure": "calm", "silent": None}
    assert desk.column("decided_by") == {"sure": "model", "unsure": "model", "silent": "person"}
    assert found.waiting is not None
    assert found.waiting["message_id"].tolist() == ["unsure", "silent"]
    assert check(Decision, found.frame).refusals == ()


@pytest.mark.parametrize(
    ("first", "second", "cause"),
    [
        (same_answer("calm", 0.3), same_answer("calm", 0.2), "unsure"),
        (same_answer("calm", 0.3), same_answer("angry", 0.2), "disagreement"),
        (same_answer("calm", 0.3), same_answer("angry", 0.2, f"{UNKNOWN_KIND} of message"), "unknown_kind"),
        (same_answer("calm", 0.3), failing(PerformerFailed("out of order")), "failure"),
    ],
)
def test_cause_says_why_a_row_waits(home: Home, first: Any, second: Any, cause: str) -> None:
    performers = [
        Scripted(name, script, labels=("calm", "angry")) for name, script in (("first", first), ("second", second))
    ]
    found = Cascade(*performers, Person(), safe_state=SAFE).decide(messages(2), home, asset="mood", partition=BATCH)
    assert found.waiting is not None
    assert found.waiting["cause"].tolist() == [cause] * 2
    assert found.frame["state"].tolist() == ["pending"] * 2


def test_as_many_wait_as_the_policy_allows_those_without_an_answer_and_the_least_sure_first(home: Home) -> None:
    answers = {"a": ("calm", 0.4), "b": ("calm", 0.1), "c": SILENT, "d": ("calm", 0.2), "e": SURE}
    desk = Desk(with_policy(home, "most_open = 2"), answers)
    desk.publish()
    assert desk.column("state") == {"a": "decided", "b": "pending", "c": "pending", "d": "decided", "e": "decided"}
    assert desk.column("label") == {"a": "calm", "b": "calm", "c": None, "d": "calm", "e": "calm"}
    assert desk.column("accepted") == {"a": False, "b": False, "c": False, "d": False, "e": True}
    assert "too many rows wait for people already" in desk.row("a")["reason"]
    assert desk.row("a")["decided_by"] == "model"


def test_row_beyond_them_that_nobody_answered_takes_the_safe_state(home: Home) -> None:
    desk = Desk(with_policy(home, "most_open = 0"), {"silent": SILENT, "unsure": UNSURE})
    desk.publish()
    assert desk.column("label") == {"silent": "unknown", "unsure": "calm"}
    assert desk.column("decided_by") == {"silent": "safe_state", "unsure": "model"}
    assert desk.column("accepted") == {"silent": False, "unsure": False}


def test_reviews_of_other_batches_of_the_asset_count_among_those_that_may_wait(home: Home) -> None:
    few = with_policy(home, "most_open = 3")
    Desk(few, {"a": UNSURE, "b": UNSURE}).publish()
    second = Desk(few, {"c": UNSURE, "d": ("calm", 0.1)}, batch="b2")
    second.publish()
    assert second.column("state") == {"c": "decided", "d": "pending"}
    second.publish()
    assert second.column("state") == {"c": "decided", "d": "pending"}, "what waits keeps its place"
    decide(few, "a", "calm")
    second.publish()
    assert second.column("state") == {"c": "decided", "d": "pending"}, "what was decided stays so"


@settings(max_examples=60)
@given(
    confidences=st.lists(st.none() | st.floats(0, 1), min_size=1, max_size=8),
    room=st.integers(0, 9),
    data=st.data(),
)
def test_no_row_that_is_left_out_is_less_sure_than_one_that_waits(
    confidences: list[float | None], room: int, data: st.DataObject
) -> None:
    number = len(confidences)
    accepted = data.draw(st.lists(st.booleans(), min_size=number, max_size=number))
    frame = waitable(confidences)
    rows = messages(number)
    waiting, _ = let_wait(frame, rows, ~pd.Series(accepted), Said(room=room), b"secret")
    is_pending = frame["state"] == "pending"
    assert waiting["message_id"].tolist() == rows.loc[is_pending, "message_id"].tolist()
    assert len(waiting) == min(room, accepted.count(False))
    assert not (is_pending & pd.Series(accepted)).any()
    sureness = frame["confidence"].fillna(-1)
    left_out = ~is_pending & ~pd.Series(accepted)
    assert sureness[left_out].min() >= sureness[is_pending].max() or not is_pending.any() or not left_out.any()


def waitable(confidences: list[float | None]) -> pd.DataFrame:
    number = len(confidences)
    frame = pd.DataFrame(
        {"message_id": messages(number)["message_id"], "confidence": pd.Series(confidences, dtype=float)}
    )
    frame["label"] = pd.Series("calm", frame.index, dtype="str").where(frame["confidence"].notna())
    texts = pd.DataFrame("", frame.index, ["decided_by", "performer", "reason", "runner_up", "state"], dtype="str")
    return frame.join(texts).assign(disagreed=False, degraded=False, switched=False)


def test_nobody_is_asked_again_about_a_row_that_waits_or_has_a_verdict(home: Home) -> None:
    desk = Desk(home, {"a": UNSURE, "b": UNSURE, "c": SILENT, "d": SURE})
    desk.publish()
    assert desk.reader.asked == 4
    for message_id, label in (("b", "angry"), ("c", "merry"), ("a", "calm")):
        decide(home, message_id, label)
        found = desk.publish()
        assert (desk.reader.asked, found.work) == (4, [])
    assert desk.column("label") == {"a": "calm", "b": "angry", "c": "merry", "d": "calm"}
    assert desk.column("state") == dict.fromkeys("abcd", "decided")


def test_verdict_is_the_decision_of_who_made_it(home: Home) -> None:
    desk = Desk(home, {"a": UNSURE, "b": UNSURE})
    desk.publish()
    decided = decide(home, "a", "angry", name="ben")
    desk.publish()
    row = desk.row("a")
    shown = {name: row[name] for name in ("label", "decided_by", "performer", "version", "accepted", "confidence")}
    assert shown == {
        "label": "angry",
        "decided_by": "person",
        "performer": "ben",
        "version": f"verdict {decided.verdict_id}",
        "accepted": True,
        "confidence": None,
    }
    assert desk.row("b")["state"] == "pending"


def test_verdict_holds_also_when_the_performers_are_asked_again(home: Home) -> None:
    desk = Desk(home, {"a": UNSURE, "b": SURE})
    desk.publish()
    decide(home, "a", "angry")
    desk.answers["a"] = ("merry", 0.99)
    desk.publish(rescore=True)
    assert desk.reader.asked == 3, "not about the row with the verdict"
    assert desk.column("label") == {"a": "angry", "b": "calm"}


def test_verdict_on_an_appeal_stands_over_an_accepted_answer(home: Home) -> None:
    desk = Desk(home, {"a": SURE, "b": SURE})
    desk.publish()
    appeal(desk, "a")
    desk.publish()
    assert desk.row("a")["label"] == "calm", "what was decided stands meanwhile"
    decide(home, "a", "angry")
    desk.publish()
    assert desk.column("label") == {"a": "angry", "b": "calm"}
    assert desk.row("a")["decided_by"] == "person"


def test_verdict_on_content_that_changed_since_does_not_hold(home: Home) -> None:
    desk = Desk(home, {"a": UNSURE, "b": UNSURE})
    desk.publish()
    decide(home, "a", "angry")
    desk.publish()
    desk.texts["a"] = "something else"
    desk.publish()
    assert (desk.row("a")["state"], desk.row("a")["label"]) == ("pending", "calm")
    assert states(home, "a") == [("a", "unsure", "decided"), ("a", "unsure", "open")]
    desk.texts["a"] = "text of a"
    desk.publish()
    assert (desk.row("a")["state"], desk.row("a")["label"]) == ("decided", "angry"), "it is what was shown again"


def test_overdue_row_keeps_the_surest_answer_and_is_not_accepted(home: Home) -> None:
    desk = Desk(home, {"a": UNSURE, "b": SILENT, "c": UNSURE})
    desk.publish()
    for message_id in "ab":
        overdue(home, message_id, "surest")
    for _ in range(2):
        desk.publish()
        assert desk.column("state") == {"a": "decided", "b": "decided", "c": "pending"}
        assert desk.column("label") == {"a": "calm", "b": "unknown", "c": "calm"}
        assert desk.column("accepted") == dict.fromkeys("abc", False)
    assert "no verdict by " in desk.row("a")["reason"]
    assert desk.row("a")["decided_by"] == "model"
    assert desk.row("b")["decided_by"] == "safe_state"


def test_overdue_row_takes_the_safe_state_where_the_policy_says_so(home: Home) -> None:
    desk = Desk(home, {"a": UNSURE, "b": UNSURE})
    desk.publish()
    overdue(home, "a", "safe_state")
    desk.publish()
    row = desk.row("a")
    assert (row["label"], row["decided_by"], row["accepted"], row["state"]) == (
        "unknown",
        "safe_state",
        False,
        "decided",
    )
    assert desk.row("b")["state"] == "pending"


def test_nobody_is_asked_again_about_an_overdue_row_that_took_the_safe_state(home: Home) -> None:
    desk = Desk(home, {"a": UNSURE, "b": UNSURE})
    desk.publish()
    overdue(home, "a", "safe_state")
    for _ in range(3):
        desk.publish()
    assert desk.reader.asked == 2


def test_verdict_may_still_come_when_a_review_is_overdue(home: Home) -> None:
    desk = Desk(home, {"a": UNSURE})
    desk.publish()
    overdue(home, "a", "safe_state")
    desk.publish()
    decide(home, "a", "merry")
    desk.publish()
    assert (desk.row("a")["label"], desk.row("a")["accepted"]) == ("merry", True)
    assert states(home) == [("a", "unsure", "decided")]


def overdue(home: Home, message_id: str, default: str) -> None:
    """What `overdue_reviews` does to a review."""
    review = review_of(home, message_id, "open")
    let_time_pass(home, review.review_id)
    set_review(home, review.review_id, state="overdue", proposal={**review.proposal, "default": default})


def test_overdue_review_of_other_content_is_no_default_of_a_changed_row(home: Home) -> None:
    desk = Desk(home, {"a": UNSURE})
    desk.publish()
    overdue(home, "a", "surest")
    desk.texts["a"] = "something else"
    desk.publish()
    assert desk.row("a")["state"] == "pending"
    assert states(home) == [("a", "unsure", "overdue"), ("a", "unsure", "open")]


def test_cascade_without_people_lets_nothing_wait(home: Home) -> None:
    only = scripted("only", by_row({"m0": ("red", 0.9), "m1": ("red", 0.1), "m2": (None, None)}))
    found = Cascade(only, safe_state=SAFE).decide(messages(), home)
    assert found.waiting is None
    assert found.frame["state"].tolist() == ["decided"] * 3


def test_person_stands_last_and_is_not_called(home: Home) -> None:
    with pytest.raises(TypeError, match=r"Person\(\) stands before other performers. Put it last"):
        Cascade(Person(), scripted("only", same_answer("red", 0.9)), safe_state=SAFE)
    with pytest.raises(TypeError, match="answers by a verdict, and is not called"):
        Person().prepare(home).answer(messages())
    people: list[Performer] = [Person()]
    found = Cascade(*people, safe_state=SAFE).decide(messages(), home, asset="mood", partition=BATCH)
    assert (found.frame["state"].tolist(), found.work) == (["pending"] * 3, list[Work]())


CONTENT = st.fixed_dictionaries({"text": st.none() | st.text(max_size=4), "channel": st.sampled_from(["mail", "chat"])})


@settings(max_examples=60)
@given(first=CONTENT, second=CONTENT)
def test_digest_tells_contents_apart_and_nothing_else(first: dict[str, Any], second: dict[str, Any]) -> None:
    rows = pd.DataFrame([{"message_id": "a", **first}, {"message_id": "b", **second}], dtype="str")
    digests = content_digests(rows, b"secret")
    assert (digests[0] == digests[1]) == (first == second)
    assert digests.tolist() == content_digests(rows[["channel", "message_id", "text"]], b"secret").tolist()
    assert digests[0] != content_digests(rows, b"another")[0], "nobody tells a text from it without the secret"

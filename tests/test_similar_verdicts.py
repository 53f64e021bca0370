"""Messages like one that waits, on which people have decided."""

from dataclasses import replace
from typing import Any

import pytest
from reviewed_notes import UNSURE, Desk, decide, review_of, set_review
from shop_workflow import order, run, send

from orchestration_project.performers import similar_verdicts as looked_at
from orchestration_project.performers.similar_verdicts import message_of, similar_verdicts
from orchestration_project.stores.home import Home

NOTES = {
    "waits": "where is my parcel, it is three days late",
    "late": "my parcel is late, three days late",
    "lost": "the parcel is lost",
    "taste": "these biscuits taste of cardboard",
    "other": "WHERE IS MY PARCEL, IT IS THREE DAYS LATE",
}


@pytest.fixture
def home(home: Home) -> Home:
    """A home with notes that came in with orders; all but one have a verdict."""
    send(home, *(f'{message_id},"{text}",1' for message_id, text in NOTES.items()))
    assert run(home, order).success
    Desk(home, dict.fromkeys(NOTES, UNSURE)).publish()
    for message_id, label in (("late", "angry"), ("lost", "calm"), ("taste", "merry")):
        decide(home, message_id, label, "ben")
    return home


def alike(home: Home, message_id: str = "waits") -> list[dict[str, Any]]:
    review = review_of(home, message_id)
    return similar_verdicts(home, review, message_of(home, review))


def test_message_is_what_came_in(home: Home) -> None:
    found = message_of(home, review_of(home, "waits"))
    assert (found["message_id"], found["note"], found["batch"]) == ("waits", NOTES["waits"], "b1")


def test_most_similar_messages_with_a_verdict_are_shown_with_it(home: Home) -> None:
    found = alike(home)
    assert [(one["message_id"], one["label"], one["person"]) for one in found] == [
        ("late", "angry", "ben"),
        ("lost", "calm", "ben"),
    ]
    assert found[0]["text"] == NOTES["late"]
    assert 1 >= found[0]["similarity"] > found[1]["similarity"] >= 0.1


def test_case_says_nothing_and_the_same_words_are_first(home: Home) -> None:
    decide(home, "other", "merry")
    first = alike(home)[0]
    assert (first["message_id"], first["label"], first["similarity"]) == ("other", "merry", 1.0)


def test_message_is_not_like_itself(home: Home) -> None:
    assert "late" not in [one["message_id"] for one in alike(home, "late")]


def test_verdict_that_a_later_one_corrected_is_not_shown(home: Home) -> None:
    set_review(home, review_of(home, "late").review_id, state="open")
    decide(home, "late", "merry")
    assert ("late", "merry") in [(one["message_id"], one["label"]) for one in alike(home)]
    assert len([one for one in alike(home) if one["message_id"] == "late"]) == 1


def test_verdicts_of_other_assets_are_not_shown(home: Home) -> None:
    review = review_of(home, "waits")
    other = replace(review, asset="topic")
    assert similar_verdicts(home, other, message_of(home, review)) == []


def test_only_the_latest_verdicts_are_looked_at(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looked_at, "MOST_LOOKED_AT", 2)
    assert [one["message_id"] for one in alike(home)] == ["lost"]


def test_no_more_are_shown_than_help(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looked_at, "MOST_SHOWN", 1)
    assert [one["message_id"] for one in alike(home)] == ["late"]


def test_nothing_is_like_a_message_without_words(home: Home) -> None:
    assert similar_verdicts(home, review_of(home, "waits"), {"message_id": "waits", "note": "  "}) == []
    assert similar_verdicts(home, review_of(home, "waits"), {"message_id": "waits", "note": "!?"}) == []


def test_batch_whose_file_is_gone_is_left_out(home: Home) -> None:
    review = review_of(home, "waits")
    message = message_of(home, review)
    for file in (home.root / "warehouse").rglob("*.parquet"):
        file.unlink()
    assert similar_verdicts(home, review, message) == []


def test_message_of_other_batches_is_found_too(home: Home) -> None:
    send(home, "later,the parcel is three days late,1")
    assert run(home, order, batch="b2").success
    Desk(home, {"later": UNSURE}, batch="b2").publish()
    assert [one["message_id"] for one in alike(home, "later")] == ["late", "lost"]

"""What people decided, as labels: the texts of the messages, whose verdict each is, and what a training learns of it."""

from pathlib import Path

import pytest
from learning_home import in_use, publish, say
from test_labels import take

from orchestration_project.stores import erasures, labels, manifest
from orchestration_project.stores.erasures import Erasure
from orchestration_project.stores.families import Family
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.verdict_labels import labels_from_verdicts, verdicts_of

MOOD = Family("mood", "moods.csv", "mood")

Row = tuple[str, str, str, str]


def rows(home: Home, family: Family = MOOD) -> list[Row]:
    found = labels_from_verdicts(home, family)
    return list(found[["message_id", "text", "label", "source"]].itertuples(index=False, name=None))


@pytest.fixture
def mood(tmp_path: Path) -> Family:
    """A family that ships with a label of each kind."""
    (tmp_path / "moods.csv").write_text("message_id,text,mood\nx,grr,angry\ny,aah,calm\n")
    return Family("mood", str(tmp_path / "moods.csv"), "mood")


@pytest.fixture
def noted(any_home: Home) -> Home:
    """A home with two batches of notes."""
    in_use(any_home)
    for batch in ("b1", "b2"):
        notes = [{"message_id": f"{batch}-{name}", "text": f"text of {batch}-{name}"} for name in ("one", "two")]
        publish(any_home, "note", batch, notes)
        publish(any_home, "mood", batch, [{"message_id": note["message_id"], "text": "no text"} for note in notes])
    return any_home


def test_without_verdicts_there_are_none(noted: Home) -> None:
    assert rows(noted) == []


def test_each_verdict_is_a_label_of_what_the_message_said(noted: Home) -> None:
    say(noted, "b1", "b1-one", "angry")
    say(noted, "b2", "b2-two", "calm", person="ben")
    assert rows(noted) == [
        ("b1-one", "text of b1-one", "angry", "verdict of anna"),
        ("b2-two", "text of b2-two", "calm", "verdict of ben"),
    ]


def test_the_verdict_that_stands_counts(noted: Home) -> None:
    say(noted, "b1", "b1-one", "angry")
    say(noted, "b1", "b1-one", "calm", person="ben")
    assert [row[2:] for row in rows(noted)] == [("calm", "verdict of ben")]


def test_what_a_model_answered_and_nobody_looked_at_is_no_label(noted: Home, mood: Family) -> None:
    assert {row for row in labels.current(noted, mood)["source"]} == {mood.labels_file}


def test_a_verdict_is_a_label_of_the_models_that_are_asked_there(noted: Home) -> None:
    say(noted, "b1", "b1-one", "angry")
    with noted.ledger.read() as connection:
        assert len(verdicts_of(connection, MOOD)) == 1
        assert verdicts_of(connection, Family("topic", "topics.csv", "topic")) == []
    assert rows(noted, Family("topic", "topics.csv", "topic")) == []


def test_a_message_of_a_batch_that_was_given_up_is_no_label(noted: Home) -> None:
    say(noted, "b1", "b1-one", "angry")
    with noted.ledger.write() as connection:
        manifest.withdraw(connection, "b1")
    assert rows(noted) == []


def test_a_message_that_was_erased_is_no_label(noted: Home) -> None:
    say(noted, "b1", "b1-one", "angry")
    with noted.ledger.write() as connection:
        erasures.put(connection, Erasure("b1-one", "asked for", "anna", now(), {}))
    assert rows(noted) == []


def test_a_training_learns_them_and_a_later_import_corrects_them(noted: Home, mood: Family) -> None:
    say(noted, "b1", "b1-one", "angry")
    learnt = labels.current(noted, mood).set_index("message_id")
    assert learnt.loc["b1-one", ["text", "label", "source"]].tolist() == ["text of b1-one", "angry", "verdict of anna"]
    take(noted, mood, [("b1-one", "text of b1-one", "calm")])
    assert labels.current(noted, mood).set_index("message_id").loc["b1-one", "source"] == "more.csv"
    say(noted, "b1", "b1-one", "angry", person="ben")
    assert labels.current(noted, mood).set_index("message_id").loc["b1-one", "source"] == "verdict of ben"


def test_a_label_that_the_family_does_not_know_is_not_learnt_from_a_verdict(noted: Home, mood: Family) -> None:
    say(noted, "b1", "b1-one", "unknown")
    assert set(labels.current(noted, mood)["label"]) == {"angry", "calm"}


def test_verdicts_before_the_labels_were_replaced_count_no_more(noted: Home, mood: Family) -> None:
    say(noted, "b1", "b1-one", "angry")
    take(noted, mood, [("z", "zzz", "calm"), ("q", "qqq", "angry")], replaces=True)
    assert set(labels.current(noted, mood)["message_id"]) == {"z", "q"}
    say(noted, "b2", "b2-one", "angry")
    assert set(labels.current(noted, mood)["message_id"]) == {"z", "q", "b2-one"}

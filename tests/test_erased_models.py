"""Which models learnt a message by what people decided on it."""

from dataclasses import replace
from pathlib import Path

import pytest
from learning_home import CHALLENGER, in_use, on_trial, say

from orchestration_project.core.erasing import Words
from orchestration_project.governance.erased_models import shipped_with, versions_that_learnt_verdicts
from orchestration_project.governance.erasure_traces import find
from orchestration_project.stores import families
from orchestration_project.stores.families import Family
from orchestration_project.stores.home import Home


def learnt(home: Home, message_id: str) -> set[tuple[str, str]]:
    with home.ledger.read() as connection:
        return versions_that_learnt_verdicts(connection, message_id)


def test_versions_that_were_trained_after_the_verdict_learnt_it(any_home: Home) -> None:
    in_use(any_home)
    say(any_home, "b1", "m", "angry")
    on_trial(any_home)
    on_trial(any_home, replace(CHALLENGER, family="topic", version="other"))
    assert learnt(any_home, "m") == {("mood", CHALLENGER.version)}
    assert learnt(any_home, "another") == set()


def test_a_verdict_that_no_training_followed_was_learnt_by_none(any_home: Home) -> None:
    in_use(any_home)
    say(any_home, "b1", "m", "angry")
    assert learnt(any_home, "m") == set()


def test_labels_that_are_shipped_are_named_where_they_have_it_and_where_they_cannot_be_read(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_use(home)
    say(home, "b1", "m", "angry")
    file, gone = tmp_path / "labels.csv", tmp_path / "gone.csv"
    file.write_text("message_id,text,label\nm,it is late,angry\nx,fine,calm\n")
    shipping = [Family("mood", str(file), "label"), Family("topic", str(gone), "label")]
    monkeypatch.setattr(families, "families", lambda: shipping)
    unreached: list[str] = []
    assert shipped_with(find(home, "m", Words()), unreached) == {"mood": str(file)}
    (told,) = unreached
    assert told.startswith(
        f"The labels that topic ships with may have it, and cannot be read: There is no label file {gone}"
    )

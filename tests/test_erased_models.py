"""Which models learnt a message by what people decided on it."""

from dataclasses import replace

from learning_home import CHALLENGER, in_use, on_trial, say

from orchestration_project.governance.erased_models import versions_that_learnt_verdicts
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

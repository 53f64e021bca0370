"""What a version on trial shows beside the version in use: answers, agreement by label, and F1 on what people decided."""

import pytest
from learning_home import MODEL, decided, in_use, on_trial, publish, say
from note_workflow import CHAMPION

from orchestration_project.governance.trial_results import TrialResult, counted, result_of
from orchestration_project.stores import manifest, trials
from orchestration_project.stores.home import Home
from orchestration_project.stores.trials import Trial


@pytest.fixture
def home(any_home: Home) -> Home:
    in_use(any_home)
    on_trial(any_home)
    return any_home


def trial_of(home: Home) -> Trial:
    with home.ledger.read() as connection:
        found = trials.of_family(connection, "mood")
    assert found is not None
    return found


def result(home: Home) -> TrialResult:
    found = result_of(home, trial_of(home))
    assert counted(home, trial_of(home)) == TrialResult(found.answers, lost=found.lost)
    return found


def test_before_it_was_asked_there_is_nothing(home: Home) -> None:
    assert result(home) == TrialResult()


def test_agreement_is_counted_by_what_the_version_in_use_answered(home: Home) -> None:
    decided(home, "b1", {"a": ("calm", "calm"), "b": ("calm", "angry"), "c": ("angry", "angry")})
    decided(home, "b2", {"d": ("calm", "calm")})
    found = result(home)
    assert found.answers == 4
    assert [(one.label, one.alike, one.rows) for one in found.agreements] == [("angry", 1, 1), ("calm", 2, 3)]
    assert all(one.low <= one.share <= one.high for one in found.agreements)
    assert (found.decided, list(found.differences)) == (0, [])


def test_answers_of_another_version_do_not_count(home: Home) -> None:
    decided(home, "b1", {"a": ("calm", "calm")}, version="older")
    assert result(home) == TrialResult()


def test_answers_from_before_the_trial_do_not_count(home: Home) -> None:
    decided(home, "b1", {"a": ("calm", "calm")})
    with home.ledger.write() as connection:
        trials.end(connection, "mood")
    on_trial(home)
    assert result(home) == TrialResult()
    decided(home, "b2", {"b": ("calm", "angry")})
    assert [(one.label, one.alike, one.rows) for one in result(home).agreements] == [("calm", 0, 1)]


@pytest.mark.parametrize("asset", ["mood_shadow", "mood"])
def test_answers_whose_file_is_gone_are_told(home: Home, asset: str) -> None:
    decided(home, "b1", {"a": ("calm", "calm")})
    decided(home, "b2", {"b": ("calm", "calm"), "c": ("calm", "calm")})
    with home.ledger.read() as connection:
        version = manifest.current(connection, asset, "b1")
    assert version is not None
    (home.warehouse.root / version.path).unlink()
    found = result(home)
    assert (found.answers, found.lost) == (2, (version.path,))
    assert found.told(200) == f"2 of 200 answers in shadow; lost with their file: those of {version.path}"


def test_version_in_use_that_is_in_shadow_itself_is_compared_by_what_it_answered_there(home: Home) -> None:
    names = [f"m{number}" for number in range(12)]
    publish(home, "note", "b1", [{"message_id": name, "text": name} for name in names])
    decisions = [{"message_id": name, "label": "angry", "performer": "anna"} for name in names]
    publish(home, "mood", "b1", decisions)
    shadow = [
        {"message_id": name, "performer": MODEL, "version": version, "label": label, "decided": "angry"}
        for name in names
        for version, label in ((CHAMPION.version, "calm"), ("challenger", "angry"))
    ]
    publish(home, "mood_shadow", "b1", shadow)
    for name in names:
        say(home, "b1", name, "angry", proposed=None)
    found = result(home)
    assert (found.answers, found.decided) == (12, 12)
    assert [(one.label, one.alike, one.rows) for one in found.agreements] == [("calm", 0, 12)]
    assert found.differences[0].low > 0


def test_on_what_people_decided_both_are_held_against_the_verdict(home: Home) -> None:
    answers = {f"m{number}": ("calm", "angry") for number in range(12)}
    decided(home, "b1", answers)
    for name in answers:
        say(home, "b1", name, "angry", proposed="calm")
    found = result(home)
    assert found.decided == 12
    overall = found.differences[0]
    assert (overall.label, overall.low > 0) == ("all", True), "the version on trial was right, the one in use was not"
    assert [(one.label, one.alike, one.rows) for one in found.agreements] == [("calm", 0, 12)]

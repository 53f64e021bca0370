"""What each performer answered on a row: read out of the row's reason, the audit log and the models' versions."""

from typing import Any

import pytest

from orchestration_project.governance import audit
from orchestration_project.stores import manifest, model_versions
from orchestration_project.stores.answers import Answer, answers_on, parts_of, with_versions
from orchestration_project.stores.home import Home
from orchestration_project.stores.model_versions import ModelVersion
from orchestration_project.stores.warehouse import StoredFile

PERFORMERS = ("issue rules", "issue model", "clerk", "safe label unknown")
OFF = "is off since 2026-11-30T12:03+00:00, by anna: it is wrong"


def answers(reason: str, *, is_pending: bool = False, **decision: Any) -> list[Answer]:
    row = {
        "label": "late",
        "confidence": 0.9,
        "accepted": True,
        "performer": "issue model",
        "version": "v1",
        **decision,
    }
    return answers_on(row, PERFORMERS, parts_of(reason, PERFORMERS, "issue"), is_pending=is_pending)


def outcomes(found: list[Answer]) -> dict[str, str]:
    return {answer.performer: answer.outcome for answer in found}


def test_doubts_before_the_accepted_answer_are_their_performers_and_what_follows_is_its_own() -> None:
    rules, model, clerk, safe = answers("issue rules: no rule matches; for late, rain; against sun")
    assert rules == Answer("issue rules", "no answer", why="no rule matches")
    assert model == Answer("issue model", "accepted", "v1", "late", 0.9, why="for late, rain; against sun")
    assert (clerk.outcome, safe.outcome) == ("not asked", "not asked")


def test_doubt_tells_label_confidence_threshold_and_words() -> None:
    reason = "issue rules: rude 0.41, below 0.70 (rule shout); issue model: late 0.50, below 0.85 (for a; against b); clerk: rude without a measured confidence"
    rules, model, clerk, safe = answers(reason, accepted=False, confidence=0.504)
    assert rules == Answer("issue rules", "not accepted", None, "rude", 0.41, 0.7, "rule shout")
    assert model == Answer("issue model", "kept", "v1", "late", 0.504, 0.85, "for a; against b")
    assert clerk == Answer("clerk", "not accepted", None, "rude", None, None, "without a measured confidence")
    assert safe.outcome == "not asked"


def test_performer_without_a_threshold_says_so() -> None:
    rules, *_ = answers("issue rules: rude 0.41, no threshold is set (rule shout)")
    assert (rules.outcome, rules.threshold, rules.why) == ("not accepted", None, "no threshold is set (rule shout)")


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ("clerk failed: ValueError('no; not this')", "failed"),
        ("clerk is unavailable: ConnectionError('refused')", "failed"),
        ("clerk was not asked: circuit open since 2026-11-30T12:03+00:00", "failed"),
        (f"clerk {OFF}", "switched off"),
    ],
)
def test_failures_and_switches_are_told_as_such(said: str, outcome: str) -> None:
    found = {answer.performer: answer for answer in answers(said, performer="safe label unknown", accepted=False)}
    assert (found["clerk"].outcome, found["clerk"].why) == (outcome, said)
    assert found["safe label unknown"].outcome == "kept"


def test_version_that_is_off_is_its_performers() -> None:
    found = answers(f"version issue/v9 {OFF}", performer="clerk")
    assert outcomes(found)["issue rules"] == "switched off"  # whichever of the family has said nothing else
    found = answers(f"issue rules: no rule matches; version issue/v9 {OFF}", performer="clerk")
    assert outcomes(found) == {
        "issue rules": "no answer",
        "issue model": "switched off",
        "clerk": "accepted",
        "safe label unknown": "not asked",
    }


def test_what_is_said_of_the_asset_and_the_row_is_nobodys_answer() -> None:
    reason = "issue model: late 0.50, below 0.85; issue is sent to people since 2026-11-30T12:03+00:00, by anna: why; no verdict by 2026-12-01T00:00+00:00; too many rows wait for people already"
    told = parts_of(reason, PERFORMERS, "issue")
    assert [one.split(" since")[0] for one in told.besides] == [
        "issue is sent to people",
        "no verdict by 2026-12-01T00:00+00:00",
        "too many rows wait for people already",
    ]
    assert told.own == ""


def test_pending_row_is_proposed_and_one_without_any_answer_has_none() -> None:
    assert (
        outcomes(answers("issue model: late 0.50, below 0.85", accepted=False, is_pending=True))["issue model"]
        == "proposed"
    )
    silent = answers("issue model: no answer", label=None, confidence=None, accepted=False, performer="person")
    assert outcomes(silent) == {
        "issue rules": "not recorded",
        "issue model": "no answer",
        "clerk": "not recorded",
        "safe label unknown": "not asked",
    }


def test_performer_that_the_cascade_has_no_more_stands_last() -> None:
    assert answers("", performer="an older clerk")[-1] == Answer("an older clerk", "accepted", "v1", "late", 0.9)


def test_versions_and_thresholds_are_those_of_the_latest_run_that_asked(any_home: Home) -> None:
    work = {"performer": "issue rules", "version": "r1", "threshold": 0.6}
    later = [{**work, "version": "r2", "threshold": 0.7}, {**work, "performer": "clerk", "in_shadow": True}]
    with any_home.ledger.write() as connection:
        file = StoredFile("p", "s", 1)
        named: dict[str, Any] = {"partition": "b1", "run_id": "r", "file": file, "replaces": 0, "inputs": {}}
        manifest.publish(connection, asset="issue", **named)
        audit.append(connection, "published", "issue/b1", {"performers": [work]})
        audit.append(connection, "published", "issue/b1", {"performers": later})
        audit.append(connection, "published", "issue/b2", {"performers": [{**work, "version": "r3"}]})
        model_versions.record(connection, ModelVersion("issue", "v1", "p", "s", 0.85, ("late",), {}, {}))
        found = with_versions(connection, answers("issue rules: no rule matches"), "issue", "b1")
        own = with_versions(connection, [Answer("issue rules", "accepted", "r1", "late", 0.9)], "issue", "b1")
    assert [(answer.version, answer.threshold) for answer in found] == [
        ("r2", 0.7),
        ("v1", 0.85),
        (None, None),
        (None, None),
    ]
    assert own[0].threshold == 0.6, "of the version that decided"

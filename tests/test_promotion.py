"""Which version may be in use: each rule, the order that a person gives, and what is recorded of either."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from orchestration_project.core.comparison import Difference
from orchestration_project.core.errors import Conflict, Refused
from orchestration_project.core.settings import Settings
from orchestration_project.governance import people
from orchestration_project.governance.policy import Learning
from orchestration_project.governance.promotion import (
    Order,
    Terms,
    Verdict,
    by_whom,
    has_lost_trial,
    judge_candidate,
    record_verdict,
)
from orchestration_project.governance.trial_results import TrialResult
from orchestration_project.stores import champions, model_versions, switches, trials
from orchestration_project.stores.ledger import Ledger
from orchestration_project.stores.model_versions import ModelVersion
from orchestration_project.stores.schema import AUDIT
from orchestration_project.stores.switches import Switch
from orchestration_project.stores.trials import Trial

OLD = ModelVersion("mood", "old1", "old.joblib", "aa", 0.9, ("cross", "glad"), {}, {})
NEW = replace(OLD, version="new1", path="new.joblib", sha256="bb")
OTHER_LABELS = replace(NEW, labels=("cross", "merry"))

AS_GOOD = [Difference("all", -0.01, -0.03, 0.02, 0.4), Difference("cross", -0.02, -0.05, 0.01, 0.1)]
UNTRIED = Terms(Learning(), was_in_use=True)
"""No trial is asked for."""

WORSE = [Difference("all", -0.08, -0.12, -0.04, 0.0001), Difference("cross", -0.1, -0.2, -0.05, 0.001)]


def judged(
    candidate: ModelVersion = NEW,
    incumbent: ModelVersion | None = OLD,
    differences: list[Difference] = AS_GOOD,
    *,
    replaced: bool = False,
    **order: Any,
) -> Verdict:
    return judge_candidate(
        Order(**order), candidate, incumbent, differences, labels_replaced=replaced, switch=None, terms=UNTRIED
    )


def test_first_version_is_promoted() -> None:
    assert judged(incumbent=None, differences=[]) == Verdict(True, "the first version of its family")


def test_version_in_use_stays() -> None:
    assert judged(candidate=OLD) == Verdict(False, "the same labels and code gave the version in use")


def test_version_that_is_not_worse_beyond_chance_is_promoted() -> None:
    verdict = judged()
    assert verdict == Verdict(
        True, "not worse: macro-F1 on the same holdout -0.010 (95 % -0.030 to +0.020) against old1"
    )


def test_worse_version_stays_out_and_the_reason_gives_interval_and_class() -> None:
    verdict = judged(differences=WORSE)
    assert verdict == Verdict(
        False,
        "worse than old1 on the same holdout: macro-F1 -0.080 (95 % -0.120 to -0.040), "
        "F1 of cross -0.100 (95 % -0.200 to -0.050)",
    )


def test_worse_version_is_promoted_by_an_order_that_says_so_and_keeps_its_reason() -> None:
    order = {"action": "promote", "version": "new1", "reason": "the holdout is stale"}
    assert not judged(differences=WORSE, **order).is_promoted
    verdict = judged(differences=WORSE, even_if_worse=True, **order)
    assert verdict.is_promoted
    assert verdict.reason.startswith("by order, though worse: macro-F1 -0.080")
    assert verdict.reason.endswith(": the holdout is stale")


def test_lost_file_of_the_version_in_use_stands_in_nobodys_way() -> None:
    assert judged(differences=[]) == Verdict(True, "the version in use, old1, can no longer be read")


@pytest.mark.parametrize(
    ("replaced", "new_labels", "is_promoted", "told"),
    [
        (False, False, False, "Run: orchestrate labels import FILE --model mood --replace"),
        (False, True, False, "Run: orchestrate labels import FILE --model mood --replace"),
        (True, False, False, "Run: orchestrate train --model mood --new-labels REASON"),
        (True, True, True, "another label set (new merry; gone glad): new shop"),
    ],
)
def test_other_labels_need_a_replaced_label_set_and_an_order(
    replaced: bool, new_labels: bool, is_promoted: bool, told: str
) -> None:
    verdict = judged(OTHER_LABELS, differences=[], replaced=replaced, new_labels=new_labels, reason="new shop")
    assert verdict.is_promoted == is_promoted
    assert "(new merry; gone glad)" in verdict.reason
    assert told in verdict.reason


def test_rollback_asks_for_no_comparison() -> None:
    verdict = judged(OTHER_LABELS, differences=WORSE, action="rollback", reason="alerts were wrong")
    assert verdict == Verdict(True, "back from old1: alerts were wrong")


@given(
    st.builds(
        Order,
        action=st.sampled_from(["train", "promote", "rollback"]),
        version=st.text(),
        reason=st.text(),
        new_labels=st.booleans(),
        even_if_worse=st.booleans(),
    )
)
def test_order_survives_its_tags(order: Order) -> None:
    assert Order.from_tags({"dagster/run": "x", **order.to_tags()}) == order


def test_unknown_order_is_refused_and_none_is_a_training() -> None:
    assert Order.from_tags({}) == Order("train")
    with pytest.raises(Refused, match=r"orchestrate/order is 'demote'. Set one of: train, promote, rollback"):
        Order.from_tags({"orchestrate/order": "demote"})


# On trial

TRIAL = Trial(NEW, "anna", datetime(2026, 3, 1, 12, tzinfo=UTC))
ENOUGH = TrialResult(answers=200)


def tried(trial: Trial | None = TRIAL, result: TrialResult = ENOUGH, approval: str = "nobody", **more: Any) -> Verdict:
    states = {name: more.pop(name, False) for name in ("was_in_use", "is_replaced", "has_lost")}
    terms = Terms(Learning(approval=approval), trial, result, **states)
    candidate, differences = more.pop("candidate", NEW), more.pop("differences", AS_GOOD)
    replaced = more.pop("replaced", False)
    return judge_candidate(
        Order(**more), candidate, OLD, differences, labels_replaced=replaced, switch=None, terms=terms
    )


def test_version_that_may_be_in_use_goes_on_trial_first() -> None:
    verdict = tried(trial=None, result=TrialResult())
    assert (verdict.is_promoted, verdict.is_on_trial) == (False, True)
    assert verdict.reason.startswith("on trial from now on: not worse: macro-F1")


def test_version_that_is_worse_on_the_holdout_is_not_tried() -> None:
    verdict = tried(trial=None, differences=WORSE)
    assert (verdict.is_promoted, verdict.is_on_trial) == (False, False)


@pytest.mark.parametrize("action", ["train", "promote", "rollback"])
def test_version_that_was_in_use_need_not_be_tried(action: str) -> None:
    assert tried(trial=None, was_in_use=True, action=action).is_promoted


def test_nobody_goes_back_to_a_version_that_never_was_in_use() -> None:
    verdict = tried(trial=None, action="rollback", version="new1", person="anna")
    assert (verdict.is_promoted, verdict.is_on_trial) == (False, False)


def test_where_the_version_in_use_was_switched_off_nobody_waits_for_a_trial() -> None:
    assert tried(trial=None, result=TrialResult(), is_replaced=True).is_promoted
    assert tried(trial=None, result=TrialResult(), is_replaced=True, approval="somebody").is_on_trial


def test_version_that_lost_its_trial_is_tried_again_only_by_order_of_a_person() -> None:
    assert not tried(trial=None, has_lost=True).is_on_trial
    assert tried(trial=None, has_lost=True, person="anna").is_on_trial


def test_few_decided_rows_show_nothing() -> None:
    assert tried(result=TrialResult(200, decided=29, differences=WORSE)).is_promoted


def test_order_to_have_it_in_use_though_it_is_worse_lasts_for_the_trial() -> None:
    assert tried(trial=None, even_if_worse=True, person="anna").even_if_worse
    kept = replace(TRIAL, even_if_worse=True)
    assert tried(kept, TrialResult(200, decided=40, differences=WORSE)).is_promoted


def test_trial_is_not_over_before_so_many_answers() -> None:
    assert tried(result=TrialResult(answers=199)) == Verdict(
        False, "still on trial: 199 of 200 answers in shadow", True
    )
    verdict = tried()
    assert verdict.is_promoted and verdict.reason.endswith("against old1; 200 answers in shadow")


def test_version_that_is_worse_on_what_people_decided_is_not_promoted_unless_by_order() -> None:
    result = TrialResult(200, decided=40, differences=WORSE)
    verdict = tried(result=result)
    assert (verdict.is_promoted, verdict.is_on_trial) == (False, False)
    assert verdict.reason.startswith("worse than the version in use on 40 rows that people decided: macro-F1 -0.080")
    assert tried(result=result, action="promote", even_if_worse=True, person="ben").is_promoted


def test_another_takes_its_place_only_by_order_of_a_person() -> None:
    other = replace(NEW, version="new2", sha256="cc")
    verdict = tried(candidate=other)
    assert verdict == Verdict(False, "new1 is on trial since 2026-03-01T12:00+00:00; new2 may be next")
    assert tried(candidate=other, person="anna").is_on_trial


def test_version_waits_for_approval_where_the_policy_asks() -> None:
    verdict = tried(approval="somebody")
    assert (verdict.is_promoted, verdict.is_on_trial) == (False, True)
    assert "it waits for approval: orchestrate model promote mood new1 --reason TEXT" in verdict.reason
    assert tried(approval="somebody", action="promote", person="anna").is_promoted


def test_whoever_had_it_trained_may_not_approve_where_the_policy_says_so() -> None:
    verdict = tried(approval="somebody_else", action="promote", person="anna")
    assert verdict == Verdict(False, "anna had it trained, and may not approve of it. Ask another approver", True)
    assert tried(approval="somebody_else", action="promote", person="ben").is_promoted


def test_approval_does_not_shorten_a_trial() -> None:
    verdict = tried(result=TrialResult(answers=3), approval="somebody", action="promote", person="ben")
    assert verdict == Verdict(False, "still on trial: 3 of 200 answers in shadow", True)


def test_another_label_set_is_not_tried_and_is_approved_of_all_the_same() -> None:
    new = {"candidate": OTHER_LABELS, "differences": [], "replaced": True, "new_labels": True, "person": "anna"}
    assert tried(trial=None, **new).is_promoted
    assert tried(trial=None, approval="somebody_else", **new).is_on_trial
    on_trial = Trial(OTHER_LABELS, "anna", TRIAL.started_at)
    approved = tried(on_trial, TrialResult(), "somebody_else", **{**new, "person": "ben"}, action="promote")
    assert approved.is_promoted and approved.reason.endswith("; approved")


def test_whoever_had_it_trained_stays_known_and_a_lost_trial_too(ledger: Ledger) -> None:
    begun = Verdict(False, "on trial from now on", True)
    with ledger.write() as connection:
        record_verdict(connection, OLD, Verdict(True, "first"))
        record_verdict(connection, NEW, begun, "anna")
        assert not has_lost_trial(connection, NEW)
        record_verdict(connection, NEW, Verdict(False, "worse"), "")
        assert has_lost_trial(connection, NEW)
        record_verdict(connection, NEW, begun, "ben")
        trial = trials.of_family(connection, "mood")
    assert trial is not None and trial.trained_by == "anna"


def test_version_that_was_switched_off_meanwhile_is_judged_again(ledger: Ledger) -> None:
    with ledger.write() as connection:
        switches.put(connection, Switch("version", NEW.name, "off", None, "anna", "it is wrong", TRIAL.started_at))
    with pytest.raises(Conflict, match="version mood/new1 is off"), ledger.write() as connection:
        record_verdict(connection, NEW, Verdict(True, "first"))
    with ledger.read() as connection:
        assert champions.champion(connection, "mood") is None


@pytest.mark.parametrize(
    ("tags", "expected"),
    [({"dagster/schedule_name": "x"}, ""), ({"dagster/sensor_name": "x"}, ""), ({"dagster/run": "x"}, "root")],
)
def test_run_that_a_person_launched_is_that_persons_order(
    tags: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "system_user", lambda: "root")
    assert by_whom(Settings(), Order(), tags).person == expected
    assert by_whom(Settings(), Order(person="anna"), tags).person == "anna"


def test_trial_is_audited_from_its_start_to_its_end(ledger: Ledger) -> None:
    begun = Verdict(False, "on trial from now on", True)
    found = recorded(
        ledger, (OLD, Verdict(True, "first")), (NEW, begun), (NEW, begun), (NEW, Verdict(True, "no worse"))
    )
    assert [action for action, _, _ in found] == ["promoted", "on trial", "promoted"]
    with ledger.read() as connection:
        assert trials.of_family(connection, "mood") is None
        assert champions.require_champion(connection, "mood") == NEW


def test_trial_ends_with_a_version_that_is_worse_and_with_another_in_use(ledger: Ledger) -> None:
    begun, other = Verdict(False, "on trial from now on", True), replace(NEW, version="new2", sha256="cc")
    recorded(ledger, (OLD, Verdict(True, "first")), (NEW, begun), (NEW, Verdict(False, "worse")))
    with ledger.read() as connection:
        assert trials.of_family(connection, "mood") is None
    recorded(ledger, (NEW, begun), (other, Verdict(False, "new1 is on trial")))
    with ledger.read() as connection:
        assert trials.of_family(connection, "mood") is not None
    recorded(ledger, (other, Verdict(True, "by order")))
    with ledger.read() as connection:
        assert trials.of_family(connection, "mood") is None


def recorded(ledger: Ledger, *verdicts: tuple[ModelVersion, Verdict]) -> list[tuple[str, str, str]]:
    """(action, subject, reason) of the audit entries that these verdicts leave."""
    with ledger.write() as connection:
        for candidate, verdict in verdicts:
            record_verdict(connection, candidate, verdict)
    with ledger.read() as connection:
        rows = connection.execute(sa.select(AUDIT.c.action, AUDIT.c.subject, AUDIT.c.detail).order_by(AUDIT.c.sequence))
        return [(action, subject, json.loads(detail)["reason"]) for action, subject, detail in rows]


def test_both_verdicts_are_audited_and_the_refused_version_stays_recorded(ledger: Ledger) -> None:
    found = recorded(ledger, (OLD, Verdict(True, "first")), (NEW, Verdict(False, "worse")))
    assert found == [("promoted", "mood/old1", "first"), ("not promoted", "mood/new1", "worse")]
    with ledger.read() as connection:
        assert champions.champion(connection, "mood") == OLD
        assert sorted(v.version for v, _ in model_versions.recorded(connection, "mood")) == ["new1", "old1"]


def test_training_that_gave_the_version_in_use_leaves_no_entry(ledger: Ledger) -> None:
    assert len(recorded(ledger, (OLD, Verdict(True, "first")), (OLD, Verdict(False, "the same")))) == 1

"""Which version may be in use: each rule, the order that a person gives, and what is recorded of either."""

import json
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from orchestration_project.core.comparison import Difference
from orchestration_project.core.errors import Refused
from orchestration_project.governance.promotion import Order, Verdict, judge_candidate, record_verdict
from orchestration_project.stores import champions, model_versions
from orchestration_project.stores.ledger import Ledger
from orchestration_project.stores.model_versions import ModelVersion
from orchestration_project.stores.schema import AUDIT

OLD = ModelVersion("mood", "old1", "old.joblib", "aa", 0.9, ("cross", "glad"), {}, {})
NEW = replace(OLD, version="new1", path="new.joblib", sha256="bb")
OTHER_LABELS = replace(NEW, labels=("cross", "merry"))

AS_GOOD = [Difference("all", -0.01, -0.03, 0.02, 0.4), Difference("cross", -0.02, -0.05, 0.01, 0.1)]
WORSE = [Difference("all", -0.08, -0.12, -0.04, 0.0001), Difference("cross", -0.1, -0.2, -0.05, 0.001)]


def judged(
    candidate: ModelVersion = NEW,
    incumbent: ModelVersion | None = OLD,
    differences: list[Difference] = AS_GOOD,
    *,
    replaced: bool = False,
    **order: Any,
) -> Verdict:
    return judge_candidate(Order(**order), candidate, incumbent, differences, labels_replaced=replaced)


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

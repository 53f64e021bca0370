"""The performer that fails by a plan: for every fault, which row goes where, and that none is lost or decided twice."""

from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted_cascades import SAFE, assert_each_row_decided_once, by_row, column, decide, messages, scripted

from orchestration_project.core.errors import PerformerFailed
from orchestration_project.performers import turns
from orchestration_project.performers.asking import ATTEMPTS
from orchestration_project.performers.cascade import Cascade, Decisions
from orchestration_project.performers.faulty import FAULTS, UNKNOWN, Fault, Faulty, Plan
from orchestration_project.performers.scripted import same_answer
from orchestration_project.stores.home import Home

ANSWERS = {"m0": ("red", 0.9), "m1": ("red", 0.1), "m2": (None, None)}
"""Of the performer that fails: sure, unsure, none."""

NEXT = {"m0": ("green", 0.8), "m1": ("green", 0.7), "m2": (None, None)}

SAID: dict[Fault, str] = {
    "transient": "first is unavailable: PerformerUnavailable('a fault that was injected')",
    "permanent": "first failed: ValueError('a fault that was injected')",
    "hang": "first gave no answer within",
    "wrong type": "first answered list and no frame",
    "unknown label": f"first answered 3 of 3 rows with none of its labels: {UNKNOWN}",
    "too few rows": "first was asked about 3 rows and answered 2 others",
    "other order": "first was asked about 3 rows and answered 3 others",
}
"""What every row says of the faults by which a performer fails."""

CALLS = {"transient": ATTEMPTS}


def faulty(home: Home, plan: Plan, *, limit_seconds: float = 0.05) -> tuple[Faulty, Decisions]:
    inner = scripted("first", by_row(ANSWERS), limit_seconds=limit_seconds if plan.fault == "hang" else None)
    first = Faulty(inner, plan)
    found = decide(Cascade(first, scripted("next", by_row(NEXT)), safe_state=SAFE), home)
    first.release()
    assert_each_row_decided_once(messages(), found)
    return first, found


@pytest.mark.parametrize("fault", SAID)
def test_all_rows_of_a_performer_that_fails_go_on_and_say_so(home: Home, fault: Fault) -> None:
    first, found = faulty(home, Plan(fault))
    assert column(found, "performer") == ["next", "next", SAFE.name]
    assert column(found, "accepted") == [True, True, False]
    assert column(found, "degraded") == [True] * 3
    assert all(reason.startswith(SAID[fault]) for reason in column(found, "reason"))
    assert first.calls == CALLS.get(fault, 1)
    work = found.work[0]
    assert (work.calls, len(work.failed_calls), work.asked) == (first.calls, first.calls, 0)
    assert [done.performer for done in found.work] == ["first", "next", SAFE.name]


def test_a_slow_answer_within_the_time_counts(home: Home) -> None:
    _, found = faulty(home, Plan("slow"))
    assert column(found, "performer") == ["first", "next", SAFE.name]
    assert column(found, "degraded") == [False] * 3


def test_answers_without_label_are_no_answers_and_no_failure(home: Home) -> None:
    _, found = faulty(home, Plan("no label"))
    assert column(found, "performer") == ["next", "next", SAFE.name]
    assert column(found, "degraded") == [False] * 3
    assert all(reason.startswith("first: no answer") for reason in column(found, "reason")[1:])


@pytest.mark.parametrize("calls", [1, ATTEMPTS - 1])
def test_a_fault_that_passes_is_outlived_by_asking_again(home: Home, calls: int) -> None:
    first, found = faulty(home, Plan("transient", calls=calls))
    assert column(found, "performer")[0] == "first"
    assert column(found, "degraded") == [False] * 3
    assert found.work[0].calls == first.calls == calls + 1
    assert found.work[0].failed_calls == ["PerformerUnavailable"] * calls
    assert found.work[0].failure is None


def test_every_fault_is_tried_here() -> None:
    assert {*SAID, "slow", "no label"} == set(FAULTS)


def test_a_faulty_safe_state_is_raised_for_nobody_stands_behind_it(home: Home) -> None:
    with pytest.raises(PerformerFailed, match="safe label unknown failed: ValueError"):
        decide(Cascade(safe_state=Faulty(SAFE, Plan("permanent"))), home)


def test_a_faulty_performer_is_known_as_the_one_it_stands_for(home: Home) -> None:
    inner = scripted("first", by_row(ANSWERS), limit_seconds=3, chunk_rows=7)
    outer = Faulty(inner, Plan("permanent", calls=0))
    assert (outer.name, outer.kind, outer.families) == (inner.name, inner.kind, inner.families)
    assert (outer.limit_seconds, outer.chunk_rows) == (3, 7)
    ready, own = outer.prepare(home), inner.prepare(home)
    assert replace(ready, answer=own.answer) == own
    pd.testing.assert_frame_equal(ready.answer(messages()), own.answer(messages()))


@given(seed=st.integers(), share=st.floats(0, 1), calls=st.none() | st.integers(0, 20))
def test_the_same_seed_fails_the_same_calls_and_no_later_ones(seed: int, share: float, calls: int | None) -> None:
    plan = Plan("permanent", share=share, calls=calls, seed=seed)
    hit = [call for call in range(30) if plan.hits(call)]
    assert hit == [call for call in range(30) if replace(plan).hits(call)]
    assert all(calls is None or call < calls for call in hit)
    assert share < 1 or hit == list(range(30 if calls is None else calls))
    assert share > 0 or hit == []


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    fault=st.sampled_from([fault for fault in FAULTS if fault != "hang"]),
    share=st.floats(0, 1),
    seed=st.integers(0, 1000),
    count=st.integers(0, 9),
    chunk_rows=st.integers(1, 5),
)
def test_whatever_fails_no_row_is_lost_or_decided_twice(
    home: Home, fault: Fault, share: float, seed: int, count: int, chunk_rows: int
) -> None:
    patient = Home(replace(home.settings, breaker_failures=1_000_000))

    def run() -> Decisions:
        plan = Plan(fault, share=share, seed=seed, seconds=0.0001)
        first = Faulty(scripted(f"{fault} {seed}", same_answer("red", 0.9)), plan)
        cascade = Cascade(first, scripted("next", same_answer("green", 0.9)), safe_state=SAFE)
        return decide(cascade, patient, messages(count))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(turns, "CHUNK_ROWS", chunk_rows)
        one, two = run(), run()
    patient.ledger.close()
    assert_each_row_decided_once(messages(count), one)
    pd.testing.assert_frame_equal(one.frame, two.frame)
    by_next = one.frame["performer"] == "next"
    assert (by_next | (one.frame["performer"] == f"{fault} {seed}")).all()
    assert (one.frame["label"] == "green").equals(by_next)

"""The cascade: performers that are unavailable, fail or talk nonsense; each row is decided all the same."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted_cascades import LABELS, SAFE, by_row, column, decide, decided, failing, failing_first, messages, scripted

from orchestration_project.core.errors import (
    ArtifactRefused,
    NoChampion,
    PerformerFailed,
    PerformerUnavailable,
)
from orchestration_project.performers import turns
from orchestration_project.performers.asking import ATTEMPTS
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.model import Model
from orchestration_project.performers.scripted import Script, Scripted, same_answer
from orchestration_project.stores.home import Home


@pytest.mark.parametrize("error", [PerformerUnavailable("busy"), TimeoutError("slow"), ConnectionResetError("gone")])
@pytest.mark.parametrize("times", [1, ATTEMPTS - 1])
def test_an_unavailable_performer_is_asked_again(home: Home, error: Exception, times: int):
    flaky = scripted("flaky", failing_first(times, error, same_answer("red", 0.9)))
    found = decided(home, flaky)
    assert column(found, "accepted") == [True] * 3
    assert column(found, "degraded") == [False] * 3
    assert column(found, "reason") == [""] * 3
    assert flaky.asked == 3 * (times + 1)
    assert found.work[0].failure is None


def test_a_performer_that_stays_unavailable_is_given_up_and_the_next_answers(home: Home):
    away = scripted("away", failing(TimeoutError("slow")))
    found = decided(home, away, scripted("next", same_answer("green", 0.9, "seen before")))
    assert away.asked == 3 * ATTEMPTS
    assert column(found, "performer") == ["next"] * 3
    assert column(found, "degraded") == [True] * 3
    assert column(found, "accepted") == [True] * 3
    assert column(found, "reason") == ["away is unavailable: TimeoutError('slow'); seen before"] * 3


def test_every_chunk_of_a_large_batch_is_asked_and_answered(home: Home, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(turns, "CHUNK_ROWS", 4)
    sizes: list[int] = []

    def script(rows: pd.DataFrame) -> pd.DataFrame:
        sizes.append(len(rows))
        return same_answer("red", 0.9)(rows)

    found = decided(home, scripted("whole", script), rows=messages(10))
    assert sizes == [4, 4, 2]
    assert column(found, "accepted") == [True] * 10


def test_a_circuit_that_opens_stays_open_for_the_rest_of_the_batch(home: Home, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(turns, "CHUNK_ROWS", 2)

    def script(rows: pd.DataFrame) -> pd.DataFrame:
        if "m2" in set(rows["message_id"]):
            raise ValueError("cannot read this")
        return same_answer("red", 0.9)(rows)

    broken = scripted("broken", script)
    found = decided(home, broken, scripted("next", same_answer("green", 0.9)), rows=messages(7))
    assert column(found, "performer") == ["broken"] * 2 + ["next"] * 5
    assert column(found, "degraded") == [False] * 2 + [True] * 5
    assert broken.asked == 4  # two answered, two failed, and then nobody asked it any more
    assert (found.work[0].asked, found.work[0].accepted) == (2, 2)
    failed = "broken failed: ValueError('cannot read this')"
    assert column(found, "reason") == ["", ""] + [failed] * 5


def test_a_performer_that_failed_is_asked_again_in_the_next_batch(home: Home):
    flaky = scripted("flaky", failing_first(1, ValueError("once"), same_answer("red", 0.9)))
    cascade = Cascade(flaky, safe_state=SAFE)
    assert decide(cascade, home).frame["degraded"].all()
    assert decide(cascade, home).frame["accepted"].all()


NONSENSE: dict[str, Callable[[pd.DataFrame], Any]] = {
    "nothing": lambda rows: None,
    "no frame": lambda rows: rows.to_dict("records"),
    "no confidence": lambda rows: same_answer("red", 0.9)(rows).drop(columns="confidence"),
    "columns twice": lambda rows: pd.concat([same_answer("red", 0.9)(rows)] * 2, axis="columns"),
    "too few rows": lambda rows: same_answer("red", 0.9)(rows).head(1),
    "too many rows": lambda rows: pd.concat([same_answer("red", 0.9)(rows)] * 2),
    "other rows": lambda rows: same_answer("red", 0.9)(rows).set_index(rows.index + 1),
    "an unknown label": lambda rows: same_answer("blue", 0.9)(rows),
    "confidence 1.2": lambda rows: same_answer("red", 1.2)(rows),
    "confidence -0.1": lambda rows: same_answer("red", -0.1)(rows),
    "confidence inf": lambda rows: same_answer("red", np.inf)(rows),
    "confidence in words": lambda rows: same_answer("red", 0.9)(rows).assign(confidence="sure"),
    "half a character": lambda rows: same_answer("red", 0.9)(rows).assign(
        reason=pd.Series("\ud800", rows.index, object)
    ),
    "labels that are lists": lambda rows: same_answer("red", 0.9)(rows).assign(label=[["red"]] * len(rows)),
    "a program error": lambda rows: {}["no such key"],
    "an exit by assertion": lambda rows: (_ for _ in ()).throw(AssertionError),
    "no memory": lambda rows: (_ for _ in ()).throw(MemoryError()),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_a_failure_that_is_not_tried_again_and_the_next_answers(home: Home, name: str):
    broken = scripted("broken", NONSENSE[name])
    found = decided(home, broken, scripted("next", same_answer("green", 0.9)))
    assert broken.asked == 3
    assert column(found, "performer") == ["next"] * 3
    assert column(found, "degraded") == [True] * 3
    assert all(reason.startswith("broken ") for reason in column(found, "reason"))
    assert found.work[0].failure
    assert (found.work[0].asked, found.work[0].accepted) == (0, 0)


def test_a_failure_is_told_without_what_its_error_quotes_and_the_row_keeps_the_whole_cause(home: Home):
    def script(rows: pd.DataFrame) -> pd.DataFrame:
        raise KeyError(rows["text"].iloc[0])

    found = decided(home, scripted("broken", script))
    assert found.work[0].failure == "KeyError"
    assert column(found, "reason")[0].startswith("broken failed: KeyError('text of m0')")


def test_a_performer_that_echoes_a_text_is_told_without_it_and_each_row_keeps_its_own(
    home: Home, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(turns, "CHUNK_ROWS", 2)

    def echo(rows: pd.DataFrame) -> pd.DataFrame:
        return same_answer("red", 0.9)(rows).assign(label=["red", *rows["text"].iloc[1:]])

    found = decided(home, scripted("echo", echo))
    told = "echo answered 1 of 2 rows with none of its labels"
    assert found.work[0].failure == f"{told}."
    ending = "; nobody else could decide"
    assert column(found, "reason") == [told + ending, f"{told}: text of m1{ending}", told + ending]


SAYS_TOO_MUCH = [PerformerFailed("text of m0"), PerformerUnavailable("text of m0"), TimeoutError("text of m0")]


@pytest.mark.parametrize("error", [*SAYS_TOO_MUCH, ValueError("text of m0")])
def test_what_a_performer_raises_is_told_by_its_type_and_kept_in_the_rows(home: Home, error: Exception):
    found = decided(home, scripted("broken", failing(error)))
    assert found.work[0].failure == type(error).__name__
    assert all(repr(error) in reason for reason in column(found, "reason"))
    last = Scripted("last", failing(error), labels=LABELS, kind="safe_state")
    with pytest.raises(PerformerFailed, match=rf"^last (failed|is unavailable): {type(error).__name__}$") as raised:
        decide(Cascade(safe_state=last), home)
    assert raised.value.__cause__ is error


@pytest.mark.parametrize("refusal", [NoChampion("train first"), ArtifactRefused("another file")])
def test_a_refusal_is_no_failure_of_the_performer_and_is_not_worked_around(home: Home, refusal: Exception):
    with pytest.raises(type(refusal)):
        decide(Cascade(scripted("broken", failing(refusal)), safe_state=SAFE), home)


def test_a_model_without_champion_is_refused_before_anybody_is_asked(home: Home):
    first = scripted("first", same_answer("red", 0.1))
    with pytest.raises(NoChampion, match="'tone' has no version in use; run: orchestrate train"):
        decide(Cascade(first, Model("tone"), safe_state=SAFE), home)
    assert first.asked == 0


ANSWER = st.tuples(
    st.sampled_from(["red", "green", None, "blue"]) | st.sampled_from(["red", None]),
    st.none() | st.floats(0, 1) | st.sampled_from([0.5, np.nan, 1.2]),
)
FAILURES = (ValueError("x"), TimeoutError("y"), PerformerFailed("z"), KeyError("text"))
PERFORMER = st.tuples(
    st.none() | st.floats(0, 1),
    st.lists(ANSWER, min_size=4, max_size=4) | st.sampled_from(FAILURES) | st.sampled_from(list(NONSENSE.values())),
)


def as_script(behaviour: Any) -> Script:
    if isinstance(behaviour, Exception):
        return failing(behaviour)
    if callable(behaviour):
        return behaviour
    return by_row({f"m{number}": answer for number, answer in enumerate(behaviour)})


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    behaviours=st.lists(PERFORMER, max_size=3),
    later=st.lists(PERFORMER, max_size=3),
    chunk_rows=st.integers(1, 5),
    count=st.integers(0, 4),
)
def test_whatever_performers_answer_each_row_gets_one_decision_that_keeps_its_contract(
    home: Home,
    behaviours: list[tuple[float | None, Any]],
    later: list[tuple[float | None, Any]],
    chunk_rows: int,
    count: int,
):
    def of(described: list[tuple[float | None, Any]]) -> list[Scripted]:
        return [
            scripted(f"p{number}", as_script(behaviour), threshold)
            for number, (threshold, behaviour) in enumerate(described)
        ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(turns, "CHUNK_ROWS", chunk_rows)
        first = decided(home, *of(behaviours), rows=messages(count))
        second = decided(home, *of(later), rows=messages(4), stored=first.frame)
    for found in (first.frame, second.frame):
        by_safe_state = found["decided_by"] == "safe_state"
        assert (found["label"] == "unknown").equals(by_safe_state)
        assert not (found["accepted"] & (by_safe_state | found["confidence"].isna())).any()
        assert not (found["degraded"] & (found["reason"] == "")).any()
        assert (found["accepted"] | (found["reason"] != "")).all()  # nothing is unsure without saying why

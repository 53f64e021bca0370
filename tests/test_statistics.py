"""The arithmetic of being right: bounds, thresholds and scores."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support

from orchestration_project.core.statistics import (
    CANDIDATE_THRESHOLDS,
    acceptance_threshold,
    classification_scores,
    precision_lower_bound,
)

LABELS = st.sampled_from(["billing", "delivery", "praise"])


# precision lower bound


@pytest.mark.parametrize("asked", [0, 1, 50])
def test_no_right_answer_proves_nothing(asked: int) -> None:
    assert precision_lower_bound(0, asked) == 0.0


@pytest.mark.parametrize(("right", "asked"), [(1, 1), (10, 10), (45, 50), (950, 1000)])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_precision_bound_makes_so_many_right_answers_as_rare_as_the_level_says(
    right: int, asked: int, level: float
) -> None:
    bound = precision_lower_bound(right, asked, level)
    at_least_right = sum(
        math.comb(asked, count) * bound**count * (1 - bound) ** (asked - count) for count in range(right, asked + 1)
    )
    assert at_least_right == pytest.approx(1 - level)


@given(st.integers(0, 500), st.integers(0, 500), st.floats(0.5, 0.999))
def test_precision_bound_lies_below_the_share_and_rises_with_right_answers(
    right: int, wrong: int, level: float
) -> None:
    bound = precision_lower_bound(right, right + wrong, level)
    assert 0 <= bound <= right / max(right + wrong, 1)
    assert bound < precision_lower_bound(right + 1, right + 1 + wrong, level)


@pytest.mark.parametrize(("right", "asked"), [(3, 2), (-1, 2)])
def test_impossible_counts_raise(right: int, asked: int) -> None:
    with pytest.raises(ValueError, match="impossible"):
        precision_lower_bound(right, asked)


# acceptance threshold


def test_candidates_are_ten_and_rise() -> None:
    assert len(CANDIDATE_THRESHOLDS) == 10
    assert list(CANDIDATE_THRESHOLDS) == sorted(set(CANDIDATE_THRESHOLDS))
    assert (CANDIDATE_THRESHOLDS[0], CANDIDATE_THRESHOLDS[-1]) == (0.5, 0.99)


def test_threshold_is_the_lowest_whose_rows_prove_the_error() -> None:
    confidence = np.repeat([0.55, 0.72, 0.92], 1000)
    correct = np.concatenate([np.arange(1000) >= 300, np.arange(1000) >= 100, np.arange(1000) >= 20])
    assert [acceptance_threshold(confidence, correct, target) for target in (0.17, 0.14, 0.08, 0.04, 0.01)] == [
        0.5,
        0.6,
        0.6,
        0.75,
        None,
    ]


@pytest.mark.parametrize(("rows", "threshold"), [(103, None), (104, 0.5)])
def test_without_a_mistake_104_rows_prove_an_error_of_five_percent(rows: int, threshold: float | None) -> None:
    assert acceptance_threshold(np.full(rows, 0.99), np.full(rows, True), 0.05) == threshold


def test_missing_confidence_is_never_accepted() -> None:
    assert acceptance_threshold(np.full(100, np.nan), np.full(100, True), 1.0) is None
    confidence = np.concatenate([np.full(200, 0.8), np.full(200, np.nan)])
    assert acceptance_threshold(confidence, ~np.isnan(confidence), 0.05) == 0.5


@pytest.mark.parametrize(("rows", "target"), [(600, 0.05), (2_000, 0.05), (1_000, 0.1)])
def test_chosen_threshold_keeps_its_error_in_95_of_100_trainings(rows: int, target: float) -> None:
    """Rows whose error at each threshold is known: in few draws of them may one be chosen at which it is too great."""
    random = np.random.default_rng(11)
    grid = np.array([0.3, *CANDIDATE_THRESHOLDS])
    chance = np.full(len(grid), 1 / len(grid))
    right = 1 - np.geomspace(0.6, target * 0.2, len(grid))  # of the rows with each confidence
    error = {t: float(((1 - right) * chance)[grid >= t].sum() / chance[grid >= t].sum()) for t in CANDIDATE_THRESHOLDS}
    too_great, chosen = 0, 0
    for _ in range(400):
        kind = random.integers(len(grid), size=rows)
        threshold = acceptance_threshold(grid[kind], random.random(rows) < right[kind], target)
        chosen += threshold is not None
        too_great += threshold is not None and error[threshold] > target
    assert max(error.values()) > target >= min(error.values()), "some thresholds keep the error and some do not"
    assert too_great <= 0.05 * 400
    assert chosen > 100


@settings(max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 1) | st.just(math.nan), st.booleans()), max_size=300), st.floats(0.01, 0.9))
def test_a_lower_threshold_never_kept_the_promise(rows: list[tuple[float, bool]], target: float) -> None:
    confidence = np.array([row[0] for row in rows], dtype=float)
    correct = np.array([row[1] for row in rows], dtype=bool)
    threshold = acceptance_threshold(confidence, correct, target)
    bounds = {t: correct[confidence >= t] for t in CANDIDATE_THRESHOLDS}
    kept = [t for t, own in bounds.items() if precision_lower_bound(int(own.sum()), len(own), 0.995) >= 1 - target]
    assert threshold == min(kept, default=None)


# scores


def test_scores_count_every_label_of_truth_and_answer() -> None:
    scores = classification_scores(["a", "a", "a", "b"], ["a", "a", "b", "c"])
    assert scores["accuracy"] == 0.5
    assert scores["n"] == 4
    assert scores["per_class"]["a"] == {"precision": 1.0, "recall": 2 / 3, "f1": 0.8, "n": 3}
    assert scores["per_class"]["b"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "n": 1}
    assert scores["per_class"]["c"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "n": 0}
    assert scores["macro_f1"] == pytest.approx(0.8 / 3)


@settings(max_examples=50)
@given(st.lists(st.tuples(LABELS, LABELS), min_size=1))
def test_scores_are_scikit_learns(rows: list[tuple[str, str]]) -> None:
    truth, answer = (list(column) for column in zip(*rows, strict=True))
    scores = classification_scores(truth, answer)
    expected = precision_recall_fscore_support(truth, answer, zero_division=0.0)
    for column, name in enumerate(("precision", "recall", "f1", "n")):
        assert [label[name] for label in scores["per_class"].values()] == pytest.approx(list(expected[column]))
    assert list(scores["per_class"]) == sorted(set(truth) | set(answer))
    assert scores["macro_f1"] == pytest.approx(expected[2].mean())


def test_scores_of_no_rows_are_nan() -> None:
    scores = classification_scores([], [])
    assert math.isnan(scores["accuracy"])
    assert math.isnan(scores["macro_f1"])
    assert (scores["n"], scores["per_class"]) == (0, {})


def test_truth_and_answer_must_be_as_long() -> None:
    with pytest.raises(ValueError, match="shorter"):
        classification_scores(["a", "b"], ["a"])

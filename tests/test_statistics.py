"""The arithmetic of confidence: calibration, bounds, thresholds and scores."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import precision_recall_fscore_support

from orchestration_project.core.errors import Refused
from orchestration_project.core.statistics import (
    CANDIDATE_THRESHOLDS,
    TEMPERATURE_RANGE,
    acceptance_threshold,
    classification_scores,
    expected_calibration_error,
    fit_temperature,
    precision_lower_bound,
    reliability,
    softmax,
)

LABELS = st.sampled_from(["billing", "delivery", "praise"])


def overconfident_scores(rows: int, true_temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose labels were drawn at a known temperature."""
    random = np.random.default_rng(7)
    scores = random.normal(scale=4, size=(rows, 3))
    chance = softmax(scores, true_temperature)
    drawn = (random.random((rows, 1)) > chance.cumsum(axis=1)).sum(axis=1)
    return scores, np.minimum(drawn, 2)


# softmax


@given(arrays(float, (4, 3), elements=st.floats(-1e6, 1e6)), st.floats(0.01, 100))
def test_softmax_gives_probabilities_and_keeps_the_answer(scores: np.ndarray, temperature: float) -> None:
    probabilities = softmax(scores, temperature)
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert (probabilities >= 0).all()
    rows = np.arange(len(scores))
    assert (probabilities[rows, scores.argmax(axis=1)] == probabilities.max(axis=1)).all()


def test_higher_temperature_is_less_sure() -> None:
    scores = np.array([[2.0, 1.0, 0.0]])
    assert softmax(scores, 0.5).max() > softmax(scores, 1.0).max() > softmax(scores, 5.0).max()


def test_softmax_of_no_rows_is_no_rows() -> None:
    assert softmax(np.empty((0, 3)), 1.0).shape == (0, 3)


# temperature


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_fitted_temperature_is_the_one_the_labels_were_drawn_at(temperature: float) -> None:
    scores, labels = overconfident_scores(20_000, temperature)
    assert fit_temperature(scores, labels) == pytest.approx(temperature, rel=0.05)


@settings(max_examples=20)
@given(st.floats(0.2, 5))
def test_temperature_follows_the_scale_of_the_scores(scale: float) -> None:
    scores, labels = overconfident_scores(500, 1.0)
    assert fit_temperature(scores * scale, labels) == pytest.approx(scale * fit_temperature(scores, labels), rel=1e-2)


def test_temperature_repairs_an_overconfident_classifier() -> None:
    scores, labels = overconfident_scores(20_000, 3.0)
    correct = scores.argmax(axis=1) == labels
    before = expected_calibration_error(softmax(scores, 1.0).max(axis=1), correct)
    after = expected_calibration_error(softmax(scores, fit_temperature(scores, labels)).max(axis=1), correct)
    assert before > 0.15
    assert after < 0.02


def test_separated_labels_give_the_lowest_temperature() -> None:
    scores = np.array([[1.0, -1.0], [-1.0, 1.0]])
    lowest, highest = TEMPERATURE_RANGE
    assert lowest <= fit_temperature(scores, np.array([0, 1])) < 0.2
    assert fit_temperature(scores, np.array([1, 0])) == pytest.approx(highest, rel=0.01)


def test_temperature_of_no_rows_is_refused() -> None:
    with pytest.raises(Refused, match="0 scored rows"):
        fit_temperature(np.empty((0, 3)), np.empty(0, dtype=int))


# expected calibration error


def test_calibration_error_is_the_gap_weighted_by_rows() -> None:
    confidence = np.array([0.9, 0.9, 0.9, 0.9, 0.3, 0.3])
    correct = np.array([True, True, True, False, False, True])
    assert expected_calibration_error(confidence, correct) == pytest.approx((4 * 0.15 + 2 * 0.2) / 6)


def test_confidence_of_one_belongs_to_the_last_bin() -> None:
    assert expected_calibration_error(np.array([1.0, 1.0]), np.array([True, True])) == 0


def test_rows_without_confidence_are_left_out_of_the_calibration_error() -> None:
    confidence = np.array([0.8, np.nan])
    assert expected_calibration_error(confidence, np.array([True, False])) == pytest.approx(0.2)


@pytest.mark.parametrize("confidence", [[], [np.nan]])
def test_calibration_error_of_nothing_is_nan(confidence: list[float]) -> None:
    assert math.isnan(expected_calibration_error(np.array(confidence), np.zeros(len(confidence), dtype=bool)))


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1), st.integers(1, 30))
def test_calibration_error_lies_between_zero_and_one(rows: list[tuple[float, bool]], bins: int) -> None:
    confidence, correct = (np.array(column) for column in zip(*rows, strict=True))
    assert 0 <= expected_calibration_error(confidence, correct, bins) <= 1


# reliability


def test_bins_say_how_sure_and_how_right_their_rows_are() -> None:
    confidence = np.array([0.05, 0.92, 0.94, 1.0, np.nan])
    found = reliability(confidence, np.array([False, True, False, True, True]), bins=10)
    assert [(own["n"], own["lower"], own["upper"]) for own in found] == [(1, 0.0, 0.1), (3, 0.9, 1.0)]
    assert [own["confidence"] for own in found] == pytest.approx([0.05, 2.86 / 3])
    assert [own["accuracy"] for own in found] == pytest.approx([0, 2 / 3])


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

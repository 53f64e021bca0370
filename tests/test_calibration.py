"""Confidence from scores: temperature, slope and intercept, and how far it lies from the truth."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax

from orchestration_project.core.calibration import (
    SLOPE_RANGE,
    TEMPERATURE_RANGE,
    Calibration,
    expected_calibration_error,
    fit_calibration,
    fit_temperature,
    reliability,
)
from orchestration_project.core.errors import Refused


def overconfident_scores(rows: int, true_temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose labels were drawn at a known temperature."""
    random = np.random.default_rng(7)
    scores = random.normal(scale=4, size=(rows, 3))
    chance = softmax(scores / true_temperature, axis=1)
    drawn = (random.random((rows, 1)) > chance.cumsum(axis=1)).sum(axis=1)
    return scores, np.minimum(drawn, 2)


# confidence


@given(arrays(float, (4, 3), elements=st.floats(-1e6, 1e6)), st.floats(0.01, 100))
def test_confidence_is_the_probability_of_the_likeliest_label(scores: np.ndarray, temperature: float) -> None:
    expected = softmax(scores / temperature, axis=1).max(axis=1)
    assert Calibration(temperature).confidence(scores) == pytest.approx(expected)


def test_higher_temperature_is_less_sure() -> None:
    scores = np.array([[2.0, 1.0, 0.0]])
    cold, mild, hot = (Calibration(temperature).confidence(scores)[0] for temperature in (0.5, 1.0, 5.0))
    assert cold > mild > hot


@given(arrays(float, 3, elements=st.floats(-20, 20)), st.floats(*SLOPE_RANGE), st.floats(-5, 5))
def test_surer_scores_stay_surer(leads: np.ndarray, slope: float, intercept: float) -> None:
    scores = np.column_stack([np.abs(leads), np.zeros(3)])
    confidence = Calibration(1.0, slope, intercept).confidence(scores)
    assert (np.diff(confidence[np.argsort(np.abs(leads))]) >= 0).all()


def test_confidence_of_no_rows_is_no_rows() -> None:
    assert Calibration(1.0).confidence(np.empty((0, 3))).shape == (0,)


# calibration


def test_slope_and_intercept_mend_what_one_temperature_leaves() -> None:
    random = np.random.default_rng(3)
    scores = random.normal(scale=4, size=(20_000, 3))
    wanted = Calibration(2.0, slope=0.7, intercept=-0.4)
    is_right = random.random(len(scores)) < wanted.confidence(scores)
    best = scores.argmax(axis=1)
    labels = np.where(is_right, best, (best + 1) % 3)
    found = fit_calibration(scores, labels)
    temperature = Calibration(fit_temperature(scores, labels))
    assert expected_calibration_error(found.confidence(scores), is_right) < 0.015
    assert expected_calibration_error(temperature.confidence(scores), is_right) > 0.02


def test_scores_that_one_temperature_suits_keep_slope_and_intercept() -> None:
    found = fit_calibration(*overconfident_scores(20_000, 3.0))
    assert found.slope == pytest.approx(1, abs=0.05)
    assert found.intercept == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("truth", [[0, 1], [1, 0]], ids=["all right", "all wrong"])
def test_few_rows_that_are_alike_move_slope_and_intercept_little(truth: list[int]) -> None:
    found = fit_calibration(np.array([[1.0, -1.0], [-1.0, 1.0]]), np.array(truth))
    assert SLOPE_RANGE[0] <= found.slope < 2
    assert abs(found.intercept) < 2


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
    before = expected_calibration_error(Calibration(1.0).confidence(scores), correct)
    after = expected_calibration_error(Calibration(fit_temperature(scores, labels)).confidence(scores), correct)
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

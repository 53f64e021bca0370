"""The live error's arithmetic: a share from unequally likely checks, and an interval that holds it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from orchestration_project.core.error_estimate import estimate_error
from orchestration_project.core.statistics import exact_interval

PROBABILITIES = st.floats(0.001, 1)


@pytest.mark.parametrize(("errors", "checks"), [(0, 1), (0, 30), (1, 30), (4, 84), (29, 30), (30, 30)])
@pytest.mark.parametrize("probability", [0.01, 0.3, 1.0])
def test_equal_probabilities_give_the_interval_of_clopper_and_pearson(
    errors: int, checks: int, probability: float
) -> None:
    found = estimate_error(np.arange(checks) < errors, np.full(checks, probability))
    exact = binomtest(errors, checks).proportion_ci(0.95, method="exact")
    assert (found.checks, found.errors) == (checks, errors)
    assert (found.error, found.low, found.high) == pytest.approx((errors / checks, exact.low, exact.high), abs=1e-9)


def test_each_check_counts_for_as_many_rows_as_it_was_unlikely() -> None:
    found = estimate_error(np.array([True, False, False]), np.array([0.5, 0.1, 1.0]))
    assert found.error == pytest.approx(2 / (2 + 10 + 1))


def test_where_none_is_wrong_unequal_weights_widen_the_interval_by_kish() -> None:
    probability = np.array([0.5] * 20 + [0.05] * 20)
    found = estimate_error(np.zeros(40, dtype="bool"), probability)
    effective = (20 * 2 + 20 * 20) ** 2 / (20 * 4 + 20 * 400)
    assert (found.low, found.high) == pytest.approx((0.0, 1 - 0.025 ** (1 / effective)))


def test_one_wrong_answer_of_little_weight_does_not_narrow_it() -> None:
    wrong, probability = np.zeros(40, dtype="bool"), np.array([0.5] * 20 + [0.05] * 20)
    none = estimate_error(wrong, probability)
    wrong[0] = True
    assert estimate_error(wrong, probability).high > none.high


def test_nothing_checked_says_nothing() -> None:
    found = estimate_error(np.array([], dtype="bool"), np.array([]))
    assert math.isnan(found.error)
    assert (found.low, found.high, found.checks, found.errors) == (0.0, 1.0, 0, 0)


@pytest.mark.parametrize("probability", [0.0, -0.1, 1.1, float("nan")])
def test_impossible_probability_raises(probability: float) -> None:
    with pytest.raises(ValueError, match="not above 0 and up to 1"):
        estimate_error(np.array([True]), np.array([probability]))


@given(st.lists(st.tuples(st.booleans(), PROBABILITIES), min_size=1, max_size=60))
def test_error_lies_in_its_interval_which_no_number_of_equal_checks_would_widen(
    checks: list[tuple[bool, float]],
) -> None:
    wrong = np.array([is_wrong for is_wrong, _ in checks])
    found = estimate_error(wrong, np.array([probability for _, probability in checks]))
    assert 0 <= found.low <= found.error + 1e-9
    assert found.error - 1e-9 <= found.high <= 1
    low, high = exact_interval(min(found.error, 1.0) * len(checks), len(checks))
    assert found.low <= low + 1e-9
    assert high - 1e-9 <= found.high


@pytest.mark.parametrize("rate", [0.02, 0.05, 0.2])
@pytest.mark.parametrize(
    "lean", [0.5, 1.0, 1.5], ids=["likely rows are righter", "no matter", "likely rows are wronger"]
)
def test_interval_covers_the_error_of_the_rows_as_often_as_it_says(rate: float, lean: float) -> None:
    drawing = np.random.default_rng(20)
    covered = []
    for _ in range(400):
        probability = drawing.choice([0.01, 0.05, 0.5], 3000)
        wrong = drawing.random(3000) < rate * np.where(probability == 0.5, lean, 1.0)
        drawn = drawing.random(3000) < probability
        found = estimate_error(wrong[drawn], probability[drawn])
        covered.append(found.low <= wrong.mean() <= found.high)
    assert np.mean(covered) >= 0.93

"""Which threshold checks ask for: what stands, what is raised, and when nothing may be accepted any more."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration_project.core.live_threshold import Checked, choose_again
from orchestration_project.core.statistics import CANDIDATE_THRESHOLDS


def checks(*groups: tuple[float, int, int], probability: float = 0.5) -> Checked:
    """Checks in groups: confidence, how many, how many of them wrong."""
    confidence = np.concatenate([np.full(number, level) for level, number, _ in groups])
    wrong = np.concatenate([np.arange(number) < errors for _, number, errors in groups])
    return Checked(confidence, wrong, np.full(len(wrong), probability))


def choice(checked: Checked, threshold: float | None = 0.8, fewest: int = 30) -> tuple[str, float | None]:
    found = choose_again(checked, threshold, stated=0.05, fewest=fewest)
    return found.outcome, found.threshold


def test_threshold_stands_while_checks_are_too_few_however_wrong_they_are() -> None:
    assert choice(checks((0.9, 29, 29))) == ("too thin", 0.8)


def test_checks_below_the_threshold_do_not_count() -> None:
    assert choice(checks((0.79, 500, 500), (0.9, 29, 0))) == ("too thin", 0.8)
    assert choice(checks((0.79, 500, 500), (0.9, 30, 0))) == ("stands", 0.8)


def test_threshold_stands_where_the_estimate_is_above_the_stated_error_by_chance() -> None:
    """8 of 100 are more than 5 %, and the 80 % interval reaches down to 4.7 %; that of 9 begins at 5.5 %."""
    assert choice(checks((0.82, 100, 8))) == ("stands", 0.8)
    assert choice(checks((0.82, 100, 9)))[0] != "stands"


def test_threshold_is_raised_to_the_lowest_whose_answers_keep_the_stated_error() -> None:
    checked = checks((0.82, 50, 15), (0.87, 50, 4), (0.92, 100, 3))
    assert choice(checked) == ("raised", 0.85)
    found = choose_again(checked, 0.8, stated=0.05, fewest=30)
    assert (found.found.checks, found.found.errors, found.then.checks, found.then.errors) == (200, 22, 150, 7)
    assert choice(checks((0.82, 50, 15), (0.87, 50, 5), (0.92, 100, 4))) == ("raised", 0.9)


def test_threshold_is_raised_to_none_that_too_few_checks_speak_for() -> None:
    assert choice(checks((0.82, 100, 30), (0.92, 29, 0))) == ("accepts nothing", None)
    assert choice(checks((0.82, 100, 30), (0.92, 30, 0))) == ("raised", 0.85)


def test_nothing_is_accepted_where_no_threshold_keeps_the_stated_error() -> None:
    assert choice(checks((0.82, 50, 10), (0.995, 50, 10))) == ("accepts nothing", None)


def test_version_that_accepts_nothing_goes_on_so() -> None:
    assert choice(checks((0.9, 100, 0)), None) == ("too thin", None)


def test_checks_that_were_drawn_more_rarely_weigh_more() -> None:
    often = checks((0.82, 60, 6), probability=0.9)
    rare = checks((0.82, 60, 0), probability=0.1)
    both = Checked(*(np.concatenate(pair) for pair in zip(vars(often).values(), vars(rare).values(), strict=True)))
    assert choice(both) == ("stands", 0.8)
    assert choose_again(both, 0.8, stated=0.05, fewest=30).found.error == pytest.approx(6 / 0.9 / (60 / 0.9 + 60 / 0.1))


ANSWERS = st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.floats(0.01, 1)), max_size=300)


@given(ANSWERS, st.sampled_from(CANDIDATE_THRESHOLDS), st.floats(0, 0.5), st.integers(1, 50))
def test_threshold_is_never_lowered_and_one_that_is_chosen_keeps_the_stated_error_of_enough_checks(
    answers: list[tuple[float, bool, float]], threshold: float, stated: float, fewest: int
) -> None:
    confidence, wrong, probability = (np.array([one[place] for one in answers]) for place in range(3))
    checked = Checked(confidence, wrong.astype("bool"), probability)
    found = choose_again(checked, threshold, stated=stated, fewest=fewest)
    if not found.is_new:
        assert found.threshold == threshold
    elif found.threshold is not None:
        assert found.threshold > threshold
        assert found.then.error <= stated
        assert found.then.checks >= fewest

"""How often accepted answers are wrong, from checks that were drawn each with a probability of its own."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestration_project.core.statistics import Floats, exact_interval


@dataclass(frozen=True)
class ErrorEstimate:
    """The share of wrong answers, from 0 to 1, and the interval around it; nan, 0 and 1 where nothing was checked."""

    error: float
    low: float
    high: float
    checks: int
    errors: int


def estimate_error(wrong: NDArray[np.bool_], probability: Floats, level: float = 0.95) -> ErrorEstimate:
    """Estimate the share of wrong answers among all that could have been drawn.

    `wrong` (n,) says of each answer that was checked whether it was; `probability` (n,), above 0 and up to 1, with which
    it was drawn; others raise ValueError. Each check counts with the weight w = 1 / probability.

    The share is sum(w * wrong) / sum(w), which is nearly unbiased whatever the probabilities are. Its variance, by
    linearisation and without a correction for a finite population (the answers are taken as a sample of those that the
    performer gives), is sum(w² * (wrong - share)²) / sum(w)². The interval is Clopper and Pearson's at the effective
    number of checks: as many equally weighted ones as have that variance, share * (1 - share) / variance, and not more
    than sum(w)² / sum(w²), which is n for equal weights and alone says it where none or all are wrong. Equal
    probabilities give Clopper and Pearson's interval itself.

    Source: Hájek, Comment on Basu, 1971 (share); Korn and Graubard, Confidence Intervals for Proportions with Small
    Expected Number of Positive Counts Estimated from Survey Data, 1998 (interval; each check is a cluster of its own, so
    that their correction for degrees of freedom is 1); Kish, Survey Sampling, 1965 (effective number by weights). Korn
    and Graubard bound the effective number by n; Kish's is the smaller, and keeps one wrong answer of little weight from
    narrowing the interval.
    """
    number, errors = len(wrong), int(wrong.sum())
    if not ((probability > 0) & (probability <= 1)).all():
        raise ValueError("A check was drawn with a probability that is not above 0 and up to 1.")
    if number == 0:
        return ErrorEstimate(float("nan"), 0.0, 1.0, 0, 0)
    weights = 1 / probability
    share = float((weights * wrong).sum() / weights.sum())
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    if 0 < errors < number:
        variance = float((weights**2 * (wrong - share) ** 2).sum() / weights.sum() ** 2)
        effective = min(effective, share * (1 - share) / variance)
    return ErrorEstimate(share, *exact_interval(share * effective, effective, level), number, errors)

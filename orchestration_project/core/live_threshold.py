"""Which acceptance threshold a version in use should have by what people found in random checks of its answers."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from orchestration_project.core.error_estimate import ErrorEstimate, estimate_error
from orchestration_project.core.statistics import CANDIDATE_THRESHOLDS, Floats

BROKEN_LEVEL = 0.8
"""Level of the two-sided interval whose lower end has to lie above the stated error: broken with 90 % confidence. Accepting
less is a mild remedy, so it takes less evidence than to take a performer out, which is by the 95 % interval."""

Outcome = Literal["too thin", "stands", "raised", "accepts nothing"]


@dataclass(frozen=True)
class Choice:
    """The threshold from now on (None: nothing is accepted), and what was found of the answers that reach the threshold
    there was, and of those that reach this one.
    """

    outcome: Outcome
    threshold: float | None
    found: ErrorEstimate
    then: ErrorEstimate

    @property
    def is_new(self) -> bool:
        """Whether another threshold was chosen."""
        return self.outcome in ("raised", "accepts nothing")


@dataclass(frozen=True)
class Checked:
    """Answers that were accepted, drawn at random and checked: of each its confidence, whether it was wrong, and the
    probability with which it was drawn; all are of shape (n,).
    """

    confidence: Floats
    wrong: NDArray[np.bool_]
    probability: Floats

    def error_from(self, threshold: float | None, level: float = 0.95) -> ErrorEstimate:
        """The error of the answers that reach a threshold; None: no answer does."""
        reach = self.confidence >= (np.inf if threshold is None else threshold)
        return estimate_error(self.wrong[reach], self.probability[reach], level)


def choose_again(checked: Checked, threshold: float | None, *, stated: float, fewest: int) -> Choice:
    """Hold a threshold to the stated error, a share from 0 to 1, and choose a higher one where it is broken.

    1. With fewer than `fewest` checks of answers that reach the threshold it stands: the estimate is too thin.
    2. It stands as long as the estimate does not contradict the stated error: it was proven when the version was
       trained, on more rows than there are checks.
    3. Else it becomes the lowest of the higher `CANDIDATE_THRESHOLDS` whose answers, `fewest` of them or more, are
       estimated to be wrong no more often than stated; where there is none, nothing is accepted.

    It is never lowered: of answers below it nothing is drawn, so nothing is known of them.
    """
    found = checked.error_from(threshold)
    if found.checks < fewest:
        return Choice("too thin", threshold, found, found)
    if checked.error_from(threshold, BROKEN_LEVEL).low <= stated:
        return Choice("stands", threshold, found, found)
    for candidate in CANDIDATE_THRESHOLDS:
        if threshold is None or candidate > threshold:
            then = checked.error_from(candidate)
            if then.checks >= fewest and then.error <= stated:
                return Choice("raised", candidate, found, then)
    return Choice("accepts nothing", None, found, checked.error_from(None))

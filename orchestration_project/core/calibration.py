"""Confidence that means what it says: of the answers with confidence 0.8, four in five are right."""

from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from orchestration_project.core.errors import Refused
from orchestration_project.core.statistics import Floats

TEMPERATURE_RANGE = (0.01, 100.0)
SLOPE_RANGE = (0.05, 20.0)


@dataclass(frozen=True)
class Calibration:
    """How sure a classifier is of its answers, from its scores: the odds of the likeliest label at a `temperature`, then
    raised to `slope` and shifted by `intercept`, which mend what one temperature for all labels and odds leaves.
    """

    temperature: float
    slope: float = 1.0
    intercept: float = 0.0

    def confidence(self, scores: Floats) -> Floats:
        """The chance (n,), from 0 to 1, that the highest of the scores (n, k), k at least 2, is the true label's."""
        from scipy.special import expit

        return expit(self.slope * _log_odds(scores / self.temperature) + self.intercept)


def fit_calibration(scores: Floats, labels: NDArray[np.integer[Any]]) -> Calibration:
    """The calibration that suits scores (n, k) of rows the classifier was not trained on.

    `labels` (n,) are the columns of the true labels. First the temperature, then slope and intercept by logistic
    regression of "is right" on the log odds, with a prior as strong as a row for leaving them alone, so that few rows,
    or rows that are all right, move them little. No rows raise Refused. Source: Guo et al., On Calibration of Modern
    Neural Networks, 2017; Platt, Probabilistic Outputs for Support Vector Machines, 1999.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    temperature = fit_temperature(scores, labels)
    odds = _log_odds(scores / temperature)
    right = (scores.argmax(axis=1) == labels).astype("float64")

    def loss(chosen: Floats) -> tuple[float, Floats]:
        slope, intercept = chosen
        lead = slope * odds + intercept
        moved = chosen - (1.0, 0.0)
        gap = expit(lead) - right
        value = np.logaddexp(0, lead).sum() - (right * lead).sum() + (moved**2).sum() / 2
        return float(value) / len(right), (np.array([(gap * odds).sum(), gap.sum()]) + moved) / len(right)

    best: Any = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[SLOPE_RANGE, (None, None)])
    return Calibration(temperature, float(best.x[0]), float(best.x[1]))


def fit_temperature(scores: Floats, labels: NDArray[np.integer[Any]]) -> float:
    """The temperature at which softmax says how often a classifier is right.

    `scores` (n, k) come from rows the classifier was not trained on; `labels` (n,) are the columns of the true labels,
    0 to k - 1. The answer minimises the log loss and lies in `TEMPERATURE_RANGE`; labels that every score separates
    give its lower end. No rows raise Refused. Source: Guo et al., On Calibration of Modern Neural Networks, 2017.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    if len(labels) == 0:
        raise Refused("A temperature cannot be fitted to 0 scored rows. Give at least one row with its true label.")
    true_scores = scores[np.arange(len(labels)), labels]

    def log_loss(log_temperature: float) -> float:
        temperature = np.exp(log_temperature)
        return float(np.mean(logsumexp(scores / temperature, axis=1) - true_scores / temperature))

    lowest, highest = np.log(TEMPERATURE_RANGE)
    best: Any = minimize_scalar(log_loss, bounds=(lowest, highest), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(best.x))


class ReliabilityBin(TypedDict):
    """Rows whose confidence lies between two bounds: how sure they were on average, and how often right."""

    lower: float
    upper: float
    n: int
    confidence: float
    accuracy: float


def reliability(confidence: Floats, correct: NDArray[np.bool_], bins: int = 15) -> list[ReliabilityBin]:
    """How sure and how right the rows of each bin are: the points of a reliability diagram.

    `confidence` (n,) from 0 to 1, `correct` (n,); `bins` of equal width, of which those without a row are left out. So
    are rows without a confidence (NaN). Source: Niculescu-Mizil and Caruana, Predicting Good Probabilities, 2005.
    """
    known = ~np.isnan(confidence)
    confidence, correct = confidence[known], correct[known]
    chosen = np.minimum((confidence * bins).astype(int), bins - 1)
    found: list[ReliabilityBin] = []
    for number in np.unique(chosen):
        own = chosen == number
        sure, right = float(confidence[own].mean()), float(correct[own].mean())
        bounds: tuple[float, float] = (number / bins, (number + 1) / bins)
        found.append(
            {"lower": bounds[0], "upper": bounds[1], "n": int(own.sum()), "confidence": sure, "accuracy": right}
        )
    return found


def expected_calibration_error(confidence: Floats, correct: NDArray[np.bool_], bins: int = 15) -> float:
    """How far confidence and accuracy lie apart, on average over the rows: 0 is perfect, 1 the worst.

    `confidence` (n,) from 0 to 1, `correct` (n,); `bins` of equal width. Rows without a confidence (NaN) are left out;
    when no row is left the answer is nan. Source: Naeini et al., Obtaining Well Calibrated Probabilities, 2015.
    """
    found = reliability(confidence, correct, bins)
    rows = sum(own["n"] for own in found)
    return sum(own["n"] * abs(own["confidence"] - own["accuracy"]) for own in found) / rows if rows else float("nan")


def _log_odds(scores: Floats) -> Floats:
    """The log odds (n,) of the highest of the scores (n, k) under softmax."""
    from scipy.special import logsumexp

    rows, best = np.arange(len(scores)), scores.argmax(axis=1)
    others = scores.copy()
    others[rows, best] = -np.inf
    rest: Any = logsumexp(others, axis=1)
    return scores[rows, best] - rest

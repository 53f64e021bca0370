"""A second model that reads sentence embeddings, averaged with the one that reads words: better than either alone, and
than asking it only where the first is unsure. The comparison is in `docs/models.md`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from orchestration_project.core.calibration import fit_temperature
from orchestration_project.core.statistics import Floats
from orchestration_project.performers.embeddings import embed

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

WEIGHT = 0.5
"""Of its scores in the mean."""

SHRINKAGE = 0.1
"""Of the covariance that it estimates. It is solved at once: with 150 labels a support vector machine takes minutes."""


@dataclass(frozen=True)
class SecondOpinion:
    """A linear model over embeddings, and the temperatures that bring both models' scores to one scale."""

    machine: "LinearDiscriminantAnalysis"
    first_temperature: float
    own_temperature: float

    @classmethod
    def of(
        cls, machine: "LinearDiscriminantAnalysis", first: Floats, own: Floats, truth: "NDArray[np.integer[Any]]"
    ) -> Self:
        """Calibrated on both models' out-of-fold scores (n, k) against the columns of the true labels (n,)."""
        return cls(machine, fit_temperature(first, truth), fit_temperature(own, truth))

    def joined(self, first: Floats, own: Floats) -> Floats:
        """The weighted mean of both models' scores (n, k), each at its temperature."""
        return (1 - WEIGHT) * first / self.first_temperature + WEIGHT * own / self.own_temperature

    def scores(self, texts: Sequence[str]) -> Floats:
        """The second model's own scores (n, k)."""
        return a_column_each(self.machine.decision_function(embed(texts)))


def trained_on(vectors: "NDArray[np.float32]", labels: Sequence[str]) -> "LinearDiscriminantAnalysis":
    """The second model, trained on embeddings (n, d) and their labels (n,)."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    machine: Any = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=SHRINKAGE)
    return machine.fit(vectors.astype("float64"), labels)


def a_column_each(scores: Any) -> Floats:
    """Scores with a column for each label; of two labels scikit-learn gives only the second's, (n,)."""
    return np.column_stack([-scores, scores]) if scores.ndim == 1 else scores

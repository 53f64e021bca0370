"""How like the texts that a model learnt a new one is; of those least like them, the model's answer counts less.

The score is (1 + the answer's decision score) × the cosine to the nearest class's centroid × the share of known words,
each word weighed by its rarity. It was chosen among fifteen by how well it tells clinc150's out-of-scope queries from
those in scope; the table is in `docs/models.md`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from orchestration_project.core.statistics import Floats

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.pipeline import Pipeline

UNFAMILIAR_SHARE = 0.05
"""Of the texts that a model learnt, the share least like the others: what is as unlike them is of an unknown kind."""

UNKNOWN_KIND = "unknown kind"
"""The reason that such an answer gives."""


@dataclass(frozen=True)
class Familiarity:
    """What a model knows: the centroid of each label, shape (k, features) with rows of length 1, and the scores of the
    least familiar `UNFAMILIAR_SHARE` of the texts it learnt, rising, each scored by a model that had not seen it.
    """

    centroids: "csr_matrix"
    unfamiliar: NDArray[np.floating[Any]]

    def lowered(self, confidence: Floats, scores: Floats) -> Floats:
        """The confidence (n,), less by up to half where the familiarity scores (n,) are of an unknown kind.

        By the score's rank among the unfamiliar ones: half of the confidence below all of them, all of it above.
        """
        if not len(self.unfamiliar):
            return confidence
        rank = np.searchsorted(self.unfamiliar, scores, side="right") / len(self.unfamiliar)
        return confidence * (1 + rank) / 2

    def is_unknown_kind(self, scores: Floats) -> NDArray[np.bool_]:
        """Whether each text is of an unknown kind."""
        highest = self.unfamiliar[-1] if len(self.unfamiliar) else -np.inf
        return scores <= highest


def centroids(features: "csr_matrix", columns: NDArray[np.integer[Any]], labels: int) -> "csr_matrix":
    """The mean direction of each label's texts: `features` (n, f), `columns` (n,) of the labels; shape (labels, f)."""
    from scipy.sparse import csr_matrix
    from sklearn.preprocessing import normalize

    chosen = csr_matrix((np.ones(len(columns)), (columns, np.arange(len(columns)))), shape=(labels, len(columns)))
    means: Any = normalize(chosen @ features)
    return means.astype("float32")


def familiarity(
    pipeline: "Pipeline", means: "csr_matrix", texts: Sequence[str], features: "csr_matrix", decisions: Floats
) -> Floats:
    """The familiarity score of each text (n,): 0 for what nothing is known of.

    `features` (n, f) and `decisions` (n, k) are the pipeline's for these texts, `means` its centroids.
    """
    parts: Any = pipeline[0]
    words: Any = parts.transformer_list[0][1]
    lengths = np.sqrt(np.asarray(features.multiply(features).sum(axis=1)).ravel())
    cosine = np.asarray((features @ means.T).max(axis=1).todense()).ravel() / np.where(lengths > 0, lengths, 1)
    known = np.array([_known_share(text, words) for text in texts])
    return np.maximum(decisions.max(axis=1) + 1, 0) * cosine * known


def _known_share(text: str, words: Any) -> float:
    """The share of a text's different words that the vectorizer knows, by inverse document frequency."""
    found = [words.vocabulary_.get(word) for word in set(re.findall(words.token_pattern, text.lower()))]
    known = [column for column in found if column is not None]
    weight = float(words.idf_[known].sum())
    unknown = float(words.idf_.max()) * (len(found) - len(known))
    return weight / (weight + unknown) if found else 0.0

"""Why a linear model answered so: what each word of a text added to the answer's lead over the next likeliest label.

The sum over all words is exactly the lead, less what the model adds to every text: nothing is estimated.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from orchestration_project.core.statistics import Floats

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

MOST_WORDS = 3
"""Words that a reason names on either side."""

TEXTS_AT_A_TIME = 1_000

MOST_KEPT = 50_000
"""Words whose features are kept: the same ones come again and again."""


class Evidence:
    """Weighs the words of texts for one trained pipeline (word and character TF-IDF, then a linear model).

    Words are what white space parts, in lower case. A feature that occurs several times in a text gives each
    occurrence an equal share of its weight, and one of two words half of it to each.
    """

    def __init__(self, pipeline: "Pipeline") -> None:
        features: Any = pipeline[0]
        (_, self._words), (_, self._letters) = features.transformer_list
        self._letters_of = self._letters.build_analyzer()
        self._by_word: dict[str, tuple[list[str], list[int]]] = {}
        self.pipeline = pipeline

    def weights(self, texts: Sequence[str], labels: Sequence[int], others: Sequence[int]) -> list[dict[str, float]]:
        """For each text: word → what it added to the score of the label in column `labels` against that in `others`.

        Above 0 it spoke for the label, below 0 against it. A text without words gives an empty dict.
        """
        features: Any = self.pipeline[0]
        found: list[dict[str, float]] = []
        for start in range(0, len(texts), TEXTS_AT_A_TIME):
            rows = features.transform(texts[start : start + TEXTS_AT_A_TIME])
            for place in range(rows.shape[0]):
                own = slice(rows.indptr[place], rows.indptr[place + 1])
                columns, asked = rows.indices[own], start + place
                added = rows.data[own] * self._direction(labels[asked], others[asked], columns)
                found.append(self._shared_out(texts[asked], dict(zip(columns.tolist(), added.tolist(), strict=True))))
        return found

    def in_words(self, texts: Sequence[str], labels: Sequence[int], others: Sequence[int]) -> list[str]:
        """For each text the words that spoke most for its label and against it, as a reason gives them."""
        return [_in_words(weights) for weights in self.weights(texts, labels, others)]

    def _shared_out(self, text: str, value: Mapping[int, float]) -> dict[str, float]:
        """Give what each feature (by column) added to the words that it stands in."""
        words = text.lower().split()
        owners: defaultdict[int, list[tuple[int, float]]] = defaultdict(list)
        before: tuple[int, str] | None = None
        for place, word in enumerate(words):
            marks, letters = self._features(word)
            for column in letters:
                owners[column].append((place, 1.0))
            for mark in marks:
                for column in self._word_columns(mark):
                    owners[column].append((place, 1.0))
                if before is not None:
                    for column in self._word_columns(f"{before[1]} {mark}"):
                        owners[column] += [(before[0], 0.5), (place, 0.5)]
                before = (place, mark)
        found: defaultdict[str, float] = defaultdict(float)
        for column, shares in owners.items():
            if column in value:
                each = value[column] / sum(share for _, share in shares)
                for place, share in shares:
                    found[words[place]] += each * share
        return dict(found)

    def _direction(self, label: int, other: int, columns: NDArray[np.integer[Any]]) -> Floats:
        machine: Any = self.pipeline[-1]
        if len(machine.coef_) == 1:  # of two labels scikit-learn keeps the second's weights, and scores are [-s, s]
            return 2 * machine.coef_[0, columns] * (1 if label else -1)
        return machine.coef_[label, columns] - machine.coef_[other, columns]

    def _word_columns(self, gram: str) -> list[int]:
        column = self._words.vocabulary_.get(gram)
        return [] if column is None else [column]

    def _features(self, word: str) -> tuple[list[str], list[int]]:
        """The marks of a word, and the columns of its letters."""
        if word not in self._by_word:
            if len(self._by_word) >= MOST_KEPT:
                self._by_word.clear()
            known, shift = self._letters.vocabulary_, len(self._words.vocabulary_)
            columns = [known[gram] + shift for gram in self._letters_of(word) if gram in known]
            self._by_word[word] = (re.findall(self._words.token_pattern, word), columns)
        return self._by_word[word]


def _in_words(weights: Mapping[str, float]) -> str:
    ranked = sorted(weights, key=lambda word: (-weights[word], word))
    for_it = [word for word in ranked[:MOST_WORDS] if weights[word] > 0]
    against = [word for word in ranked[::-1][:MOST_WORDS] if weights[word] < 0]
    sides = (("for", for_it), ("against", against))
    return "; ".join(f"{side} {', '.join(map(_shown, words))}" for side, words in sides if words)


def _shown(word: str) -> str:
    return word.strip(".,;:!?\"'()[]…") or word

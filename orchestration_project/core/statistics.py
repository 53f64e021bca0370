"""How right a model is, and from which confidence on it may decide alone."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

CANDIDATE_THRESHOLDS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.97, 0.99)
"""Confidences from which answers may be accepted; fixed before any row is seen, so that testing each is honest."""

ACCEPTANCE_LEVEL = 0.95
"""How certain it must be that a threshold keeps its stated error."""

Floats = NDArray[np.floating[Any]]


class LabelScores(TypedDict):
    """How right the answers are for one label; `n` counts the rows whose truth it is."""

    precision: float
    recall: float
    f1: float
    n: int


class ClassificationScores(TypedDict):
    """How right the answers are; `n` counts all rows."""

    accuracy: float
    macro_f1: float
    n: int
    per_class: dict[str, LabelScores]


def precision_lower_bound(right: float, asked: float, level: float = 0.95) -> float:
    """The precision that `right` of `asked` answers prove, at a one-sided confidence `level`.

    From 0 to 1; 0 asked prove nothing and give 0.0. Weighted answers need not count whole. More right than asked, or fewer than none, raise ValueError.
    Source: Clopper and Pearson, The Use of Confidence or Fiducial Limits, 1934.
    """
    from scipy.special import betaincinv

    if not 0 <= right <= asked:
        raise ValueError(f"{right} right of {asked} asked is impossible. Count both over the same answers.")
    return float(betaincinv(right, asked - right + 1, 1 - level)) if right else 0.0


def exact_interval(right: float, asked: float, level: float = 0.95) -> tuple[float, float]:
    """The two-sided interval of a share, `right` of `asked`, from 0 to 1; (0, 1) of none asked. Weighted answers need not
    count whole.

    Source: Clopper and Pearson, as above.
    """
    one_sided = 1 - (1 - level) / 2
    return precision_lower_bound(right, asked, one_sided), 1 - precision_lower_bound(asked - right, asked, one_sided)


def acceptance_threshold(confidence: Floats, correct: NDArray[np.bool_], target_error: float) -> float | None:
    """The confidence from which answers may be accepted without a person.

    `confidence` (n,) from 0 to 1, `correct` (n,) of rows that the model had not seen; `target_error` a share from 0 to
    1. The answer is the lowest of `CANDIDATE_THRESHOLDS`, so that the most rows are accepted, at which the rows prove
    an error of at most `target_error`; None when there is none, and then nothing is accepted. A missing confidence
    (NaN) is never accepted.

    Each candidate is tested by its Clopper-Pearson bound at the `ACCEPTANCE_LEVEL` that Bonferroni's correction for all
    candidates asks for: with that probability no threshold that is chosen has a greater error on rows of the same kind.
    At 5 % this takes 104 rows without a mistake, or more with some. Source: Bonferroni's correction as in Bates et
    al., Distribution-Free, Risk-Controlling Prediction Sets, 2021, on a fixed grid.
    """
    level = 1 - (1 - ACCEPTANCE_LEVEL) / len(CANDIDATE_THRESHOLDS)
    for threshold in CANDIDATE_THRESHOLDS:
        accepted = correct[confidence >= threshold]
        if len(accepted) and precision_lower_bound(int(accepted.sum()), len(accepted), level) >= 1 - target_error:
            return threshold
    return None


def classification_scores(truth: Iterable[str], answer: Iterable[str]) -> ClassificationScores:
    """How right answers are, in all and label by label.

    `truth` and `answer` are (n,); all scores go from 0 to 1. `per_class` has every label of either, sorted; a label
    that was never answered has precision 0, one that was never true has recall 0. `macro_f1` is the mean over these
    labels. No rows give nan for accuracy and macro_f1. Lengths that differ raise ValueError.
    """
    rows = list(zip(truth, answer, strict=True))
    true_rows = Counter(true for true, _ in rows)
    answered_rows = Counter(answered for _, answered in rows)
    right = Counter(true for true, answered in rows if true == answered)
    per_class: dict[str, LabelScores] = {
        label: {
            "precision": right[label] / max(answered_rows[label], 1),
            "recall": right[label] / max(true_rows[label], 1),
            "f1": 2 * right[label] / (true_rows[label] + answered_rows[label]),
            "n": true_rows[label],
        }
        for label in sorted(true_rows | answered_rows)
    }
    nothing = float("nan")
    return {
        "accuracy": right.total() / len(rows) if rows else nothing,
        "macro_f1": sum(scores["f1"] for scores in per_class.values()) / len(per_class) if rows else nothing,
        "n": len(rows),
        "per_class": per_class,
    }

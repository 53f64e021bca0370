"""Whether one model is worse than another on the same rows, beyond what chance explains."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from orchestration_project.core.statistics import Floats

OVERALL = "all"
"""Stands for the macro mean where labels stand."""

RESAMPLES = 10_000


@dataclass(frozen=True)
class Difference:
    """How much better (above 0) or worse the challenger's F1 is for one label, or of `all` the macro mean.

    `low` and `high` bound the 95 % interval. `p_worse` is the one-sided p-value against "not worse": the smaller, the
    surer that the challenger is worse.
    """

    label: str
    difference: float
    low: float
    high: float
    p_worse: float


def paired_bootstrap(
    truth: Iterable[str], challenger: Iterable[str], incumbent: Iterable[str], *, seed: int = 0
) -> list[Difference]:
    """The differences in F1 between two models' answers to the same rows: `all` first, then each label, sorted.

    `truth`, `challenger` and `incumbent` are (n,); lengths that differ raise ValueError. Rows are drawn anew with
    replacement `RESAMPLES` times, with both answers of a row together. A label that a drawing lacks counts as no
    difference. No rows give no differences. The same input and `seed` give the same answer. Source: Efron and
    Tibshirani, An Introduction to the Bootstrap, 1993 (percentile interval).
    """
    cells = Counter(zip(truth, challenger, incumbent, strict=True))  # equal rows are drawn together: same distribution
    if not cells:
        return []
    kinds, rows = sorted(cells), cells.total()
    counts = np.array([cells[kind] for kind in kinds], dtype="float64")
    labels = sorted({name for kind in kinds for name in kind})
    drawn = np.random.default_rng(seed).multinomial(rows, counts / rows, size=RESAMPLES).astype("float64")
    true = _one_hot([kind[0] for kind in kinds], labels)
    answers = [_one_hot([kind[place] for kind in kinds], labels) for place in (1, 2)]
    found = _f1(counts[None], true, answers[0]) - _f1(counts[None], true, answers[1])
    spread = _f1(drawn, true, answers[0]) - _f1(drawn, true, answers[1])
    own = [_difference(label, found[0, place], spread[:, place]) for place, label in enumerate(labels)]
    return [_difference(OVERALL, found.mean(), spread.mean(axis=1)), *own]


def worse(differences: Sequence[Difference]) -> list[Difference]:
    """Those that show the challenger to be worse: the macro mean where its 95 % interval lies wholly below 0, a label
    where it still does after Holm's correction for the number of labels.

    Source: Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979.
    """
    overall = [found for found in differences if found.label == OVERALL and found.high < 0]
    labels = sorted((found for found in differences if found.label != OVERALL), key=lambda found: found.p_worse)
    shown: list[Difference] = []
    for place, found in enumerate(labels):
        if found.p_worse > 0.025 / (len(labels) - place):
            break
        shown.append(found)
    return [*overall, *shown]


def _one_hot(names: Sequence[str], labels: Sequence[str]) -> Floats:
    return np.array([[name == label for label in labels] for name in names], dtype="float64")


def _f1(weights: Floats, true: Floats, answered: Floats) -> Floats:
    """F1 of each label (columns) in each drawing (rows)."""
    both = weights @ (true * answered)
    either = weights @ (true + answered)
    return np.divide(2 * both, either, out=np.zeros_like(both), where=either > 0)


def _difference(label: str, found: float, spread: Floats) -> Difference:
    low, high = np.percentile(spread, [2.5, 97.5])
    p_worse = (1 + int((spread >= 0).sum())) / (len(spread) + 1)
    return Difference(label, float(found), float(low), float(high), p_worse)

"""What can be measured of a batch, for the limits of a watch.

| measure | of | kind |
|---|---|---|
| rows | the batch | level |
| duplicate_share | the batch: rows that repeat a known message | share |
| refused_share | the batch: rows that the contract refuses | share |
| null_share | a column | share |
| text_length | a column: median characters | level |
| unknown_word_share | a column: words that the model named by `vocabulary` never learnt | share |
| age | a column of moments: hours since the newest, measured from one hour on | level |
| mix | a column of labels | mix |
| confidence | a column of confidences, in ten bins and none | mix |

A level is kept as a logarithm; `shown_level` gives it back in its unit.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from orchestration_project.stores.ledger import now

SHARE, LEVEL, MIX = "share", "level", "mix"


@dataclass(frozen=True)
class Seen:
    """What can be measured of a batch: its good rows, how many rows came in, were duplicates and were refused, and the
    words that a model knows (None: there is no model).
    """

    good: pd.DataFrame
    rows: int
    duplicates: int
    refused: int
    known_words: Mapping[str, Any] | None = None


UNITS = {"rows": "rows", "text_length": "characters", "age": "hours"}
"""Level → its unit."""

_BEGINS_AT = {"age": 1.0}
"""Level → what was added to it before its logarithm was taken, so that minutes are all alike."""


def shown_level(measure: str, value: float) -> float:
    """A level in its unit, of the one that is measured.

    >>> shown_level("age", 3.0), shown_level("rows", 3.0)
    (2.0, 3.0)
    """
    return value - _BEGINS_AT.get(measure, 0.0)


def _share(hits: float, rows: int) -> dict[str, Any]:
    return {"hits": int(hits), "rows": rows}


def _level(value: float, rows: int, spread: float = 0.0) -> dict[str, Any]:
    return {"value": round(math.log(max(value, 1e-9)), 6), "rows": rows, "spread": round(spread, 6)}


def _lengths(texts: pd.Series) -> dict[str, Any]:
    lengths = np.log(np.maximum(texts.dropna().str.len().to_numpy(dtype="float64"), 1))
    if not len(lengths):
        return _level(1, 0, 1.0)
    spread = float(np.median(np.abs(lengths - np.median(lengths)))) * 1.4826
    return _level(math.exp(float(np.median(lengths))), len(lengths), max(spread, 1e-6))


def _unknown_words(texts: pd.Series, known: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if known is None:
        return None
    words = [word for text in texts.dropna() for word in set(re.findall(r"\w+", text.lower()))]
    return _share(sum(word not in known for word in words), len(words))


def _age(moments: pd.Series) -> dict[str, Any]:
    present = moments.dropna()
    hours = (now() - present.max().floor("us").to_pydatetime()).total_seconds() / 3600 if len(present) else 0.0
    return _level(_BEGINS_AT["age"] + max(hours, 0.0), len(present))


def _bins(confidence: pd.Series) -> dict[str, Any]:
    found = np.minimum(np.floor(confidence.dropna().to_numpy() * 10), 9).astype(int)
    counts = {f"{number / 10:.1f}": int((found == number).sum()) for number in range(10)}
    return {"counts": {**counts, "none": int(confidence.isna().sum())}}


MEASURES: dict[str, tuple[str, bool, Callable[[Seen, str], dict[str, Any] | None]]] = {
    "rows": (LEVEL, False, lambda seen, _: _level(seen.rows, seen.rows)),
    "duplicate_share": (SHARE, False, lambda seen, _: _share(seen.duplicates, seen.rows)),
    "refused_share": (SHARE, False, lambda seen, _: _share(seen.refused, seen.rows - seen.duplicates)),
    "null_share": (SHARE, True, lambda seen, column: _share(seen.good[column].isna().sum(), len(seen.good))),
    "text_length": (LEVEL, True, lambda seen, column: _lengths(seen.good[column])),
    "unknown_word_share": (SHARE, True, lambda seen, column: _unknown_words(seen.good[column], seen.known_words)),
    "age": (LEVEL, True, lambda seen, column: _age(seen.good[column])),
    "mix": (MIX, True, lambda seen, column: {"counts": seen.good[column].value_counts().astype(int).to_dict()}),
    "confidence": (MIX, True, lambda seen, column: _bins(seen.good[column])),
}
"""Measure → its kind, whether it is of a column, and how it is taken."""


def in_figures(number: float) -> str:
    """A number in three figures, whole from a hundred on, and never as a power of ten.

    >>> in_figures(17_520.3), in_figures(91.93), in_figures(0.02088), in_figures(68.0), in_figures(0.00001)
    ('17,520', '91.9', '0.0209', '68', '0')
    """
    if not math.isfinite(number):
        return str(number)
    decimals = 0 if abs(number) >= 100 else 1 if abs(number) >= 10 else 2 if abs(number) >= 1 else 4
    told = f"{number:,.{decimals}f}"
    return told.rstrip("0").rstrip(".") if decimals else told

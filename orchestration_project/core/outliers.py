"""Whether a batch is like those before it: shares, levels and mixes, each against a trailing window, with the chance that
few rows alone differ taken into account.

What is measured of a batch is plain JSON, so that it can be kept and compared later:

    share   {"hits": 3, "rows": 400}                    of so many rows so many are so
    level   {"value": 4.7, "rows": 400, "spread": 0.6}  a logarithm, and how far rows lie apart
    mix     {"counts": {"negative": 230, …}}            rows by label, or by bin
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

Measured = Mapping[str, Any]

LEAST_BATCHES = 8
"""Batches before which nothing is judged: fewer say little about what is usual."""

LEAST_ROWS = 30
"""Rows of a batch below which its shares, mixes and lengths are not judged."""

CHANCE = 0.9999
"""Of batches that are like the window, the share whose mix stays below the limit of chance."""

MAD_TO_SD = 1.4826
"""The standard deviation of normal values is so many times the median distance to their median."""

LEVEL_FLOOR = 0.05
"""Least standard deviation of a level: batches that were all alike do not make one of 5 % more an anomaly."""


@dataclass(frozen=True)
class Judged:
    """How a batch stands: the value, what is usual, how far it lies off and which distance is the limit. `unjudged` says
    why nothing was judged.
    """

    value: float
    usual: float
    distance: float
    limit: float
    is_anomaly: bool = False
    unjudged: str | None = None


def judge_share(now: Measured, window: Sequence[Measured], limit: float, least: float) -> Judged:
    """A share that grew: by more than `limit` standard errors and by at least `least` (0 to 1).

    The standard error is that of two binomial shares, widened by how far the batches of the window lie apart beyond
    chance (median absolute deviation of their standardised residuals). A share that fell is no anomaly.
    """
    rows, hits = sum(own["rows"] for own in window), sum(own["hits"] for own in window)
    usual = (hits + 0.5) / (rows + 1)
    share = now["hits"] / now["rows"] if now["rows"] else 0.0
    if reason := _too_little(len(window), now["rows"], rows):
        return Judged(share, usual, 0.0, limit, unjudged=reason)
    variance = usual * (1 - usual)
    residuals = [
        (own["hits"] / own["rows"] - usual) / math.sqrt(variance / own["rows"])
        for own in window
        if own["rows"] >= LEAST_ROWS
    ]
    wider = max(1.0, MAD_TO_SD * _deviation(residuals)) if residuals else 1.0
    error = wider * math.sqrt(variance * (1 / now["rows"] + 1 / rows))
    distance = (share - usual) / error
    return Judged(share, usual, distance, limit, distance > limit and share - usual >= least)


def judge_level(now: Measured, window: Sequence[Measured], limit: float, least: float) -> Judged:
    """A level that moved either way: by more than `limit` robust standard deviations of the window (median, median
    absolute deviation), and by at least the factor `least`. Value and usual are given as themselves, not as logarithms.
    """
    values = [own["value"] for own in window]
    usual = median(values) if values else now["value"]
    shown = (math.exp(now["value"]), math.exp(usual))
    needs_rows = now["spread"] > 0
    if reason := _too_little(len(window), now["rows"] if needs_rows else LEAST_ROWS, LEAST_ROWS):
        return Judged(*shown, 0.0, limit, unjudged=reason)
    of_median = 1.2533 * now["spread"] / math.sqrt(max(1, now["rows"]))
    sd = math.sqrt((MAD_TO_SD * _deviation(values)) ** 2 + of_median**2 + LEVEL_FLOOR**2)
    distance = abs(now["value"] - usual) / sd
    return Judged(*shown, distance, limit, distance > limit and abs(now["value"] - usual) >= math.log(least))


def judge_mix(now: Measured, window: Sequence[Measured], limit: float, least: float) -> Judged:
    """A mix that shifted: its population stability index against the summed window exceeds `limit` and what chance gives
    so few rows.

    Value and distance are the index; `usual` is what it is on average by chance, and the limit is the higher of both.
    `least` is the change in the share of some part below which a shift is none. Sources: the index and 0.25 as a major
    shift, Siddiqi, Credit Risk Scorecards, 2006; its distribution, Yurdakul, Statistical Properties of Population
    Stability Index, 2018: (1/n + 1/N) times a chi-squared of k - 1 degrees.
    """
    from scipy.special import chdtri

    parts = sorted({name for own in (now, *window) for name in own["counts"]})
    total = {name: sum(own["counts"].get(name, 0) for own in window) for name in parts}
    rows, all_rows = sum(now["counts"].values()), sum(total.values())
    if reason := _too_little(len(window), rows, all_rows):
        return Judged(0.0, 0.0, 0.0, limit, unjudged=reason)
    index = stability_index(now["counts"], total)
    degrees = max(1, len(parts) - 1)
    usual = degrees * (1 / rows + 1 / all_rows)
    ratios = [
        stability_index(own["counts"], total) / (degrees * (1 / size + 1 / all_rows))
        for own in window
        if (size := sum(own["counts"].values())) >= LEAST_ROWS
    ]
    wider = max(1.0, median(ratios)) if ratios else 1.0
    chance = wider * (1 / rows + 1 / all_rows) * float(chdtri(degrees, 1 - CHANCE))
    moved = max(abs(now["counts"].get(name, 0) / rows - total[name] / all_rows) for name in parts)
    highest = max(limit, chance)
    return Judged(index, usual, index, highest, index > highest and moved >= least)


def stability_index(now: Mapping[str, int], before: Mapping[str, int]) -> float:
    """Population stability index of counts by part against earlier ones: 0 where the shares are the same. Half a row is
    added to each part, so that an empty one makes it finite.
    """
    parts = now.keys() | before.keys()
    rows, all_rows = sum(now.values()) + len(parts) / 2, sum(before.values()) + len(parts) / 2
    index = 0.0
    for name in parts:
        share, usual = (now.get(name, 0) + 0.5) / rows, (before.get(name, 0) + 0.5) / all_rows
        index += (share - usual) * math.log(share / usual)
    return index


def _deviation(values: Sequence[float]) -> float:
    """Median absolute deviation."""
    middle = median(values)
    return median(abs(value - middle) for value in values)


def _too_little(batches: int, rows: int, window_rows: int) -> str | None:
    if batches < LEAST_BATCHES:
        return f"too little history: {batches} of {LEAST_BATCHES} batches"
    if rows < LEAST_ROWS or window_rows < LEAST_ROWS:
        return f"too few rows: {min(rows, window_rows)} of {LEAST_ROWS}"
    return None

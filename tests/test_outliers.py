"""Shares, levels and mixes of a batch against those before it: what grew or shifted is seen, what chance gives is not."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration_project.core.outliers import (
    LEAST_BATCHES,
    LEAST_ROWS,
    Judged,
    judge_level,
    judge_mix,
    judge_share,
    stability_index,
)


def share(hits: int, rows: int) -> dict[str, Any]:
    return {"hits": hits, "rows": rows}


def level(value: float, rows: int = 100, spread: float = 0.5) -> dict[str, Any]:
    return {"value": math.log(value), "rows": rows, "spread": spread}


def mix(**counts: int) -> dict[str, Any]:
    return {"counts": counts}


SHARES = [share(hits, 100) for hits in (4, 5, 6, 5, 3, 7, 5, 5)]
LEVELS = [level(value) for value in (100, 105, 95, 102, 98, 101, 99, 103)]
MIXES = [mix(a=50 + number, b=30 - number, c=20) for number in range(8)]


# Shares


def test_share_that_grew_is_an_anomaly_and_one_that_fell_is_none() -> None:
    grown = judge_share(share(60, 100), SHARES, 6, 0.2)
    assert (grown.is_anomaly, grown.value) == (True, 0.6)
    assert grown.usual == pytest.approx(0.05, abs=0.002)
    assert grown.distance > 6
    assert not judge_share(share(0, 100), [share(60, 100)] * 8, 6, 0.2).is_anomaly


def test_share_that_grew_less_than_matters_is_none_however_many_rows_say_so() -> None:
    found = judge_share(share(10_000, 100_000), SHARES, 6, 0.2)
    assert (found.is_anomaly, found.distance > 6) == (False, True)
    assert judge_share(share(10_000, 100_000), SHARES, 6, 0.01).is_anomaly


def test_batches_that_lie_apart_beyond_chance_widen_the_limit() -> None:
    restless = [share(hits, 1000) for hits in (10, 300, 20, 280, 50, 250, 100, 200)]
    calm = [share(150, 1000)] * 8
    now = share(400, 1000)
    assert judge_share(now, calm, 6, 0.1).is_anomaly
    assert not judge_share(now, restless, 6, 0.1).is_anomaly


def test_of_shares_that_are_alike_next_to_none_is_an_anomaly() -> None:
    random = np.random.default_rng(1)
    found = [
        judge_share(share(int(hits[-1]), 40), [share(int(own), 40) for own in hits[:-1]], 6, 0.2)
        for hits in random.binomial(40, 0.1, size=(2_000, 21))
    ]
    assert sum(one.is_anomaly for one in found) <= 4


# Levels


@pytest.mark.parametrize(("value", "is_anomaly"), [(100, False), (150, False), (300, True), (20, True)])
def test_level_that_moved_either_way_is_an_anomaly(value: float, is_anomaly: bool) -> None:
    found = judge_level(level(value), LEVELS, 6, 2)
    assert found.is_anomaly is is_anomaly
    assert (found.value, found.usual) == (pytest.approx(value), pytest.approx(100.5, rel=0.01))


def test_median_of_few_rows_may_lie_further_off() -> None:
    assert judge_level(level(300, rows=1000), LEVELS, 6, 2).is_anomaly
    assert not judge_level(level(300, rows=30, spread=1.5), LEVELS, 6, 2).is_anomaly


def test_level_without_a_spread_is_judged_whatever_its_rows() -> None:
    window = [level(value, rows=1, spread=0.0) for value in (4, 5, 4, 5, 5, 4, 5, 4)]
    assert judge_level(level(400, rows=1, spread=0.0), window, 6, 5).is_anomaly


# Mixes


def test_mix_that_shifted_is_an_anomaly() -> None:
    found = judge_mix(mix(a=5, b=90, c=5), MIXES, 0.25, 0.15)
    assert (found.is_anomaly, found.value > found.limit >= 0.25) == (True, True)
    assert not judge_mix(mix(a=52, b=28, c=20), MIXES, 0.25, 0.15).is_anomaly


def test_label_that_was_never_seen_counts() -> None:
    assert judge_mix(mix(d=100), MIXES, 0.25, 0.15).is_anomaly


def test_few_rows_shift_by_chance() -> None:
    random = np.random.default_rng(2)
    shares, names = [0.2] * 5, "abcde"
    window = [mix(**dict(zip(names, map(int, random.multinomial(30, shares)), strict=True))) for _ in range(20)]
    found = [
        judge_mix(mix(**dict(zip(names, map(int, counts), strict=True))), window, 0.05, 0.0)
        for counts in random.multinomial(30, shares, size=1_000)
    ]
    assert sum(one.value > 0.05 for one in found) > 500, "the index alone would cry wolf"
    assert sum(one.is_anomaly for one in found) <= 2


counts = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 1_000), min_size=1)


@given(counts, counts)
def test_index_is_never_negative_and_the_same_both_ways(one: dict[str, int], two: dict[str, int]) -> None:
    index = stability_index(one, two)
    assert index >= -1e-12
    assert index == pytest.approx(stability_index(two, one))


@given(counts)
def test_index_of_the_same_counts_is_nothing(one: dict[str, int]) -> None:
    assert stability_index(one, one) == pytest.approx(0)


# Where nothing can be judged

JUDGES = [
    (judge_share, share(90, 100), share(5, 100), share(1, 1)),
    (judge_level, level(900), level(100), level(900, rows=1)),
    (judge_mix, mix(a=99, b=1), mix(a=1, b=99), mix(a=1)),
]


@pytest.mark.parametrize(("judge", "now", "usual", "few"), JUDGES, ids=["share", "level", "mix"])
def test_too_little_is_said_and_not_judged(judge: Any, now: Any, usual: Any, few: Any) -> None:
    def judged(value: Any, batches: int) -> Judged:
        return judge(value, [usual] * batches, 0.25, 1.5 if judge is judge_level else 0.1)

    assert judged(now, LEAST_BATCHES).is_anomaly
    assert (
        judged(now, LEAST_BATCHES - 1).unjudged == f"too little history: {LEAST_BATCHES - 1} of {LEAST_BATCHES} batches"
    )
    assert judged(few, LEAST_BATCHES).unjudged == f"too few rows: 1 of {LEAST_ROWS}"
    assert not judged(now, LEAST_BATCHES - 1).is_anomaly
    assert not judged(few, LEAST_BATCHES).is_anomaly

"""Anomalies of a batch: what a table says is to be measured, held against the batches before, as checks in Dagster.

A table (CSV) has a line for each limit:

    asset,measure,column,level,limit,least,reason
    feedback,null_share,account,halt,6,0.2,"an export without accounts"

`level` is halt or warn. `limit` and `least` are what `core/outliers.py` says of the measure's kind: the distance from
what is usual, and the least change that matters.
"""

import base64
import csv
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa

from orchestration_project.core.errors import NoChampion, TableRefused, did_you_mean
from orchestration_project.core.outliers import Judged, Measured, judge_level, judge_mix, judge_share
from orchestration_project.model_output.gate import NOT_TRIED
from orchestration_project.model_output.measures import LEVEL, MEASURES, MIX, SHARE, Seen
from orchestration_project.model_output.partitions import BATCHES
from orchestration_project.performers.model import loaded
from orchestration_project.stores import measurements
from orchestration_project.stores.champions import require_champion
from orchestration_project.stores.home import Home

COLUMNS = ("asset", "measure", "column", "level", "limit", "least", "reason")
LEVELS = ("halt", "warn")
JUDGES: dict[str, Callable[[Measured, Sequence[Measured], float, float], Judged]] = {
    SHARE: judge_share,
    LEVEL: judge_level,
    MIX: judge_mix,
}


@dataclass(frozen=True)
class Limit:
    """One line of the table."""

    asset: str
    measure: str
    column: str
    level: str
    limit: float
    least: float
    reason: str

    @property
    def name(self) -> str:
        """Name of its check."""
        return f"usual_{self.measure}" + (f"_of_{self.column}" if self.column else "")

    @property
    def meaning(self) -> str:
        """What its check says."""
        what = self.measure.replace("_", " ") + (f" of {self.column}" if self.column else "")
        return f"The {what} is as usual; else it {'halts' if self.level == 'halt' else 'warns'}. {self.reason}"


@dataclass(frozen=True)
class Found:
    """What the watch found of one batch: what was measured, how it stands, and why it halts (None: it does not)."""

    measured: Mapping[str, Measured]
    judged: Mapping[str, Judged]
    window: Mapping[str, Sequence[Measured]]
    halt: str | None = None

    def record(self, connection: sa.Connection, asset: str, partition: str) -> None:
        """Keep what was measured, in the transaction that publishes."""
        measurements.record(connection, asset=asset, partition=partition, measured=self.measured)


class Watch:
    """The limits of a table; `vocabulary` names the model whose words are the known ones."""

    def __init__(self, path: Path, *, vocabulary: str | None = None) -> None:
        self.path = path
        self.vocabulary = vocabulary

    @cached_property
    def limits(self) -> tuple[Limit, ...]:
        """Every line. TableRefused for other columns, an unknown measure or level, no number, no reason, a repetition."""
        with self.path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise TableRefused(f"{self.path} has other columns. Give it these: {', '.join(COLUMNS)}.")
            found = [self._limit(number, line) for number, line in enumerate(reader, start=2)]
        names = [(limit.asset, limit.name) for limit in found]
        if twice := [names[number] for number in range(len(names)) if names[number] in names[:number]]:
            raise TableRefused(f"{self.path} has {twice[0][1]} of {twice[0][0]} twice. Keep one.")
        return tuple(found)

    def of(self, asset: str) -> tuple[Limit, ...]:
        """The limits of one asset."""
        return tuple(limit for limit in self.limits if limit.asset == asset)

    def look(self, home: Home, asset: str, partition: str, seen: Seen) -> Found:
        """Measure a batch and hold it against those before it."""
        limits = self.of(asset)
        with home.ledger.read() as connection:
            window = measurements.window(connection, asset=asset, partition=partition)
            passed = measurements.passed(connection, asset=asset, partition=partition)
        measured: dict[str, Measured] = {}
        judged: dict[str, Judged] = {}
        for limit in limits:
            kind, _, measure = MEASURES[limit.measure]
            value = measure(seen, limit.column)
            if value is None:
                judged[limit.name] = Judged(0.0, 0.0, 0.0, limit.limit, unjudged="no model is in use yet")
                continue
            measured[limit.name] = value
            judged[limit.name] = JUDGES[kind](value, window.get(limit.name, ()), limit.limit, limit.least)
        halting = [limit for limit in limits if limit.level == "halt" and judged[limit.name].is_anomaly]
        halt = None if passed is not None else "; ".join(said(limit, judged[limit.name]) for limit in halting)
        return Found(measured, judged, window, f"{measurements.UNLIKE}: {halt}." if halt else None)

    def known_words(self, home: Home, asset: str) -> Mapping[str, Any] | None:
        """The words that the model learnt; None where no limit asks, or no version is in use."""
        if self.vocabulary is None or not any(limit.measure == "unknown_word_share" for limit in self.of(asset)):
            return None
        try:
            with home.ledger.read() as connection:
                champion = require_champion(connection, self.vocabulary)
        except NoChampion:
            return None
        pipeline: Any = loaded(home, champion).pipeline
        return pipeline[0].transformer_list[0][1].vocabulary_

    def _limit(self, number: int, line: Mapping[str, str | None]) -> Limit:
        values = {name: (line[name] or "").strip() for name in COLUMNS}
        where = f"Line {number} of {self.path}"
        if values["measure"] not in MEASURES:
            raise TableRefused(
                f"{where}: no measure is called '{values['measure']}'.{did_you_mean(values['measure'], MEASURES)}"
            )
        if MEASURES[values["measure"]][1] != bool(values["column"]):
            demand = "needs a column" if not values["column"] else "is of the batch and has no column"
            raise TableRefused(f"{where}: {values['measure']} {demand}.")
        if values["level"] not in LEVELS:
            raise TableRefused(f"{where}: the level is '{values['level']}'. Write halt or warn.")
        if not values["reason"]:
            raise TableRefused(f"{where} has no reason. Say why this limit is as it is.")
        numbers = [_number(where, name, values[name]) for name in ("limit", "least")]
        return Limit(
            values["asset"], values["measure"], values["column"], values["level"], *numbers, reason=values["reason"]
        )


def watch_specs(asset: str, watch: Watch | None) -> list[dg.AssetCheckSpec]:
    """A check for each limit of an asset that is partitioned by batch."""
    return [
        dg.AssetCheckSpec(limit.name, asset=asset, partitions_def=BATCHES, description=limit.meaning)
        for limit in (watch.of(asset) if watch else ())
    ]


def watch_results(asset: str, watch: Watch | None, found: Found | None) -> Iterator[dg.AssetCheckResult]:
    """How each limit stands, with value, limit and the values of the window as a picture. Where the columns drifted,
    nothing was found, and each says so.
    """
    for limit in watch.of(asset) if watch else ():
        if found is None:
            yield dg.AssetCheckResult(
                asset_key=asset,
                check_name=limit.name,
                passed=False,
                severity=dg.AssetCheckSeverity.WARN,
                description=NOT_TRIED,
            )
            continue
        judged = found.judged[limit.name]
        yield dg.AssetCheckResult(
            asset_key=asset,
            check_name=limit.name,
            passed=not judged.is_anomaly,
            severity=dg.AssetCheckSeverity.ERROR if limit.level == "halt" else dg.AssetCheckSeverity.WARN,
            description=f"Not judged: {judged.unjudged}." if judged.unjudged else f"{said(limit, judged)}.",
            metadata=_facts(limit, judged, found),
        )


def said(limit: Limit, judged: Judged) -> str:
    """How a limit stands, in words."""
    what = limit.measure.replace("_", " ") + (f" of {limit.column}" if limit.column else "")
    kind = MEASURES[limit.measure][0]
    if kind == MIX:
        return f"the {what} shifted by {judged.value:.3f} (stability index; limit {judged.limit:.3f})"
    shown = (
        f"{judged.value:.1%}, usually {judged.usual:.1%}"
        if kind == SHARE
        else f"{judged.value:.4g}, usually {judged.usual:.4g}"
    )
    return f"{what} {shown} ({judged.distance:.1f} standard deviations; limit {judged.limit:g})"


def _facts(limit: Limit, judged: Judged, found: Found) -> dict[str, Any]:
    kind = MEASURES[limit.measure][0]
    window = found.window.get(limit.name, ())
    facts: dict[str, Any] = {
        "value": judged.value,
        "usual": judged.usual,
        "distance": judged.distance,
        "limit": judged.limit,
        "batches": len(window),
        "level": limit.level,
        "why this limit": limit.reason,
    }
    if kind == MIX or limit.name not in found.measured:
        return facts
    series = [_plain(kind, own) for own in (*window, found.measured[limit.name])]
    return {**facts, "history": dg.MarkdownMetadataValue(_picture(series))}


def _plain(kind: str, own: Measured) -> float:
    if kind == SHARE:
        return own["hits"] / own["rows"] if own["rows"] else 0.0
    return math.exp(own["value"])


def _picture(values: Sequence[float]) -> str:
    """The values as a line, the last as a point, as Markdown with an SVG picture in it."""
    low, high = min(values), max(values)
    span, step = (high - low) or 1.0, 380 / max(1, len(values) - 1)
    points = [(10 + number * step, 90 - 80 * (value - low) / span) for number, value in enumerate(values)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    x, y = points[-1]
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="400" height="110" font-family="sans-serif" font-size="10">'
        f'<rect width="400" height="110" fill="white"/><polyline points="{line}" fill="none" stroke="#4c78a8"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#d62728"/>'
        f'<text x="10" y="106">{len(values)} batches, the last is this one; from {low:.4g} to {high:.4g}</text></svg>'
    )
    return f"![history](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def _number(where: str, name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise TableRefused(f"{where}: {name} is '{text}'. Write a number from 0.")
    return number

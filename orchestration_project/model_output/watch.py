"""Anomalies of a batch: what a table says is to be measured, held against the batches before, as checks in Dagster.

A table (CSV) has a line for each limit:

    asset,measure,column,level,limit,least,reason
    feedback,null_share,account,halt,6,0.2,"an export without accounts"

`level` is halt or warn. `limit` and `least` are what `core/outliers.py` says of the measure's kind: the distance from
what is usual, and the least change that matters.

A feed that stops gives no batch that could be measured. For it the measure is `silence`: the hours without a batch from
which on that is told, and as `least` those of them in which the project must have been running. It only warns.
"""

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa

from orchestration_project.core.errors import NoChampion, TableRefused, did_you_mean
from orchestration_project.core.outliers import Judged, Measured, judge_level, judge_mix, judge_share
from orchestration_project.model_output.measures import (
    LEVEL,
    MEASURES,
    MIX,
    SHARE,
    UNITS,
    Seen,
    in_figures,
    shown_level,
)
from orchestration_project.performers.model import loaded
from orchestration_project.stores import measurements, switches
from orchestration_project.stores.champions import require_champion
from orchestration_project.stores.families import performer_of
from orchestration_project.stores.home import Home
from orchestration_project.stores.switches import Kind

COLUMNS = ("asset", "measure", "column", "level", "limit", "least", "reason")
LEVELS = ("halt", "warn")
SILENCE = "silence"
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
        """The limits that batches of one asset are held to."""
        return tuple(limit for limit in self.limits if limit.asset == asset and limit.measure != SILENCE)

    def silences(self) -> tuple[Limit, ...]:
        """For how long assets may have no batch."""
        return tuple(limit for limit in self.limits if limit.measure == SILENCE)

    def freshness(self, asset: str) -> dg.FreshnessPolicy | None:
        """How Dagster's page judges the age of an asset: it warns from the limit on, and after twice as long it says that
        the asset is stale. None where the table has no line for that.
        """
        for limit in self.silences():
            if limit.asset == asset:
                hours = timedelta(hours=limit.limit)
                return dg.FreshnessPolicy.time_window(fail_window=2 * hours, warn_window=hours)
        return None

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
                judged[limit.name] = Judged(0.0, 0.0, 0.0, limit.limit, unjudged="no model is in use, or it is off")
                continue
            measured[limit.name] = value
            judged[limit.name] = JUDGES[kind](value, window.get(limit.name, ()), limit.limit, limit.least)
        halting = [limit for limit in limits if limit.level == "halt" and judged[limit.name].is_anomaly]
        halt = None if passed is not None else "; ".join(said(limit, judged[limit.name]) for limit in halting)
        return Found(measured, judged, window, f"{measurements.UNLIKE}: {halt}." if halt else None)

    def known_words(self, home: Home, asset: str) -> Mapping[str, Any] | None:
        """The words that the model learnt; None where no limit asks, no version is in use, or it is switched off."""
        if self.vocabulary is None or not any(limit.measure == "unknown_word_share" for limit in self.of(asset)):
            return None
        try:
            with home.ledger.read() as connection:
                champion = require_champion(connection, self.vocabulary)
                names: dict[Kind, tuple[str, ...]] = {
                    "performer": (performer_of(self.vocabulary),),
                    "version": (champion.name,),
                }
                if any(switch.state == "off" for switch in switches.taken_out(connection, names)):
                    return None
        except NoChampion:
            return None
        pipeline: Any = loaded(home, champion).pipeline
        return pipeline[0].transformer_list[0][1].vocabulary_

    def _limit(self, number: int, line: Mapping[str, str | None]) -> Limit:
        values = {name: (line[name] or "").strip() for name in COLUMNS}
        where = f"Line {number} of {self.path}"
        known = (*MEASURES, SILENCE)
        if values["measure"] not in known:
            raise TableRefused(
                f"{where}: no measure is called '{values['measure']}'.{did_you_mean(values['measure'], known)}"
            )
        needs_column = values["measure"] != SILENCE and MEASURES[values["measure"]][1]
        if needs_column != bool(values["column"]):
            demand = "needs a column" if not values["column"] else "is of the batch and has no column"
            raise TableRefused(f"{where}: {values['measure']} {demand}.")
        if values["level"] not in LEVELS:
            raise TableRefused(f"{where}: the level is '{values['level']}'. Write halt or warn.")
        if not values["reason"]:
            raise TableRefused(f"{where} has no reason. Say why this limit is as it is.")
        numbers = [_number(where, name, values[name]) for name in ("limit", "least")]
        if values["measure"] == SILENCE and (values["level"] != "warn" or numbers[0] < 1):
            raise TableRefused(
                f"{where}: silence has no batch to halt, and is told in hours. Write warn, and 1 or more."
            )
        return Limit(
            values["asset"], values["measure"], values["column"], values["level"], *numbers, reason=values["reason"]
        )


def said(limit: Limit, judged: Judged) -> str:
    """How a limit stands, in words."""
    what = limit.measure.replace("_", " ") + (f" of {limit.column}" if limit.column else "")
    kind = MEASURES[limit.measure][0]
    if kind == MIX:
        return f"the {what} shifted by {judged.value:.3f} (stability index; limit {judged.limit:.3f})"
    value, usual = (in_unit(limit, number) for number in (judged.value, judged.usual))
    unit = "" if limit.measure in UNITS.values() else UNITS.get(limit.measure, "")
    shown = (
        f"{value:.1%}, usually {usual:.1%}"
        if kind == SHARE
        else f"{in_figures(value)} {unit}".rstrip() + f", usually {in_figures(usual)}"
    )
    return f"{what} {shown} ({judged.distance:.1f} standard deviations; limit {judged.limit:g})"


def in_unit(limit: Limit, value: float) -> float:
    """A value in the unit of its measure."""
    return shown_level(limit.measure, value) if MEASURES[limit.measure][0] == LEVEL else value


def _number(where: str, name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise TableRefused(f"{where}: {name} is '{text}'. Write a number from 0.")
    return number

"""The sensor that notices a feed that has stopped: it gives no batch, hence no check, and nobody would be told.

The limit is a line `silence` of the table of anomalies. Only time in which the project runs makes a silence: a machine
that was switched off has missed nothing that it could have taken in, and tells nothing when it is switched on again.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

import dagster as dg

from orchestration_project.model_output.watch import Limit, Watch
from orchestration_project.stores import batches, outbox
from orchestration_project.stores.home import Home, current_home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.manifest import UNPARTITIONED
from orchestration_project.stores.outbox import Notice

SECONDS_BETWEEN = 300


@dataclass(frozen=True)
class Memory:
    """What is kept from tick to tick: when the newest batch was opened, when the last tick was (both ISO 8601), and for
    how many hours the project has been running since that batch.
    """

    opened: str = ""
    tick: str = ""
    running_hours: float = 0.0

    @classmethod
    def read(cls, cursor: str | None) -> Self:
        """The memory that a sensor's cursor holds."""
        return cls(**json.loads(cursor)) if cursor else cls()

    def written(self) -> str:
        """The cursor that holds it."""
        return json.dumps(asdict(self))

    def at(self, moment: datetime, opened_at: datetime) -> Self:
        """The memory of a tick at that moment. The time since the tick before counts if that was not long ago: in a
        longer gap the project was not running.
        """
        opened = opened_at.isoformat()
        if opened != self.opened:
            return replace(self, opened=opened, tick=moment.isoformat(), running_hours=0.0)
        gap = moment - datetime.fromisoformat(self.tick)
        was_running = timedelta() < gap <= timedelta(seconds=3 * SECONDS_BETWEEN)
        hours = self.running_hours + (gap.total_seconds() / 3600 if was_running else 0.0)
        return replace(self, tick=moment.isoformat(), running_hours=hours)


def silence_sensor(name: str, watch: Watch, **arguments: Any) -> dg.SensorDefinition:
    """A sensor that tells, once for each silence, that no batch came for as long as the table of the watch allows.
    `arguments` go to `dg.sensor`.
    """

    @dg.sensor(name=name, minimum_interval_seconds=SECONDS_BETWEEN, **arguments)
    def sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        home = current_home()
        with home.ledger.read() as connection:
            opened_at = batches.newest_opened_at(connection)
        if opened_at is None:
            return dg.SkipReason("No batch came yet, so none is missed.")
        moment = now()
        memory = Memory.read(context.cursor).at(moment, opened_at)
        silent_hours = (moment - opened_at).total_seconds() / 3600
        notices = list(_notices(watch.silences(), watch.path, memory, silent_hours))
        if notices:
            tell(home, notices)
        context.update_cursor(memory.written())
        return dg.SkipReason(
            f"The newest batch came {silent_hours:.1f} hours ago; of these the project was running for "
            f"{memory.running_hours:.1f}. {'That is told.' if notices else 'That is no silence.'}"
        )

    return sensor


def tell(home: Home, notices: Sequence[Notice]) -> None:
    """Put the notices into the outbox; one that stands there already is left as it is."""
    with home.ledger.write() as connection:
        outbox.record(connection, asset=outbox.OF_A_RUN, partition=UNPARTITIONED, notices=notices)


def _notices(limits: Sequence[Limit], table: Path, memory: Memory, silent_hours: float) -> Iterator[Notice]:
    for limit in limits:
        if silent_hours < limit.limit or memory.running_hours < limit.least:
            continue
        lines = [
            f"Since: {datetime.fromisoformat(memory.opened):%Y-%m-%d %H:%M} UTC",
            f"Limit: {limit.limit:g} hours, of them {limit.least:g} with the project running",
            f"Why this limit: {limit.reason}",
            f"What to do: ask whoever sends. Where such gaps are usual, raise the limit of silence in {table.name}",
        ]
        yield Notice(
            f"silence/{limit.asset}/{memory.opened}",
            f"No batch of {limit.asset} for {int(silent_hours)} hours",
            "\n".join(f"- {line}" for line in lines),
            {"asset": limit.asset, "since": memory.opened},
        )

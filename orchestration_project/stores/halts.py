"""Open refusals of gates: while one is open, nothing downstream of its asset runs on its partition."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from orchestration_project.stores.ledger import now
from orchestration_project.stores.measurements import UNLIKE
from orchestration_project.stores.schema import HALTS, MANIFEST


@dataclass(frozen=True)
class Halt:
    """One open halt."""

    asset: str
    partition: str
    run_id: str
    reason: str
    opened_at: datetime

    @property
    def is_anomaly(self) -> bool:
        """Whether the batch was unlike those before it, which somebody may let pass."""
        return self.reason.startswith(UNLIKE)

    @property
    def told(self) -> str:
        """What is halted and since when, without the end of the sentence."""
        what = f"{self.asset} of batch {self.partition}" if self.partition else self.asset
        return f"{what} is halted since run {self.run_id}"


def open_halts(connection: sa.Connection, partition: str | None = None) -> list[Halt]:
    """Every open halt, oldest first, of one partition or of all."""
    table = HALTS.c
    query = sa.select(table.asset, table.partition, table.run_id, table.reason, table.opened_at)
    query = query.where(table.closed_at.is_(None)).order_by(table.halt_id)
    if partition is not None:
        query = query.where(table.partition == partition)
    return [Halt(*row) for row in connection.execute(query)]


def halted_since(connection: sa.Connection, partition: str | None = None) -> list[Halt]:
    """The open halts behind which an earlier version is still current, oldest first, of one partition or of all: what is
    read there is the last good version, and not what the halted run made.
    """
    query = sa.select(MANIFEST.c.asset, MANIFEST.c.partition).where(MANIFEST.c.is_current)
    if partition is not None:
        query = query.where(MANIFEST.c.partition == partition)
    halts = open_halts(connection, partition)
    readable = {(asset, found) for asset, found in connection.execute(query)} if halts else set[tuple[str, str]]()
    return [halt for halt in halts if (halt.asset, halt.partition) in readable]


def record_halt(connection: sa.Connection, *, asset: str, partition: str, run_id: str, reason: str) -> None:
    """Open a halt; an open one of the same asset and partition is closed by it."""
    close_halts(connection, asset=asset, partition=partition, closed_by=run_id)
    row = {"asset": asset, "partition": partition, "run_id": run_id, "reason": reason, "opened_at": now()}
    connection.execute(sa.insert(HALTS).values(**row))


def close_halts(connection: sa.Connection, *, asset: str, partition: str, closed_by: str) -> int:
    """Close the open halts of an asset's partition; returns how many there were."""
    table = HALTS.c
    closing = sa.update(HALTS).where(table.asset == asset, table.partition == partition, table.closed_at.is_(None))
    return connection.execute(closing.values(closed_at=now(), closed_by=closed_by)).rowcount

"""Rows that a gate refused: the raw row is Parquet, what became of it is a row of the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from orchestration_project.stores.ledger import now
from orchestration_project.stores.schema import CLAIMS, QUARANTINE


@dataclass(frozen=True)
class RefusedRow:
    """One refused row: which, where in the quarantine file, and why."""

    message_id: str | None
    position: int
    reason: str


def replace_refused(
    connection: sa.Connection, *, asset: str, partition: str, run_id: str, path: str, rows: Sequence[RefusedRow]
) -> None:
    """Record what a run refused in place of what earlier runs refused of the same asset and partition."""
    table = QUARANTINE.c
    earlier = sa.update(QUARANTINE).where(table.asset == asset, table.partition == partition, table.state == "open")
    connection.execute(earlier.values(state="superseded"))
    shared = {"asset": asset, "partition": partition, "run_id": run_id, "path": path, "contract": ""}
    shared |= {"state": "open", "refused_at": now()}
    if rows:
        connection.execute(sa.insert(QUARANTINE), [{**shared, **vars(row)} for row in rows])


def refused_messages(connection: sa.Connection) -> dict[str, int]:
    """Batch → number of its own messages, those that it claimed, that wait in quarantine."""
    table = QUARANTINE.c
    count = sa.func.count(table.message_id.distinct())
    is_own = (CLAIMS.c.message_id == table.message_id) & (CLAIMS.c.batch == table.partition)
    query = sa.select(table.partition, count).join(CLAIMS, is_own)
    query = query.where(table.state == "open").group_by(table.partition)
    return {batch: number for batch, number in connection.execute(query)}


def refusals_of(connection: sa.Connection, message_id: str) -> list[tuple[str, str, str]]:
    """(asset, batch, reason) of a message's rows that wait in quarantine."""
    table = QUARANTINE.c
    query = sa.select(table.asset, table.partition, table.reason)
    query = query.where(table.message_id == message_id, table.state == "open").order_by(table.row_id)
    return [(asset, batch, reason) for asset, batch, reason in connection.execute(query)]

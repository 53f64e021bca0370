"""Rows that a gate refused: the raw row is Parquet, what became of it is a row of the ledger.

open → superseded (its asset ran again on its batch, or an earlier version is in use again), replayed (in a batch of its own) or discarded.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime

import sqlalchemy as sa

from orchestration_project.core.errors import UnknownName
from orchestration_project.stores.ledger import in_parts, now
from orchestration_project.stores.schema import CLAIMS, QUARANTINE

_TABLE = QUARANTINE.c
_GONE = ("replayed", "discarded")


@dataclass(frozen=True)
class RefusedRow:
    """One refused row: which, where in the quarantine file, and why; where it came from if it came in with a file."""

    message_id: str | None
    position: int
    reason: str
    file: str | None = None
    file_sha256: str | None = None
    line: int | None = None


@dataclass(frozen=True)
class QuarantinedRow:
    """All that the ledger knows of a refused row. `reason` is the rules it broke, or `unparsable: …`; `file`, its digest
    and `line` are None of a row that was computed; `correction` is column → value that somebody set right.
    """

    row_id: int
    asset: str
    partition: str
    run_id: str
    message_id: str | None
    path: str
    position: int
    reason: str
    contract: str
    file: str | None
    file_sha256: str | None
    line: int | None
    correction: Mapping[str, str | None] | None
    successor: str | None
    state: str
    refused_at: datetime


@dataclass(frozen=True)
class Selection:
    """Which rows are meant: those that satisfy all that is given. `rule` is one that the row broke, or `unparsable`."""

    rows: tuple[int, ...] = ()
    asset: str | None = None
    batch: str | None = None
    rule: str | None = None

    def find(self, connection: sa.Connection, state: str | None = "open") -> list[QuarantinedRow]:
        """The rows in that state (None: in any), oldest first; UnknownName for a number that no row has."""
        query = sa.select(*(_TABLE[entry.name] for entry in fields(QuarantinedRow))).order_by(_TABLE.row_id)
        if self.rows:
            query = query.where(_TABLE.row_id.in_(self.rows))
        if self.asset is not None:
            query = query.where(_TABLE.asset == self.asset)
        if self.batch is not None:
            query = query.where(_TABLE.partition == self.batch)
        found = [QuarantinedRow(*row) for row in connection.execute(query)]
        if missing := sorted(set(self.rows) - {row.row_id for row in found}):
            raise UnknownName(
                f"No refused row{self._rest()} has the number {missing[0]}. See: orchestrate quarantine list"
            )
        return [row for row in found if state in (None, row.state) and self.rule in (None, *rules_of(row.reason))]

    def _rest(self) -> str:
        named = {"asset": self.asset, "batch": self.batch}
        return "".join(f" of {name} {value}" for name, value in named.items() if value is not None)


def rules_of(reason: str) -> list[str]:
    """The rules that a row broke, or `unparsable`."""
    return ["unparsable"] if reason.startswith("unparsable:") else reason.split(", ")


def replace_refused(
    connection: sa.Connection,
    *,
    asset: str,
    partition: str,
    run_id: str,
    path: str,
    rows: Sequence[RefusedRow],
    contract: str = "",
) -> None:
    """Record what a run refused in place of what earlier runs refused of the same asset and partition.

    What somebody corrected of a message stays with it, and what was discarded stays discarded.
    """
    its = (_TABLE.asset == asset) & (_TABLE.partition == partition)
    query = sa.select(_TABLE.message_id, _TABLE.correction, _TABLE.state).where(its).order_by(_TABLE.row_id)
    before = {message_id: (correction, state) for message_id, correction, state in connection.execute(query)}
    connection.execute(sa.update(QUARANTINE).where(its, _TABLE.state == "open").values(state="superseded"))
    shared: dict[str, object] = {"asset": asset, "partition": partition, "run_id": run_id, "path": path}
    shared |= {"contract": contract, "refused_at": now()}
    if rows:
        values: list[dict[str, object]] = []
        for row in rows:
            correction, state = before.get(row.message_id, (None, "")) if row.message_id else (None, "")
            state = "discarded" if state == "discarded" else "open"
            values.append({**shared, **vars(row), "correction": correction, "state": state})
        connection.execute(sa.insert(QUARANTINE), values)


def put_back(connection: sa.Connection, *, asset: str, partition: str, run_id: str) -> None:
    """Let wait what a run refused in place of what later runs refused, for its version is in use again.

    What somebody corrected of a message stays with it, and what left the batch stays gone.
    """
    its = (_TABLE.asset == asset) & (_TABLE.partition == partition)
    gone = sa.select(_TABLE.message_id).where(its, _TABLE.state.in_(_GONE), _TABLE.message_id.is_not(None))
    later = its & (_TABLE.state == "open") & (_TABLE.run_id != run_id)
    corrected = sa.select(_TABLE.message_id, _TABLE.correction).where(later, _TABLE.correction.is_not(None))
    corrections = {message_id: correction for message_id, correction in connection.execute(corrected) if correction}
    connection.execute(sa.update(QUARANTINE).where(later).values(state="superseded"))
    waits = its & (_TABLE.run_id == run_id) & (_TABLE.state == "superseded")
    waits &= _TABLE.message_id.is_(None) | _TABLE.message_id.not_in(gone)
    for row_id, message_id in connection.execute(sa.select(_TABLE.row_id, _TABLE.message_id).where(waits)).all():
        values = {"state": "open"}
        if message_id in corrections:
            values["correction"] = corrections[message_id]
        connection.execute(sa.update(QUARANTINE).where(_TABLE.row_id == row_id).values(**values))


def correct(connection: sa.Connection, row_id: int, correction: Mapping[str, str | None]) -> None:
    """Keep what somebody set right in a row: column → value, on top of what was set right before."""
    before = connection.execute(sa.select(_TABLE.correction).where(_TABLE.row_id == row_id)).scalar() or {}
    corrected = sa.update(QUARANTINE).where(_TABLE.row_id == row_id)
    connection.execute(corrected.values(correction={**before, **correction}))


def settle(connection: sa.Connection, rows: Collection[int], state: str, successor: str | None = None) -> int:
    """Say what became of open rows: replayed in the batch `successor`, or discarded. Returns how many were open."""
    settled = 0
    for some in in_parts(sorted(rows)):
        own = sa.update(QUARANTINE).where(_TABLE.row_id.in_(some), _TABLE.state == "open")
        settled += connection.execute(own.values(state=state, successor=successor)).rowcount
    return settled


def refused_messages(connection: sa.Connection, batches: Collection[str] | None = None) -> dict[str, int]:
    """Batch → number of its own messages, those that it claimed, that wait in quarantine; of these batches, or of all."""
    count = sa.func.count(_TABLE.message_id.distinct())
    is_own = (CLAIMS.c.message_id == _TABLE.message_id) & (CLAIMS.c.batch == _TABLE.partition)
    query = sa.select(_TABLE.partition, count).join(CLAIMS, is_own)
    query = query.where(_TABLE.state == "open", *_of(batches)).group_by(_TABLE.partition)
    return {batch: number for batch, number in connection.execute(query)}


def gone_messages(connection: sa.Connection, batches: Collection[str] | None = None) -> dict[str, dict[str, int]]:
    """Batch → `replayed` and `discarded` → number of messages that left it so; of these batches, or of all."""
    other = QUARANTINE.alias()
    waits = sa.exists().where(
        other.c.partition == _TABLE.partition, other.c.message_id == _TABLE.message_id, other.c.state == "open"
    )
    query = sa.select(_TABLE.partition, _TABLE.state, sa.func.count(_TABLE.message_id.distinct()))
    query = query.where(_TABLE.state.in_(_GONE), ~waits, *_of(batches)).group_by(_TABLE.partition, _TABLE.state)
    found: dict[str, dict[str, int]] = {}
    for batch, state, number in connection.execute(query):
        found.setdefault(batch, {})[state] = number
    return found


def _of(batches: Collection[str] | None) -> tuple[sa.ColumnElement[bool], ...]:
    return () if batches is None else (_TABLE.partition.in_(batches),)


def left_with_file(connection: sa.Connection, batch: str) -> set[str]:
    """Ids of the messages that came in with a batch and left it, replayed or discarded: it may not take them in again."""
    query = sa.select(_TABLE.message_id).where(_TABLE.partition == batch, _TABLE.file.is_not(None))
    return {found for found in connection.execute(query.where(_TABLE.state.in_(_GONE))).scalars() if found}


def refusals_of(connection: sa.Connection, message_id: str) -> list[tuple[str, str, str]]:
    """(asset, batch, reason) of a message's rows that wait in quarantine."""
    query = sa.select(_TABLE.asset, _TABLE.partition, _TABLE.reason)
    query = query.where(_TABLE.message_id == message_id, _TABLE.state == "open").order_by(_TABLE.row_id)
    return [(asset, batch, reason) for asset, batch, reason in connection.execute(query)]

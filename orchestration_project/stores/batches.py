"""Batches: the arrivals that one run handles.

A batch is a key of the dynamic partition `batch` and a row of the ledger.
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from orchestration_project.core.errors import NoArrivals
from orchestration_project.stores import run_requests
from orchestration_project.stores.halts import close_halts, open_halts
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import insert_new, now
from orchestration_project.stores.quarantine import refused_messages
from orchestration_project.stores.schema import ARRIVALS, BATCHES, CLAIMS, HALTS, MANIFEST, QUARANTINE

STATES = ("waiting", "working", "done", "pending", "quarantined", "duplicates", "halted", "set_aside", "discarded")
"""Where a message can be; each is in exactly one."""


@dataclass(frozen=True)
class Batch:
    """One batch. `state` is working, done, set_aside or discarded."""

    batch: str
    rows: int
    duplicates: int
    state: str
    cause: str | None


def open_next(home: Home) -> str | None:
    """Claim waiting arrivals into a new batch and request its run, in one transaction; None when nothing waits.

    A batch takes arrivals in the order of their coming, all with the same columns as the first, up to the row cap.
    """
    with home.ledger.write() as connection:
        batch = f"{now():%Y%m%dT%H%M%SZ}-{uuid4().hex[:6]}"
        if not _claim(connection, batch, home.settings.batch_rows):
            return None
        run_requests.request(connection, batch=batch, cause="arrival")
    return batch


def open_by_key(home: Home, batch: str) -> None:
    """Make sure that a key somebody typed is a batch: a new one claims waiting arrivals, or NoArrivals if there are
    none.
    """
    with home.ledger.write() as connection:
        if get(connection, batch) is None and not _claim(connection, batch, home.settings.batch_rows):
            raise NoArrivals(
                f"Batch '{batch}' is new, and no message waits to be taken into it. "
                "Send some first: orchestrate send --no-wait FILE"
            )


def get(connection: sa.Connection, batch: str) -> Batch | None:
    """The batch of that key; None when there is none."""
    table = BATCHES.c
    query = sa.select(table.batch, table.rows, table.duplicates, table.state, table.cause).where(table.batch == batch)
    row = connection.execute(query).one_or_none()
    return None if row is None else Batch(*row)


def all_keys(connection: sa.Connection) -> list[str]:
    """Every batch, oldest first."""
    return list(connection.execute(sa.select(BATCHES.c.batch).order_by(BATCHES.c.number)).scalars())


def set_state(connection: sa.Connection, batch: str, state: str, cause: str | None = None) -> None:
    """Record where a batch stands, in the caller's transaction."""
    connection.execute(sa.update(BATCHES).where(BATCHES.c.batch == batch).values(state=state, cause=cause))


def all_ended(connection: sa.Connection, keys: Collection[str]) -> bool:
    """Whether none of the batches is worked on any more: each is done, halted, set aside or discarded."""
    halted = {halt.partition for halt in open_halts(connection)}
    return not any(
        run_requests.open_requests(connection, key) or (found.state == "working" and key not in halted)
        for key in keys
        if (found := get(connection, key)) is not None
    )


def set_aside(connection: sa.Connection) -> list[Batch]:
    """Every batch that was set aside, oldest first."""
    table = BATCHES.c
    query = sa.select(table.batch, table.rows, table.duplicates, table.state, table.cause)
    query = query.where(table.state == "set_aside").order_by(table.number)
    return [Batch(*row) for row in connection.execute(query)]


def resume_refused(connection: sa.Connection, cause: str) -> list[str]:
    """Request a run of every batch that was set aside because its last run was refused; returns the batches."""
    resumed: list[str] = []
    for batch in set_aside(connection):
        if run_requests.last_state(connection, batch.batch) == "refused":
            set_state(connection, batch.batch, "working")
            run_requests.request(connection, batch=batch.batch, cause=cause)
            resumed.append(batch.batch)
    return resumed


def set_duplicates(connection: sa.Connection, batch: str, duplicates: int) -> None:
    """Record how many rows of a batch repeat a message that is already known."""
    connection.execute(sa.update(BATCHES).where(BATCHES.c.batch == batch).values(duplicates=duplicates))


@dataclass(frozen=True)
class Claim:
    """What a batch holds after it claimed messages: all their ids, and how many it took over from which batch."""

    held: frozenset[str]
    replaced: dict[str, int]


def claim_messages(connection: sa.Connection, batch: str, message_ids: Collection[str], *, asset: str) -> Claim:
    """Claim message ids for a batch, in addition to those it holds from an earlier run.

    Another batch keeps what it holds, but for messages of which `asset`, which takes messages in, could publish
    nothing: one that it refused, or whose batch it halts, gives way to its corrected self, and is a duplicate in its
    old batch from then on.
    """
    insert_new(connection, CLAIMS, [{"message_id": message_id, "batch": batch} for message_id in message_ids])
    replaced = _take_over(connection, batch, set(message_ids), asset)
    held = connection.execute(sa.select(CLAIMS.c.message_id).where(CLAIMS.c.batch == batch)).scalars()
    return Claim(frozenset(held), replaced)


def number_claimed(connection: sa.Connection, batch: str) -> int:
    """How many messages a batch holds; it grows by claiming, and shrinks when another batch takes some over."""
    return connection.execute(sa.select(sa.func.count()).where(CLAIMS.c.batch == batch)).scalar_one()


def batch_of(connection: sa.Connection, message_id: str) -> str | None:
    """The batch that holds a message; None when the message is unknown."""
    return connection.execute(sa.select(CLAIMS.c.batch).where(CLAIMS.c.message_id == message_id)).scalar()


def count_states(connection: sa.Connection, only: Collection[str] | None = None) -> dict[str, int]:
    """State → number of messages; the numbers add up to every row that ever came in, or came in with the batches
    `only`.
    """
    counts: dict[str, int] = dict.fromkeys(STATES, 0)
    waiting = sa.select(sa.func.coalesce(sa.func.sum(ARRIVALS.c.rows), 0)).where(ARRIVALS.c.batch.is_(None))
    counts["waiting"] = connection.execute(waiting).scalar_one() if only is None else 0
    halted = {halt.partition for halt in open_halts(connection)}
    refused = refused_messages(connection)
    for batch, rows, duplicates, state in connection.execute(
        sa.select(BATCHES.c.batch, BATCHES.c.rows, BATCHES.c.duplicates, BATCHES.c.state)
    ):
        if only is not None and batch not in only:
            continue
        quarantined = refused.get(batch, 0)
        counts["duplicates"] += duplicates
        counts["quarantined"] += quarantined
        is_halted = batch in halted and state != "discarded"
        counts["halted" if is_halted else state] += rows - duplicates - quarantined
    return counts


def _claim(connection: sa.Connection, batch: str, most_rows: int) -> bool:
    query = sa.select(ARRIVALS.c.arrival_id, ARRIVALS.c.rows, ARRIVALS.c.columns).where(ARRIVALS.c.batch.is_(None))
    query = query.order_by(ARRIVALS.c.registered_at, ARRIVALS.c.arrival_id).limit(10_000)
    chosen: list[str] = []
    rows, first_columns = 0, None
    for arrival_id, count, columns in connection.execute(query):
        first_columns = columns if first_columns is None else first_columns
        if columns != first_columns:
            continue
        if chosen and rows + count > most_rows:
            break
        chosen.append(arrival_id)
        rows += count
    if not chosen:
        return False
    for start in range(0, len(chosen), 500):
        claimed = sa.update(ARRIVALS).where(ARRIVALS.c.arrival_id.in_(chosen[start : start + 500]))
        connection.execute(claimed.values(batch=batch))
    connection.execute(
        sa.insert(BATCHES).values(batch=batch, rows=rows, duplicates=0, state="working", opened_at=now())
    )
    return True


def _take_over(connection: sa.Connection, batch: str, message_ids: set[str], asset: str) -> dict[str, int]:
    """Move the claims of these messages that other batches hold in vain; returns old batch → how many."""
    given_up: defaultdict[str, list[str]] = defaultdict(list)
    for message_id, old in connection.execute(_held_in_vain(batch, asset)):
        if message_id in message_ids:
            given_up[old].append(message_id)
    for old, moved in given_up.items():
        for start in range(0, len(moved), 500):
            some = moved[start : start + 500]
            claims = sa.update(CLAIMS).where(CLAIMS.c.message_id.in_(some), CLAIMS.c.batch == old)
            connection.execute(claims.values(batch=batch))
            refused = sa.update(QUARANTINE).where(QUARANTINE.c.message_id.in_(some), QUARANTINE.c.partition == old)
            connection.execute(refused.where(QUARANTINE.c.asset == asset).values(state="superseded"))
        counted = sa.update(BATCHES).where(BATCHES.c.batch == old)
        connection.execute(counted.values(duplicates=BATCHES.c.duplicates + len(moved)))
        found = get(connection, old)
        if found is not None and found.rows == found.duplicates:  # nothing of it is left to wait for
            close_halts(connection, asset=asset, partition=old, closed_by=batch)
            set_state(connection, old, "done")
    return {old: len(moved) for old, moved in given_up.items()}


def _held_in_vain(batch: str, asset: str) -> "sa.CompoundSelect[*tuple[Any, ...]]":
    """(message_id, batch) of what other batches hold and the asset did not publish: it refused the row, or halts the
    batch and never published anything of it. Behind a halt on a later run, what was published stands.
    """
    claimed = sa.select(CLAIMS.c.message_id, CLAIMS.c.batch).where(CLAIMS.c.batch != batch)
    is_published = sa.exists().where(MANIFEST.c.asset == asset, MANIFEST.c.partition == CLAIMS.c.batch)
    is_halted = sa.exists().where(
        HALTS.c.asset == asset, HALTS.c.partition == CLAIMS.c.batch, HALTS.c.closed_at.is_(None)
    )
    is_refused = sa.exists().where(
        QUARANTINE.c.asset == asset,
        QUARANTINE.c.partition == CLAIMS.c.batch,
        QUARANTINE.c.message_id == CLAIMS.c.message_id,
        QUARANTINE.c.state == "open",
    )
    return sa.union(claimed.where(is_halted, ~is_published), claimed.where(is_refused, ~is_halted))

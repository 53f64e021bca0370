"""Batches: the arrivals that one run handles.

A batch is a key of the dynamic partition `batch` and a row of the ledger.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

import sqlalchemy as sa

from orchestration_project.core.errors import NoArrivals
from orchestration_project.stores import reviews, run_requests
from orchestration_project.stores.halts import close_halts, open_halts
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import in_parts, now
from orchestration_project.stores.manifest import UNPARTITIONED
from orchestration_project.stores.quarantine import gone_messages, refused_messages
from orchestration_project.stores.schema import ARRIVALS, BATCHES, QUARANTINE, REVIEWS

STATES = ("waiting", "working", "done", "pending", "quarantined", "duplicates", "halted", "set_aside", "discarded")
"""Where a message can be; each is in exactly one. A pending one waits for a person, and the rest of its batch is done."""


@dataclass(frozen=True)
class Batch:
    """One batch. `state` is working, done, set_aside or discarded; `standing` says whether a gate holds it, too."""

    batch: str
    rows: int
    duplicates: int
    state: str
    cause: str | None

    def standing(self, *, is_halted: bool) -> str:
        """Where it stands in one word; a batch that was given up is not halted, whatever halts there are."""
        return "halted" if is_halted and self.state != "discarded" else self.state


def open_next(home: Home) -> str | None:
    """Claim waiting arrivals into a new batch and request its run, in one transaction; None when nothing waits.

    A batch takes arrivals in the order of their coming, all with the same columns as the first, up to the row cap.
    """
    with home.ledger.write() as connection:
        return _open(connection, home)


def open_due(home: Home) -> None:
    """Open the next batches while there is room for them; what comes in later waits, and is one batch then."""
    with home.ledger.read() as connection:
        if not is_anything_free(connection):
            return
    while True:
        with home.ledger.write() as connection:
            if not has_room(connection, home) or _open(connection, home) is None:
                return


def has_room(connection: sa.Connection, home: Home) -> bool:
    """Whether fewer batches are worked on, or wait for their run, than the setting allows. One that failed and is not
    due yet keeps no other waiting.
    """
    under_way = {found.batch for found in run_requests.open_requests(connection) if found.is_due()} - {UNPARTITIONED}
    return len(under_way) < home.settings.batches_at_once


def is_anything_free(connection: sa.Connection) -> bool:
    """Whether an arrival is in no batch yet."""
    return (
        connection.execute(sa.select(ARRIVALS.c.arrival_id).where(ARRIVALS.c.batch.is_(None)).limit(1)).first()
        is not None
    )


def open_with(connection: sa.Connection, arrivals: Sequence[Mapping[str, object]], *, cause: str) -> str:
    """Open a batch that holds these arrivals, with equal columns, and request its run, in the caller's transaction."""
    batch = _new_key()
    rows = sum(int(str(arrival["rows"])) for arrival in arrivals)
    connection.execute(sa.insert(ARRIVALS), [{**arrival, "batch": batch} for arrival in arrivals])
    _insert(connection, batch, rows)
    run_requests.request(connection, batch=batch, cause=cause)
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


def all_keys(connection: sa.Connection, since: datetime | None = None) -> list[str]:
    """Every batch, or every one that was opened at a moment or later, oldest first."""
    query = sa.select(BATCHES.c.batch).order_by(BATCHES.c.number)
    if since is not None:
        query = query.where(BATCHES.c.opened_at >= since)
    return list(connection.execute(query).scalars())


def newest_opened_at(connection: sa.Connection) -> datetime | None:
    """When the newest batch was opened; None when there is none."""
    query = sa.select(BATCHES.c.opened_at).order_by(BATCHES.c.number.desc()).limit(1)
    return connection.execute(query).scalar()


def every(connection: sa.Connection, only: Collection[str] | None = None) -> list[Batch]:
    """Every batch, or each of these, newest first."""
    table = BATCHES.c
    query = sa.select(table.batch, table.rows, table.duplicates, table.state, table.cause)
    if only is not None:
        query = query.where(table.batch.in_(only))
    return [Batch(*row) for row in connection.execute(query.order_by(table.number.desc()))]


def files_of(connection: sa.Connection, batch: str) -> list[dict[str, object]]:
    """What a batch took in, in the order of coming: file (as the sender named it), rows, registered_at."""
    table = ARRIVALS.c
    query = sa.select(table.file, table.rows, table.registered_at).where(table.batch == batch)
    query = query.order_by(table.registered_at, table.arrival_id)
    return [dict(row) for row in connection.execute(query).mappings()]


def columns_seen(connection: sa.Connection) -> set[str]:
    """Every column that a file ever came in with."""
    found = connection.execute(sa.select(ARRIVALS.c.columns).distinct()).scalars()
    return {entry.rpartition(": ")[0] for text in found for entry in json.loads(text)}


def set_state(connection: sa.Connection, batch: str, state: str, cause: str | None = None) -> None:
    """Record where a batch stands, in the caller's transaction."""
    values: dict[str, object] = {"state": state, "cause": cause}
    if state == "done":
        values["completed_at"] = sa.func.coalesce(BATCHES.c.completed_at, now())
    connection.execute(sa.update(BATCHES).where(BATCHES.c.batch == batch).values(**values))


def was_done(connection: sa.Connection, batch: str) -> bool:
    """Whether everything was made of a batch once, whatever became of it since."""
    query = sa.select(BATCHES.c.completed_at).where(BATCHES.c.batch == batch)
    return connection.execute(query).scalar() is not None


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


def opened_at(connection: sa.Connection, keys: Collection[str]) -> dict[str, datetime]:
    """Batch → when it was opened, of these."""
    query = sa.select(BATCHES.c.batch, BATCHES.c.opened_at).where(BATCHES.c.batch.in_(keys))
    return {batch: moment for batch, moment in connection.execute(query)}


def resume_refused(connection: sa.Connection, cause: str) -> list[str]:
    """Request a run of every batch that was set aside because its last run was refused; returns the batches."""
    resumed: list[str] = []
    for batch in set_aside(connection):
        if run_requests.last_state(connection, batch.batch) == "refused":
            set_state(connection, batch.batch, "working")
            run_requests.request(connection, batch=batch.batch, cause=cause)
            resumed.append(batch.batch)
    return resumed


def end_if_empty(connection: sa.Connection, batch: str, *, asset: str, because_of: str) -> bool:
    """Where all rows of a batch are duplicates or were replayed or discarded, nothing is left to wait for: the asset's
    halt on it closes, and it is done. Returns whether it is.
    """
    found, gone = get(connection, batch), gone_messages(connection, [batch]).get(batch, {})
    is_empty = found is not None and found.rows == found.duplicates + sum(gone.values())
    if is_empty:
        close_halts(connection, asset=asset, partition=batch, closed_by=because_of)
        set_state(connection, batch, "done")
    return is_empty


def set_duplicates(connection: sa.Connection, batch: str, duplicates: int) -> None:
    """Record how many rows of a batch repeat a message that is already known."""
    connection.execute(sa.update(BATCHES).where(BATCHES.c.batch == batch).values(duplicates=duplicates))


def count_states(connection: sa.Connection, only: Collection[str] | None = None) -> dict[str, int]:
    """State → number of messages; the numbers add up to every row that ever came in, or came in with the batches
    `only`. Of these a row that was replayed counts in its new batch alone.
    """
    if only is not None:
        parts = [_count(connection, some) for some in in_parts(sorted(set(only)))]
        return {state: sum(part[state] for part in parts) for state in STATES}
    waiting = sa.select(sa.func.coalesce(sa.func.sum(ARRIVALS.c.rows), 0)).where(ARRIVALS.c.batch.is_(None))
    return {**_count(connection), "waiting": connection.execute(waiting).scalar_one()}


def _count(connection: sa.Connection, only: Collection[str] | None = None) -> dict[str, int]:
    """State → number of messages that are in a batch, or in one of these."""
    counts: dict[str, int] = dict.fromkeys(STATES, 0)
    halted = {halt.partition for halt in open_halts(connection)}
    refused, gone = refused_messages(connection, only), gone_messages(connection, only)
    undecided = reviews.undecided_messages(connection, *(() if only is None else (REVIEWS.c.partition.in_(only),)))
    for batch in every(connection, only):
        quarantined = refused.get(batch.batch, 0)
        counts["duplicates"] += batch.duplicates
        counts["quarantined"] += quarantined
        left = gone.get(batch.batch, {})  # what was replayed counts in its new batch
        counts["discarded"] += left.get("discarded", 0)
        state = batch.standing(is_halted=batch.batch in halted)
        pending = undecided.get(batch.batch, 0) if state == "done" else 0
        counts["pending"] += pending
        counts[state] += batch.rows - batch.duplicates - quarantined - sum(left.values()) - pending
    return counts


def state_of(connection: sa.Connection, batch: str, message_id: str) -> str:
    """Where a message is that the batch claimed, one of STATES: what `count_states` counts it as."""
    its = (QUARANTINE.c.partition == batch, QUARANTINE.c.message_id == message_id, QUARANTINE.c.state == "open")
    if connection.execute(sa.select(QUARANTINE.c.row_id).where(*its).limit(1)).first() is not None:
        return "quarantined"
    found = get(connection, batch)
    state = "working" if found is None else found.standing(is_halted=bool(open_halts(connection, batch)))
    reviewed = (REVIEWS.c.partition == batch, REVIEWS.c.message_id == message_id)
    return "pending" if state == "done" and reviews.undecided_messages(connection, *reviewed) else state


def _open(connection: sa.Connection, home: Home) -> str | None:
    batch = _new_key()
    if not _claim(connection, batch, home.settings.batch_rows):
        return None
    run_requests.request(connection, batch=batch, cause="arrival")
    return batch


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
    for some in in_parts(chosen):
        claimed = sa.update(ARRIVALS).where(ARRIVALS.c.arrival_id.in_(some))
        connection.execute(claimed.values(batch=batch))
    _insert(connection, batch, rows)
    return True


def _new_key() -> str:
    return f"{now():%Y%m%dT%H%M%SZ}-{uuid4().hex[:6]}"


def _insert(connection: sa.Connection, batch: str, rows: int) -> None:
    values = {"batch": batch, "rows": rows, "duplicates": 0, "state": "working", "opened_at": now()}
    connection.execute(sa.insert(BATCHES).values(**values))

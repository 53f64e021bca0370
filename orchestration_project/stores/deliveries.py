"""Notices on their way to a target: what waits, whose turn it is, and every attempt, as rows of the ledger.

1. Each notice is a row for each target that the setting names: waiting → delivered, or failed after MOST_ATTEMPTS.
2. One attempt at a time for each target: whoever makes it holds the target's lease. A process that died is waited for
   until the lease runs out; its attempt counts, and keeps no outcome.
3. In order for each target: while a notice waits, no later one overtakes it. Other targets go on.
4. An attempt that failed is made again after a random time, at most `longest_wait_seconds`.
5. A target that the setting names for the first time gets what is recorded from then on.

A receiver is told at least once. It is told twice when the process dies between sending and recording.
"""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from orchestration_project.core.errors import Refused, UnknownName
from orchestration_project.stores.ledger import Ledger, insert_new, is_over, now
from orchestration_project.stores.schema import DELIVERIES, DELIVERY_ATTEMPTS, DELIVERY_TARGETS, OUTBOX

FIRST_WAIT_SECONDS = 2.0
MOST_WAIT_SECONDS = 3_600.0
"""Between two attempts: a receiver that comes back after days hears of everything within the hour."""

MOST_ATTEMPTS = 350
"""Of one notice. At half an hour between two, on average, they take a week: longer than any weekend, and short enough
for a wrong address to be told while somebody remembers setting it."""

LEASE_SECONDS = 60.0
"""How long an attempt may take before another process makes one; an attempt is broken off long before."""

DIED = "the process that sent it died, every time"

_TARGET = DELIVERY_TARGETS.c
_ROW = DELIVERIES.c
_ATTEMPT = DELIVERY_ATTEMPTS.c


@dataclass(frozen=True)
class Attempt:
    """One attempt that has begun, and what it is to say. `key` is the notice's, `asset` is empty for a run's."""

    attempt_id: int
    delivery_id: int
    target: str
    number: int
    key: str
    asset: str
    title: str
    body: str


@dataclass(frozen=True)
class Delivery:
    """One notice for one target. `state` is waiting, delivered or failed."""

    delivery_id: int
    target: str
    state: str
    attempts: int
    next_attempt_at: datetime | None
    last_error: str | None
    delivered_at: datetime | None
    key: str
    title: str
    batch: str
    recorded_at: datetime


def longest_wait_seconds(failures: int) -> float:
    """Most seconds until the next attempt after so many failures in a row; the wait is drawn from 0 to it, so that
    many who wait for one receiver do not all come back at once (exponential backoff with full jitter: Brooker, AWS
    Architecture Blog, 2015).

    >>> [longest_wait_seconds(failures) for failures in (1, 2, 3, 11, 12, 5000)]
    [2.0, 4.0, 8.0, 2048.0, 3600.0, 3600.0]
    """
    return min(MOST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** min(failures - 1, 60))


def plan(ledger: Ledger, targets: Collection[str]) -> None:
    """Make a row for every notice that a target gets and has none for yet; nothing is written when there is none."""
    if not targets:
        return
    with ledger.read() as connection:
        planned = _planned(connection)
        last = _last_notice(connection)
    if all(planned.get(target, -1) >= last for target in targets):
        return
    with ledger.write() as connection:
        planned, last = _planned(connection), _last_notice(connection)
        for target in targets:
            if target not in planned:
                planned[target] = _first_of_all(connection) - 1
                row = {"target": target, "planned_through": planned[target], "failures": 0}
                connection.execute(sa.insert(DELIVERY_TARGETS).values(**row))
            fresh = sa.select(OUTBOX.c.notice_id).where(OUTBOX.c.notice_id > planned[target])
            rows = [
                {"notice_id": notice, "target": target, "state": "waiting", "attempts": 0, "next_attempt_at": now()}
                for notice in connection.execute(fresh.order_by(OUTBOX.c.notice_id)).scalars()
            ]
            insert_new(connection, DELIVERIES, rows)
            _update_target(connection, target, planned_through=max(last, planned[target]))


def due(connection: sa.Connection, targets: Collection[str]) -> list[str]:
    """The targets for which an attempt can be made now."""
    return [
        target for target in targets if _is_free(connection, target) and _is_due(_first_waiting(connection, target))
    ]


def begin(connection: sa.Connection, target: str) -> Attempt | None:
    """Take the target's lease and begin to deliver the first notice that waits for it.

    None when there is none, its time has not come, or another process holds the lease.
    """
    if not _is_free(connection, target):
        return None
    row = _first_waiting(connection, target)
    while row is not None and row["attempts"] >= MOST_ATTEMPTS:  # every one of them died in its attempt
        _update(connection, row["delivery_id"], state="failed", next_attempt_at=None, last_error=DIED)
        row = _first_waiting(connection, target)
    if row is None or not _is_due(row):
        return None
    adding = sa.insert(DELIVERY_ATTEMPTS).values(delivery_id=row["delivery_id"], began_at=now())
    attempt_id = connection.execute(adding.returning(_ATTEMPT.attempt_id)).scalar_one()
    _update(connection, row["delivery_id"], attempts=row["attempts"] + 1)
    _update_target(connection, target, attempt_id=attempt_id, lease_until=now() + timedelta(seconds=LEASE_SECONDS))
    said = {name: row[name] for name in ("key", "asset", "title", "body")}
    return Attempt(attempt_id, row["delivery_id"], target, row["attempts"] + 1, **said)


def end(connection: sa.Connection, attempt: Attempt, error: str | None) -> datetime | None:
    """Record how an attempt ended (`error` is None: delivered); returns when the next one is made, None for never.

    Where the lease ran out meanwhile, a success counts all the same, and a failure is left to whoever holds it now.
    """
    outcome = "delivered" if error is None else "failed"
    recording = sa.update(DELIVERY_ATTEMPTS).where(_ATTEMPT.attempt_id == attempt.attempt_id)
    connection.execute(recording.values(ended_at=now(), outcome=outcome, error=error))
    holding = sa.select(_TARGET.failures).where(_TARGET.target == attempt.target)
    failures = connection.execute(holding.where(_TARGET.attempt_id == attempt.attempt_id)).scalar()
    next_attempt_at = None
    if error is None:
        done = {"state": "delivered", "delivered_at": now(), "last_error": None}
        _update(connection, attempt.delivery_id, next_attempt_at=None, **done)
    elif failures is not None:
        if attempt.number < MOST_ATTEMPTS:
            seconds = random.uniform(0, longest_wait_seconds(failures + 1))
            next_attempt_at = now() + timedelta(seconds=seconds)
        state = "waiting" if next_attempt_at else "failed"
        _update(connection, attempt.delivery_id, state=state, next_attempt_at=next_attempt_at, last_error=error)
    if failures is not None:
        failures = 0 if error is None else failures + 1
        _update_target(connection, attempt.target, failures=failures, attempt_id=None, lease_until=None)
    return next_attempt_at


def restart(
    connection: sa.Connection, delivery_ids: Sequence[int] | None, targets: Collection[str]
) -> list[tuple[int, str, str]]:
    """Let deliveries start anew, at once and with all their attempts: those named, or (None) every one to these targets
    that failed or waits. Returns of each its number, its target and the key of its notice.

    UnknownName for a number that there is not; Refused for one that was delivered, or goes to none of the targets.
    """
    query = sa.select(_ROW.delivery_id, _ROW.target, _ROW.state, OUTBOX.c.key)
    query = query.join(OUTBOX, OUTBOX.c.notice_id == _ROW.notice_id).order_by(_ROW.delivery_id)
    is_open = (_ROW.state != "delivered") & _ROW.target.in_(targets)
    rows = connection.execute(
        query.where(is_open if delivery_ids is None else _ROW.delivery_id.in_(delivery_ids))
    ).all()
    if missing := sorted(set(delivery_ids or ()) - {row.delivery_id for row in rows}):
        raise UnknownName(f"There is no delivery {missing[0]}. See: orchestrate deliveries list")
    for row in rows:
        if row.state == "delivered":
            raise Refused(f"Delivery {row.delivery_id} has arrived at {row.target}. See: orchestrate deliveries list")
        if row.target not in targets:
            raise Refused(f"ORCHESTRATE_NOTIFY does not name {row.target}. Set its URL again, then repeat this.")
        _update(connection, row.delivery_id, state="waiting", attempts=0, next_attempt_at=now())
        _update_target(connection, row.target, failures=0)
    return [(row.delivery_id, row.target, row.key) for row in rows]


def recorded(
    connection: sa.Connection, *, only_open: bool = False, most: int | None = None, delivery_id: int | None = None
) -> list[Delivery]:
    """The deliveries, newest notice first; `only_open`: those that wait or failed; `delivery_id`: only that one."""
    notice = (OUTBOX.c.key, OUTBOX.c.title, OUTBOX.c.partition, OUTBOX.c.recorded_at)
    own = (_ROW.delivery_id, _ROW.target, _ROW.state, _ROW.attempts, _ROW.next_attempt_at, _ROW.last_error)
    query = sa.select(*own, _ROW.delivered_at, *notice).join(OUTBOX, OUTBOX.c.notice_id == _ROW.notice_id)
    if only_open:
        query = query.where(_ROW.state != "delivered")
    if delivery_id is not None:
        query = query.where(_ROW.delivery_id == delivery_id)
    query = query.order_by(_ROW.notice_id.desc(), _ROW.delivery_id.desc()).limit(most)
    return [Delivery(*row) for row in connection.execute(query)]


def require_delivery(connection: sa.Connection, delivery_id: int) -> Delivery:
    """The delivery of that number; UnknownName when there is none."""
    found = recorded(connection, delivery_id=delivery_id)
    if not found:
        raise UnknownName(f"There is no delivery {delivery_id}. See: orchestrate deliveries list")
    return found[0]


def attempts_of(connection: sa.Connection, delivery_id: int) -> list[dict[str, Any]]:
    """Every attempt of a delivery, oldest first: began_at, ended_at, outcome, error."""
    query = sa.select(_ATTEMPT.began_at, _ATTEMPT.ended_at, _ATTEMPT.outcome, _ATTEMPT.error)
    query = query.where(_ATTEMPT.delivery_id == delivery_id).order_by(_ATTEMPT.attempt_id)
    return [dict(row) for row in connection.execute(query).mappings()]


def troubles(connection: sa.Connection, targets: Collection[str]) -> list[str]:
    """What a person has to know of these targets, a sentence each: what failed for good, and what cannot be delivered
    now."""
    found: list[str] = []
    failing = sa.select(_TARGET.target).where(_TARGET.failures > 0, _TARGET.target.in_(targets))
    for state, is_told in (("failed", _ROW.target.in_(targets)), ("waiting", _ROW.target.in_(failing))):
        counted = sa.select(_ROW.target, sa.func.count(), sa.func.max(_ROW.last_error))
        counted = counted.where(_ROW.state == state, is_told).group_by(_ROW.target).order_by(_ROW.target)
        for target, count, error in connection.execute(counted):
            notices = f"{count:,} notice{'' if count == 1 else 's'}"
            if state == "failed":
                found.append(
                    f"{notices} never arrived at {target}: {error}. Run: orchestrate deliveries retry --reason TEXT"
                )
            else:
                verb = "waits" if count == 1 else "wait"
                found.append(f"{notices} {verb} for {target}: {error}. See: orchestrate deliveries list --open")
    return found


def _planned(connection: sa.Connection) -> dict[str, int]:
    found = connection.execute(sa.select(_TARGET.target, _TARGET.planned_through))
    return {target: through for target, through in found}


def _last_notice(connection: sa.Connection) -> int:
    return connection.execute(sa.select(sa.func.coalesce(sa.func.max(OUTBOX.c.notice_id), 0))).scalar_one()


def _first_of_all(connection: sa.Connection) -> int:
    """The first notice that a new target gets: the first that nobody was told in any way, or the next one."""
    query = sa.select(sa.func.min(OUTBOX.c.notice_id)).where(OUTBOX.c.delivered_at.is_(None))
    return connection.execute(query).scalar() or _last_notice(connection) + 1


def _is_free(connection: sa.Connection, target: str) -> bool:
    query = sa.select(_TARGET.lease_until).where(_TARGET.target == target)
    lease_until = connection.execute(query).scalar()
    return lease_until is None or is_over(lease_until, LEASE_SECONDS)


def _first_waiting(connection: sa.Connection, target: str) -> Mapping[str, Any] | None:
    notice = (OUTBOX.c.key, OUTBOX.c.asset, OUTBOX.c.title, OUTBOX.c.body)
    query = sa.select(_ROW.delivery_id, _ROW.attempts, _ROW.next_attempt_at, *notice)
    query = query.join(OUTBOX, OUTBOX.c.notice_id == _ROW.notice_id)
    query = query.where(_ROW.target == target, _ROW.state == "waiting").order_by(_ROW.notice_id).limit(1)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else {str(name): value for name, value in row.items()}


def _is_due(row: Mapping[str, Any] | None) -> bool:
    return row is not None and is_over(row["next_attempt_at"], MOST_WAIT_SECONDS)


def _update(connection: sa.Connection, delivery_id: int, **values: object) -> None:
    """Change a delivery that is open; what has arrived stays so."""
    changing = sa.update(DELIVERIES).where(_ROW.delivery_id == delivery_id, _ROW.state != "delivered")
    connection.execute(changing.values(**values))


def _update_target(connection: sa.Connection, target: str, **values: object) -> None:
    connection.execute(sa.update(DELIVERY_TARGETS).where(_TARGET.target == target).values(**values))

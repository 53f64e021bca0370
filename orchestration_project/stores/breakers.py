"""Circuit breakers as rows of the ledger: which performers are away, for all processes.

1. closed → open when a performer was away so many times in a row.
2. open → half_open when its wait is over: one caller, who claims it, probes; all others go on without the performer.
   A prober that died is waited for until its lease is over; then another may claim.
3. half_open → closed when the probe was answered; → open when it was not, with twice the wait.

A moment further away than any wait can end was written before the clock was set back: it counts as over.

A performer without a row is closed, and was not away lately. Each function works in the caller's transaction, and none
is open while a performer thinks.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

import sqlalchemy as sa

from orchestration_project.stores.ledger import is_over, now
from orchestration_project.stores.schema import BREAKERS

State = Literal["closed", "open", "half_open"]

MOST_DOUBLINGS = 6
"""Of the first wait: 30 s become 32 minutes at most."""

_C = BREAKERS.c


@dataclass(frozen=True)
class Breaker:
    """The circuit of one performer. `opened_at` is when it opened first since it was closed, `probe_at` from when on one
    caller may probe; both None when it is closed.
    """

    performer: str
    state: State
    failures: int
    openings: int
    opened_at: datetime | None = None
    probe_at: datetime | None = None

    def is_due(self, first_wait_seconds: float, lease_seconds: float) -> bool:
        """Whether somebody may probe now: the wait of an open circuit, or the lease of a prober, is over."""
        if self.probe_at is None:
            return False
        longest = max(wait_seconds(self.openings, first_wait_seconds), lease_seconds)
        return is_over(self.probe_at, longest)


def get(connection: sa.Connection, performer: str) -> Breaker | None:
    """The breaker of a performer; None when it was not away lately."""
    return next(iter(_select(connection, _C.performer == performer)), None)


def not_closed(connection: sa.Connection) -> list[Breaker]:
    """Every breaker that is open or half-open, by performer."""
    return _select(connection, _C.state != "closed")


def wait_seconds(openings: int, first_seconds: float) -> float:
    """How long a circuit stays open that opened so many times since it was closed.

    >>> [wait_seconds(openings, 30) for openings in (1, 2, 3, 7, 100)]
    [30, 60, 120, 1920, 1920]
    """
    return first_seconds * 2 ** min(openings - 1, MOST_DOUBLINGS)


def longest_wait_seconds(first_seconds: float) -> float:
    """The longest that a circuit stays open until somebody probes."""
    return first_seconds * 2**MOST_DOUBLINGS


def claim_probe(connection: sa.Connection, performer: str, *, first_wait_seconds: float, lease_seconds: float) -> bool:
    """Whether the caller is the one who probes: it is due, and nobody else holds the claim."""
    found = get(connection, performer)
    if found is None or not found.is_due(first_wait_seconds, lease_seconds):
        return False
    _put(connection, replace(found, state="half_open", probe_at=now() + timedelta(seconds=lease_seconds)))
    return True


def record_failure(
    connection: sa.Connection, performer: str, *, most_failures: int, first_wait_seconds: float, is_probe: bool
) -> Breaker | None:
    """Count that a performer was away; returns the breaker if that opened it, anew or again.

    What a caller saw that began before it opened, and is not the prober, changes an open one no more.
    """
    before = get(connection, performer) or Breaker(performer, "closed", failures=0, openings=0)
    if before.state != "closed" and not is_probe:
        return None
    counted = replace(before, failures=before.failures + 1)
    if before.state == "closed" and counted.failures < most_failures:
        _put(connection, counted)
        return None
    openings = before.openings + 1
    wait = timedelta(seconds=wait_seconds(openings, first_wait_seconds))
    moment = now()
    opened = replace(
        counted, state="open", openings=openings, opened_at=before.opened_at or moment, probe_at=moment + wait
    )
    _put(connection, opened)
    return opened


def record_success(connection: sa.Connection, performer: str, *, is_probe: bool) -> Breaker | None:
    """Count that a performer answered; returns the breaker, as it was, if that closed it.

    An open one is closed by its prober alone.
    """
    breaker = get(connection, performer)
    if breaker is None or (breaker.state != "closed" and not is_probe):
        return None
    connection.execute(sa.delete(BREAKERS).where(_C.performer == performer))
    return None if breaker.state == "closed" else breaker


def _put(connection: sa.Connection, breaker: Breaker) -> None:
    connection.execute(sa.delete(BREAKERS).where(_C.performer == breaker.performer))
    connection.execute(sa.insert(BREAKERS).values(**vars(breaker)))


def _select(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> list[Breaker]:
    query = sa.select(BREAKERS).where(condition).order_by(_C.performer)
    return [Breaker(**row) for row in connection.execute(query).mappings()]

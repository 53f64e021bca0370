"""The backlog: rows that wait for a run to begin. From a number of them on, posted messages are put off."""

import sqlalchemy as sa

from orchestration_project.core.errors import Refused
from orchestration_project.stores.schema import ARRIVALS, BATCHES, RUN_REQUESTS


class BacklogFull(Refused):
    """Too many messages wait already; the sender is to try again later."""


def waiting_rows(connection: sa.Connection) -> int:
    """How many rows wait for a run to begin: in no batch yet, or in one whose run is only requested."""
    free = sa.select(sa.func.coalesce(sa.func.sum(ARRIVALS.c.rows), 0)).where(ARRIVALS.c.batch.is_(None))
    queued = sa.select(RUN_REQUESTS.c.batch).where(RUN_REQUESTS.c.state.in_(("requested", "submitted")))
    held = sa.select(sa.func.coalesce(sa.func.sum(BATCHES.c.rows), 0)).where(BATCHES.c.batch.in_(queued))
    return connection.execute(free).scalar_one() + connection.execute(held).scalar_one()


def refuse_full(connection: sa.Connection, most_rows: int, rows: int) -> None:
    """BacklogFull where more than `most_rows` would wait with these; where nothing waits, any number may come in."""
    waiting = waiting_rows(connection)
    if waiting and waiting + rows > most_rows:
        raise BacklogFull(f"{_full(waiting, most_rows)} Send these again later.")


def backlog_trouble(connection: sa.Connection, most_rows: int) -> str | None:
    """A sentence where so much waits that every posted message is put off; None where there is room."""
    waiting = waiting_rows(connection)
    return _full(waiting, most_rows) if waiting >= most_rows else None


def _full(waiting: int, most_rows: int) -> str:
    return f"{waiting:,} messages wait for a run; beyond {most_rows:,} none is taken in by POST /inbox."

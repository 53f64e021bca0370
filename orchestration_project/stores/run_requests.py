"""Rows that ask for a run of a batch: requested with the event that needs it, leased by whoever submits, kept alive by
the run itself.

requested → submitted (under a lease) → running (while its heart beats) → succeeded, halted, refused, stopped or failed
"""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from orchestration_project.core.errors import Refused
from orchestration_project.stores.ledger import insert_new, is_over, now
from orchestration_project.stores.schema import RUN_REQUESTS

WORKFLOW = "workflow"
"""Name of the job that takes a batch from its arrivals to the end."""

KEY_TAG = "orchestrate/request"
"""Run tag that names the request a run answers."""

REVIEWERS_TAG = "orchestrate/reviewers"
"""Run tag that names whose verdicts asked for a run, with commas between them."""

RESCORE_TAG = "orchestrate/rescore"
"""Run tag by which the performers are asked again instead of reusing stored decisions: those of the model output that
it names, or all.
"""

EVERY_OUTPUT = "true"
"""Value of that tag which means every model output."""

SILENT_BEATS = 6
"""A run that has missed this many heartbeats is taken for dead."""

LONGEST_WAIT_SECONDS = 3600.0

_TABLE = RUN_REQUESTS.c
_ENDED = ("succeeded", "halted", "refused", "stopped", "failed")


@dataclass(frozen=True)
class RunRequest:
    """One row that asks for a run; `tags` are more tags of its run, `due_at` is when it may begin (None: at once)."""

    key: str
    batch: str
    job: str
    attempt: int
    state: str
    run_id: str | None
    tags: dict[str, str] | None = None
    due_at: datetime | None = None

    def is_due(self) -> bool:
        """Whether nothing is waited for any more: another attempt after a failure waits for a while."""
        return self.due_at is None or is_over(self.due_at, LONGEST_WAIT_SECONDS)

    def run_tags(self) -> dict[str, str]:
        """The tags that its run has."""
        return {**(self.tags or {}), KEY_TAG: self.key}


def request(
    connection: sa.Connection,
    *,
    batch: str,
    cause: str,
    attempt: int = 1,
    due_at: datetime | None = None,
    tags: Mapping[str, str] | None = None,
) -> str:
    """Ask for a run on a batch, in the caller's transaction; asking twice is asking once.

    Where that attempt has ended, the next one is asked for. Another attempt runs the job of the last one before, with
    its tags unless `tags` are given; the first runs the workflow. With `due_at` it is no earlier: another attempt after
    a failure.
    """
    key = f"{batch}/{cause}/{attempt}"
    query = sa.select(_TABLE.job, _TABLE.tags).where(_is_of(batch, cause), _TABLE.attempt < attempt)
    last = connection.execute(query.order_by(_TABLE.attempt.desc()).limit(1)).one_or_none()
    job, its_tags = last or (WORKFLOW, None)
    row = {"key": key, "batch": batch, "job": job, "attempt": attempt, "state": "requested"}
    row |= {"tags": its_tags if tags is None else dict(tags)}
    row |= {"requested_at": _moment(connection, batch), "due_at": due_at}
    if not insert_new(connection, RUN_REQUESTS, [row]):
        state = connection.execute(sa.select(_TABLE.state).where(_TABLE.key == key)).scalar_one()
        if state in _ENDED:
            return request(connection, batch=batch, cause=cause, attempt=attempt + 1, due_at=due_at, tags=tags)
    return key


def request_after_verdict(connection: sa.Connection, *, batch: str, asset: str, person: str) -> str:
    """Ask for a run of what depends on a verdict, in the caller's transaction; returns its key.

    A run that was asked for after an earlier verdict on the batch and asset, and is not submitted yet, reads this one
    too. One that was submitted may have read before it: another is asked for. `person` is empty where nobody decided,
    and a review's time is over.
    """
    cause = f"verdict-{asset}"
    last = connection.execute(
        _requests().where(_is_of(batch, cause)).order_by(_TABLE.attempt.desc()).limit(1)
    ).one_or_none()
    found = None if last is None else RunRequest(*last)
    if found is not None and found.state == "requested":
        names = [*(found.tags or {}).get(REVIEWERS_TAG, "").split(","), person]
        _update(connection, found.key, tags=_reviewed_by(names))
        return found.key
    attempt = 1 if found is None else found.attempt + 1
    key = f"{batch}/{cause}/{attempt}"
    row = {"key": key, "batch": batch, "job": verdict_job_name(asset), "attempt": attempt, "state": "requested"}
    tags = _reviewed_by([person])
    connection.execute(sa.insert(RUN_REQUESTS).values(**row, requested_at=_moment(connection, batch), tags=tags))
    return key


def verdict_job_name(asset: str) -> str:
    """Name of the job that makes an asset, and what depends on it, again after a verdict.

    >>> verdict_job_name("issue")
    'verdicts_on_issue'
    """
    return f"verdicts_on_{asset}"


def lease_next(connection: sa.Connection, seconds: float, *, with_abandoned: bool = True) -> RunRequest | None:
    """Take the oldest request that waits and is due, or (`with_abandoned`) whose submitter's lease ran out before the
    run began; None when there is none.
    """
    is_due = _TABLE.due_at.is_(None) | _is_over(_TABLE.due_at, LONGEST_WAIT_SECONDS)
    waits = (_TABLE.state == "requested") & is_due
    abandoned = (_TABLE.state == "submitted") & _is_over(_TABLE.lease_until, seconds)
    query = (
        _requests()
        .where(waits | abandoned if with_abandoned else waits)
        .order_by(_TABLE.requested_at, _TABLE.key)
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    leased = RunRequest(*row)
    _update(connection, leased.key, state="submitted", lease_until=now() + timedelta(seconds=seconds))
    return leased


def overdue(connection: sa.Connection, lease_seconds: float) -> list[RunRequest]:
    """Submitted requests whose lease, of so many seconds, ran out before their run began."""
    query = _requests().where(_TABLE.state == "submitted", _is_over(_TABLE.lease_until, lease_seconds))
    query = query.order_by(_TABLE.key)
    return [RunRequest(*row) for row in connection.execute(query)]


def extend_lease(connection: sa.Connection, key: str, seconds: float) -> None:
    """Give a submitted request more time: its run exists and waits."""
    _update(connection, key, lease_until=now() + timedelta(seconds=seconds))


def begin(connection: sa.Connection, *, key: str | None, batch: str, run_id: str, silent_seconds: float) -> str:
    """A run says that it starts; returns its request's key.

    A run that nobody requested (the UI, a backfill, the command line) gets a request of its own. Refused when another
    run of the same request is alive, or the request has ended.
    """
    if key is None:
        key = request(connection, batch=batch, cause=f"by-hand-{run_id[:8]}")
    row = connection.execute(sa.select(RUN_REQUESTS).where(_TABLE.key == key)).mappings().one_or_none()
    if row is None:
        raise Refused(f"No run was requested as '{key}'. Start the run without the tag {KEY_TAG}.")
    alive = row["state"] == "running" and abs(now() - row["heartbeat_at"]) < timedelta(seconds=silent_seconds)
    if row["run_id"] != run_id and (alive or row["state"] in _ENDED):
        raise Refused(f"Run {row['run_id']} already answers '{key}' ({row['state']}). Nothing is left to do.")
    _update(connection, key, state="running", run_id=run_id, heartbeat_at=now())
    return key


def beat(connection: sa.Connection, key: str) -> None:
    """A run says that it lives."""
    _update(connection, key, heartbeat_at=now())


def end(
    connection: sa.Connection, key: str, state: str, cause: str | None = None, *, run_id: str | None = None
) -> bool:
    """Record how the run of a request ended: succeeded, halted, refused, stopped or failed.

    `run_id` is the run that ended; None: none has begun. False, and nothing is recorded, when the request has ended
    before, or another run answers it by now.
    """
    is_its = _TABLE.run_id.is_(None) | (_TABLE.run_id == run_id)
    ending = sa.update(RUN_REQUESTS).where(_TABLE.key == key, _TABLE.state.not_in(_ENDED), is_its)
    return connection.execute(ending.values(state=state, cause=cause)).rowcount == 1


def silent(connection: sa.Connection, seconds: float) -> list[RunRequest]:
    """Requests whose run began and has not been heard of for so long."""
    query = _requests().where(_TABLE.state == "running", _TABLE.heartbeat_at < now() - timedelta(seconds=seconds))
    return [RunRequest(*row) for row in connection.execute(query.order_by(_TABLE.key))]


def heard_ahead(connection: sa.Connection, seconds: float) -> bool:
    """Whether a run was heard of so many seconds from now, or later: the clock was stepped back since."""
    return connection.execute(sa.select(_TABLE.key).where(_is_heard_ahead(seconds)).limit(1)).first() is not None


def hear_now(connection: sa.Connection, seconds: float) -> None:
    """Count the silence of such runs from now on: one that lives says so before it is over."""
    connection.execute(sa.update(RUN_REQUESTS).where(_is_heard_ahead(seconds)).values(heartbeat_at=now()))


def last_heard(connection: sa.Connection, run_id: str) -> datetime | None:
    """When a run last said that it lives; None when it never began, or another run answers its request by now."""
    query = sa.select(_TABLE.heartbeat_at).where(_TABLE.run_id == run_id)
    return connection.execute(query.order_by(_TABLE.heartbeat_at.desc()).limit(1)).scalar()


def open_requests(connection: sa.Connection, batch: str | None = None) -> list[RunRequest]:
    """Requests that have not ended, of one batch or of all."""
    query = _requests().where(_TABLE.state.not_in(_ENDED)).order_by(_TABLE.requested_at, _TABLE.key)
    if batch is not None:
        query = query.where(_TABLE.batch == batch)
    return [RunRequest(*row) for row in connection.execute(query)]


def all_of(connection: sa.Connection, batch: str) -> list[dict[str, Any]]:
    """Every request of a batch, oldest first: key, state, run_id, cause, requested_at."""
    query = sa.select(_TABLE.key, _TABLE.state, _TABLE.run_id, _TABLE.cause, _TABLE.requested_at)
    query = query.where(_TABLE.batch == batch).order_by(_TABLE.requested_at, _TABLE.key)
    return [dict(row) for row in connection.execute(query).mappings()]


def last_state(connection: sa.Connection, batch: str) -> str | None:
    """State of a batch's latest request; None when there is none."""
    query = sa.select(_TABLE.state).where(_TABLE.batch == batch).order_by(_TABLE.requested_at.desc(), _TABLE.key.desc())
    return connection.execute(query.limit(1)).scalar()


def failures(connection: sa.Connection, batch: str) -> int:
    """How many runs of a batch failed in a row: since one that did not, or since somebody or something new asked."""
    query = sa.select(_TABLE.state, _TABLE.due_at).where(_TABLE.batch == batch, _TABLE.state.in_(_ENDED))
    number = 0
    for state, due_at in connection.execute(query.order_by(_TABLE.requested_at.desc(), _TABLE.key.desc())):
        if state != "failed":
            break
        number += 1
        if due_at is None:
            break
    return number


def wait_seconds(failures: int, first_seconds: float) -> float:
    """How long to wait after so many failures in a row: twice as long after each, from half to one and a half of that,
    so that batches which failed together are not tried again together.
    """
    return min(LONGEST_WAIT_SECONDS, first_seconds * 2 ** (failures - 1) * random.uniform(0.5, 1.5))


def _moment(connection: sa.Connection, batch: str) -> datetime:
    """This moment, or right behind the batch's latest request where the clock was stepped back: they stay in order."""
    last = connection.execute(sa.select(sa.func.max(_TABLE.requested_at)).where(_TABLE.batch == batch)).scalar()
    return now() if last is None else max(now(), last + timedelta(microseconds=1))


def _is_over(column: "sa.ColumnElement[datetime]", longest_seconds: float) -> sa.ColumnElement[bool]:
    """`ledger.is_over` as a condition."""
    return (column <= now()) | (column > now() + timedelta(seconds=longest_seconds))


def _is_heard_ahead(seconds: float) -> sa.ColumnElement[bool]:
    return sa.and_(_TABLE.state == "running", _TABLE.heartbeat_at > now() + timedelta(seconds=seconds))


def _is_of(batch: str, cause: str) -> sa.ColumnElement[bool]:
    return sa.and_(_TABLE.batch == batch, _TABLE.key.startswith(f"{batch}/{cause}/", autoescape=True))


def _reviewed_by(names: Iterable[str]) -> dict[str, str] | None:
    """Tags that name the reviewers, each once; None where nobody decided anything."""
    known = list(dict.fromkeys(filter(None, names)))
    return {REVIEWERS_TAG: ",".join(known)} if known else None


def _requests() -> "sa.Select[*tuple[Any, ...]]":
    return sa.select(*(_TABLE[entry.name] for entry in fields(RunRequest)))


def _update(connection: sa.Connection, key: str, **values: object) -> None:
    connection.execute(sa.update(RUN_REQUESTS).where(_TABLE.key == key).values(**values))

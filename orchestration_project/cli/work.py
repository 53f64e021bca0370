"""Doing the work of requested runs from the command line, where no running project does it."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

from filelock import BaseFileLock, FileLock, Timeout

from orchestration_project.cli.dagster_commands import POLL_SECONDS, JobFailed, instance_of, run_job
from orchestration_project.cli.printing import note
from orchestration_project.core.errors import Refused
from orchestration_project.stores import arrivals, batches, run_requests
from orchestration_project.stores.home import Home

if TYPE_CHECKING:
    import sqlalchemy as sa

T = TypeVar("T")


def finish_batches(home: Home, tokens: Sequence[str]) -> set[str]:
    """Wait until the batches of what was received under these tokens have ended, and return them.

    A running project, which holds a lock on the home, does the work; where none does, this process does it.
    """

    def ended(connection: "sa.Connection") -> set[str] | None:
        own = arrivals.batches_of(connection, tokens)
        keys = {batch for batch in own if batch is not None}
        return keys if None not in own and batches.all_ended(connection, keys) else None

    return _work_until(home, ended)


def finish_requested(home: Home) -> None:
    """Wait until no requested run is left, also of what an earlier command was broken off in. Works as
    `finish_batches`.
    """
    _work_until(home, lambda connection: None if run_requests.open_requests(connection) else True)


def run_unless_project_does(home: Home) -> int:
    """Run every requested run, and deliver notices, where no running project, nor another command, does; returns how
    many runs.
    """
    from orchestration_project.dispatch.delivery import deliver

    try:
        with FileLock(home.running_lock, timeout=0):
            number = run_requested(home)
            deliver(home, note)
            return number
    except Timeout:
        return 0


def run_requested(home: Home) -> int:
    """Open batches for all that waits, and run every requested run, one after another; returns how many runs."""
    from orchestration_project.dispatch.lost_runs import SUBMISSION_TAG, end_lost_runs, end_submission
    from orchestration_project.governance.overdue_reviews import expire

    arrivals.register_received(home)
    expire(home)
    while batches.open_next(home):
        pass
    with instance_of(home) as instance:
        end_lost_runs(home, instance)
        number = 0
        while True:
            with home.ledger.write() as connection:
                found = run_requests.lease_next(connection, home.settings.lease_seconds)
            if found is None:
                return number
            instance.add_dynamic_partitions("batch", [found.batch])
            what = f"Batch {found.batch}, attempt {found.attempt}"
            submission = uuid4().hex
            tags = {**found.run_tags(), SUBMISSION_TAG: submission, "dagster/partition": found.batch}
            try:
                run_job(home, found.job, what, tags)
            except JobFailed as failure:
                note(str(failure))
                end_submission(home, instance, found, submission, str(failure))
            number += 1


def hold_running_lock(home: Home) -> BaseFileLock:
    """Take the lock of a running project, or Refused when there is one; release what is returned."""
    lock = FileLock(home.running_lock, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise Refused(f"This project already runs on {home.root}. Stop it first, or set ORCHESTRATE_HOME.") from error
    return lock


def _work_until(home: Home, ended: "Callable[[sa.Connection], T | None]") -> T:
    while True:
        with home.ledger.read() as connection:
            found = ended(connection)
        if found is not None:
            return found
        if not run_unless_project_does(home):
            time.sleep(POLL_SECONDS)

"""Doing the work of requested runs from the command line, where no running project does it."""

import time
from collections.abc import Sequence

from filelock import BaseFileLock, FileLock, Timeout

from orchestration_project.cli.dagster_commands import JobFailed, add_batches, run_job
from orchestration_project.cli.printing import ERR, note
from orchestration_project.core.errors import Refused
from orchestration_project.governance.outcomes import Failure, finish
from orchestration_project.stores import arrivals, batches, run_requests
from orchestration_project.stores.home import Home
from orchestration_project.stores.run_requests import KEY_TAG

POLL_SECONDS = 0.2


def finish_batches(home: Home, tokens: Sequence[str]) -> set[str]:
    """Wait until the batches of what was received under these tokens have ended, and return them.

    A running project, which holds a lock on the home, does the work; where none does, this process does it.
    """
    while True:
        with home.ledger.read() as connection:
            own = arrivals.batches_of(connection, tokens)
            keys = {batch for batch in own if batch is not None}
            if None not in own and batches.all_ended(connection, keys):
                return keys
        try:
            with FileLock(home.running_lock, timeout=0):
                run_requested(home)
        except Timeout:
            time.sleep(POLL_SECONDS)


def run_requested(home: Home) -> None:
    """Open batches for all that waits, and run every requested run, one after another."""
    arrivals.register_received(home)
    while batches.open_next(home):
        pass
    while True:
        with home.ledger.write() as connection:
            found = run_requests.lease_next(connection, home.settings.lease_seconds)
        if found is None:
            return
        add_batches(home, [found.batch])
        with ERR.status(f"Batch {found.batch}: {found.job}, attempt {found.attempt}"):
            try:
                run_job(home, found.job, {KEY_TAG: found.key, "dagster/partition": found.batch})
            except JobFailed as failure:
                note(str(failure))
                finish(home, found.key, found.batch, Failure(str(failure)))  # without effect if the run said why itself


def hold_running_lock(home: Home) -> BaseFileLock:
    """Take the lock of a running project, or Refused when there is one; release what is returned."""
    lock = FileLock(home.running_lock, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise Refused(f"This project already runs on {home.root}. Stop it first, or set ORCHESTRATE_HOME.") from error
    return lock

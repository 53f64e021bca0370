"""The sensor that turns arrivals into runs: takes in the inbox, opens batches, submits what is requested, and notices
silent runs.

Everything it does is a step that another tick, or another process, could have done: what it leaves unfinished the next
tick finishes.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from orchestration_project.governance.outcomes import Failure, finish
from orchestration_project.model_output.partitions import BATCHES
from orchestration_project.stores import arrivals, batches, outbox, run_requests
from orchestration_project.stores.home import Home, prepared_home
from orchestration_project.stores.run_requests import KEY_TAG, SILENT_BEATS, RunRequest

MOST_SUBMISSIONS = 25
"""Runs submitted in one tick; the rest wait for the next, so that a tick stays short."""


def arrivals_sensor(name: str, job: Any, **arguments: Any) -> dg.SensorDefinition:
    """A sensor that starts `job` (any job of assets partitioned by batch) for each batch of arrivals.

    `arguments` go to `dg.sensor`.
    """

    @dg.sensor(name=name, job=job, minimum_interval_seconds=2, **arguments)
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        home = prepared_home()
        take_in(home)
        outbox.deliver(home, context.log.info)
        _end_silent_runs(home, context.instance)
        _end_unstarted_runs(home, context.instance)
        requests = list(_leased(home))
        if not requests:
            return dg.SkipReason("Nothing waits. Put a file into the inbox, or: orchestrate send TEXT")
        return dg.SensorResult(
            run_requests=[
                dg.RunRequest(run_key=found.key, partition_key=found.batch, tags={KEY_TAG: found.key})
                for found in requests
            ],
            dynamic_partitions_requests=[BATCHES.build_add_request(sorted({found.batch for found in requests}))],
        )

    return sensor


def take_in(home: Home) -> None:
    """Register what waits in the inbox or was received before, and open batches for all of it."""
    arrivals.register_received(home)
    arrivals.take_in_inbox(home)
    while batches.open_next(home):
        pass


def _leased(home: Home) -> Iterator[RunRequest]:
    for _ in range(MOST_SUBMISSIONS):
        with home.ledger.write() as connection:
            found = run_requests.lease_next(connection, home.settings.lease_seconds)
        if found is None:
            return
        yield found


def _end_silent_runs(home: Home, instance: dg.DagsterInstance) -> None:
    """A run whose process died is marked failed in Dagster and in the ledger, which asks for the next attempt."""
    with home.ledger.read() as connection:
        lost = run_requests.silent(connection, SILENT_BEATS * home.settings.heartbeat_seconds)
    for found in lost:
        run = instance.get_run_by_id(found.run_id) if found.run_id else None
        if run is not None and not run.is_finished:
            instance.report_run_failed(run, f"The run's process is gone: no heartbeat for '{found.key}'.")
        finish(home, found.key, found.batch, Failure("the run's process is gone"))


def _end_unstarted_runs(home: Home, instance: dg.DagsterInstance) -> None:
    """A submitted run that Dagster ended before it began asks for the next attempt; one that waits in its queue goes on
    waiting.
    """
    with home.ledger.read() as connection:
        unstarted = run_requests.overdue(connection)
    for found in unstarted:
        runs = instance.get_runs(dg.RunsFilter(tags={KEY_TAG: found.key}), limit=1)
        if runs and runs[0].is_finished:
            finish(home, found.key, found.batch, Failure(f"run {runs[0].run_id} ended before it began"))
        elif runs:
            with home.ledger.write() as connection:
                run_requests.extend_lease(connection, found.key, home.settings.lease_seconds)

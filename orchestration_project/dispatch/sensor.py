"""The sensor that turns arrivals into runs: takes in the inbox, opens batches, submits what is requested, and notices
lost runs.

Everything it does is a step that another tick, or another process, could have done: what it leaves unfinished the next
tick finishes.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from orchestration_project.core.errors import LedgerUnavailable, Refused
from orchestration_project.dispatch.delivery import deliver
from orchestration_project.dispatch.lost_runs import end_lost_runs
from orchestration_project.governance.overdue_reviews import expire
from orchestration_project.model_output.partitions import BATCHES
from orchestration_project.stores import arrivals, batches, run_requests
from orchestration_project.stores.home import Home, prepared_home
from orchestration_project.stores.run_requests import RunRequest

MOST_SUBMISSIONS = 25
"""Runs submitted in one tick; the rest wait for the next, so that a tick stays short."""


def arrivals_sensor(name: str, job: Any, verdict_jobs: Sequence[Any] = (), **arguments: Any) -> dg.SensorDefinition:
    """A sensor that starts `job` (any job of assets partitioned by batch) for each batch of arrivals, and after a
    verdict the one of `verdict_jobs` that is the asset's (see `verdict_job`).

    `arguments` go to `dg.sensor`.
    """

    @dg.sensor(name=name, jobs=[job, *verdict_jobs], minimum_interval_seconds=2, **arguments)
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        try:
            return _tick(context)
        except LedgerUnavailable as trouble:  # the leases of requests that were leased before run out by themselves
            context.log.error(str(trouble))
            return dg.SkipReason(str(trouble))

    return sensor


def take_in(home: Home) -> list[str]:
    """Register what waits in the inbox or was received before, end the reviews that are overdue, and open the batches
    that are due; returns why something could not be taken in, which the next tick does.

    LedgerUnavailable, with all that, ends it: what comes after would meet the same, each after waiting for the lock.
    """
    troubles: list[str] = []
    for look in (arrivals.register_received, arrivals.take_in_inbox, expire):
        try:
            look(home)
        except Refused as trouble:
            troubles.append(str(trouble))
        except LedgerUnavailable as trouble:
            raise LedgerUnavailable("\n".join([*troubles, str(trouble)])) from trouble
    batches.open_due(home)
    return troubles


def _tick(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    home = prepared_home()
    for trouble in take_in(home):
        context.log.error(trouble)
    deliver(home, context.log.info)
    end_lost_runs(home, context.instance)
    requests = list(_leased(home))
    if not requests:
        return dg.SkipReason("Nothing waits. Put a file into the inbox, or: orchestrate send TEXT")
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(found.key, partition_key=found.batch, job_name=found.job, tags=found.run_tags())
            for found in requests
        ],
        dynamic_partitions_requests=[BATCHES.build_add_request(sorted({found.batch for found in requests}))],
    )


def _leased(home: Home) -> Iterator[RunRequest]:
    for _ in range(MOST_SUBMISSIONS):
        with home.ledger.write() as connection:
            found = run_requests.lease_next(connection, home.settings.lease_seconds)
        if found is None:
            return
        yield found

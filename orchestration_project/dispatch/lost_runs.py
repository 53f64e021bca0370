"""Runs whose process is gone, which nobody else notices: Dagster's stock launcher looks after no run.

Dagster would count such a run as working for ever, and its place in the queue would be lost; the ledger would wait for
it. Here both learn that it ended, and the ledger asks for the next attempt.
"""

from datetime import timedelta

import dagster as dg

from orchestration_project.governance.outcomes import STOPPED, Failure, finish
from orchestration_project.stores import run_requests
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.run_requests import KEY_TAG, SILENT_BEATS, RunRequest

SUBMISSION_TAG = "orchestrate/submission"
"""Run tag by which whoever started a process finds the run that began in it."""

_STOPPED = (dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED)
_ACTIVE = (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)


def is_stopped(run: dg.DagsterRun | None) -> bool:
    """Whether a person stopped the run."""
    return run is not None and run.status in _STOPPED


def end_lost_runs(home: Home, instance: dg.DagsterInstance) -> None:
    """Notice every run whose process is gone: it fell silent, it never began, or it died between its outcome and
    Dagster's own event.
    """
    _end_silent(home, instance)
    _end_unstarted(home, instance)
    _end_forgotten(home, instance)


def end_submission(
    home: Home, instance: dg.DagsterInstance, request: RunRequest, submission: str, message: str
) -> None:
    """Record that the process of a submission ended without success, where it could not say so itself.

    Another run that answers the same request by now is left alone.
    """
    run = next(iter(instance.get_runs(dg.RunsFilter(tags={SUBMISSION_TAG: submission}))), None)
    finish(home, request.key, request.batch, Failure(message), run_id=run.run_id if run else None)
    if run is not None:
        _end_in_dagster(instance, run, message)


def _end_silent(home: Home, instance: dg.DagsterInstance) -> None:
    seconds = _silent_seconds(home)
    with home.ledger.read() as connection:
        silent, ahead = run_requests.silent(connection, seconds), run_requests.heard_ahead(connection, seconds)
    if ahead:
        with home.ledger.write() as connection:
            run_requests.hear_now(connection, seconds)
    for found in silent:
        run = instance.get_run_by_id(found.run_id) if found.run_id else None
        failure = STOPPED if is_stopped(run) else Failure("the run's process is gone")
        if run is not None:
            _end_in_dagster(instance, run, f"The run's process is gone: no heartbeat for '{found.key}'.")
        finish(home, found.key, found.batch, failure, run_id=found.run_id)


def _end_unstarted(home: Home, instance: dg.DagsterInstance) -> None:
    """Submitted requests whose run did not begin in time.

    A run that waits in Dagster's queue, or starts just now, gets more time. Where there is no run, or one that was
    never handed to the queue, the next submitter takes the request.
    """
    with home.ledger.read() as connection:
        overdue = run_requests.overdue(connection, home.settings.lease_seconds)
    for found in overdue:
        record = next(iter(instance.get_run_records(dg.RunsFilter(tags={KEY_TAG: found.key}), limit=1)), None)
        if record is None or record.dagster_run.status == dg.DagsterRunStatus.NOT_STARTED:
            continue
        run = record.dagster_run
        if run.is_finished or (run.status in _ACTIVE and _is_overdue(home, record)):
            failure = STOPPED if is_stopped(run) else Failure(f"run {run.run_id} ended before it began")
            _end_in_dagster(instance, run, "The run's process never began.")
            finish(home, found.key, found.batch, failure)
        else:
            with home.ledger.write() as connection:
                run_requests.extend_lease(connection, found.key, home.settings.lease_seconds)


def _end_forgotten(home: Home, instance: dg.DagsterInstance) -> None:
    """Runs that Dagster counts as working and the ledger does not wait for: any outcome is recorded there already, or
    there is nothing to record. A run that never told the ledger and works in Dagster has an executor of its own; it is
    let alone.
    """
    for record in instance.get_run_records(dg.RunsFilter(statuses=list(_ACTIVE))):
        run = record.dagster_run
        with home.ledger.read() as connection:
            heard = run_requests.last_heard(connection, run.run_id)
        if heard is not None:
            is_lost = abs(now() - heard) > timedelta(seconds=_silent_seconds(home))  # ahead: the clock stepped back
        else:
            is_ours = run.status != dg.DagsterRunStatus.STARTED or KEY_TAG in run.tags
            is_lost = is_ours and _is_overdue(home, record)
        if is_lost:
            _end_in_dagster(instance, run, "The run's process is gone.")


def _end_in_dagster(instance: dg.DagsterInstance, run: dg.DagsterRun, message: str) -> None:
    if run.is_finished:
        return
    if is_stopped(run):
        instance.report_run_canceled(run, message)
    else:
        instance.report_run_failed(run, message)


def _is_overdue(home: Home, record: dg.RunRecord) -> bool:
    return record.update_timestamp < now() - timedelta(seconds=home.settings.lease_seconds)


def _silent_seconds(home: Home) -> float:
    return SILENT_BEATS * home.settings.heartbeat_seconds

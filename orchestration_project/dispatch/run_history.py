"""The sensor that adds to the audit log what happened in Dagster's own database: which run began, for whom, and how it
ended.

Dagster's event log is read on from where the last tick stopped. Each event is an entry once, however often it is read.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import sqlalchemy as sa

from orchestration_project.governance import audit
from orchestration_project.governance.promotion import PERSON_TAG
from orchestration_project.stores.home import Home, current_home
from orchestration_project.stores.schema import AUDIT

ACTIONS = {
    "run began": dg.DagsterEventType.RUN_START,
    "run succeeded": dg.DagsterEventType.RUN_SUCCESS,
    "run failed": dg.DagsterEventType.RUN_FAILURE,
    "run cancelled": dg.DagsterEventType.RUN_CANCELED,
}
"""Audit action → Dagster's event."""

SECONDS_BETWEEN = 30

MOST_EVENTS = 200
"""Events of each kind that a tick takes; the next goes on."""

_LAUNCHED_BY = {
    "dagster/schedule_name": "schedule",
    "dagster/sensor_name": "sensor",
    "dagster/backfill": "backfill",
}
"""Tag of a run → what launched it."""

_KEPT_TAGS = ("orchestrate/", "dagster/partition", "dagster/parent_run_id")


def run_history_sensor(name: str, *, seconds_between: int = SECONDS_BETWEEN, **arguments: Any) -> dg.SensorDefinition:
    """A sensor that audits every run of the instance, whatever started it. `arguments` go to `dg.sensor`."""

    @dg.sensor(name=name, minimum_interval_seconds=seconds_between, **arguments)
    def sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        cursors = json.loads(context.cursor) if context.cursor else {}
        number, read = add_runs(current_home(), context.instance, cursors)
        context.update_cursor(json.dumps(read))
        return dg.SkipReason(f"{number} entries were added to the audit log." if number else "No run began or ended.")

    return sensor


def add_runs(home: Home, instance: dg.DagsterInstance, cursors: Mapping[str, str]) -> tuple[int, dict[str, str]]:
    """Add an entry for each run that began or ended since the cursors (action → Dagster's cursor; without one, ever);
    returns how many, and the cursors from which to go on.
    """
    read = dict(cursors)
    added = 0
    for action, event in ACTIONS.items():
        page = instance.fetch_run_status_changes(event, MOST_EVENTS, cursor=cursors.get(action), ascending=True)
        moments = {record.run_id: datetime.fromtimestamp(record.timestamp, UTC) for record in page.records}
        details = {run_id: _detail(instance, run_id, at) for run_id, at in moments.items()}
        if details:
            added += _add(home, action, details)
            read[action] = page.cursor
    return added, read


def _add(home: Home, action: str, details: Mapping[str, dict[str, Any]]) -> int:
    """Add the entries that are not there yet, in one transaction: ticks that overlap add none twice."""
    with home.ledger.write() as connection:
        query = sa.select(AUDIT.c.subject).where(AUDIT.c.subject.in_(list(details)), AUDIT.c.action == action)
        known = set(connection.execute(query).scalars())
        new = [run_id for run_id in details if run_id not in known]
        for run_id in new:
            audit.append(connection, action, run_id, details[run_id], details[run_id]["launched_by"])
    return len(new)


def _detail(instance: dg.DagsterInstance, run_id: str, at: datetime) -> dict[str, Any]:
    run = instance.get_run_by_id(run_id)
    if run is None:  # somebody deleted it meanwhile
        return {"happened_at": at.isoformat(), "job": None, "launched_by": audit.system_user(), "tags": {}}
    kept = {name: value for name, value in run.tags.items() if name.startswith(_KEPT_TAGS)}
    return {"happened_at": at.isoformat(), "job": run.job_name, "launched_by": _launched_by(run), "tags": kept}


def _launched_by(run: dg.DagsterRun) -> str:
    """The person that the run's order names, else what launched it, else the user whose project this is."""
    if person := run.tags.get(PERSON_TAG):
        return person
    found = next((f"{kind} {run.tags[tag]}" for tag, kind in _LAUNCHED_BY.items() if tag in run.tags), None)
    return found or audit.system_user()

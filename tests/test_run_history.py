"""What happened in Dagster's own database comes into the audit log: each run's beginning and end, once, with whose it
was.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from orchestration_project.dispatch import run_history
from orchestration_project.dispatch.run_history import add_runs, run_history_sensor
from orchestration_project.governance import audit
from orchestration_project.stores.home import Home
from orchestration_project.stores.schema import AUDIT

FAILS = "fails"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance of its own: what happened to a run is never forgotten."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@dg.op
def work(context: dg.OpExecutionContext) -> None:
    """Work, or fail where a tag says so."""
    if FAILS in context.run.tags:
        raise ValueError


@dg.job
def job() -> None:
    """What the runs of these tests run."""
    work()


def run(instance: dg.DagsterInstance, **tags: str) -> str:
    result = job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)
    return result.run_id


def history(home: Home) -> list[tuple[str, str, str]]:
    """(action, run, actor) of every entry about a run."""
    with home.ledger.read() as connection:
        assert audit.breaks(connection) == []
        query = sa.select(AUDIT.c.action, AUDIT.c.subject, AUDIT.c.actor).where(AUDIT.c.action.startswith("run "))
        return [(row[0], row[1], row[2]) for row in connection.execute(query.order_by(AUDIT.c.sequence))]


def detail_of(home: Home, run_id: str, action: str) -> dict[str, Any]:
    with home.ledger.read() as connection:
        query = sa.select(AUDIT.c.detail).where(AUDIT.c.subject == run_id, AUDIT.c.action == action)
        return json.loads(connection.execute(query).scalar_one())


def test_run_that_succeeded_and_one_that_failed_are_audited_once(any_home: Home, instance: dg.DagsterInstance) -> None:
    good, bad = run(instance), run(instance, fails="yes")
    user = audit.system_user()
    number, read = add_runs(any_home, instance, {})
    expected = {
        ("run began", good, user),
        ("run began", bad, user),
        ("run succeeded", good, user),
        ("run failed", bad, user),
    }
    assert (number, set(history(any_home))) == (4, expected)
    assert add_runs(any_home, instance, read)[0] == 0
    assert add_runs(any_home, instance, {})[0] == 0  # a cursor that was lost
    assert len(history(any_home)) == 4


def test_cancelled_run_is_audited(home: Home, instance: dg.DagsterInstance) -> None:
    dagster_run = instance.create_run_for_job(job)
    instance.report_run_canceled(dagster_run)
    add_runs(home, instance, {})
    assert history(home) == [("run cancelled", dagster_run.run_id, audit.system_user())]


def test_later_tick_takes_only_what_came_later(home: Home, instance: dg.DagsterInstance) -> None:
    run(instance)
    _, read = add_runs(home, instance, {})
    later = run(instance)
    assert add_runs(home, instance, read)[0] == 2
    assert [subject for _, subject, _ in history(home)][2:] == [later, later]


def test_many_runs_are_taken_some_at_a_time(
    home: Home, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_history, "MOST_EVENTS", 2)
    runs = [run(instance) for _ in range(3)]
    _, read = add_runs(home, instance, {})
    assert [subject for _, subject, _ in history(home)] == runs[:2] * 2
    add_runs(home, instance, read)
    assert sorted(subject for _, subject, _ in history(home)) == sorted(runs * 2)


def test_ticks_at_once_add_nothing_twice(home: Home, instance: dg.DagsterInstance) -> None:
    run(instance)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: add_runs(home, instance, {}), range(8)))
    assert len(history(home)) == 2


@pytest.mark.parametrize(
    ("tags", "actor"),
    [
        ({"orchestrate/person": "anna", "dagster/sensor_name": "arrived"}, "anna"),
        ({"dagster/schedule_name": "nightly"}, "schedule nightly"),
        ({"dagster/sensor_name": "arrived"}, "sensor arrived"),
        ({"dagster/backfill": "b1"}, "backfill b1"),
        ({}, audit.system_user()),
    ],
)
def test_entry_says_by_whom_and_for_which_request(
    home: Home, instance: dg.DagsterInstance, tags: dict[str, str], actor: str
) -> None:
    run_id = run(instance, **tags, **{"orchestrate/request": "b1/arrival/1", "other": "tag"})
    add_runs(home, instance, {})
    assert history(home)[0] == ("run began", run_id, actor)
    detail = detail_of(home, run_id, "run began")
    assert (detail["job"], detail["launched_by"]) == ("job", actor)
    assert detail["tags"]["orchestrate/request"] == "b1/arrival/1"
    assert "other" not in detail["tags"]
    assert detail["happened_at"].endswith("+00:00")


def test_run_that_is_deleted_later_stays_audited(home: Home, instance: dg.DagsterInstance) -> None:
    run_id = run(instance)
    _, read = add_runs(home, instance, {})
    instance.delete_run(run_id)
    assert add_runs(home, instance, read)[0] == 0
    assert len(history(home)) == 2


def test_sensor_goes_on_from_its_cursor(named_home: Home, instance: dg.DagsterInstance) -> None:
    sensor = run_history_sensor("run_changed")
    run(instance)
    said: list[str | None] = []
    cursor: str | None = None
    for _ in range(2):
        with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
            answer = sensor(context)
            assert isinstance(answer, dg.SkipReason)
            said.append(answer.skip_message)
            cursor = context.cursor
    assert said == ["2 entries were added to the audit log.", "No run began or ended."]
    assert len(history(named_home)) == 2

"""The sensor that notices a feed that has stopped: by the table's limit, once, and not after a night switched off."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.definitions.sensor_definition import SensorExecutionData
from hypothesis import given
from hypothesis import strategies as st
from shop_workflow import order, run, send

from orchestration_project.dispatch.silence_sensor import SECONDS_BETWEEN, Memory, silence_sensor
from orchestration_project.model_output.watch import COLUMNS, Watch
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.schema import BATCHES, OUTBOX

OPENED = datetime(2026, 3, 1, tzinfo=UTC)
TICK = timedelta(seconds=SECONDS_BETWEEN)


@pytest.fixture
def sensor(tmp_path: Path) -> dg.SensorDefinition:
    """It tells after seventy hours, of which the project was running for one."""
    file = tmp_path / "anomalies.csv"
    file.write_text(f"{','.join(COLUMNS)}\norder,silence,,warn,70,1,No weekend\n")
    return silence_sensor("stopped", Watch(file))


def tick(sensor: dg.SensorDefinition, instance: dg.DagsterInstance, cursor: str | None) -> SensorExecutionData:
    with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
        return sensor.evaluate_tick(context)


def put(home: Home, hours: float) -> None:
    """A batch that was opened so many hours ago."""
    batch = f"b{hours:g}"
    send(home, f"{batch},hello,1")
    assert run(home, order, batch=batch).success
    with home.ledger.write() as connection:
        opened = sa.update(BATCHES).where(BATCHES.c.batch == batch)
        connection.execute(opened.values(opened_at=now() - timedelta(hours=hours)))


def told(home: Home) -> list[tuple[str, str]]:
    with home.ledger.read() as connection:
        return [(title, body) for title, body in connection.execute(sa.select(OUTBOX.c.title, OUTBOX.c.body))]


def running(cursor: str | None, hours: float) -> str:
    """The cursor of a project that was running for so many hours, and ticked just now."""
    memory = json.loads(cursor or "{}")
    return json.dumps({**memory, "tick": (now() - TICK).isoformat(), "running_hours": hours})


def test_silence_is_told_once_with_limit_and_what_to_do(
    named_home: Home, instance: dg.DagsterInstance, sensor: dg.SensorDefinition
) -> None:
    put(named_home, hours=74)
    cursor = running(tick(sensor, instance, None).cursor, hours=2)
    found = tick(sensor, instance, cursor)
    assert "That is told." in str(found.skip_message)
    tick(sensor, instance, running(found.cursor, hours=9))
    ((title, body),) = told(named_home)
    assert title == "No batch of order for 74 hours"
    assert "- Limit: 70 hours, of them 1 with the project running" in body
    assert "- Why this limit: No weekend" in body
    assert "raise the limit of silence in anomalies.csv" in body


def test_project_that_was_switched_off_tells_nothing_when_it_starts(
    named_home: Home, instance: dg.DagsterInstance, sensor: dg.SensorDefinition
) -> None:
    put(named_home, hours=900)
    cursor = None
    for _ in range(3):
        found = tick(sensor, instance, cursor)
        cursor = found.cursor
        assert "That is no silence." in str(found.skip_message)
    assert told(named_home) == []


def test_another_batch_ends_the_silence_and_the_next_one_is_told_again(
    named_home: Home, instance: dg.DagsterInstance, sensor: dg.SensorDefinition
) -> None:
    put(named_home, hours=100)
    cursor = tick(sensor, instance, running(tick(sensor, instance, None).cursor, hours=2)).cursor
    put(named_home, hours=71)
    found = tick(sensor, instance, running(cursor, hours=2))
    assert len(told(named_home)) == 1, "the project has to be running without the new batch first"
    tick(sensor, instance, running(found.cursor, hours=2))
    assert len(told(named_home)) == 2


def test_project_without_a_batch_misses_none(
    named_home: Home, instance: dg.DagsterInstance, sensor: dg.SensorDefinition
) -> None:
    assert tick(sensor, instance, None).skip_message == "No batch came yet, so none is missed."


@given(
    gaps=st.lists(st.timedeltas(timedelta(seconds=-60), timedelta(days=30)), max_size=30),
)
def test_only_time_between_ticks_that_follow_each_other_counts(gaps: list[timedelta]) -> None:
    moment = OPENED + timedelta(hours=1)
    memory = Memory().at(moment, OPENED)
    counted = timedelta()
    for gap in gaps:
        moment += gap
        counted += gap if timedelta() < gap <= 3 * TICK else timedelta()
        memory = Memory.read(memory.at(moment, OPENED).written())
    assert memory.running_hours == pytest.approx(counted.total_seconds() / 3600)

"""Ticks of the arrivals sensor for tests, and runs in any state of their life, on a real Dagster instance."""

from datetime import timedelta
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster._core.definitions.sensor_definition import SensorExecutionData

from orchestration_project.dispatch.sensor import arrivals_sensor
from orchestration_project.model_output import BATCHES
from orchestration_project.stores import arrivals, batches, run_requests
from orchestration_project.stores.batches import Batch
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.run_requests import KEY_TAG
from orchestration_project.stores.schema import RUN_REQUESTS

Status = dg.DagsterRunStatus


@dg.asset(partitions_def=BATCHES)
def note() -> None:
    """What the job of these tests makes."""


definitions = dg.Definitions(
    [note], jobs=[dg.define_asset_job("workflow", "*"), dg.define_asset_job("train", "*")]
).get_repository_def()
workflow = definitions.get_job("workflow")
sensor = arrivals_sensor("arrived", workflow)


def tick(instance: dg.DagsterInstance) -> SensorExecutionData:
    """Evaluate the sensor once, as the code server does."""
    with dg.SensorEvaluationContext(
        instance_ref=instance.get_ref(),
        last_tick_completion_time=None,
        last_run_key=None,
        cursor=None,
        repository_name=None,
        repository_def=definitions,
        instance=instance,
    ) as context:
        found = sensor.evaluate_tick(context)
    for request in found.dynamic_partitions_requests or ():
        instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
    return found


def keys(found: SensorExecutionData) -> list[str | None]:
    return [request.run_key for request in found.run_requests or ()]


def send(home: Home, text: str = "hello") -> None:
    arrivals.receive_message(home, {"message_id": text, "text": text})


def submitted(home: Home, instance: dg.DagsterInstance) -> str:
    """Send a message and have its run requested; returns the request's key."""
    send(home)
    (key,) = keys(tick(instance))
    assert key is not None
    return key


def launch(instance: dg.DagsterInstance, key: str | None, status: Status, **arguments: Any) -> dg.DagsterRun:
    """A run as Dagster stores it for the sensor's request, in some state of its life."""
    tags = {} if key is None else {KEY_TAG: key, "dagster/partition": key.split("/")[0]}
    return instance.create_run_for_job(workflow, tags=tags, status=status, **arguments)


def begin(home: Home, run: dg.DagsterRun) -> str:
    key = run.tags.get(KEY_TAG)
    with home.ledger.write() as connection:
        return run_requests.begin(
            connection, key=key, batch=run.tags.get("dagster/partition", ""), run_id=run.run_id, silent_seconds=30
        )


def set_request(home: Home, key: str, **values: object) -> None:
    with home.ledger.write() as connection:
        connection.execute(sa.update(RUN_REQUESTS).where(RUN_REQUESTS.c.key == key).values(**values))


def let_lease_run_out(home: Home, key: str) -> None:
    set_request(home, key, lease_until=now() - timedelta(seconds=1))


def fall_silent(home: Home, key: str) -> None:
    set_request(home, key, heartbeat_at=now() - timedelta(seconds=31))


def request_of(home: Home, key: str) -> dict[str, Any]:
    with home.ledger.read() as connection:
        return dict(connection.execute(sa.select(RUN_REQUESTS).where(RUN_REQUESTS.c.key == key)).mappings().one())


def batch_of(home: Home, key: str) -> Batch:
    with home.ledger.read() as connection:
        found = batches.get(connection, key.split("/")[0])
    assert found is not None
    return found


def second_attempt(key: str) -> str:
    return key.removesuffix("1") + "2"


def status_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Status:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status

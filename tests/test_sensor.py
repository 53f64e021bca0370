"""The sensor that turns arrivals into runs, and the runs it finds dead, on a real Dagster instance."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.definitions.sensor_definition import SensorExecutionData
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from live_project import wait_until

from orchestration_project.dispatch.sensor import MOST_SUBMISSIONS, arrivals_sensor
from orchestration_project.governance.outcomes import finish
from orchestration_project.model_output import BATCHES
from orchestration_project.stores import arrivals, batches, outbox, run_requests
from orchestration_project.stores.batches import Batch
from orchestration_project.stores.home import Home, current_home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.outbox import Notice
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


@pytest.fixture(scope="module")
def dagster_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests: making its databases takes seconds."""
    return tmp_path_factory.mktemp("dagster")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("ORCHESTRATE_HOME", str(tmp_path))
    home = current_home()
    home.prepare()
    return home


@pytest.fixture
def instance(dagster_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("DAGSTER_HOME", str(dagster_home))
    with dg.DagsterInstance.get() as instance:
        yield instance
        for run in instance.get_runs():
            instance.delete_run(run.run_id)


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


def test_tick_without_arrivals_says_how_to_send_some(home: Home, instance: dg.DagsterInstance) -> None:
    found = tick(instance)
    assert found.run_requests == []
    assert "orchestrate send" in str(found.skip_message)


def test_tick_opens_a_batch_and_asks_for_its_run(home: Home, instance: dg.DagsterInstance) -> None:
    send(home)
    found = tick(instance)
    (request,) = found.run_requests or ()
    with home.ledger.read() as connection:
        (batch,) = batches.all_keys(connection)
    assert request.run_key == f"{batch}/arrival/1"
    assert request.tags[KEY_TAG] == request.run_key
    assert request.tags["dagster/partition"] == batch
    assert instance.has_dynamic_partition("batch", batch)
    assert request_of(home, request.run_key)["state"] == "submitted"


def test_tick_takes_in_the_files_of_the_inbox_and_passes_over_a_bad_one(
    home: Home, instance: dg.DagsterInstance
) -> None:
    (home.inbox / "bad.jsonl").write_bytes(b"\xff\xfe\x00\x00 no text")
    (home.inbox / "good.jsonl").write_text(json.dumps({"message_id": "1", "text": "hello"}) + "\n")
    wait_until(lambda: tick(instance).run_requests, "the files to settle and be taken in")
    with home.ledger.read() as connection:
        assert batches.count_states(connection)["working"] >= 1
    assert list(home.inbox.iterdir()) == []


def test_next_tick_leaves_a_leased_request_alone(home: Home, instance: dg.DagsterInstance) -> None:
    submitted(home, instance)
    assert tick(instance).run_requests == []


def test_request_whose_submitter_died_is_submitted_again_under_the_same_run_key(
    home: Home, instance: dg.DagsterInstance
) -> None:
    key = submitted(home, instance)
    let_lease_run_out(home, key)
    assert keys(tick(instance)) == [key]


def test_run_that_was_created_and_never_queued_is_submitted_again_under_the_same_run_key(
    home: Home, instance: dg.DagsterInstance
) -> None:
    """Dagster finds the run by its run key and queues that one."""
    key = submitted(home, instance)
    launch(instance, key, Status.NOT_STARTED)
    let_lease_run_out(home, key)
    assert keys(tick(instance)) == [key]


def test_tick_stays_short_and_the_next_one_goes_on(home: Home, instance: dg.DagsterInstance) -> None:
    with home.ledger.write() as connection:
        for number in range(MOST_SUBMISSIONS + 1):
            run_requests.request(connection, batch=f"batch {number}", cause="arrival")
    assert len(keys(tick(instance))) == MOST_SUBMISSIONS
    assert len(keys(tick(instance))) == 1


def test_run_that_waits_in_the_queue_goes_on_waiting(home: Home, instance: dg.DagsterInstance) -> None:
    key = submitted(home, instance)
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "repository")
    origin = RemoteJobOrigin(repository, "workflow")
    run = launch(instance, key, Status.QUEUED, remote_job_origin=origin)
    let_lease_run_out(home, key)
    assert tick(instance).run_requests == []
    assert request_of(home, key)["lease_until"] > now()
    assert status_of(instance, run) == Status.QUEUED


def test_run_that_ended_before_it_began_is_tried_again(home: Home, instance: dg.DagsterInstance) -> None:
    key = submitted(home, instance)
    run = launch(instance, key, Status.FAILURE)
    let_lease_run_out(home, key)
    assert keys(tick(instance)) == [second_attempt(key)]
    assert request_of(home, key)["state"] == "failed"
    assert run.run_id in request_of(home, key)["cause"]


def test_third_run_that_ended_before_it_began_sets_the_batch_aside(home: Home, instance: dg.DagsterInstance) -> None:
    key = submitted(home, instance)
    for attempt in (1, 2, 3):
        key = f"{key[:-1]}{attempt}"
        launch(instance, key, Status.FAILURE)
        let_lease_run_out(home, key)
        found = tick(instance)
    assert found.run_requests == []
    assert batch_of(home, key).state == "set_aside"
    assert "ended before it began" in str(batch_of(home, key).cause)


@pytest.mark.parametrize("status", [Status.STARTING, Status.STARTED])
def test_run_whose_process_never_began_is_tried_again(
    home: Home, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, status: Status
) -> None:
    """Killed between Dagster's queue and the executor: Dagster would count it as working for ever."""
    key = submitted(home, instance)
    run = launch(instance, key, status)
    let_lease_run_out(home, key)
    monkeypatch.setenv("ORCHESTRATE_LEASE_SECONDS", "0.01")  # so short that a slow tick may lease one twice
    assert set(wait_until(lambda: keys(tick(instance)), "the next attempt")) == {second_attempt(key)}
    assert status_of(instance, run) == Status.FAILURE


def test_run_that_starts_just_now_gets_more_time(home: Home, instance: dg.DagsterInstance) -> None:
    key = submitted(home, instance)
    run = launch(instance, key, Status.STARTING)
    let_lease_run_out(home, key)
    assert tick(instance).run_requests == []
    assert status_of(instance, run) == Status.STARTING
    assert request_of(home, key)["lease_until"] > now()


def test_run_that_a_person_canceled_in_the_queue_sets_the_batch_aside(home: Home, instance: dg.DagsterInstance) -> None:
    key = submitted(home, instance)
    launch(instance, key, Status.CANCELED)
    let_lease_run_out(home, key)
    assert tick(instance).run_requests == []
    assert batch_of(home, key).state == "set_aside"
    assert batch_of(home, key).cause == "a person stopped the run"


def test_silent_run_is_failed_and_tried_again(home: Home, instance: dg.DagsterInstance) -> None:
    key = submitted(home, instance)
    run = launch(instance, key, Status.STARTED)
    begin(home, run)
    fall_silent(home, key)
    assert keys(tick(instance)) == [second_attempt(key)]
    assert status_of(instance, run) == Status.FAILURE
    assert request_of(home, key)["cause"] == "the run's process is gone"


def test_run_that_was_heard_of_is_left_alone(home: Home, instance: dg.DagsterInstance) -> None:
    key = submitted(home, instance)
    run = launch(instance, key, Status.STARTED)
    begin(home, run)
    assert tick(instance).run_requests == []
    assert status_of(instance, run) == Status.STARTED
    assert request_of(home, key)["state"] == "running"


def test_silent_run_that_was_deleted_in_the_ui_is_tried_again(home: Home, instance: dg.DagsterInstance) -> None:
    key = submitted(home, instance)
    run = launch(instance, key, Status.STARTED)
    begin(home, run)
    fall_silent(home, key)
    instance.delete_run(run.run_id)
    assert keys(tick(instance)) == [second_attempt(key)]


@pytest.mark.parametrize(("status", "after"), [(Status.CANCELING, Status.CANCELED), (Status.CANCELED, Status.CANCELED)])
def test_silent_run_that_a_person_stopped_sets_the_batch_aside(
    home: Home, instance: dg.DagsterInstance, status: Status, after: Status
) -> None:
    key = submitted(home, instance)
    run = launch(instance, key, status)
    begin(home, run)
    fall_silent(home, key)
    assert tick(instance).run_requests == []
    assert status_of(instance, run) == after
    assert batch_of(home, key).state == "set_aside"


def test_run_that_died_after_its_outcome_gives_its_place_in_the_queue_free(
    home: Home, instance: dg.DagsterInstance
) -> None:
    key = submitted(home, instance)
    run = launch(instance, key, Status.STARTED)
    begin(home, run)
    finish(home, key, batch_of(home, key).batch, None, run_id=run.run_id, required=None)
    assert tick(instance).run_requests == []
    assert status_of(instance, run) == Status.STARTED  # it may be about to tell Dagster
    fall_silent(home, key)
    assert tick(instance).run_requests == []
    assert status_of(instance, run) == Status.FAILURE
    assert request_of(home, key)["state"] == "succeeded"
    assert batch_of(home, key).state == "done"


def test_dead_run_without_a_batch_gives_its_place_in_the_queue_free(home: Home, instance: dg.DagsterInstance) -> None:
    run = launch(instance, None, Status.STARTED)
    key = begin(home, run)
    assert tick(instance).run_requests == []
    assert status_of(instance, run) == Status.STARTED
    fall_silent(home, key)
    assert tick(instance).run_requests == []
    assert status_of(instance, run) == Status.FAILURE


def test_run_without_a_batch_that_never_began_gives_its_place_in_the_queue_free(
    home: Home, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATE_LEASE_SECONDS", "0.01")
    run = launch(instance, None, Status.STARTING)

    def is_ended() -> bool:
        assert tick(instance).run_requests == []
        return status_of(instance, run) == Status.FAILURE

    wait_until(is_ended, "the run to be ended")


def test_run_of_another_executor_is_left_alone(
    home: Home, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATE_LEASE_SECONDS", "0.01")
    foreign = launch(instance, None, Status.STARTED)
    dead = launch(instance, None, Status.STARTING)

    def is_ended() -> bool:
        tick(instance)
        return status_of(instance, dead) == Status.FAILURE

    wait_until(is_ended, "the dead run to be ended")
    assert status_of(instance, foreign) == Status.STARTED


def test_tick_delivers_notices_that_wait(home: Home, instance: dg.DagsterInstance) -> None:
    with home.ledger.write() as connection:
        outbox.record(connection, asset="alert", partition="b", notices=[Notice("k", "Title", "Body")])
    tick(instance)
    assert [file.read_text() for file in home.notices.glob("*.md")] == ["# Title\n\nBody\n"]

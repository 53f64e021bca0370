"""Runs whose process is gone, found dead by the sensor's next tick, on a real Dagster instance."""

from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from live_project import wait_until
from sensor_ticks import (
    Status,
    batch_of,
    begin,
    fall_silent,
    keys,
    launch,
    let_lease_run_out,
    request_of,
    second_attempt,
    status_of,
    submitted,
    tick,
)

from orchestration_project.governance.outcomes import finish
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now


@pytest.fixture(scope="module")
def shared_instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """In files, for a sensor gets a reference to them."""
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as instance:
        yield instance


@pytest.fixture
def home(named_home: Home) -> Home:
    return named_home


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

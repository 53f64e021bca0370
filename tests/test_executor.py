"""The executor: a run's life in the ledger, and what follows for its batch, through real runs in this process."""

import signal

import dagster as dg
import pytest
import sqlalchemy as sa
from note_workflow import REPOSITORY, batch_of, fail, in_the_way, promote, published, requests, run, run_next, send

from orchestration_project.stores import batches
from orchestration_project.stores.home import Home
from orchestration_project.stores.run_requests import WORKFLOW
from orchestration_project.stores.schema import RUN_REQUESTS


@pytest.fixture
def home(named_home: Home) -> Home:
    in_the_way.clear()
    return named_home


@pytest.fixture
def promoted(home: Home) -> None:
    promote(home)


def test_success_makes_a_batch_done(home: Home, instance: dg.DagsterInstance, promoted: None) -> None:
    batch = send(home, "angry", "fine")
    result = run_next(home, instance)
    assert result is not None and result.success
    assert batch_of(home, batch).state == "done"
    assert requests(home) == [("arrival", 1, "succeeded")]
    assert published(home, batch) == {"note": 1, "mood": 1}
    with home.ledger.read() as connection:
        (request,) = connection.execute(sa.select(RUN_REQUESTS)).mappings().all()
    assert request["run_id"] == result.run_id
    assert request["heartbeat_at"] >= request["requested_at"]


def test_batch_is_done_only_when_every_governed_asset_is_published(
    home: Home, instance: dg.DagsterInstance, promoted: None
) -> None:
    batch = send(home, "angry")
    assert run(instance, batch, job="only_notes").success
    assert batch_of(home, batch).state == "working"
    assert run(instance, batch).success
    assert batch_of(home, batch).state == "done"
    assert published(home, batch) == {"note": 2, "mood": 1}


def test_halt_is_an_answer_and_is_not_tried_again(home: Home, instance: dg.DagsterInstance, promoted: None) -> None:
    batch = send(home, "angry", columns="words")
    result = run_next(home, instance)
    assert result is not None and not result.success
    assert run_next(home, instance) is None
    assert requests(home) == [("arrival", 1, "halted")]
    with home.ledger.read() as connection:
        assert batches.count_states(connection)["halted"] == 1
        assert batches.all_ended(connection, [batch])


def test_run_downstream_of_a_halt_is_refused_and_stays_halted(
    home: Home, instance: dg.DagsterInstance, promoted: None
) -> None:
    batch = send(home, "angry", columns="words")
    run_next(home, instance)
    result = run(instance, batch, asset_selection=[dg.AssetKey("mood")])
    assert not result.success
    assert [state for _, _, state in requests(home)] == ["halted", "halted"]
    with home.ledger.read() as connection:
        assert batches.count_states(connection)["halted"] == 1


def stop_by_a_person(instance: dg.DagsterInstance) -> None:
    """What the UI's button does to a run: says so in its status, then interrupts its process."""
    instance.report_run_canceling(instance.get_runs(limit=1)[0])
    signal.raise_signal(signal.SIGINT)


def test_run_stopped_by_a_person_sets_the_batch_aside_and_is_not_tried_again(
    home: Home, instance: dg.DagsterInstance, promoted: None
) -> None:
    in_the_way.append(lambda: stop_by_a_person(instance))
    batch = send(home, "angry")
    result = run_next(home, instance)
    assert result is not None
    assert instance.get_run_by_id(result.run_id).status == dg.DagsterRunStatus.CANCELED  # type: ignore[union-attr]
    assert batch_of(home, batch).state == "set_aside"
    assert batch_of(home, batch).cause == "a person stopped the run"
    assert run_next(home, instance) is None


def test_same_request_submitted_twice_runs_once(home: Home, instance: dg.DagsterInstance, promoted: None) -> None:
    batch = send(home, "angry")
    first = run_next(home, instance)
    assert first is not None and first.success
    again = run(instance, batch, f"{batch}/arrival/1", raise_on_error=False)
    assert not again.success
    assert published(home, batch) == {"note": 1, "mood": 1}
    assert requests(home) == [("arrival", 1, "succeeded")]
    assert batch_of(home, batch).state == "done"


def test_second_submission_during_the_first_run_is_refused(
    home: Home, instance: dg.DagsterInstance, promoted: None
) -> None:
    batch = send(home, "angry")
    seconds: list[dg.JobExecutionResult] = []
    in_the_way.append(lambda: seconds.append(run(instance, batch, f"{batch}/arrival/1")))
    first = run_next(home, instance)
    assert first is not None and first.success
    assert not seconds[0].success
    assert requests(home) == [("arrival", 1, "succeeded")]
    assert published(home, batch) == {"note": 1, "mood": 1}


def test_run_of_a_request_that_nobody_made_is_refused(home: Home, instance: dg.DagsterInstance, promoted: None) -> None:
    batch = send(home, "angry")
    assert not run(instance, batch, "another/arrival/1").success
    assert requests(home) == [("arrival", 1, "requested")]
    assert published(home, batch) == {}


def test_person_may_reexecute_a_run_that_has_ended(home: Home, instance: dg.DagsterInstance) -> None:
    """Dagster's UI copies a run's tags, the request's key among them, to its re-execution."""
    batch = send(home, "angry")
    failed = run_next(home, instance)
    assert failed is not None and not failed.success
    promote(home)
    options = dg.ReexecutionOptions.from_failure(failed.run_id, instance)
    tags = failed.dagster_run.tags
    job = REPOSITORY.get_reconstructable_job(WORKFLOW)
    with dg.execute_job(job, instance, tags=tags, reexecution_options=options) as again:
        assert again.success
    assert batch_of(home, batch).state == "done"


def test_failed_run_without_a_batch_is_not_tried_again(home: Home, instance: dg.DagsterInstance) -> None:
    in_the_way.append(fail)
    assert not run(instance, None, job="catalogue_job").success
    assert run_next(home, instance) is None

"""The executor: a run's life in the ledger, and what follows for its batch, through real runs in this process."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pandera.pandas as pa
import pytest
import sqlalchemy as sa
from dagster._core.definitions.reconstruct import ReconstructableRepository
from live_project import wait_until

from assets.models.family import record_promotion
from orchestration_project.core.contracts import Contract
from orchestration_project.dispatch.executor import ledger_executor
from orchestration_project.dispatch.sensor import take_in
from orchestration_project.governance import audit
from orchestration_project.model_output import governed_asset, model_output
from orchestration_project.model_output.decorators import HOME
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.decision import Decision
from orchestration_project.performers.rules import Rules
from orchestration_project.performers.safe_label import SafeLabel
from orchestration_project.stores import arrivals, batches, manifest, run_requests
from orchestration_project.stores.arrivals import Arrivals
from orchestration_project.stores.batches import Batch
from orchestration_project.stores.home import Home, current_home
from orchestration_project.stores.model_versions import ModelVersion
from orchestration_project.stores.run_requests import KEY_TAG, WORKFLOW
from orchestration_project.stores.schema import AUDIT, RUN_REQUESTS

RULES = Path(__file__).with_name("faults") / "mood_rules.csv"
CHAMPION = ModelVersion("mood", "1", "none", "none", None, ("angry", "calm"), {}, {})

in_the_way: list[Callable[[], object]] = []
"""What happens inside of the next computations of `note`, one each."""


class Note(Contract):
    """One note."""

    message_id: str = pa.Field(unique=True, description="Stable id.")
    text: str = pa.Field(description="What was written.")


class Mood(Decision):
    """How a note sounds."""


@governed_asset(contract=Note)
def note(arrivals: Arrivals) -> pd.DataFrame:
    """Every note of the batch."""
    if in_the_way:
        in_the_way.pop(0)()
    return arrivals.rows


@model_output(Cascade(Rules(RULES, family="mood"), safe_state=SafeLabel("unknown")), contract=Mood)
def mood(note: pd.DataFrame) -> pd.DataFrame:
    """How each note sounds."""
    return note


@dg.asset(io_manager_key="nowhere")
def catalogue() -> None:
    """An asset that belongs to no batch."""
    if in_the_way:
        in_the_way.pop(0)()


def definitions() -> dg.Definitions:
    return dg.Definitions(
        assets=[note, mood, catalogue],
        jobs=[
            dg.define_asset_job(WORKFLOW, selection=["note", "mood"]),
            dg.define_asset_job("only_notes", selection=["note"]),
            dg.define_asset_job("catalogue_job", selection=["catalogue"]),
        ],
        resources={HOME: dg.ResourceDefinition(lambda _: current_home()), "nowhere": dg.mem_io_manager},
        executor=ledger_executor,
    )


REPOSITORY = ReconstructableRepository.for_module(__name__, "definitions", str(Path(__file__).parent))


@pytest.fixture(scope="module")
def dagster_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests: making its databases takes seconds."""
    return tmp_path_factory.mktemp("dagster")


@pytest.fixture
def home(tmp_path: Path, dagster_home: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("ORCHESTRATE_HOME", str(tmp_path))
    monkeypatch.setenv("ORCHESTRATE_HEARTBEAT_SECONDS", "0.05")
    monkeypatch.setenv("DAGSTER_HOME", str(dagster_home))
    in_the_way.clear()
    home = current_home()
    home.prepare()
    return home


@pytest.fixture
def instance(home: Home) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.get() as instance:
        yield instance


@pytest.fixture
def promoted(home: Home) -> None:
    promote(home)


def promote(home: Home) -> None:
    with home.ledger.write() as connection:
        record_promotion(connection, [{"is_new": True, "reason": "test", "champion": CHAMPION.to_json()}])


def send(home: Home, *texts: str, columns: str = "text") -> str:
    """Take in messages, open their batch and return it."""
    for text in texts:
        arrivals.receive_message(home, {"message_id": f"id of {text}", columns: text})
    take_in(home)
    with home.ledger.read() as connection:
        return batches.all_keys(connection)[-1]


def run(
    instance: dg.DagsterInstance,
    batch: str | None,
    key: str | None = None,
    job: str = WORKFLOW,
    **arguments: Any,
) -> dg.JobExecutionResult:
    """Run a job in this process, with the project's executor, as a run worker does."""
    tags: dict[str, str] = {}
    if batch is not None:
        instance.add_dynamic_partitions("batch", [batch])
        tags["dagster/partition"] = batch
    if key is not None:
        tags[KEY_TAG] = key
    with dg.execute_job(REPOSITORY.get_reconstructable_job(job), instance, tags=tags, **arguments) as result:
        return result


def run_next(home: Home, instance: dg.DagsterInstance) -> dg.JobExecutionResult | None:
    """Lease the next request, as a submitter does, and run it; None when nothing is requested."""
    with home.ledger.write() as connection:
        found = run_requests.lease_next(connection, 60)
    return run(instance, found.batch, found.key) if found else None


def batch_of(home: Home, batch: str) -> Batch:
    with home.ledger.read() as connection:
        found = batches.get(connection, batch)
    assert found is not None
    return found


def requests(home: Home) -> list[tuple[str, int, str]]:
    """(cause, attempt, state) of every request, in the order of their making."""
    with home.ledger.read() as connection:
        query = sa.select(RUN_REQUESTS.c.key, RUN_REQUESTS.c.attempt, RUN_REQUESTS.c.state)
        rows = connection.execute(query.order_by(RUN_REQUESTS.c.requested_at, RUN_REQUESTS.c.attempt)).all()
    return [(key.split("/")[1], attempt, state) for key, attempt, state in rows]


def published(home: Home, batch: str) -> dict[str, int]:
    """Asset → its current version."""
    with home.ledger.read() as connection:
        return {version.asset: version.version for version in manifest.all_current(connection, batch)}


def audited(home: Home) -> list[str]:
    with home.ledger.read() as connection:
        assert audit.breaks(connection) == []
        return list(connection.execute(sa.text("SELECT action FROM audit ORDER BY sequence")).scalars())


def fail() -> None:
    raise ValueError("the disk is on fire")


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


def test_step_failure_is_tried_again_until_it_succeeds(
    home: Home, instance: dg.DagsterInstance, promoted: None
) -> None:
    in_the_way.extend([fail, fail])
    batch = send(home, "angry")
    for _ in range(2):
        result = run_next(home, instance)
        assert result is not None and not result.success
        assert batch_of(home, batch).state == "working"
    assert run_next(home, instance)
    assert batch_of(home, batch).state == "done"
    assert requests(home) == [("arrival", 1, "failed"), ("arrival", 2, "failed"), ("arrival", 3, "succeeded")]


def test_third_failure_sets_the_batch_aside_with_the_cause(
    home: Home, instance: dg.DagsterInstance, promoted: None
) -> None:
    in_the_way.extend([fail] * 3)
    batch = send(home, "angry")
    while run_next(home, instance):
        pass
    found = batch_of(home, batch)
    assert found.state == "set_aside"
    place = f"tests/test_executor.py:{fail.__code__.co_firstlineno + 1}"
    assert found.cause == f"3 runs failed; the last: note: ValueError in {place}; the run's log in Dagster has the rest"
    assert requests(home) == [("arrival", attempt, "failed") for attempt in (1, 2, 3)]
    assert audited(home)[-1] == "set aside"
    with home.ledger.read() as connection:
        assert batches.count_states(connection)["set_aside"] == 1


def test_number_of_attempts_is_a_setting(
    home: Home, instance: dg.DagsterInstance, promoted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATE_ATTEMPTS", "1")
    in_the_way.append(fail)
    batch = send(home, "angry")
    assert run_next(home, instance)
    assert batch_of(home, batch).state == "set_aside"
    assert run_next(home, instance) is None


def test_batch_set_aside_is_done_after_a_run_by_hand(home: Home, instance: dg.DagsterInstance, promoted: None) -> None:
    in_the_way.extend([fail] * 3)
    batch = send(home, "angry")
    while run_next(home, instance):
        pass
    assert run(instance, batch).success
    assert batch_of(home, batch).state == "done"


def test_failure_of_one_batch_leaves_another_alone(home: Home, instance: dg.DagsterInstance, promoted: None) -> None:
    in_the_way.extend([fail])
    first, second = send(home, "angry"), send(home, "fine")
    while run_next(home, instance):
        pass
    assert batch_of(home, first).state == batch_of(home, second).state == "done"


def test_refusal_sets_the_batch_aside_at_once_and_promotion_resumes_it(
    home: Home, instance: dg.DagsterInstance
) -> None:
    batch = send(home, "angry")
    result = run_next(home, instance)
    assert result is not None and not result.success
    found = batch_of(home, batch)
    assert found.state == "set_aside"
    assert "orchestrate train" in str(found.cause)
    assert requests(home) == [("arrival", 1, "refused")]
    assert run_next(home, instance) is None
    promote(home)
    assert batch_of(home, batch).state == "working"
    assert run_next(home, instance)
    assert batch_of(home, batch).state == "done"
    assert requests(home) == [("arrival", 1, "refused"), ("promotion-1", 1, "succeeded")]


def test_promotion_leaves_a_batch_whose_runs_failed_set_aside(home: Home, instance: dg.DagsterInstance) -> None:
    in_the_way.extend([fail] * 3)
    batch = send(home, "angry")
    while run_next(home, instance):
        pass
    promote(home)
    assert batch_of(home, batch).state == "set_aside"
    assert run_next(home, instance) is None


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


def test_interrupted_run_is_tried_again(home: Home, instance: dg.DagsterInstance, promoted: None) -> None:
    in_the_way.append(lambda: signal.raise_signal(signal.SIGINT))
    batch = send(home, "angry")
    assert run_next(home, instance)
    assert requests(home) == [("arrival", 1, "failed"), ("arrival", 2, "requested")]
    with home.ledger.read() as connection:
        cause = connection.execute(sa.select(RUN_REQUESTS.c.cause).where(RUN_REQUESTS.c.attempt == 1)).scalar_one()
    assert cause == "the run was interrupted"
    assert run_next(home, instance)
    assert batch_of(home, batch).state == "done"


def heartbeat(home: Home) -> Any:
    with home.ledger.read() as connection:
        return connection.execute(sa.select(RUN_REQUESTS.c.heartbeat_at)).scalar_one()


def test_running_request_keeps_its_heart_beating(home: Home, instance: dg.DagsterInstance, promoted: None) -> None:
    def wait_for_a_beat() -> None:
        first = heartbeat(home)
        wait_until(lambda: heartbeat(home) > first, "a heartbeat")

    in_the_way.append(wait_for_a_beat)
    send(home, "angry")
    result = run_next(home, instance)
    assert result is not None and result.success


def test_heart_goes_on_beating_after_a_beat_that_failed(
    home: Home, instance: dg.DagsterInstance, promoted: None
) -> None:
    def lose_the_table_for_a_beat() -> None:
        with home.ledger.write() as connection:
            connection.execute(sa.text("ALTER TABLE run_requests RENAME TO elsewhere"))
        wait_until(lambda: failed, "a beat that fails")
        with home.ledger.write() as connection:
            connection.execute(sa.text("ALTER TABLE elsewhere RENAME TO run_requests"))
        first = heartbeat(home)
        wait_until(lambda: heartbeat(home) > first, "a heartbeat")

    failed: list[object] = []
    home_of_the_run = current_home().ledger_url
    sa.event.listen(
        sa.Engine,
        "handle_error",
        listener := lambda context: failed.append(context) if str(context.engine.url) == home_of_the_run else None,
    )
    try:
        in_the_way.append(lose_the_table_for_a_beat)
        send(home, "angry")
        result = run_next(home, instance)
    finally:
        sa.event.remove(sa.Engine, "handle_error", listener)
    assert result is not None and result.success


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


def test_run_without_a_batch_also_has_a_heartbeat(home: Home, instance: dg.DagsterInstance) -> None:
    in_the_way.append(lambda: wait_until(lambda: heartbeat(home), "a heartbeat"))
    result = run(instance, None, job="catalogue_job")
    assert result.success
    with home.ledger.read() as connection:
        (request,) = connection.execute(sa.select(RUN_REQUESTS)).mappings().all()
        assert sum(batches.count_states(connection).values()) == 0
    assert (request["run_id"], request["state"], request["batch"]) == (result.run_id, "succeeded", "")


def test_failed_run_without_a_batch_is_not_tried_again(home: Home, instance: dg.DagsterInstance) -> None:
    in_the_way.append(fail)
    assert not run(instance, None, job="catalogue_job").success
    assert run_next(home, instance) is None


def test_text_of_a_foreign_error_reaches_neither_the_request_nor_the_batch_nor_the_audit(
    home: Home, instance: dg.DagsterInstance, promoted: None
) -> None:
    in_the_way.extend([fail] * 3)
    send(home, "angry")
    while run_next(home, instance):
        pass
    with home.ledger.read() as connection:
        causes = list(connection.execute(sa.select(RUN_REQUESTS.c.cause)).scalars())
        causes += [batch.cause for batch in batches.set_aside(connection)]
        causes += connection.execute(sa.select(AUDIT.c.detail).where(AUDIT.c.action == "set aside")).scalars()
    assert len(causes) == 5
    assert all("note: ValueError in " in cause and "on fire" not in cause for cause in causes)

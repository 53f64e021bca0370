"""Dagster's in-process executor, with the run's life kept in the ledger: it began, it lives, it ended so.

Every way to start a run passes through here (the UI, a backfill, a sensor, the command line), so a batch is worked on,
done, tried again or set aside by the same rules however it was started. A run that belongs to no batch is kept too, so
that its death is noticed.
"""

import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress

import dagster as dg

from orchestration_project.core.errors import LedgerUnavailable, Refused
from orchestration_project.dispatch.audit_heads import keep_head
from orchestration_project.dispatch.cause import cause_of
from orchestration_project.dispatch.lost_runs import is_stopped
from orchestration_project.governance.outcomes import STOPPED, Failure, finish
from orchestration_project.model_output.decorators import GOVERNED
from orchestration_project.model_output.partitions import BATCHES
from orchestration_project.model_output.step import REFUSAL
from orchestration_project.stores import run_requests
from orchestration_project.stores.home import Home, current_home
from orchestration_project.stores.manifest import UNPARTITIONED
from orchestration_project.stores.run_requests import KEY_TAG, SILENT_BEATS, WORKFLOW

PARTITION_TAG = "dagster/partition"


class LedgerExecutor(dg.Executor):
    """Runs a job's steps in this process and tells the ledger about the run."""

    def __init__(self, inner: dg.Executor) -> None:
        self._inner = inner

    @property
    def retries(self):  # type: ignore[no-untyped-def]  # Dagster's RetryMode is not public
        return self._inner.retries

    def execute(self, plan_context, execution_plan) -> Iterator[dg.DagsterEvent]:  # type: ignore[no-untyped-def]
        run = plan_context.dagster_run
        home = current_home()
        try:
            yield from self._execute(home, plan_context, execution_plan)
        finally:
            keep_head(home, plan_context.instance, run.run_id, plan_context.log)

    def _execute(self, home: Home, plan_context, execution_plan) -> Iterator[dg.DagsterEvent]:  # type: ignore[no-untyped-def]
        run = plan_context.dagster_run
        batch = run.tags.get(PARTITION_TAG, UNPARTITIONED)
        key = _begin(home, _requested_as(run), batch, run.run_id)
        failure: Failure | None = None
        try:
            with _heartbeat(home, key):
                for event in self._inner.execute(plan_context, execution_plan):
                    failure = failure or _failure(event)
                    yield event
        except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
            is_final = is_stopped(plan_context.instance.get_run_by_id(run.run_id))
            finish(home, key, batch, STOPPED if is_final else Failure("the run was interrupted"), run_id=run.run_id)
            raise
        except BaseException as error:
            failure = failure or Failure(f"the run broke off ({type(error).__name__}); its log in Dagster says where")
            finish(home, key, batch, failure, run_id=run.run_id)
            raise
        finish(home, key, batch, failure, run_id=run.run_id, required=_required_assets(plan_context))


@dg.executor(
    name="in_process",
    config_schema=dg.in_process_executor.config_schema,  # pyright: ignore[reportArgumentType]  # its own schema is one
)
def ledger_executor(context: dg.InitExecutorContext) -> dg.Executor:
    """Steps run one after another in the run's own process, and the ledger knows how the run fares."""
    create = dg.in_process_executor.executor_creation_fn
    assert create is not None
    return LedgerExecutor(create(context))


def _requested_as(run: dg.DagsterRun) -> str | None:
    """Key of the request that the run answers; None for a re-execution, which has the tags of an ended run."""
    return None if run.parent_run_id else run.tags.get(KEY_TAG)


def _begin(home: Home, key: str | None, batch: str, run_id: str) -> str:
    silent_seconds = SILENT_BEATS * home.settings.heartbeat_seconds
    try:
        with home.ledger.write() as connection:
            return run_requests.begin(connection, key=key, batch=batch, run_id=run_id, silent_seconds=silent_seconds)
    except Refused as refusal:
        raise dg.Failure(str(refusal), allow_retries=False) from refusal


@contextmanager
def _heartbeat(home: Home, key: str) -> Generator[None]:
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(home.settings.heartbeat_seconds):
            # a ledger that is out of reach for a while does not end the run: several beats may be missed
            with suppress(LedgerUnavailable), home.ledger.write() as connection:
                run_requests.beat(connection, key)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _required_assets(plan_context) -> list[str] | None:  # type: ignore[no-untyped-def]
    """What has to be published before the run's batch is done: the governed batch assets of the job `workflow`.

    None for a whole run of that job, which did all there is to do: Dagster passes over what hangs on an empty optional
    asset. Where the code location is not at hand, the assets of the run's own job count.
    """
    run, job = plan_context.dagster_run, plan_context.job
    is_selection = run.asset_selection or run.asset_check_selection or run.step_keys_to_execute or run.op_selection
    if run.job_name == WORKFLOW and not is_selection:
        return None
    repository = job.repository.get_definition() if getattr(job, "repository", None) else None
    whole = repository.get_job(WORKFLOW) if repository and repository.has_job(WORKFLOW) else job.get_definition()
    layer = whole.asset_layer
    nodes = [layer.asset_graph.get(key) for key in layer.selected_asset_keys]
    return [node.key.to_user_string() for node in nodes if GOVERNED in node.metadata and node.partitions_def == BATCHES]


def _failure(event: dg.DagsterEvent) -> Failure | None:
    """What a step's failure event says, without what may repeat a message; None for any other event."""
    if not event.is_step_failure:
        return None
    own = event.step_failure_data.user_failure_data
    return Failure(f"{event.step_key}: {cause_of(event)}", is_final=own is not None and REFUSAL in own.metadata)

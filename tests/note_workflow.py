"""A small workflow for tests of the executor: notes and their mood, run in this process as a run worker does it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pandera.pandas as pa
import sqlalchemy as sa
from dagster._core.definitions.reconstruct import ReconstructableRepository

from orchestration_project.core.contracts import Contract
from orchestration_project.dispatch.executor import ledger_executor
from orchestration_project.dispatch.sensor import take_in
from orchestration_project.governance.promotion import Verdict, record_verdict
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
from orchestration_project.stores.schema import RUN_REQUESTS

RULES = Path(__file__).with_name("faults") / "mood_rules.csv"
CHAMPION = ModelVersion("mood", "1", "none", "none", 0.5, ("angry", "calm"), {}, {})

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


def promote(home: Home) -> None:
    with home.ledger.write() as connection:
        record_verdict(connection, CHAMPION, Verdict(True, "test"))


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


def fail() -> None:
    raise ValueError("the disk is on fire")

"""A small workflow with people for tests: orders, the mood of their notes, and replies, run as a run worker does it.

A note says what the reader makes of it, such as `cross 0.3`; `? ` is a note of which it can make nothing.
"""

from pathlib import Path

import dagster as dg
import pandas as pd
from dagster._core.definitions.reconstruct import ReconstructableRepository
from shop_workflow import Mood, order, parcel, send

from orchestration_project.core.contracts import Contract
from orchestration_project.dispatch.executor import ledger_executor
from orchestration_project.dispatch.verdict_jobs import verdict_job
from orchestration_project.model_output import governed_asset, model_output
from orchestration_project.model_output.decorators import HOME
from orchestration_project.model_output.with_people import VERDICTS
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.person import Person
from orchestration_project.performers.safe_label import SafeLabel
from orchestration_project.performers.scripted import Scripted
from orchestration_project.stores import batches, run_requests
from orchestration_project.stores.home import Home, current_home
from orchestration_project.stores.run_requests import WORKFLOW

UNREADABLE = "? "


class Reply(Contract):
    """What is answered to an order."""

    message_id: str
    text: str


def read(rows: pd.DataFrame) -> pd.DataFrame:
    """Answer as each note says."""
    words = rows["note"].str.split(" ", expand=True)
    label = words[0].where(words[0] != "?").astype("str")
    return pd.DataFrame({"label": label, "confidence": pd.to_numeric(words[1], errors="coerce"), "reason": ""})


READER = Scripted("reader", read, labels=["glad", "cross"])


@model_output(Cascade(READER, Person(), safe_state=SafeLabel("unknown")), contract=Mood)
def mood(order: pd.DataFrame) -> pd.DataFrame:
    """How the writer feels."""
    return order[["message_id", "note"]]


@governed_asset(contract=Reply)
def reply(mood: pd.DataFrame) -> pd.DataFrame:
    """What is answered."""
    return pd.DataFrame({"message_id": mood["message_id"], "text": "We hear that you are " + mood["label"]})


def definitions() -> dg.Definitions:
    return dg.Definitions(
        assets=[order, parcel, mood, reply, VERDICTS],
        jobs=[
            dg.define_asset_job(WORKFLOW, selection=["order", "parcel", "mood", "reply"]),
            verdict_job("mood", dg.AssetSelection.all()),
        ],
        resources={HOME: dg.ResourceDefinition(lambda _: current_home())},
        executor=ledger_executor,
    )


REPOSITORY = ReconstructableRepository.for_module(__name__, "definitions", str(Path(__file__).parent))


def take_in(home: Home, **notes: str) -> str:
    """Send an order with each note (message → note), open their batch and return it."""
    send(home, *(f"{message_id},{note},1" for message_id, note in notes.items()))
    batch = batches.open_next(home)
    assert batch is not None
    return batch


def run_requested(home: Home, instance: dg.DagsterInstance) -> list[dg.JobExecutionResult]:
    """Run every requested run, one after another, as a submitter and its run workers do."""
    results: list[dg.JobExecutionResult] = []
    while True:
        with home.ledger.write() as connection:
            found = run_requests.lease_next(connection, 60)
        if found is None:
            return results
        instance.add_dynamic_partitions("batch", [found.batch])
        tags = {**found.run_tags(), "dagster/partition": found.batch}
        with dg.execute_job(REPOSITORY.get_reconstructable_job(found.job), instance, tags=tags) as result:
            results.append(result)


def published(home: Home, instance: dg.DagsterInstance, **notes: str) -> str:
    """Take in a batch and have the workflow run on it."""
    batch = take_in(home, **notes)
    (result,) = run_requested(home, instance)
    assert result.success
    return batch

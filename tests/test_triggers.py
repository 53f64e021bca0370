"""Every trigger through Dagster's real daemon: one project, started once, on a small workflow of notes and letters.

| trigger | its test |
|---|---|
| a file lands | `test_a_file_that_lands_is_worked_on`; on the sample workflow, `test_ways_to_start.py` |
| a message is posted | `test_inbox_server.py` |
| a document was added, changed or removed | `test_documents_that_are_added_changed_and_removed_are_read` |
| a threshold is breached | `test_a_threshold_is_breached_inside_a_run_and_across_batches` |
| the clock | `test_the_clock_starts_a_run`; what the nightly schedule starts, `test_retraining.py` |
| upstream changed | `test_upstream_that_changed_starts_nothing_where_its_blocking_check_failed`; the documents |
| a run began or ended | `test_runs_come_into_the_audit_log` |
| what waits for somebody changed | `test_what_waits_is_listed_when_a_batch_was_set_aside` |
| a feed stops | `test_silence_sensor.py` |
| a run failed | `test_a_run_that_failed_is_told_with_step_error_and_link` |
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from live_project import SMALL_WORKFLOW, Project, wait_until

from orchestration_project.core.settings import PROJECT
from orchestration_project.stores import run_requests
from orchestration_project.stores.schema import ARRIVALS, AUDIT, BATCHES, OUTBOX

ENDED = ("done", "set_aside")

LETTERS = '''
"""What follows from notes: letters, a rate over all batches, and the triggers that the notes have not."""

import dagster as dg
import duckdb
import pandas as pd
import pandera.pandas as pa

from assets.knowledge.documents import documents
from orchestration_project.core.contracts import Contract, empty_frame
from orchestration_project.dispatch.document_sensor import documents_sensor
from orchestration_project.dispatch.run_history import run_history_sensor
from orchestration_project.dispatch.waiting_sensor import waiting_sensor
from orchestration_project.model_output import BATCHES, Batch, governed_asset
from orchestration_project.model_output.automation import when_upstream_changed
from orchestration_project.stores.outbox import Notice

MOST_COMPLAINTS = 3
POLITE = dg.AssetCheckSpec("polite", asset="letter", blocking=True, partitions_def=BATCHES)


class Unrest(Contract):
    """More complaints than there may be, in all batches together."""

    batch: str = pa.Field(description="The batch with which it came.")
    complaints: int = pa.Field(ge=MOST_COMPLAINTS, description="How many there are.")


@governed_asset(
    contract=Unrest,
    announce=lambda row: Notice("unrest", "Unrest", f"{row['complaints']} complaints"),
    output_required=False,
    group_name="notes",
)
def unrest(complaint: pd.DataFrame, warehouse: duckdb.DuckDBPyConnection, batch: Batch) -> pd.DataFrame:
    """Whether the complaints of all batches are too many."""
    (number,) = warehouse.execute("SELECT count(*) FROM complaint").fetchone()
    found = pd.DataFrame({"batch": [str(batch)], "complaints": [number]})
    return found if number >= MOST_COMPLAINTS else empty_frame(Unrest)


@dg.asset(partitions_def=BATCHES, check_specs=[POLITE], group_name="notes")
def letter(note: pd.DataFrame):
    """An ordinary asset: it is there, whatever its check says."""
    if "torn" in set(note["text"]):
        raise ValueError("what somebody wrote")
    yield dg.Output(note)
    yield dg.AssetCheckResult(passed="rude" not in set(note["text"]))


@dg.asset(deps=[letter], partitions_def=BATCHES, automation_condition=when_upstream_changed(), group_name="answers")
def reply() -> None:
    """What nobody's job makes."""


@dg.asset(group_name="answers")
def waiting() -> None:
    """What waits for somebody."""


@dg.asset(group_name="answers")
def minute() -> None:
    """Made every minute."""


read_documents = dg.define_asset_job("read_documents", selection=[documents])
documents_changed = documents_sensor(
    "documents_changed", read_documents, default_status=dg.DefaultSensorStatus.RUNNING
)
upstream_changed = dg.AutomationConditionSensorDefinition(
    "upstream_changed",
    target=dg.AssetSelection.all(),
    minimum_interval_seconds=2,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
run_changed = run_history_sensor("run_changed", seconds_between=2, default_status=dg.DefaultSensorStatus.RUNNING)
quarantine_changed = waiting_sensor(
    "quarantine_changed",
    dg.define_asset_job("list_what_waits", selection=[waiting]),
    seconds_between=2,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
every_minute = dg.ScheduleDefinition(
    name="every_minute",
    job=dg.define_asset_job("make_minute", selection=[minute]),
    cron_schedule="* * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
'''


class Letters(Project):
    """The project, and what became of its notes and documents."""

    @property
    def knowledge(self) -> Path:
        return self.root.with_name("knowledge")

    def land(self, *texts: str) -> str:
        """Let a file of notes land in the inbox; returns the batch that is opened for it."""
        name = "-".join(texts).replace(" ", "-")
        self.put(name, [{"text": text} for text in texts])
        its = sa.select(ARRIVALS.c.batch).where(ARRIVALS.c.file == f"{name}.jsonl")
        return wait_until(lambda: self.first(its), f"the batch of {name}")

    def ended(self, batch: str) -> str:
        """State of a batch once its run has ended."""
        wait_until(lambda: self.first(sa.select(BATCHES.c.state).where(BATCHES.c.batch == batch)) in ENDED, batch)
        return self.first(sa.select(BATCHES.c.state).where(BATCHES.c.batch == batch))

    def first(self, query: "sa.Select[tuple[str]]") -> str:
        """The first value that the ledger gives; "" where there is none."""
        with self.home.ledger.read() as connection:
            return connection.execute(query).scalar() or ""

    def notices(self) -> dict[str, str]:
        """Title → body of every notice."""
        with self.home.ledger.read() as connection:
            return {title: body for title, body in connection.execute(sa.select(OUTBOX.c.title, OUTBOX.c.body))}

    def changes(self) -> list[tuple[str, str]]:
        """(document, change) of every change so far, in order."""
        found = self.rows("document_changes")
        return list(zip(found["document_id"], found["change"], strict=True)) if len(found) else []

    def succeeded(self, job: str) -> list[dg.DagsterRun]:
        """Runs of a job that succeeded, newest first."""
        wanted = dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.SUCCESS])
        with dg.DagsterInstance.from_config(str(self.home.dagster)) as instance:
            return list(instance.get_runs(wanted))

    def replies(self) -> set[str]:
        """Batches with a reply."""
        with dg.DagsterInstance.from_config(str(self.home.dagster)) as instance:
            return instance.get_materialized_partitions(dg.AssetKey("reply"))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Letters]:
    """The daemon on notes, letters and the real knowledge assets."""
    folder = tmp_path_factory.mktemp("triggers")
    shutil.copytree(SMALL_WORKFLOW / "assets", folder / "workflow" / "assets")
    shutil.copytree(PROJECT / "assets" / "knowledge", folder / "workflow" / "assets" / "knowledge")
    (folder / "workflow" / "assets" / "letters.py").write_text(LETTERS)
    variables = {"PYTHONPATH": str(folder / "workflow"), "ORCHESTRATE_KNOWLEDGE": str(folder / "knowledge")}
    project = Letters(folder / "home", {**variables, "ORCHESTRATE_ATTEMPTS": "1"})
    project.knowledge.mkdir()
    for name in ("stays", "goes", "turns"):
        (project.knowledge / f"{name}.md").write_text(f"# What {name}")
    project.start_daemon()
    yield project
    project.kill()


@pytest.fixture(scope="module")
def landed(project: Letters) -> dict[str, str]:
    """What stood in a file that landed → its batch. The work goes on while the first tests wait for other things."""
    found = {text: project.land(text) for text in ("rude", "torn")}
    found["so angry"] = project.land("so angry", "still calm")
    project.ended(found["so angry"])
    found["angry again"] = project.land("angry again", "angry too")
    return found


def test_documents_that_are_added_changed_and_removed_are_read(project: Letters, landed: dict[str, str]) -> None:
    wait_until(lambda: len(project.changes()) == 3, "the documents that lay there")
    (project.knowledge / "goes.md").unlink()
    (project.knowledge / "turns.md").write_text("# Otherwise")
    (project.knowledge / "comes.md").write_text("# What comes")
    wait_until(lambda: len(project.changes()) == 6, "three changes at once")
    assert project.changes()[3:] == [("comes.md", "added"), ("goes.md", "removed"), ("turns.md", "changed")]
    assert project.rows("documents")["title"].tolist() == ["What comes", "What stays", "Otherwise"]
    assert len(project.succeeded("read_documents")) == 2


def test_a_file_that_lands_is_worked_on(project: Letters, landed: dict[str, str]) -> None:
    assert project.ended(landed["so angry"]) == "done"
    assert project.rows("note", landed["so angry"])["text"].tolist() == ["so angry", "still calm"]
    assert list(project.home.inbox.iterdir()) == []


def test_a_threshold_is_breached_inside_a_run_and_across_batches(project: Letters, landed: dict[str, str]) -> None:
    assert project.ended(landed["angry again"]) == "done"
    told = project.notices()
    assert sorted(body for title, body in told.items() if title.startswith("Complaint")) == [
        "angry again",
        "angry too",
        "so angry",
    ]
    assert told["Unrest"] == "3 complaints"
    assert project.rows("unrest")["batch"].tolist() == [landed["angry again"]]


def test_a_run_that_failed_is_told_with_step_error_and_link(project: Letters, landed: dict[str, str]) -> None:
    batch = landed["torn"]
    assert project.ended(batch) == "set_aside"
    body = project.notices()[f"A run of batch {batch} failed"]
    assert "- Why: letter: ValueError in " in body
    assert "what somebody wrote" not in body
    with project.home.ledger.read() as connection:
        (request,) = run_requests.all_of(connection, batch)
    assert f"- Run: http://127.0.0.1:{project.home.settings.port}/runs/{request['run_id']}" in body


def test_what_waits_is_listed_when_a_batch_was_set_aside(project: Letters, landed: dict[str, str]) -> None:
    assert project.ended(landed["torn"]) == "set_aside"
    runs = wait_until(lambda: project.succeeded("list_what_waits"), "the list of what waits")
    assert {run.tags["dagster/sensor_name"] for run in runs} == {"quarantine_changed"}


def test_upstream_that_changed_starts_nothing_where_its_blocking_check_failed(
    project: Letters, landed: dict[str, str]
) -> None:
    assert project.ended(landed["rude"]) == "set_aside"
    wait_until(lambda: landed["angry again"] in project.replies(), "the reply to the batch behind it")
    assert landed["rude"] not in project.replies()


def test_runs_come_into_the_audit_log(project: Letters, landed: dict[str, str]) -> None:
    with project.home.ledger.read() as connection:
        (request,) = run_requests.all_of(connection, landed["torn"])
    its = sa.select(AUDIT.c.action, AUDIT.c.actor).where(AUDIT.c.subject == request["run_id"])

    def audited() -> list[tuple[str, str]]:
        with project.home.ledger.read() as connection:
            return [(action, actor) for action, actor in connection.execute(its.order_by(AUDIT.c.sequence))]

    wait_until(lambda: len(audited()) > 1, "the entries of the run that failed")
    assert audited() == [("run began", "sensor notes_arrived"), ("run failed", "sensor notes_arrived")]


def test_the_clock_starts_a_run(project: Letters) -> None:
    (run, *_) = wait_until(lambda: project.succeeded("make_minute"), "the run of a minute")
    assert run.tags["dagster/schedule_name"] == "every_minute"

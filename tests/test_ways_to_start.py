"""However a run is started (the UI, Dagster's command line, the sensor, `send`), the same messages give the same rows,
decided by the models; and a backfill works on many batches.

Each way has an empty home, with the same secret and the same small models; servers and processes are real.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import dagster as dg
import pandas as pd
import pytest
import sqlalchemy as sa
from live_project import FAST, SMALL_WORKFLOW, Project, free_port, listens, wait_until
from workflow_steps import FEELINGS, MATTERS, use_model

from orchestration_project.stores.schema import AUDIT

LOCATION = "orchestration_project.definitions"
ASSETS = ("feedback", "sentiment", "issue", "route", "summary", "alert")
BATCH = "by-hand"
BATCHES = 10
"""Of a backfill; Dagster works on two at once."""

MESSAGES = [
    {"received_at": f"2026-03-0{1 + number // 8}T{8 + number % 8:02}:00:00Z", "account": f"c{number}", "text": text}
    for number, text in enumerate(
        text for texts in (*FEELINGS.values(), *MATTERS.values()) for text in texts if text != FEELINGS["neutral"][0]
    )
]

REPOSITORY = "query { repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }"
SENSOR = "query($sensor: SensorSelector!) { sensorOrError(sensorSelector: $sensor) { ... on Sensor { id } } }"
STOP = (
    "mutation($id: String!) { stopSensor(id: $id) { ... on StopSensorMutationResult { instigationState { status } } } }"
)
ADD_KEY = """
mutation($repository: RepositorySelector!, $key: String!) {
  addDynamicPartition(repositorySelector: $repository, partitionsDefName: "batch", partitionKey: $key) { __typename }
}
"""
LAUNCH = """
mutation($parameters: ExecutionParams!) {
  launchPipelineExecution(executionParams: $parameters) { __typename ... on PythonError { message } }
}
"""
BACKFILL = """
mutation($parameters: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $parameters) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
  }
}
"""
BACKFILL_STATE = """
query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }
"""


class Ui(Project):
    """A project with Dagster's web server, daemon and one code server for both, asked as its pages ask it."""

    def start_ui(self, sensor: str) -> None:
        """Start all three, and stop the sensor, so that nothing but the UI starts a run."""
        self.home.prepare()
        with dg.DagsterInstance.from_config(str(self.home.dagster)):
            pass  # makes Dagster's databases, as `dagster dev` does before it starts the two that would race for it
        code, self.port = str(free_port()), free_port()
        entry_point = "--use-python-environment-entry-point"
        self.start("dagster", "api", "grpc", "-m", LOCATION, "-h", "127.0.0.1", "-p", code, entry_point)
        wait_until(lambda: listens(int(code)), "the code server")
        workspace = ("--grpc-host", "127.0.0.1", "--grpc-port", code)
        self.start("dagster._daemon", "run", *workspace)
        self.start("dagster_webserver", *workspace, "-h", "127.0.0.1", "-p", str(self.port))
        wait_until(self._answers, "the web server")
        (repository,) = wait_until(lambda: self.ask(REPOSITORY)["nodes"], "the code location")
        self.repository = {
            "repositoryName": repository["name"],
            "repositoryLocationName": repository["location"]["name"],
        }
        found = self.ask(SENSOR, sensor={**self.repository, "sensorName": sensor})
        assert self.ask(STOP, id=found["id"]) == {"instigationState": {"status": "STOPPED"}}

    def ask(self, query: str, **variables: Any) -> Any:
        """What GraphQL answers to the one question or order in the query."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = Request(f"http://127.0.0.1:{self.port}/graphql", body, {"Content-Type": "application/json"})
        with urlopen(request, timeout=60) as reply:
            answer = json.load(reply)
        assert "errors" not in answer, answer["errors"]
        return next(iter(answer["data"].values()))

    def add_key(self, key: str) -> None:
        answer = self.ask(ADD_KEY, repository=self.repository, key=key)
        assert answer == {"__typename": "AddDynamicPartitionSuccess"}

    def materialize(self, assets: Iterable[str], key: str) -> None:
        """What the button of that name does."""
        selection = [{"path": [asset]} for asset in assets]
        answer = self.ask(
            LAUNCH,
            parameters={
                "mode": "default",
                "executionMetadata": {"tags": [{"key": "dagster/partition", "value": key}]},
                "selector": {**self.repository, "pipelineName": "__ASSET_JOB", "assetSelection": selection},
            },
        )
        assert answer == {"__typename": "LaunchRunSuccess"}

    def backfill(self, assets: Iterable[str], keys: Sequence[str]) -> str:
        """Start a backfill over these partitions; returns its id."""
        selection = [{"path": [asset]} for asset in assets]
        answer = self.ask(BACKFILL, parameters={"assetSelection": selection, "partitionNames": keys})
        assert answer["__typename"] == "LaunchBackfillSuccess", answer
        return answer["backfillId"]

    def _answers(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/server_info", timeout=5) as reply:
                return reply.status == 200
        except URLError:
            return False


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with a secret and models in use, and nothing else; each way starts on a copy."""
    project = Project(tmp_path_factory.mktemp("start") / "home")
    project.home.prepare()
    assert project.home.secret
    use_model(project.home, "sentiment", FEELINGS)
    use_model(project.home, "issue", MATTERS)
    project.home.ledger.close()
    yield project.root


@pytest.fixture
def project(start: Path, tmp_path: Path) -> Iterator[Ui]:
    shutil.copytree(start, tmp_path / "home")
    project = Ui(tmp_path / "home", FAST)
    yield project
    project.kill()


def messages_file(project: Project) -> Path:
    file = project.root.with_name("messages.jsonl")
    file.write_text("".join(f"{json.dumps(message)}\n" for message in MESSAGES))
    return file


def outcome(project: Project) -> dict[str, pd.DataFrame]:
    """Every row of the workflow, in order."""
    return {asset: project.rows(asset) for asset in ASSETS}


def asked(project: Project) -> dict[str, int]:
    """Performer → rows it was asked about, by the audit log."""
    with project.home.ledger.read() as connection:
        query = sa.select(AUDIT.c.detail).where(AUDIT.c.action == "published").order_by(AUDIT.c.sequence)
        details = [json.loads(detail) for detail in connection.execute(query).scalars()]
    return {work["performer"]: work["asked"] for detail in details for work in detail.get("performers", ())}


@pytest.fixture(scope="module")
def expected(start: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    """What `send` gives, where no project runs."""
    root = tmp_path_factory.mktemp("send") / "home"
    shutil.copytree(start, root)
    project = Project(root)
    counts = project.orchestrate("send", str(messages_file(project)), "--json")
    assert counts["done"] == len(MESSAGES)
    rows = outcome(project)
    assert set(rows["sentiment"]["decided_by"]) == {"model"}
    unhappy = int((rows["sentiment"]["label"] == "negative").sum())
    assert len(rows["issue"]) == len(rows["route"]) == unhappy > 10
    assert asked(project) == {
        "sentiment model": len(MESSAGES),
        "issue rules": unhappy,
        "issue model": int((rows["issue"]["performer"] != "issue rules").sum()),
    }
    return rows


def assert_same(project: Project, expected: dict[str, pd.DataFrame]) -> None:
    assert project.status() == {"done": len(MESSAGES)}
    for asset, rows in outcome(project).items():
        pd.testing.assert_frame_equal(rows, expected[asset], obj=asset)
    assert asked(project)["sentiment model"] == len(MESSAGES)
    assert asked(project)["issue model"] == int((expected["issue"]["performer"] != "issue rules").sum())


def test_the_sensor_gives_the_rows_of_send(project: Ui, expected: dict[str, pd.DataFrame]) -> None:
    project.start_daemon()
    project.put("messages", MESSAGES)
    wait_until(lambda: project.status() == {"done": len(MESSAGES)}, "the batch")
    assert_same(project, expected)


def test_dagsters_command_line_gives_the_rows_of_send(project: Ui, expected: dict[str, pd.DataFrame]) -> None:
    project.orchestrate("send", "--no-wait", str(messages_file(project)))
    with dg.DagsterInstance.from_config(str(project.home.dagster)) as instance:
        instance.add_dynamic_partitions("batch", [BATCH])
    command = ["asset", "materialize", "-m", LOCATION, "--select", "group:feedback", "--partition", BATCH]
    assert project.start("dagster", *command).wait() == 0, project.output()
    assert_same(project, expected)


def test_the_ui_gives_the_rows_of_send(project: Ui, expected: dict[str, pd.DataFrame]) -> None:
    project.start_ui("feedback_arrived")
    project.orchestrate("send", "--no-wait", str(messages_file(project)))
    project.add_key(BATCH)
    project.materialize(ASSETS, BATCH)
    wait_until(lambda: project.status() == {"done": len(MESSAGES)}, "the batch")
    assert_same(project, expected)


def test_a_backfill_works_on_more_batches_than_runs_at_once(tmp_path: Path) -> None:
    variables = {**FAST, "PYTHONPATH": str(SMALL_WORKFLOW), "ORCHESTRATE_BATCH_ROWS": "4"}
    project = Ui(tmp_path / "home", variables)
    try:
        project.start_ui("notes_arrived")
        texts = [f"{'angry' if number % 4 == 0 else 'calm'} {number}" for number in range(4 * BATCHES)]
        file = tmp_path / "notes.jsonl"
        file.write_text("".join(f"{json.dumps({'text': text})}\n" for text in texts))
        project.orchestrate("send", "--no-wait", str(file))
        keys = [f"batch-{number}" for number in range(BATCHES)]
        for key in keys:
            project.add_key(key)
        assets = ("note", "mood", "complaint")
        backfill = project.backfill(assets, keys)
        state = lambda: project.ask(BACKFILL_STATE, id=backfill)["status"]  # noqa: E731
        wait_until(lambda: not state().startswith(("REQUESTED", "IN_PROGRESS")), "the backfill")
        assert state() == "COMPLETED_SUCCESS"
        assert project.status() == {"done": 4 * BATCHES}
        for key in keys:
            assert len(project.rows("note", key)) == len(project.rows("mood", key)) == 4
            assert len(project.rows("complaint", key)) == 1
        assert sorted(project.rows("note")["text"]) == sorted(texts)
    finally:
        project.kill()

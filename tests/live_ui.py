"""Dagster's UI for tests: its web server on a real project, asked as its pages ask it."""

import json
import time
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import dagster as dg
from live_project import Project, free_port, listens, wait_until

LOCATION = "orchestration_project.definitions"

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
TICK = """
mutation($schedule: ScheduleSelector!, $timestamp: Float) {
  scheduleDryRun(selectorData: $schedule, timestamp: $timestamp) {
    __typename
    ... on DryRunInstigationTick {
      evaluationResult { runRequests { jobName tags { key value } } error { message } }
    }
  }
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
        """Start all three, and stop the sensor of messages, so that nothing but the UI starts a run of the workflow."""
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

    def launch(self, job: str, tags: Iterable[dict[str, str]] = ()) -> None:
        """What the button *Launch run* of a job does."""
        parameters = {
            "mode": "default",
            "executionMetadata": {"tags": list(tags)},
            "selector": {**self.repository, "pipelineName": job},
        }
        assert self.ask(LAUNCH, parameters=parameters) == {"__typename": "LaunchRunSuccess"}

    def tick(self, schedule: str) -> list[dict[str, Any]]:
        """The runs that a schedule asks for at its next time, as its page shows them in advance."""
        selector = {**self.repository, "scheduleName": schedule}
        found = self.ask(TICK, schedule=selector, timestamp=time.time())["evaluationResult"]
        assert found["error"] is None, found["error"]
        return found["runRequests"]

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

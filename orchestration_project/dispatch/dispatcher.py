"""Submits requested runs at once, where the sensor would find them seconds later.

It opens the next batch when there is room for one, leases requests as the sensor does, and has Dagster's running web server
launch them. Whatever it leaves undone, the sensor does at its next tick, and a request that both submit runs once.
"""

import json
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.client import HTTPException
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from orchestration_project.core.errors import OrchestrationError
from orchestration_project.dispatch.code_location import reload_unreachable
from orchestration_project.stores import batches, run_requests
from orchestration_project.stores.home import Home
from orchestration_project.stores.run_requests import RunRequest

SQLITE_POLL_SECONDS = 0.05
"""How often the change counter of an SQLite ledger is read, which costs microseconds."""

POLL_SECONDS = 0.2
"""How often another ledger is looked into."""

LOCATION_SECONDS = 5.0
"""How often it is asked whether Dagster reaches its code server."""

LOOK_SECONDS = 2.0
"""The longest time between two looks: a lease runs out without a change."""

PAUSE_SECONDS = 2.0
"""How long nothing is submitted after Dagster did not answer; the sensor goes on meanwhile."""

ANSWER_SECONDS = 30.0
"""How long Dagster's web server may take for an answer."""

_OPENER = build_opener(ProxyHandler({}))  # the server is on this machine, whatever proxy the environment names

_JOBS = """
query {
  repositoriesOrError {
    ... on RepositoryConnection { nodes { name location { name } pipelines { name } } }
  }
}
"""
_ADD_KEY = """
mutation($repository: RepositorySelector!, $key: String!) {
  addDynamicPartition(repositorySelector: $repository, partitionsDefName: "batch", partitionKey: $key) {
    __typename ... on PythonError { message } ... on UnauthorizedError { message }
  }
}
"""
_LAUNCH = """
mutation($parameters: ExecutionParams!) {
  launchRun(executionParams: $parameters) { __typename ... on LaunchRunSuccess { run { runId } } ... on Error { message } }
}
"""


class SubmissionFailed(OrchestrationError):
    """Dagster's web server did not launch a run."""


class Dispatcher:
    """Submits what is requested in one home until it is told to stop; `tell` hears of what cannot be done for now."""

    def __init__(self, home: Home, tell: Callable[[str], object]) -> None:
        self._home = home
        self._tell = tell
        self._told = ""
        self._address = f"http://127.0.0.1:{home.settings.port}/graphql"

    def run(self, stop: threading.Event) -> None:
        """Look whenever the ledger has changed, and now and then. No failure ends it: the sensor does what it misses."""
        while not stop.is_set():
            try:
                with _change_counter(self._home) as counter:
                    self._watch(stop, counter)
            except (DBAPIError, OSError, OrchestrationError) as error:
                self._say(f"Runs wait for Dagster's sensor: {_reason(error)}")
                stop.wait(PAUSE_SECONDS)

    def look(self) -> int:
        """Open the batches that are due, and submit what is requested; returns how many runs.

        SubmissionFailed where Dagster does not launch one; its request is free for the next submitter then.
        """
        batches.open_due(self._home)
        number = 0
        while self._is_any_due():
            repository = self._repository()
            with self._home.ledger.write() as connection:
                found = run_requests.lease_next(connection, self._home.settings.lease_seconds, with_abandoned=False)
            if found is None:
                return number
            self._submit(found, repository)
            number += 1
        return number

    def _watch(self, stop: threading.Event, counter: Callable[[], int] | None) -> None:
        pause = POLL_SECONDS if counter is None else SQLITE_POLL_SECONDS
        seen, looked, asked = None, 0.0, time.monotonic()
        while not stop.is_set():
            if time.monotonic() - asked >= LOCATION_SECONDS:
                asked = time.monotonic()
                for name in reload_unreachable(self._ask):
                    self._tell(f"The code server of {name} was gone; another is started.")
            found = None if counter is None else counter()
            if found is None or found != seen or time.monotonic() - looked >= LOOK_SECONDS:
                seen, looked = found, time.monotonic()  # read before the look: a change during it is seen next time
                if self.look():
                    self._told = ""
            stop.wait(pause)

    def _is_any_due(self) -> bool:
        """Whether a request waits; one whose lease ran out is the sensor's, which knows of its run."""
        with self._home.ledger.read() as connection:
            return any(
                found.state == "requested" and found.is_due() for found in run_requests.open_requests(connection)
            )

    def _submit(self, request: RunRequest, repository: dict[str, str]) -> None:
        try:
            added = self._ask(_ADD_KEY, repository=repository, key=request.batch)
            if added["__typename"] not in ("AddDynamicPartitionSuccess", "DuplicateDynamicPartitionError"):
                raise SubmissionFailed(f"Dagster did not add the key {request.batch} ({added['__typename']}).")
            tags = {**request.run_tags(), "dagster/partition": request.batch}
            parameters = {
                "mode": "default",
                "selector": {**repository, "pipelineName": request.job},
                "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
            }
            launched = self._ask(_LAUNCH, parameters=parameters)
            if launched["__typename"] != "LaunchRunSuccess":
                raise SubmissionFailed(f"Dagster did not launch '{request.key}' ({launched['__typename']}).")
        except SubmissionFailed:
            with self._home.ledger.write() as connection:
                run_requests.extend_lease(connection, request.key, 0)  # whoever submits next need not wait
            raise

    def _repository(self) -> dict[str, str]:
        """Where Dagster has the workflow."""
        for node in self._ask(_JOBS).get("nodes", []):
            if any(job["name"] == run_requests.WORKFLOW for job in node["pipelines"]):
                return {"repositoryName": node["name"], "repositoryLocationName": node["location"]["name"]}
        raise SubmissionFailed("Dagster has not loaded the workflow.")

    def _ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """What Dagster's web server answers to the one question or order in the query."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = Request(self._address, body, {"Content-Type": "application/json"})
        try:
            with _OPENER.open(request, timeout=ANSWER_SECONDS) as reply:
                answer = json.load(reply)
        except (OSError, HTTPException, ValueError) as error:
            cause = error.reason if isinstance(error, URLError) else error
            raise SubmissionFailed(f"Dagster's web server does not answer at {self._address} ({cause}).") from error
        if answer.get("errors") or not answer.get("data"):
            raise SubmissionFailed(f"Dagster's web server at {self._address} refuses the order.")
        return next(iter(answer["data"].values()))

    def _say(self, text: str) -> None:
        """Tell something once, not every time that it is met again."""
        if text != self._told:
            self._told = text
            self._tell(text)


@contextmanager
def _change_counter(home: Home) -> Generator[Callable[[], int] | None]:
    """Reads a number that differs after every transaction of others; None for a ledger without one.

    It is SQLite's PRAGMA data_version, on a connection that does nothing else.
    """
    url = sa.make_url(home.ledger_url)
    if url.get_backend_name() != "sqlite" or not url.database:
        yield None
        return
    with home.ledger.read():
        pass  # makes the database where there is none
    engine = sa.create_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield lambda: int(connection.exec_driver_sql("PRAGMA data_version").scalar_one())


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, OrchestrationError) else f"{type(error).__name__}."

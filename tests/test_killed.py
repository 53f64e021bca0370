"""Killed with SIGKILL at each point between an arrival and its outcome, and started again: the rows are those of an
unkilled run, and nothing else is left behind.

`faults/sitecustomize.py` kills; the project is real: Dagster's daemon, code server and run workers, or the command
line, on the small workflow of `faults/workflow`.
"""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
import sqlalchemy as sa
from live_project import SMALL_WORKFLOW, Project, wait_until

from orchestration_project.dispatch.lost_runs import end_lost_runs
from orchestration_project.governance import audit
from orchestration_project.stores import batches, outbox
from orchestration_project.stores.ledger import now
from orchestration_project.stores.run_requests import SILENT_BEATS
from orchestration_project.stores.schema import ARRIVALS, CLAIMS, QUARANTINE, RUN_REQUESTS

ASSETS = ("note", "mood", "complaint")

RUN_WORKER = [
    "run began in Dagster",
    "Parquet renamed",
    "ledger committed",
    "before Dagster's own event",
    "outcome unrecorded",
]
"""Points at which a run worker is killed while the project goes on."""

WHILE_MESSAGES_COME_IN = [
    "arrival registered",
    "claimed",
    "due and requested",
    "leased",
    "run created",
    "run leaves the queue",
]
WHILE_THEY_ARE_WORKED_ON = ["Parquet renamed", "ledger committed", "before Dagster's own event", "outcome recorded"]
"""Points at which the whole project is killed: daemon, code server and run workers."""

COMMAND_LINE = ["arrival registered", "requested"]
"""Points at which `orchestrate send` is killed."""

SETTINGS = {"ORCHESTRATE_HEARTBEAT_SECONDS": "1", "ORCHESTRATE_LEASE_SECONDS": "30", "ORCHESTRATE_ATTEMPTS": "6"} | {
    "ORCHESTRATE_RETRY_SECONDS": "0.1"
}
"""On a busy machine a run may be taken for dead that only starved; it must not run out of attempts."""


class Killed(Project):
    """A project that can be killed at a point, and what became of each file of messages."""

    @property
    def armed(self) -> Path:
        return self.root / "armed"

    def arm(self, point: str, whom: str) -> None:
        """Have the next process that reaches the point killed (`worker`), or its whole group (`everything`)."""
        self.armed.write_text(f"{point} {whom}")

    def is_killed(self) -> bool:
        return not self.armed.exists()

    def run(self) -> None:
        """Start the daemon unless it runs."""
        if not self.is_running():
            self.start_daemon()

    def is_running(self) -> bool:
        """Whether a process that was started lives."""
        return any(process.poll() is None for process in self.processes)

    def is_at_rest(self) -> bool:
        """Whether nobody is believed to do the work: no lease lasts, and no run was heard of lately."""
        heard_since = now() - timedelta(seconds=SILENT_BEATS * self.home.settings.heartbeat_seconds)
        is_leased = sa.and_(RUN_REQUESTS.c.state == "submitted", RUN_REQUESTS.c.lease_until >= now())
        is_alive = sa.and_(RUN_REQUESTS.c.state == "running", RUN_REQUESTS.c.heartbeat_at >= heard_since)
        with self.home.ledger.read() as connection:
            return not connection.execute(sa.select(RUN_REQUESTS.c.key).where(is_leased | is_alive)).first()

    def batch(self, name: str) -> str | None:
        with self.home.ledger.read() as connection:
            return connection.execute(sa.select(ARRIVALS.c.batch).where(ARRIVALS.c.file == f"{name}.jsonl")).scalar()

    def file(self, name: str) -> Path:
        """A file of messages outside of the home."""
        file = self.root.with_name(f"{name}.jsonl")
        file.write_text("".join(f"{json.dumps(note)}\n" for note in notes(name)))
        return file

    def is_done(self, name: str) -> bool:
        batch = self.batch(name)
        with self.home.ledger.read() as connection:
            found = batch and batches.get(connection, batch)
        assert not found or found.state != "set_aside", found.cause
        return bool(found) and found.state == "done"

    def outcome(self, name: str) -> dict[str, Any]:
        """Everything that a file of messages led to, without its name, run ids and times."""
        batch = self.batch(name)
        assert batch is not None
        with self.home.ledger.read() as connection:
            refused = sa.select(QUARANTINE.c.asset, QUARANTINE.c.message_id, QUARANTINE.c.reason, QUARANTINE.c.position)
            refused = refused.where(QUARANTINE.c.partition == batch, QUARANTINE.c.state == "open")
            claims = sa.select(CLAIMS.c.message_id).where(CLAIMS.c.batch == batch).order_by(CLAIMS.c.message_id)
            found = {
                "counts": batches.count_states(connection, only={batch}),
                "refused": [tuple(row) for row in connection.execute(refused)],
                "claims": list(connection.execute(claims).scalars()),
                "notices": [
                    (n["key"], n["title"], n["body"]) for n in outbox.recorded(connection) if n["batch"] == batch
                ],
                **{asset: self.rows(asset, batch).to_dict("records") for asset in ASSETS},
            }
        return _without(found, f"{name}-")


def _without(value: Any, prefix: str) -> Any:
    if isinstance(value, dict):
        return {key: _without(inner, prefix) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without(inner, prefix) for inner in value]
    if isinstance(value, str):
        return value.replace(prefix, "")
    return None if pd.isna(value) else value


def notes(name: str) -> list[dict[str, str]]:
    """Messages that go every way: sure, unsure, the same twice, refused."""
    texts = ["angry one", "calm two", "angry?", "angry four", "", "calm six"]
    found = [{"message_id": f"{name}-{number}", "text": text} for number, text in enumerate(texts)]
    return [*found, found[0]]


Scenario = Callable[[Killed, str, str], None]


def killed_run_worker(project: Killed, point: str, name: str) -> None:
    """The project goes on and notices by itself."""
    project.run()
    project.arm(point, "worker")
    project.put(name, notes(name))
    wait_until(project.is_killed, f"a run worker killed at '{point}'")


def killed_project(project: Killed, point: str, name: str) -> None:
    """Everything dies, and is started again."""
    project.run()
    project.arm(point, "everything")
    project.put(name, notes(name))
    wait_until(project.is_killed, f"the project killed at '{point}'")
    project.kill()
    project.run()


def killed_daemon(project: Killed, point: str, name: str) -> None:
    """The daemon dies alone; its code server and the run it has launched live on when it is started again."""
    project.run()
    project.arm(point, "worker")
    project.put(name, notes(name))
    wait_until(project.is_killed, f"the daemon killed at '{point}'")
    project.processes.pop().wait()
    project.run()


def killed_command(project: Killed, point: str, name: str) -> None:
    """`send` dies, and the next `send` does its work too."""
    project.arm(point, "everything")
    project.start("orchestration_project.cli.main", "send", str(project.file(name))).wait()
    assert project.is_killed()
    project.orchestrate("send", f"after {name}")


def killed_job(project: Killed, point: str, name: str) -> None:
    """The job that `send` has started dies, and `send` starts another."""
    project.arm(point, "everything")
    counts = project.orchestrate("send", str(project.file(name)), "--json")
    assert project.is_killed()
    assert counts["done"] == 5


def killed_command_and_job(project: Killed, point: str, name: str) -> None:
    """A power cut in the middle of the work, and the next `send` does it, once the run counts as dead."""
    project.arm(point, "everything")
    project.start("orchestration_project.cli.main", "send", str(project.file(name)))
    wait_until(project.is_killed, f"the job killed at '{point}'")
    project.kill()
    wait_until(project.is_at_rest, "the killed run, and the one that may have followed it, to count as dead")
    project.orchestrate("send", f"after {name}")


LANES: dict[str, list[tuple[Scenario, list[str]]]] = {
    "lasting": [(killed_run_worker, RUN_WORKER)],
    "coming in": [(killed_project, WHILE_MESSAGES_COME_IN)],
    "at work": [(killed_project, WHILE_THEY_ARE_WORKED_ON), (killed_daemon, ["run launched"])],
    "command line": [
        (killed_command, COMMAND_LINE),
        (killed_job, ["ledger committed"]),
        (killed_command_and_job, ["Parquet renamed"]),
    ],
}
"""Projects that live side by side, for most of the time is spent waiting, and what happens to each in turn."""

CASES = [
    (lane, scenario.__name__, point) for lane, story in LANES.items() for scenario, points in story for point in points
]


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str, str], "Future[None]"]]:
    """What came of each case."""
    found: dict[tuple[str, str, str], Future[None]] = {case: Future() for case in CASES}
    expected: Future[dict[str, Any]] = Future()
    with ThreadPoolExecutor(len(LANES)) as pool:
        for lane in LANES:
            project = project_in(tmp_path_factory.mktemp(lane.replace(" ", "-")))
            project.status()  # makes the ledger; Alembic is not made for threads
            pool.submit(run_lane, lane, project, found, expected)
        yield found


def project_in(folder: Path) -> Killed:
    root = folder / "home"
    path = f"{SMALL_WORKFLOW.parent}:{SMALL_WORKFLOW}"
    return Killed(root, {**SETTINGS, "PYTHONPATH": path, "ORCHESTRATE_TEST_KILL": str(root / "armed")})


def run_lane(
    lane: str,
    project: Killed,
    verdicts: dict[tuple[str, str, str], "Future[None]"],
    expected: "Future[dict[str, Any]]",
) -> None:
    try:
        if lane == "command line":
            find_expected(project, expected)
        for scenario, points in LANES[lane]:
            for point in points:
                verdict = verdicts[lane, scenario.__name__, point]
                try:
                    name = f"{scenario.__name__}-{point}".replace(" ", "-").replace("'", "")
                    scenario(project, point, name)
                    wait_until(lambda name=name: project.is_done(name), "the batch")
                    assert project.outcome(name) == expected.result()
                    assert_nothing_is_left_behind(project, name)
                    verdict.set_result(None)
                except BaseException as error:  # noqa: BLE001  # the test that asks for the verdict raises it
                    project.kill()
                    verdict.set_exception(error)
    finally:
        project.kill()


def find_expected(project: Killed, expected: "Future[dict[str, Any]]") -> None:
    try:
        expected.set_result(unkilled(project))
    except BaseException as error:  # noqa: BLE001  # whoever asks for it raises it
        expected.set_exception(error)


def unkilled(project: Killed) -> dict[str, Any]:
    """What an unkilled run leads to, whoever starts it (see `test_ways_to_start`)."""
    project.orchestrate("send", str(project.file("unkilled")))
    assert project.is_done("unkilled")
    outcome = project.outcome("unkilled")
    assert outcome["counts"] == {**dict.fromkeys(batches.STATES, 0), "done": 5, "quarantined": 1, "duplicates": 1}
    assert [row["label"] for row in outcome["mood"]] == ["angry", "calm", "angry", "angry", "calm"]
    assert [row["key"] for row in outcome["complaint"]] == ["0", "2", "3"]
    return outcome


@pytest.mark.parametrize("case", CASES, ids=lambda case: ", ".join(case[1:]).replace("_", " "))
def test_rows_equal_those_of_an_unkilled_run(
    verdicts: dict[tuple[str, str, str], "Future[None]"], case: tuple[str, str, str]
) -> None:
    verdicts[case].result()


def assert_nothing_is_left_behind(project: Killed, name: str) -> None:
    home, batch = project.home, project.batch(name)
    with home.ledger.read() as connection:
        assert audit.breaks(connection) == []
        assert all(notice["delivered_at"] for notice in outbox.recorded(connection))
        files = connection.execute(sa.select(ARRIVALS.c.file).where(ARRIVALS.c.file == f"{name}.jsonl")).scalars().all()
        states = (
            connection.execute(sa.select(RUN_REQUESTS.c.state).where(RUN_REQUESTS.c.batch == batch)).scalars().all()
        )
    assert len(files) == 1
    assert set(states) <= {"failed", "succeeded"}
    assert states.count("succeeded") == 1
    wait_until(lambda: not [*home.received.iterdir(), *home.inbox.glob("[!.]*")], "the received file to be archived")
    assert len(list(home.archive.glob(f"*-{name}.jsonl"))) == 1
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        active = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED])

        def is_freed() -> bool:
            if not project.is_running():  # what the next command does first
                end_lost_runs(home, instance)
            return not instance.get_runs(active)

        wait_until(is_freed, "Dagster to count no dead run as working")
        for asset in ASSETS:
            assert batch in instance.get_materialized_partitions(dg.AssetKey(asset)), asset

"""`orchestrate up`: one project on a home and port, all of it stopped together, and work that goes on afterwards."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from filelock import FileLock
from live_project import FAST, SMALL_WORKFLOW, Project, free_port, wait_until

from orchestration_project.cli.running import SAMPLES
from orchestration_project.stores import arrivals, champions, run_requests
from orchestration_project.stores.model_versions import ModelVersion
from orchestration_project.stores.run_requests import SILENT_BEATS


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project of the small workflow, with nothing to train and no samples to send."""
    variables = {**FAST, "PYTHONPATH": str(SMALL_WORKFLOW), "ORCHESTRATE_PORT": str(free_port())}
    project = Project(tmp_path / "home", variables)
    project.home.prepare()
    for sample in SAMPLES.glob("*.jsonl"):
        arrivals.register(project.home, arrivals.receive(project.home, sample))
    with project.home.ledger.write() as connection:
        connection.exec_driver_sql("UPDATE arrivals SET batch = 'samples'")
        champions.promote(connection, ModelVersion("any", "1", "", "", None, (), {}, {}))
    yield project
    project.kill()


def start(project: Project) -> "subprocess.Popen[bytes]":
    """Start `orchestrate up` and wait until its sensor ticks."""
    seen = project.output().count("Checking for new runs for sensor") if project.processes else 0
    up = project.start("orchestration_project.cli.main", "up")
    wait_until(
        lambda: project.output().count("Checking for new runs for sensor") > seen or up.poll() is not None, "a tick"
    )
    assert up.poll() is None, project.output()
    return up


def url(project: Project) -> str:
    return f"http://127.0.0.1:{project.home.settings.port}/server_info"


def answers(address: str) -> bool:
    try:
        with urlopen(address, timeout=5) as reply:
            return reply.status == 200
    except URLError:
        return False


def commands(project: Project) -> dict[str, int]:
    """Module or program of each living process of the project → its number."""
    found: dict[str, int] = {}
    for number in project.processes_left():
        words = (Path("/proc") / str(number) / "cmdline").read_bytes().decode().split("\0")
        found[" ".join(words[2:4])] = number
    return found


def run_ids(project: Project) -> list[str]:
    return [request["run_id"] for request in project.requests() if request["state"] == "running"]


def believed_at_work(project: Project) -> list[str]:
    """Runs that the ledger still believes to be at work."""
    seconds = SILENT_BEATS * project.home.settings.heartbeat_seconds
    with project.home.ledger.read() as connection:
        gone = {found.run_id for found in run_requests.silent(connection, seconds)}
    return [run_id for run_id in run_ids(project) if run_id not in gone]


def test_up_works_stops_whole_and_goes_on(project: Project, tmp_path: Path) -> None:
    up = start(project)
    wait_until(lambda: answers(url(project)), "the UI")

    # what is sent while the project runs is done by it
    assert project.orchestrate("send", "so angry", "--json")["done"] == 1
    assert not (project.root / "logs").exists()  # `send` would have run a job of its own

    # it is the only project of its home
    assert "already runs" in project.orchestrate("up", status=1)

    # the daemon dies while a run is at work
    gate = tmp_path / "gate"
    project.orchestrate("send", f"wait for {gate}", "--no-wait")
    wait_until(lambda: run_ids(project), "the run")
    os.kill(commands(project)["dagster._daemon run"], signal.SIGKILL)
    assert up.wait(60) == 1
    assert "Dagster stopped by itself" in project.output()
    assert project.processes_left() == []
    assert project.status() == {"done": 1, "working": 1}

    # the next start goes on with it
    up = start(project)
    wait_until(lambda: run_ids(project), "the next attempt")

    # Ctrl-C stops everything at once, the run with it
    os.killpg(up.pid, signal.SIGINT)
    assert up.wait(60) == 0
    assert "Stopped." in project.output()
    assert project.processes_left() == []
    assert not answers(url(project))

    # a command goes on with it as well, once the run is known to be gone
    gate.touch()
    wait_until(lambda: not believed_at_work(project), "the end of the run's heartbeats")
    assert project.orchestrate("send", "calm again", "--json")["done"] == 1
    assert project.status() == {"done": 3}
    assert sorted(project.rows("note")["text"]) == ["calm again", "so angry", f"wait for {gate}"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_up_that_a_service_manager_or_a_closed_terminal_ends_stops_whole_also_while_it_starts(
    project: Project, number: signal.Signals
) -> None:
    up = project.start("orchestration_project.cli.main", "up")
    wait_until(lambda: "Launching Dagster services" in project.output(), "Dagster's start")
    up.send_signal(number)
    assert up.wait(60) == 0
    assert project.processes_left() == []


def test_taken_port_is_refused_by_its_number(project: Project) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", project.home.settings.port))
        other.listen()
        said = project.orchestrate("up", status=1)
    assert f"Port {project.home.settings.port} is taken" in said
    assert "ORCHESTRATE_PORT" in said


def test_second_project_on_a_home_is_refused(project: Project) -> None:
    with FileLock(project.home.running_lock):
        said = project.orchestrate("up", status=1)
    assert "already runs" in said
    assert str(project.root) in said

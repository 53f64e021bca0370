"""`orchestrate serve-inbox`, and the inbox of `orchestrate up`: real servers, posted to, killed and started again."""

import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import dagster as dg
import pytest
import sqlalchemy as sa
from live_project import FAST, SMALL_WORKFLOW, Project, free_port, listens, wait_until
from starlette.applications import Starlette
from starlette.routing import Route

from orchestration_project.cli.inbox_server import log_to_console, web_server
from orchestration_project.cli.running import SAMPLES
from orchestration_project.core.settings import PROJECT
from orchestration_project.stores import arrivals, champions, outbox
from orchestration_project.stores.model_versions import ModelVersion
from orchestration_project.stores.run_requests import KEY_TAG
from orchestration_project.stores.schema import ARRIVALS

PAGE = PROJECT / "docs" / "inbox.md"
SENSOR_TAG = "dagster/sensor_name"
"""Of every run that a sensor asked for."""

SERVE = ("orchestration_project.cli.main", "serve-inbox")


class Posting(Project):
    """A project on the small workflow that messages are posted to."""

    def serve(self) -> "subprocess.Popen[bytes]":
        """Start `serve-inbox` alone, and wait until it answers."""
        server = self.start(*SERVE)
        wait_until(self.is_served, "the inbox server")
        return server

    def is_served(self) -> bool:
        with suppress(URLError):
            return self.health()["status"] == "ok"
        return False

    def health(self) -> Any:
        with urlopen(f"{self.address}/health", timeout=30) as reply:
            return json.load(reply)

    def post(self, *texts: str, **headers: str) -> list[str]:
        """Post messages; returns their ids."""
        body = json.dumps([{"text": text} for text in texts]).encode()
        request = Request(f"{self.address}/inbox", body, {"Content-Type": "application/json", **headers})
        with urlopen(request, timeout=30) as reply:
            assert reply.status == 202
            return json.load(reply)["message_ids"]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.inbox_port}"

    def runs(self) -> list[dg.DagsterRun]:
        """Every run that Dagster knows of."""
        with dg.DagsterInstance.from_config(str(self.home.dagster)) as instance:
            return list(instance.get_runs())

    def notices(self) -> list[str]:
        """Titles of what was alerted."""
        with self.home.ledger.read() as connection:
            return [notice["title"] for notice in outbox.recorded(connection)]

    def ids_of(self, text: str) -> list[str]:
        notes = self.rows("note")
        return notes.loc[notes["text"] == text, "message_id"].tolist()

    def inbox_server(self) -> int:
        """Number of the process that `up` started for the inbox."""
        (number,) = [
            number
            for number in self.processes_left()
            if b"serve-inbox" in (Path("/proc") / str(number) / "cmdline").read_bytes()
        ]
        return number


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Posting]:
    """A project of the small workflow without its sensor: only the dispatcher submits a run."""
    shutil.copytree(SMALL_WORKFLOW, tmp_path / "workflow")
    notes = tmp_path / "workflow" / "assets" / "notes.py"
    notes.write_text(notes.read_text().replace("DefaultSensorStatus.RUNNING", "DefaultSensorStatus.STOPPED"))
    own = {"PYTHONPATH": str(notes.parents[1]), "ORCHESTRATE_PORT": str(free_port())}
    project = Posting(tmp_path / "home", {**FAST, **own, "ORCHESTRATE_BATCHES_AT_ONCE": "1"})
    project.home.prepare()
    yield project
    project.kill()


@pytest.fixture
def up(project: Posting) -> "subprocess.Popen[bytes]":
    """`orchestrate up`, with nothing to train and no samples to send, once Dagster and the inbox answer."""
    for sample in SAMPLES.glob("[!.]*"):
        arrivals.register(project.home, arrivals.receive(project.home, sample))
    with project.home.ledger.write() as connection:
        connection.execute(sa.update(ARRIVALS).values(batch="samples"))
        champions.promote(connection, ModelVersion("any", "1", "", "", None, (), {}, {}))
    up = project.start("orchestration_project.cli.main", "up")
    wait_until(lambda: project.is_served() and listens(project.home.settings.port), "Dagster and the inbox")
    return up


def test_up_works_on_what_is_posted_or_sent_without_any_poll_for_it(
    project: Posting, up: "subprocess.Popen[bytes]"
) -> None:
    (told,) = project.post("so angry")
    wait_until(lambda: project.status() == {"done": 1}, "the posted message to be done")
    assert project.rows("note")["message_id"].tolist() == [told]
    assert project.notices() == [f"Complaint {told}"]

    # what the command line takes in is submitted by the same dispatcher
    assert project.orchestrate("send", "angry too", "--json")["done"] == 1
    assert len(project.notices()) == 2

    # neither run was the sensor's
    tags = [run.tags for run in project.runs()]
    assert [SENSOR_TAG in each for each in tags] == [False, False]
    assert {each[KEY_TAG] for each in tags} == {request["key"] for request in project.requests()}

    # the inbox dies, and the project says so
    os.kill(project.inbox_server(), signal.SIGKILL)
    assert up.wait(60) == 1
    assert "The inbox stopped by itself" in project.output()
    assert project.processes_left() == []


def test_what_was_answered_outlives_the_server_and_is_the_same_under_the_same_key(project: Posting) -> None:
    server = project.serve()
    told = [project.post(text, **{"Idempotency-Key": text}) for text in ("first", "second", "so angry")]
    server.kill()  # right after the last answer
    server.wait()
    assert project.status() == {"waiting": 2, "working": 1}

    server = project.serve()
    again = [project.post(text, **{"Idempotency-Key": text}) for text in ("first", "second", "so angry")]
    assert again == told
    assert project.status() == {"waiting": 2, "working": 1}
    assert [*project.home.received.iterdir()] == []
    assert len([*project.home.archive.iterdir()]) == 3

    # it is the only one of its home
    for verb in ("serve-inbox", "up"):
        assert "is served already" in project.orchestrate(verb, status=1)

    server.terminate()
    assert server.wait(60) == 0
    assert "The inbox stopped. What was answered with 202 is kept." in project.output()
    assert "Traceback" not in project.output()

    # a command does what waits, once
    assert project.orchestrate("send", "calm", "--json")["done"] == 1
    assert project.status() == {"done": 4}
    assert sorted(project.rows("note")["message_id"]) == sorted([*(one for [one] in told), *project.ids_of("calm")])
    assert project.notices() == [f"Complaint {told[2][0]}"]


@pytest.mark.parametrize("verb", ["serve-inbox", "up"])
def test_taken_port_is_refused_by_the_name_of_its_setting(project: Posting, verb: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", project.inbox_port))
        other.listen()
        said = project.orchestrate(verb, status=1)
    assert f"Port {project.inbox_port} is taken" in said
    assert "ORCHESTRATE_INBOX_PORT" in said


@pytest.mark.skipif(
    shutil.which("curl") is None, reason="The page shows how to post with curl, which is not installed."
)
def test_the_page_about_the_inbox_runs_as_it_stands(project: Posting) -> None:
    project.serve()
    commands = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    script = "\n".join(["set -e", *commands]).replace("127.0.0.1:3001", f"127.0.0.1:{project.inbox_port}")
    script = script.replace("curl ", "curl --silent --show-error --fail --noproxy 127.0.0.1 ")
    ended = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    answers = re.findall(r"{[^}]+}", ended.stdout)
    assert answers[0] == '{"message_ids":["T-1"],"rows":1}'
    assert answers[0] in PAGE.read_text(encoding="utf-8")
    assert [json.loads(answer)["rows"] for answer in answers] == [1, 2, 1, 2]
    assert sum(project.status().values()) == 6


def test_error_that_quotes_what_was_posted_is_redacted_in_the_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail(request: Any) -> Any:
        raise ValueError("could not read 'I am jane@example.com, 415-555-2671'")

    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    log_to_console()
    port = free_port()
    server = web_server(Starlette(routes=[Route("/", fail)]), port)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: listens(port), "the server")
    with pytest.raises(HTTPError, match="500"):
        urlopen(f"http://127.0.0.1:{port}/", timeout=30)
    server.should_exit = True
    thread.join()
    logged = capsys.readouterr().err
    assert "inbox: Exception in ASGI application" in logged
    assert "ValueError: could not read 'I am [e-mail], [phone]'" in logged
    assert "jane@" not in logged

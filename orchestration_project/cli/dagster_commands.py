"""Dagster's own commands, started as the command line needs them: a job that is waited for, and the development
server.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager, suppress
from typing import IO, TYPE_CHECKING

from orchestration_project.cli.printing import progress
from orchestration_project.core.errors import OrchestrationError, UnknownName, did_you_mean
from orchestration_project.core.settings import PROJECT
from orchestration_project.stores.home import Home

if TYPE_CHECKING:
    from dagster import DagsterInstance

LOCATION = "orchestration_project.definitions"

POLL_SECONDS = 0.2

_STEP_STARTED = re.compile(r'Started execution of step "(.+)"')
_PROGRESS = re.compile(r" - (\w+) - ([\w ]+ \d+ of \d+)$", re.MULTILINE)
_REFUSAL = re.compile(r"^dagster\..*\bFailure: (.+)$", re.MULTILINE)
_NO_SUCH_JOB = re.compile(r"Job .* not found in repository .* Found \[(.*)\]")

GRACE_SECONDS = 10.0
"""How long a process that was interrupted may take to end by itself."""


class JobFailed(OrchestrationError):
    """A job of Dagster's ended without success; its output is in a file."""


def run_job(home: Home, job: str, what: str, tags: dict[str, str] | None = None) -> None:
    """Run a job in a process of its own and wait for it, showing `what` and the step that it is at.

    JobFailed names the file that holds its output; UnknownName for a job that there is not. When this process is
    interrupted, so is the job, which records it.
    """
    command = ["job", "execute", "-m", LOCATION, "-j", job]
    if tags:
        command += ["--tags", json.dumps(tags)]
    log = home.root / "logs" / f"{job}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output, log.open(errors="replace") as written, progress(what) as show:
        process = _start(home, command, output)
        try:
            while (status := _ended(process)) is None:
                lines = written.read()
                for step in [*_STEP_STARTED.findall(lines), *map(": ".join, _PROGRESS.findall(lines))]:
                    show(f"{what}: {step}")
        except KeyboardInterrupt:
            stop(process)
            raise
    if status == 0:
        return
    told = log.read_text(errors="replace")
    if found := _NO_SUCH_JOB.search(told):
        known = found[1].replace("'", "").split(", ")
        raise UnknownName(f"There is no job '{job}'.{did_you_mean(job, known)}")
    why = _REFUSAL.search(told)
    raise JobFailed(f"The job '{job}' failed{f': {why[1]}' if why else f' (exit status {status}).'} Its output: {log}")


def instance_of(home: Home) -> "AbstractContextManager[DagsterInstance]":
    """Dagster's own stores of this home."""
    os.environ["DAGSTER_HOME"] = str(home.dagster)
    from dagster import DagsterInstance

    return DagsterInstance.get()


def start_server(home: Home) -> "subprocess.Popen[bytes]":
    """Start Dagster's UI, daemon and code server on 127.0.0.1."""
    workspace = str(PROJECT / "workspace.yaml")
    return _start(home, ["dev", "-w", workspace, "--host", "127.0.0.1", "--port", str(home.settings.port)])


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Interrupt a process and all that it started, give them time to end, and end by force what is left."""
    _signal(process, signal.SIGINT)
    deadline = time.monotonic() + GRACE_SECONDS
    with suppress(KeyboardInterrupt):  # whoever is impatient does not wait
        while _signal(process, 0) and time.monotonic() < deadline:
            process.poll()
            time.sleep(0.05)
    _signal(process, signal.SIGKILL)
    process.wait()


def _ended(process: "subprocess.Popen[bytes]") -> int | None:
    """The exit status of a process that ends within a moment; None for one that goes on."""
    try:
        return process.wait(POLL_SECONDS)
    except subprocess.TimeoutExpired:
        return None


def _start(home: Home, command: list[str], output: IO[bytes] | None = None) -> "subprocess.Popen[bytes]":
    """A Dagster command in a session of its own, so that an interrupt from the terminal reaches it once, through us."""
    error = None if output is None else subprocess.STDOUT
    return subprocess.Popen(
        [sys.executable, "-m", "dagster", *command],
        cwd=home.root,  # Dagster lets the .env of its folder override the environment
        env=_environment(home),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=error,
        start_new_session=True,
    )


def _signal(process: "subprocess.Popen[bytes]", number: int) -> bool:
    """Send a signal to a process and all that it started; whether there is any of them left."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def _environment(home: Home) -> dict[str, str]:
    """This process's environment, with the home and Dagster's home made plain."""
    named = {"DAGSTER_HOME": str(home.dagster), "ORCHESTRATE_HOME": str(home.root), "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **named}

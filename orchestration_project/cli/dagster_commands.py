"""Dagster's own commands, started as the command line needs them: a job that is waited for, and the development
server.
"""

import json
import os
import subprocess
import sys

from orchestration_project.core.errors import OrchestrationError
from orchestration_project.core.settings import PROJECT
from orchestration_project.stores.home import Home

LOCATION = "orchestration_project.definitions"


class JobFailed(OrchestrationError):
    """A job of Dagster's ended without success; its output is in a file."""


def run_job(home: Home, job: str, tags: dict[str, str] | None = None) -> None:
    """Run a job in a process of its own and wait for it; JobFailed names the file that holds its output."""
    command = [sys.executable, "-m", "dagster", "job", "execute", "-m", LOCATION, "-j", job]
    if tags:
        command += ["--tags", json.dumps(tags)]
    log = home.root / "logs" / f"{job}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        ended = subprocess.run(
            command, cwd=home.root, env=environment(home), stdout=output, stderr=subprocess.STDOUT, check=False
        )
    if ended.returncode != 0:
        raise JobFailed(f"The job '{job}' failed (exit status {ended.returncode}). Its output: {log}")


def add_batches(home: Home, batches: list[str]) -> None:
    """Make batches known to Dagster as keys of the partition `batch`."""
    os.environ["DAGSTER_HOME"] = str(home.dagster)
    from dagster import DagsterInstance

    with DagsterInstance.get() as instance:
        instance.add_dynamic_partitions("batch", batches)


def start_server(home: Home) -> "subprocess.Popen[bytes]":
    """Start Dagster's UI, daemon and code server on 127.0.0.1."""
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(PROJECT / "workspace.yaml")]
    command += ["--host", "127.0.0.1", "--port", str(home.settings.port)]
    return subprocess.Popen(command, cwd=home.root, env=environment(home))


def environment(home: Home) -> dict[str, str]:
    """This process's environment, with the home and Dagster's home made plain."""
    named = {"DAGSTER_HOME": str(home.dagster), "ORCHESTRATE_HOME": str(home.root), "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **named}

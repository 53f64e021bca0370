"""A real project for tests: its own home, the command line, Dagster's daemon with its code server, and what became of
the messages.
"""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa

from orchestration_project.core.settings import Settings
from orchestration_project.stores import batches, manifest
from orchestration_project.stores.files import file_digest
from orchestration_project.stores.home import Home
from orchestration_project.stores.schema import RUN_REQUESTS

TESTS = Path(__file__).parent
SMALL_WORKFLOW = TESTS / "faults" / "workflow"
"""Put on PYTHONPATH, it replaces `assets/`."""

PATIENCE_SECONDS = 180

NOBODY_WAITS = {"ORCHESTRATE_POLICY": str(TESTS / "nobody_waits.toml")}
"""What nobody is sure of keeps the surest answer: tests that are about people say so themselves."""

FAST = {"ORCHESTRATE_HEARTBEAT_SECONDS": "0.5", "ORCHESTRATE_LEASE_SECONDS": "30", "ORCHESTRATE_RETRY_SECONDS": "0.1"}
"""A run is taken for dead after three seconds, an unstarted one after thirty."""


def wait_until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """Poll until the condition gives something true, and return it; AssertionError that names what never came."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"still waiting after {seconds} s: {what}"
        time.sleep(0.1)
    return found


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port: int) -> bool:
    """Whether somebody listens on the TCP port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Project:
    """A project on a home of its own; `variables` go to every process it starts."""

    root: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @cached_property
    def home(self) -> Home:
        return Home(Settings.from_environment({**NOBODY_WAITS, **self.variables, "ORCHESTRATE_HOME": str(self.root)}))

    @property
    def environment(self) -> dict[str, str]:
        outside = {
            name: value for name, value in os.environ.items() if not name.startswith(("ORCHESTRATE_", "DAGSTER_"))
        }
        own = {"ORCHESTRATE_HOME": str(self.root), "DAGSTER_HOME": str(self.root / "dagster"), "PYTHONUNBUFFERED": "1"}
        own |= {**NOBODY_WAITS, "ORCHESTRATE_INBOX_PORT": str(self.inbox_port)}
        return {**outside, **own, **self.variables}

    @cached_property
    def inbox_port(self) -> int:
        """A port of its own for posted messages."""
        return free_port()

    def start(self, *command: str) -> "subprocess.Popen[bytes]":
        """Start a Python module (`-m` and what follows) in a process group of its own, with signals as in a terminal."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "output.log").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=self.root,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=default_signals,
            )
        self.processes.append(process)
        return process

    def start_daemon(self) -> "subprocess.Popen[bytes]":
        """Dagster's daemon, which starts the code server, as `orchestrate up` has it, without the web server."""
        self.home.prepare()
        return self.start("dagster._daemon", "run", "-m", "orchestration_project.definitions")

    def orchestrate(self, *arguments: str, status: int = 0) -> Any:
        """Run the command line to its end; returns what it printed, parsed if it is JSON."""
        self.root.mkdir(parents=True, exist_ok=True)
        ended = subprocess.run(
            [sys.executable, "-m", "orchestration_project.cli.main", *arguments],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE_SECONDS,
            check=False,
        )
        assert ended.returncode == status, ended.stdout + ended.stderr
        return json.loads(ended.stdout) if "--json" in arguments else ended.stdout + ended.stderr

    def put(self, name: str, messages: Iterable[Mapping[str, Any]]) -> Path:
        """Put a file of messages into the inbox, settled."""
        self.home.prepare()
        hidden = self.home.inbox / f".{name}.jsonl"
        hidden.write_text("".join(f"{json.dumps(message)}\n" for message in messages))
        os.utime(hidden, (0, 0))
        return hidden.rename(self.home.inbox / f"{name}.jsonl")

    def status(self) -> dict[str, int]:
        """State → number of messages; only those that there are."""
        with self.home.ledger.read() as connection:
            return {state: count for state, count in batches.count_states(connection).items() if count}

    def requests(self) -> list[dict[str, Any]]:
        """Every run request, in the order of their making."""
        with self.home.ledger.read() as connection:
            query = sa.select(RUN_REQUESTS).order_by(RUN_REQUESTS.c.requested_at, RUN_REQUESTS.c.key)
            return [dict(row) for row in connection.execute(query).mappings()]

    def rows(self, asset: str, batch: str | None = None) -> pd.DataFrame:
        """Current rows of an asset, of one batch or of all."""
        with self.home.ledger.read() as connection:
            current = [version for version in manifest.all_current(connection, batch) if version.asset == asset]
        frames = [self.home.warehouse.read(version.path).to_pandas() for version in current]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

    def digests(self) -> dict[str, str]:
        """Digest of every file of the home, with all in its database that SQLite had written beside it."""
        with closing(sqlite3.connect(self.root / "ledger.db")) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        found = (path for path in self.root.rglob("*") if not path.name.endswith(("-wal", "-shm")))
        return {str(path.relative_to(self.root)): file_digest(path) for path in found if path.is_file()}

    def processes_left(self) -> list[int]:
        """Every process that lives on this home, whoever started it."""
        found: list[int] = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if f"ORCHESTRATE_HOME={self.root}\0".encode() in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
        return found

    def output(self) -> str:
        """What the started processes wrote."""
        return (self.root / "output.log").read_text(errors="replace")

    def kill(self) -> None:
        """SIGKILL for every process on this home, as in a power cut."""
        while left := self.processes_left():
            for number in left:
                with suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
            for process in self.processes:
                process.wait()
        self.processes.clear()


def default_signals() -> None:
    """Undo what a background shell, or nohup, does to its children: let them ignore the interrupt, or the hang-up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)

"""The project under load while its processes are killed, its disk fills and its ledger is locked, round after round.

    python tests/chaos.py --rounds 50 --seed 7

Messages are posted and put into the inbox all the time. Each round does one fault to the project, and ends when a
message that was posted after the fault is done. Nobody mends anything but a service manager, which starts a process
again that ended, and an operator, who retries a batch that was set aside. At the end everything is set down against what
was sent; a home that broke a promise is kept, and named.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from live_project import FAST, SMALL_WORKFLOW, Project, free_port, wait_until
from receivers import LOOPBACK, Receiver, receiving

from orchestration_project.core.settings import PROJECT
from orchestration_project.governance import audit, batch_orders
from orchestration_project.stores import batches, deliveries, manifest, outbox, run_requests
from orchestration_project.stores.schema import ARRIVALS, BATCHES, CLAIMS, OUTBOX, QUARANTINE

TEXTS = ("angry {}", "calm {}", "angry {}?", "")
"""Sure, sure of something else, unsure, and what the contract refuses: so seldom that no batch halts for it."""

WEIGHTS = (6, 87, 5, 2)
DISK_BYTES = 64 << 20
FULL_SECONDS = 4.0
LOCKED_SECONDS = (3.0, 35.0)
"""Less, and more, than anybody waits for the ledger."""

PROCESSES = {
    "run worker": "multiprocessing.spawn",
    "daemon": "dagster._daemon",
    "code server": "dagster api grpc",
    "web server": "dagster_webserver",
    "inbox server": "cli.main serve-inbox",
}
"""What is killed, by a part of its command line."""

SERVERS = {
    "dagster": ("dagster", "dev", "-w", str(PROJECT / "workspace.yaml"), "--host", LOOPBACK),
    "inbox": ("orchestration_project.cli.main", "serve-inbox"),
}
"""What the service manager starts."""

Message = dict[str, str]


@dataclass
class Sent:
    """What the project has taken on: the id of each message, as often as it was sent, and its text."""

    ids: list[str] = field(default_factory=lambda: list[str]())
    texts: dict[str, str] = field(default_factory=lambda: dict[str, str]())

    def add(self, messages: Sequence[Message]) -> None:
        self.ids += [message["message_id"] for message in messages]
        self.texts |= {message["message_id"]: message["text"] for message in messages}

    @property
    def good(self) -> set[str]:
        return {number for number, text in self.texts.items() if text}


class Chaos(Project):
    """A project that is started, fed, and done harm to."""

    def __init__(self, root: Path, receiver: Receiver, seed: int) -> None:
        self.port = free_port()
        path = f"{SMALL_WORKFLOW.parent}:{SMALL_WORKFLOW}"
        own = {"ORCHESTRATE_PORT": str(self.port), "ORCHESTRATE_NOTIFY": receiver.url, "PYTHONPATH": path}
        super().__init__(root, {**FAST, **own})
        self.receiver = receiver
        self.random = random.Random(seed)
        self.sent = Sent()
        self.told: Counter[str] = Counter()
        self._ending = threading.Event()
        self._stopped = threading.Event()
        self._keeper: threading.Thread | None = None
        self._lock = threading.Lock()
        self._number = 0

    def faults(self) -> dict[str, Callable[[], None]]:
        """Each fault by its name; it is over when the function returns."""
        killings = {f"{name} killed": lambda name=name: self.kill_one(name) for name in PROCESSES}
        return {**killings, "disk full": self.fill_disk, "ledger locked": self.lock_ledger}

    @contextmanager
    def running(self) -> Generator[None]:
        """Served until everything is killed, and under load until the block ends."""
        self._keeper = threading.Thread(target=self._keep)
        load = [threading.Thread(target=work, daemon=True) for work in (self._post, self._post, self._put)]
        for thread in (self._keeper, *load):
            thread.start()
        try:
            yield
        finally:
            self._ending.set()
        for thread in load:
            thread.join()

    def kill(self) -> None:
        """As in a power cut; the service manager dies too."""
        self._stopped.set()
        if self._keeper is not None:
            self._keeper.join()
        super().kill()

    def kill_one(self, name: str) -> None:
        """SIGKILL for one process of that kind, at some moment of its life."""
        found = wait_until(lambda: self._numbers(name), f"a {name} to kill")
        time.sleep(self.random.random())  # it may end meanwhile: then the next one is killed
        with suppress(ProcessLookupError):
            os.kill(self.random.choice(self._numbers(name) or found), signal.SIGKILL)

    def fill_disk(self) -> None:
        """No byte is left where the warehouse lies, for some seconds."""
        filler = self.home.warehouse.root / ".filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(b"\0" * 65_536)
        time.sleep(FULL_SECONDS)
        filler.unlink()

    def lock_ledger(self) -> None:
        """Nobody can write into the ledger for some seconds."""
        connection = sqlite3.connect(self.root / "ledger.db", timeout=60, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(self.random.choice(LOCKED_SECONDS))
        connection.execute("ROLLBACK")
        connection.close()

    def recover(self) -> float:
        """Post a message and wait until it is done; returns the seconds that took."""
        started = time.monotonic()
        [message] = self._messages(1, "calm {}")
        self._deliver([message])
        wait_until(lambda: self._is_done(message["message_id"]), f"{message['message_id']} to be done")
        return time.monotonic() - started

    def come_to_rest(self) -> None:
        """Wait until nothing is left to do, then stop everything."""
        wait_until(self._is_at_rest, "the project to come to rest", 2 * 180)
        self.kill()

    def _keep(self) -> None:
        """The service manager: starts what has ended, after its own children."""
        running: dict[str, subprocess.Popen[bytes]] = {}
        while not self._stopped.is_set():
            for name, command in SERVERS.items():
                if name not in running or running[name].poll() is not None:
                    extra = ("--port", str(self.port)) if name == "dagster" else ()
                    running[name] = self.start(*command, *extra)
                    self.told[f"{name} started"] += 1
            self._stopped.wait(0.2)

    def _post(self) -> None:
        while not self._ending.is_set():
            self._deliver(self._messages(self.random.randint(1, 3)))
            self._ending.wait(0.3)

    def _put(self) -> None:
        while not self._ending.is_set():
            messages = self._messages(5)
            self.put(f"file-{messages[0]['message_id']}", messages)
            self._take_on(messages)
            self._ending.wait(2)

    def _deliver(self, messages: Sequence[Message]) -> None:
        """Post messages until they are accepted, always under the same key."""
        address = f"http://{LOOPBACK}:{self.inbox_port}/inbox"
        headers = {"Content-Type": "application/json", "Idempotency-Key": uuid4().hex}
        body = json.dumps(messages).encode()
        while True:
            try:
                with urllib.request.urlopen(urllib.request.Request(address, body, headers), timeout=60) as reply:
                    assert json.load(reply)["message_ids"] == [message["message_id"] for message in messages]
                    return self._take_on(messages)
            except urllib.error.HTTPError as error:
                assert error.code in (429, 503), error.read()
                self.told[f"posts put off ({error.code})"] += 1
            except (OSError, ValueError):
                self.told["posts broken off"] += 1
            time.sleep(0.3)

    def _messages(self, number: int, text: str | None = None) -> list[Message]:
        """New messages, and now and then one that was sent before."""
        found: list[Message] = []
        with self._lock:
            for _ in range(number):
                if text is None and self.sent.good and self.random.random() < 0.1:
                    known = self.random.choice(sorted(self.sent.good))
                    if known not in [message["message_id"] for message in found]:
                        found.append({"message_id": known, "text": self.sent.texts[known]})
                        continue
                self._number += 1
                own = text or self.random.choices(TEXTS, WEIGHTS)[0]
                found.append({"message_id": f"m{self._number:05d}", "text": own.format(self._number)})
        return found

    def _take_on(self, messages: Sequence[Message]) -> None:
        with self._lock:
            self.sent.add(messages)

    def _numbers(self, name: str) -> list[int]:
        """Process ids of one kind."""
        found: list[int] = []
        for number in self.processes_left():
            with suppress(OSError):
                command = Path(f"/proc/{number}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                if PROCESSES[name] in command:
                    found.append(number)
        return found

    def _is_done(self, message_id: str) -> bool:
        self._retry()
        query = sa.select(BATCHES.c.state).join(CLAIMS, CLAIMS.c.batch == BATCHES.c.batch)
        with self.home.ledger.read() as connection:
            return connection.execute(query.where(CLAIMS.c.message_id == message_id)).scalar() == "done"

    def _retry(self) -> None:
        """The operator: a batch that was set aside is tried again."""
        with self.home.ledger.read() as connection:
            aside = connection.execute(sa.select(BATCHES.c.batch).where(BATCHES.c.state == "set_aside")).scalars().all()
        for batch in aside:
            batch_orders.retry_batch(self.home, batch, "The fault is over")
            self.told["batches set aside, and retried"] += 1

    def _is_at_rest(self) -> bool:
        self._retry()
        if [*self.home.inbox.glob("[!.]*"), *self.home.received.iterdir()]:
            return False
        with self.home.ledger.read() as connection:
            free = connection.execute(sa.select(ARRIVALS.c.arrival_id).where(ARRIVALS.c.batch.is_(None))).first()
            delivered = Counter(delivery.state for delivery in deliveries.recorded(connection))
            notices = connection.execute(sa.select(sa.func.count()).select_from(OUTBOX)).scalar_one()
            is_told = delivered == {"delivered": notices}
            return is_told and not free and not run_requests.open_requests(connection)


def broken_promises(project: Chaos) -> list[str]:
    """Everything that is not as it was promised, in words; nothing when all is well."""
    home, sent = project.home, project.sent
    found: list[str] = []

    def promise(what: str, seen: Any, expected: Any) -> None:
        if isinstance(seen, Counter):
            seen, expected = seen - expected, expected - seen  # what is too much, and what is missing
        if seen != expected:
            found.append(f"{what}: {seen!r:.400} instead of {expected!r:.400}")

    with home.ledger.read() as connection:
        states = {state: count for state, count in batches.count_states(connection).items() if count}
        refused = connection.execute(sa.select(QUARANTINE.c.message_id).where(QUARANTINE.c.state == "open")).scalars()
        promise("refused, each once", Counter(refused), Counter(sent.texts.keys() - sent.good))
        promise("breaks of the audit chain", audit.breaks(connection), [])
        promise(
            "notices, by key",
            len({notice["key"] for notice in outbox.recorded(connection)}),
            len(outbox.recorded(connection)),
        )
        arrived = set(connection.execute(sa.select(ARRIVALS.c.path)).scalars())
        current = manifest.all_current(connection)
    counts = {"done": len(sent.good), "quarantined": len(sent.texts) - len(sent.good)}
    duplicates = len(sent.ids) - len(sent.texts)
    promise("where the messages are", states, {**counts, **({"duplicates": duplicates} if duplicates else {})})
    for asset in ("note", "mood"):
        promise(f"{asset}, each once", Counter(project.rows(asset)["message_id"]), Counter(sent.good))
    angry = Counter(number for number in sent.good if "angry" in sent.texts[number])
    promise("complaint, each once", Counter(project.rows("complaint")["key"]), angry)
    promise(
        "rows that the manifest tells of",
        [v.path for v in current if home.warehouse.read(v.path).num_rows != v.rows],
        [],
    )
    first = {one.key: one.title for one in reversed(project.receiver.accepted)}
    told = Counter(title.removeprefix("Complaint ") for title in first.values() if title.startswith("Complaint "))
    promise("complaints told, each once", told, angry)
    left = [home.below(file) for file in home.staged.iterdir() if home.below(file) not in arrived]
    promise("staged files of nobody", left, [])
    return found


@contextmanager
def chaos_in(root: Path, seed: int) -> Generator[Chaos]:
    """A project whose warehouse lies on a small disk of its own, and whose receiver fails now and then. Needs root."""
    rng = random.Random(seed)
    with receiving([500 if rng.random() < 0.1 else 200 for _ in range(500)]) as receiver:
        project = Chaos(root, receiver, seed)
        project.home.prepare()
        project.status()  # makes the ledger
        disk = project.home.warehouse.root
        disk.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)], check=True)
        try:
            yield project
        finally:
            project.kill()
            shutil.copytree(disk, kept := root / "warehouse.kept")
            subprocess.run(["umount", "--lazy", str(disk)], check=True)
            disk.rmdir()
            kept.rename(disk)


def run(project: Chaos, faults: Sequence[str], say: Callable[[str], object]) -> list[str]:
    """Do these faults, one a round; returns the promises that were broken."""
    known = project.faults()
    with project.running():
        project.recover()  # it is up
        for number, name in enumerate(faults, start=1):
            known[name]()
            say(f"{number:3d} {name:<22} done again after {project.recover():5.1f} s")
    project.come_to_rest()
    return broken_promises(project)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    chosen = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="chaos-")) / "home"
    print(f"{chosen.rounds} rounds with --seed {chosen.seed}", flush=True)
    with chaos_in(root, chosen.seed) as project:
        names = list(project.faults())
        faults = [names[number % len(names)] for number in range(chosen.rounds)]
        project.random.shuffle(faults)
        broken = run(project, faults, lambda line: print(line, flush=True))
        seen = {"messages": len(project.sent.ids), "ids": len(project.sent.texts), "runs": len(project.requests())}
    print(", ".join(f"{count:,} {what}" for what, count in {**seen, **project.told}.items()))
    print("\n".join(broken) or "Every message is in one state, and once in the outputs; every complaint was told once.")
    if broken:
        print(f"What is left: {root}")
        return 1
    shutil.rmtree(root.parent)
    return 0


if __name__ == "__main__":
    sys.exit(main())

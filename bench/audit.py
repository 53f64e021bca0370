"""What it takes to verify a long audit log: `python -m bench.audit`, with `--entries N` for another length.

A ledger on SQLite with 1,000,000 entries, three of five about a published version with its row in the manifest, two about
runs. Printed are seconds of the chain alone, of the chain with the rows that the entries record, and the highest memory
of the process; files are left out, for reading them takes what the disk takes. Medians of three.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sqlalchemy as sa

from orchestration_project.governance import audit
from orchestration_project.governance.audit import Chain, Entry
from orchestration_project.governance.audit_evidence import Evidence
from orchestration_project.governance.audit_witnesses import WITNESSES
from orchestration_project.stores.ledger import Ledger
from orchestration_project.stores.manifest import Version
from orchestration_project.stores.schema import AUDIT, AUDIT_HEAD, MANIFEST

ENTRIES = 1_000_000
ROUNDS = 3
BEGAN = datetime(2026, 3, 1, tzinfo=UTC)


def main(entries: int) -> None:
    """Make the ledger, verify it, and print seconds and memory."""
    with TemporaryDirectory() as folder:
        ledger = Ledger(f"sqlite:///{Path(folder, 'ledger.db')}")
        fill(ledger, entries)
        print(f"{entries:,} entries, {Path(folder, 'ledger.db').stat().st_size / 2**20:,.0f} MB of ledger")
        for name, verify in (("the chain alone", chain), ("the chain and the rows", chain_and_rows)):
            seconds = statistics.median(timed(verify, ledger) for _ in range(ROUNDS))
            megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{name}: {seconds:.1f} s, highest memory {megabytes:.0f} MB")
        ledger.close()


def timed(verify: Callable[[Ledger], None], ledger: Ledger) -> float:
    """Seconds that it takes."""
    started = time.perf_counter()
    verify(ledger)
    return time.perf_counter() - started


def chain(ledger: Ledger) -> None:
    """As every test asks."""
    with ledger.read() as connection:
        assert audit.breaks(connection) == []


def chain_and_rows(ledger: Ledger) -> None:
    """As `orchestrate audit verify` does, without files."""
    with ledger.read() as connection, Evidence(WITNESSES, complain) as evidence:
        followed = Chain(complain)
        evidence.hear(followed.follow(audit.entries(connection, complain)))
        followed.close(audit.head(connection))
        evidence.judge(connection)


def complain(sentence: str) -> None:
    """Nothing was tampered with."""
    raise AssertionError(sentence)


def fill(ledger: Ledger, number: int) -> None:
    """Write so many entries, and the rows of those that publish."""
    rows = made(number)
    with ledger.write() as connection:
        entry: Entry | None = None
        while some := list(islice(rows, 20_000)):
            entry = some[-1][0]
            connection.execute(sa.insert(AUDIT), [one._asdict() for one, _ in some])
            connection.execute(sa.insert(MANIFEST), [row for _, row in some if row is not None])
        assert entry is not None
        connection.execute(sa.update(AUDIT_HEAD).values(sequence=entry.sequence, digest=entry.digest))


def made(number: int) -> Iterator[tuple[Entry, dict[str, Any] | None]]:
    """Chained entries, each with the manifest row that it publishes."""
    previous = ""
    for sequence in range(1, number + 1):
        at = BEGAN + timedelta(seconds=sequence)
        row: dict[str, Any] | None = None
        if sequence % 5 < 3:
            batch, asset = f"b{sequence:012}", ("feedback", "sentiment", "issue")[sequence % 5]
            version = Version(
                asset, batch, 1, f"{sequence:036}", f"{asset}/{batch}", f"{sequence:064}", 500, {"feedback": 1}, at
            )
            row = {**vars(version), "is_current": True}
            performer = {"name": "sentiment", "version": "0123456789abcdef", "asked": 500, "accepted": 450}
            detail = {**version.facts(), "rows": 502, "refused": 2, "performers": [performer], "notices": []}
            action, subject = "published", f"{asset}/{batch}"
        else:
            action, subject = ("run began", "run succeeded")[sequence % 2], f"{sequence:036}"
            detail = {"happened_at": at.isoformat(), "job": "workflow", "launched_by": "sensor feedback_arrived"}
        entry = Entry(sequence, at.isoformat(), "anna", action, subject, audit.canonical(detail), previous, "")
        previous = audit.digest_of(entry)
        yield entry._replace(digest=previous), row


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=ENTRIES)
    main(parser.parse_args().entries)

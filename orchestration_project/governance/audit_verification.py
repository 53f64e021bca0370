"""The whole proof: the audit log's chain, the heads kept elsewhere, and the rows and files that entries record.

One reading of the ledger at one moment; what runs publish meanwhile is not looked at.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from orchestration_project.core.errors import Refused
from orchestration_project.governance import audit
from orchestration_project.governance.audit import BEGINNING, Chain, Entry, Head
from orchestration_project.governance.audit_archives import Archive, archives, in_place
from orchestration_project.governance.audit_evidence import Evidence
from orchestration_project.governance.audit_export import read_lines
from orchestration_project.governance.audit_witnesses import WITNESSES
from orchestration_project.stores.files import file_digest
from orchestration_project.stores.home import Home


@dataclass(frozen=True)
class Verified:
    """What was looked at: the entries from `first` to the head, and so many files."""

    first: int
    head: Head
    files: int


def verify(home: Home, tell: Callable[[str], object], heads: Iterable[Head] = ()) -> Verified:
    """Look at everything; `tell` hears what does not hold, a sentence each."""
    with home.ledger.read() as connection:
        return verify_in(connection, home, tell, heads)


def verify_in(
    connection: sa.Connection, home: Home, tell: Callable[[str], object], heads: Iterable[Head] = ()
) -> Verified:
    """As `verify`, of what the connection's transaction sees."""
    with Evidence(WITNESSES, tell) as evidence:
        try:
            known = archives(connection)
        except Refused as refusal:
            tell(str(refusal))
            known = []
        kept = in_place(home, known)
        before = known[: len(known) - len(kept)]
        after = before[-1] if before else None
        chain = Chain(tell, after.end if after else BEGINNING, heads)
        evidence.hear(chain.follow(_archived(home, kept, tell)))
        evidence.hear(chain.follow(audit.entries(connection, tell)))
        chain.close(audit.head(connection))
        evidence.judge(connection, datetime.fromisoformat(after.until) if after else None)
        files = evidence.look(home, connection)
    return Verified(chain.start.sequence + 1, chain.end, files)


def verify_file(file: Path, tell: Callable[[str], object], heads: Iterable[Head] = ()) -> Verified:
    """Look at the chain of an unfiltered export as JSON Lines. The first entry of one that does not reach back to the
    beginning is taken as it stands.
    """
    entries = read_lines(file)
    first = next(entries, None)
    if first is None:
        raise Refused(f"{file.name} has no entry. Export without filters: orchestrate audit export --out FILE.jsonl")
    after = BEGINNING if first.sequence == 1 else Head(first.sequence - 1, first.previous)
    chain = Chain(tell, after, heads)
    for _ in chain.follow(_both(first, entries)):
        pass
    chain.close(chain.end)
    return Verified(first.sequence, chain.end, 0)


def _archived(home: Home, kept: list[Archive], tell: Callable[[str], object]) -> Iterator[Entry]:
    for archive in kept:
        file = home.root / archive.file
        if (found := file_digest(file)) != archive.file_sha256:
            tell(f"{file} has sha256 {found}; it was pruned with {archive.file_sha256}.")
        yield from _readable(file, tell)


def _readable(file: Path, tell: Callable[[str], object]) -> Generator[Entry]:
    try:
        yield from read_lines(file)
    except Refused as refusal:
        tell(str(refusal))


def _both(first: Entry, rest: Iterator[Entry]) -> Iterator[Entry]:
    yield first
    yield from rest

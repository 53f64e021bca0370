"""Pruning: the oldest entries of the audit log move into a file of the home, and an entry says which.

The entry names every file so far, with number and digest of its last entry, so that the chain of what is left is
verified from there, or from the beginning while the files are in their place.
"""

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from itertools import takewhile

import sqlalchemy as sa

from orchestration_project.core.errors import Refused
from orchestration_project.governance import audit, people
from orchestration_project.governance.audit import PRUNED, Entry, Head
from orchestration_project.governance.audit_export import export
from orchestration_project.stores.files import file_digest
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.schema import AUDIT

ARCHIVES = "audit"
"""Folder of the home for what was pruned."""


@dataclass(frozen=True)
class Archive:
    """A file of entries that were pruned: those from `first` to `sequence`, of which the last has `digest` and was
    written at `until`. `file` is relative to the home.
    """

    first: int
    sequence: int
    digest: str
    until: str
    file: str
    file_sha256: str

    @property
    def end(self) -> Head:
        return Head(self.sequence, self.digest)


def archives(connection: sa.Connection) -> list[Archive]:
    """What was pruned so far, oldest first; Refused where the entry that says it cannot be read."""
    last = audit.last_prune(connection)
    if last is None:
        return []
    try:
        return [Archive(**one) for one in json.loads(last.detail)["archives"]]
    except (ValueError, LookupError, TypeError) as error:
        raise Refused(f"Entry {last.sequence} says what was pruned and cannot be read. Take a backup.") from error


def prune(home: Home, *, dry_run: bool = False) -> Archive | None:
    """Move every entry that is older than the setting `audit_days` into a file; returns which, None where none is.

    Takes the role auditor. Refused while the chain does not hold: what is left would hide it. With `dry_run` nothing
    changes and no file is written.
    """
    person = people.require(home.settings, "auditor")
    before = now() - timedelta(days=home.settings.audit_days)
    with home.ledger.read() as connection:
        if found := audit.breaks(connection):
            raise Refused(f"The audit log does not hold: {found[0]} Nothing was pruned. See: orchestrate audit verify")
        known, first = archives(connection), audit.start(connection).sequence + 1
        last = deque(_older(connection, before), maxlen=1)
        if not last:
            return None
        name = f"{ARCHIVES}/{first:012}-{last[0].sequence:012}.jsonl"
        archive = Archive(first, last[0].sequence, last[0].digest, last[0].at, name, "")
        if dry_run:
            return archive
        export(home.root / name, _older(connection, before))
    archive = replace(archive, file_sha256=file_digest(home.root / name))
    with home.ledger.write() as connection:
        if archives(connection) != known:
            raise Refused("Somebody else pruned the audit log meanwhile. Nothing more was pruned.")
        connection.execute(sa.delete(AUDIT).where(AUDIT.c.sequence <= archive.sequence))
        listed = [asdict(one) for one in (*known, archive)]
        audit.append(connection, PRUNED, f"entries {first} to {archive.sequence}", {"archives": listed}, person.name)
    return archive


def _older(connection: sa.Connection, moment: datetime) -> Iterator[Entry]:
    entries = audit.entries(connection, _refuse)
    return takewhile(lambda entry: datetime.fromisoformat(entry.at) < moment, entries)


def _refuse(trouble: str) -> None:
    raise Refused(f"{trouble} See: orchestrate audit verify")


def in_place(home: Home, known: list[Archive]) -> list[Archive]:
    """The newest archives that lie in the home without one missing between them, oldest first."""
    return list(takewhile(lambda archive: (home.root / archive.file).exists(), reversed(known)))[::-1]

"""What the audit log says there must be, held against what there is: rows of the ledger, and files.

A `Witness` speaks for one table. Its `said` reads from an entry which rows that entry made, changed or ended; its `rows`
are those that there are; its `files` those that the rows name. The two sides are laid down in a temporary database on
disk, so that a log of a million entries takes no more memory than one of ten.
"""

import json
import marshal
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

import sqlalchemy as sa

from orchestration_project.governance.audit import Entry
from orchestration_project.stores.files import file_digest
from orchestration_project.stores.home import Home

Key = tuple[str | int, ...]


class Claim(NamedTuple):
    """What an entry says of one row: what stands in it from now on, column by column. None: it is gone."""

    key: Key
    facts: dict[str, Any] | None


class Found(NamedTuple):
    """A row that there is. `since` is when it was written: rows older than the log itself need no entry."""

    key: Key
    facts: dict[str, Any]
    since: datetime


class NamedFile(NamedTuple):
    """A file that a row names."""

    path: Path
    sha256: str


def _no_files(_home: Home, _connection: sa.Connection) -> Iterator[NamedFile]:
    return iter(())


@dataclass(frozen=True)
class Witness:
    """Speaks for one table.

    `title` names a row in a sentence, with a `{}` for each part of its key. `said` is asked about entries of the
    `actions` only; the last entry that speaks of a row counts. An entry need not give every column: those that it
    leaves out are not compared. The facts are what JSON can hold.
    """

    title: str
    table: sa.Table
    actions: frozenset[str]
    said: Callable[[Entry, Mapping[str, Any]], Iterable[Claim]]
    rows: Callable[[sa.Connection], Iterable[Found]]
    files: Callable[[Home, sa.Connection], Iterator[NamedFile]] = field(default=_no_files)

    def name(self, key: str) -> str:
        """The row in a sentence; `key` is as it is kept."""
        return self.title.format(*(part or "the project" for part in key.split(_BETWEEN)))


class Evidence:
    """What the entries say, then what there is against it. `tell` hears each contradiction, as a sentence."""

    def __init__(self, witnesses: Iterable[Witness], tell: Callable[[str], object]) -> None:
        self._witnesses = list(witnesses)
        self._tell = tell
        self._by_action: dict[str, list[tuple[int, Witness]]] = {}
        for number, witness in enumerate(self._witnesses):
            for action in witness.actions:
                self._by_action.setdefault(action, []).append((number, witness))
        self._waiting: dict[tuple[int, str], tuple[int, bytes | None]] = {}
        self._store = sqlite3.connect("", isolation_level=None)  # SQLite's own temporary file, gone when it is closed
        self._store.executescript(_TABLES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._store.close()

    def hear(self, entries: Iterable[Entry]) -> None:
        """Take down what entries say, in their order."""
        for entry in entries:
            if entry.action in self._by_action:
                self._hear(entry)
        self._lay_down()

    def judge(self, connection: sa.Connection, since: datetime | None = None) -> None:
        """Hold the tables to it. Where the log does not reach back to its beginning, rows written until `since` need no
        entry.
        """
        for number, witness in enumerate(self._witnesses):
            rows = (
                (number, _key(row.key), _packed(row.facts), since is None or row.since > since)
                for row in witness.rows(connection)
            )
            self._store.execute("BEGIN")
            self._store.executemany("INSERT INTO found VALUES (?, ?, ?, ?)", rows)
            self._store.execute("COMMIT")
        with closing(self._store.execute(_DIFFERENT)) as differences:
            for number, key, found, sequence, claimed in differences:
                for sentence in _contradictions(self._witnesses[number].name(key), found, sequence, claimed):
                    self._tell(sentence)
        self._store.execute("CREATE INDEX found_keys ON found (witness, key)")
        with closing(self._store.execute(_GONE)) as gone:
            for number, key, sequence in gone:
                self._tell(f"{self._witnesses[number].name(key)} is gone, which entry {sequence} records.")

    def look(self, home: Home, connection: sa.Connection) -> int:
        """Hold every file that a row names to the row's sha256; returns how many there were."""
        number = 0
        for witness in self._witnesses:
            for path, sha256 in witness.files(home, connection):
                number += 1
                try:
                    found = file_digest(path)
                except FileNotFoundError:
                    self._tell(f"{path} is missing; the ledger names it with sha256 {sha256}.")
                    continue
                except (OSError, ValueError) as error:
                    self._tell(f"{path} cannot be read ({error}); the ledger names it with sha256 {sha256}.")
                    continue
                if found != sha256:
                    self._tell(f"{path} has sha256 {found}; the ledger names it with {sha256}.")
        return number

    def _hear(self, entry: Entry) -> None:
        try:
            detail = json.loads(entry.detail)
            for number, witness in self._by_action[entry.action]:
                for key, facts in witness.said(entry, detail):
                    self._waiting[number, _key(key)] = (entry.sequence, None if facts is None else _packed(facts))
        except (ValueError, LookupError, TypeError, AttributeError):
            self._tell(f"Entry {entry.sequence}, '{entry.action}', has a detail that cannot be read.")
        if len(self._waiting) >= _MOST_WAITING:
            self._lay_down()

    def _lay_down(self) -> None:
        said = ((number, key, sequence, facts) for (number, key), (sequence, facts) in self._waiting.items())
        self._store.execute("BEGIN")
        self._store.executemany("INSERT OR REPLACE INTO said VALUES (?, ?, ?, ?)", said)
        self._store.execute("COMMIT")
        self._waiting.clear()


_MOST_WAITING = 10_000

_TABLES = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -65536;
CREATE TABLE said (
    witness INTEGER, key TEXT, sequence INTEGER, facts BLOB, PRIMARY KEY (witness, key)
) WITHOUT ROWID;
CREATE TABLE found (witness INTEGER, key TEXT, facts BLOB, needs_entry INTEGER);
"""

_DIFFERENT = """
SELECT found.witness, found.key, found.facts, said.sequence, said.facts
FROM found LEFT JOIN said ON said.witness = found.witness AND said.key = found.key
WHERE (said.sequence IS NOT NULL OR found.needs_entry) AND said.facts IS NOT found.facts
"""

_GONE = """
SELECT witness, key, sequence FROM said
WHERE facts IS NOT NULL AND NOT EXISTS (
    SELECT * FROM found WHERE found.witness = said.witness AND found.key = said.key
)
"""

_BETWEEN = "\0"


def _key(key: Key) -> str:
    return _BETWEEN.join(map(str, key))


def _packed(facts: dict[str, Any]) -> bytes:
    """Facts as bytes that only this process reads: JSON would take four times the time. Version 2 writes equal values
    equally.
    """
    return marshal.dumps(facts, 2)


def _contradictions(name: str, found: bytes, sequence: int | None, claimed: bytes | None) -> Iterator[str]:
    if sequence is None:
        yield f"{name} is there, and no entry records it."
    elif claimed is None:
        yield f"{name} is there, and entry {sequence} records that it is gone."
    else:
        row = marshal.loads(found)
        for column, value in marshal.loads(claimed).items():
            if row.get(column) != value:
                yield f"{name} has {column} {row.get(column)!r}, and entry {sequence} records {value!r}."

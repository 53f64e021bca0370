"""Entries of the audit log by period, actor, action, asset and version, and as files that others can verify.

A line of JSON Lines, and a row of Parquet, has every column as it is stored, `detail` as its text: a digest is of that.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any

from orchestration_project.core.errors import FileRefused
from orchestration_project.governance.audit import Entry
from orchestration_project.stores.files import publish_file, temporary_beside

SUFFIXES = (".jsonl", ".parquet")

_ROWS_AT_ONCE = 20_000


@dataclass(frozen=True)
class Selection:
    """Which entries; what is not set selects all.

    From `since` on, before `until`. `asset` also selects what happened to one of its partitions, or to a model of that
    name. `version` is the number of a published version or the digest of a model's, or how it begins (4 characters or
    more), wherever the entry names it.
    """

    since: datetime | None = None
    until: datetime | None = None
    asset: str | None = None
    version: str | None = None
    person: str | None = None
    action: str | None = None

    def choose(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Those of the entries that are meant."""
        return filter(self._has, entries)

    def _has(self, entry: Entry) -> bool:
        if self.person not in (None, entry.actor) or self.action not in (None, entry.action):
            return False
        if self.since or self.until:
            at = datetime.fromisoformat(entry.at)
            if (self.since and at < self.since) or (self.until and at >= self.until):
                return False
        if self.asset is None and self.version is None:
            return True
        detail = _parsed(entry.detail)
        name = entry.subject.partition("/")[0]
        if self.asset is not None and self.asset not in (name, detail.get("asset")):
            return False
        return self.version is None or self._is_version(entry.subject.rpartition("/")[2]) or self._names(detail)

    def _names(self, value: Any) -> bool:
        if isinstance(value, dict):
            return any(
                self._is_version(one) if name in ("version", "successor") else self._names(one)
                for name, one in value.items()
            )
        return isinstance(value, list) and any(map(self._names, value))

    def _is_version(self, value: Any) -> bool:
        asked = self.version or ""
        return str(value) == asked or (isinstance(value, str) and len(asked) >= 4 and value.startswith(asked))


def export(file: Path, entries: Iterable[Entry]) -> int:
    """Write entries into a file that ends in .jsonl or .parquet, over an older one; returns how many.

    The file is there whole or not at all. FileRefused for another ending, and where it cannot be written.
    """
    if file.suffix not in SUFFIXES:
        raise FileRefused(f"{file.name} does not say what it is to be. End its name in {' or '.join(SUFFIXES)}.")
    write = _write_lines if file.suffix == ".jsonl" else _write_parquet
    temporary: Path | None = None
    try:
        temporary = temporary_beside(file)
        with temporary.open("wb") as stream:
            number = write(stream, iter(entries))
        publish_file(temporary, file)
    except OSError as error:
        raise FileRefused(f"{file} cannot be written: {error.strerror}. Name another with --out.") from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
    return number


def read_lines(file: Path) -> Iterator[Entry]:
    """The entries of a JSON Lines file that `export` wrote, in its order; FileRefused for a line that is none."""
    try:
        with file.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, start=1):
                try:
                    yield Entry(**json.loads(line))
                except (ValueError, TypeError) as error:
                    raise FileRefused(
                        f"Line {number} of {file.name} is no audit entry. Export again: orchestrate audit export"
                    ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise FileRefused(f"{file} cannot be read ({error}). Name a file of: orchestrate audit export") from error


def _write_lines(stream: IO[bytes], entries: Iterator[Entry]) -> int:
    number = 0
    for entry in entries:
        stream.write(json.dumps(entry._asdict(), ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        number += 1
    return number


def _write_parquet(stream: IO[bytes], entries: Iterator[Entry]) -> int:
    import pyarrow
    import pyarrow.parquet

    types = [pyarrow.int64(), *[pyarrow.string()] * (len(Entry._fields) - 1)]
    schema = pyarrow.schema(list(zip(Entry._fields, types, strict=True)))
    number = 0
    with pyarrow.parquet.ParquetWriter(stream, schema, compression="zstd") as writer:
        while rows := list(islice(entries, _ROWS_AT_ONCE)):
            columns = [pyarrow.array(values, kind) for values, kind in zip(zip(*rows, strict=True), types, strict=True)]
            writer.write_table(pyarrow.Table.from_arrays(columns, schema=schema))
            number += len(rows)
    return number


def _parsed(detail: str) -> dict[str, Any]:
    """A detail; empty where somebody changed it into what is none."""
    with suppress(ValueError):
        if isinstance(found := json.loads(detail), dict):
            return found
    return {}

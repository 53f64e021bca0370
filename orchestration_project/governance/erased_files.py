"""The files that hold rows, written anew without a message: versions, refused rows, staged rows, imported labels.

New files are written beside the old ones, which nothing names before `name` does, in one ledger transaction. Old files are
removed after it, so that a crash leaves either all as it was or files that nobody names.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from orchestration_project.core.errors import ArtifactRefused, Conflict
from orchestration_project.governance.erasure_traces import ADDED, Traces, rows_of_arrival, staged
from orchestration_project.stores import labels
from orchestration_project.stores.erased_tables import ID, Eraser, made_ids
from orchestration_project.stores.files import publish_file, temporary_beside
from orchestration_project.stores.home import Home
from orchestration_project.stores.labels import Import
from orchestration_project.stores.manifest import UNPARTITIONED, Version
from orchestration_project.stores.schema import ARRIVALS, BATCHES, LABEL_IMPORTS, MANIFEST, QUARANTINE


@dataclass(frozen=True)
class TakenOut:
    """An arrival from which rows were taken: how many, how many are left, and its new file."""

    entry: "sa.RowMapping"
    rows: int
    left: int
    path: str

    @property
    def token(self) -> str:
        """Under which its file was received."""
        return self.entry["arrival_id"].partition("/")[0]


@dataclass
class Rewritten:
    """What was written anew and is named by nothing yet: `new` are its files. `missing` are files that the ledger names
    and that are gone.
    """

    versions: list[tuple[Version, Version]] = field(default_factory=lambda: list[tuple[Version, Version]]())
    quarantine: dict[str, str] = field(default_factory=lambda: dict[str, str]())
    arrivals: list[TakenOut] = field(default_factory=lambda: list[TakenOut]())
    imports: list[tuple[Import, Import]] = field(default_factory=lambda: list[tuple[Import, Import]]())
    missing: list[str] = field(default_factory=lambda: list[str]())
    new: list[Path] = field(default_factory=lambda: list[Path]())

    def counts(self) -> Counter[str]:
        """Place → how many files of it."""
        return Counter(
            {
                "versions of assets": len(self.versions),
                "files of refused rows": len(self.quarantine),
                "staged files": len(self.arrivals),
                "label imports": len(self.imports),
            }
        )

    def replaced(self, home: Home) -> list[str]:
        """The old files, below the home."""
        old = [home.warehouse.root / before.path for before, _ in self.versions]
        old += [home.warehouse.quarantine / path for path in self.quarantine]
        found = [home.below(path) for path in old] + [taken.entry["path"] for taken in self.arrivals]
        return sorted({*found, *(before.path for before, after in self.imports if before.path != after.path)})

    def discard(self) -> None:
        """Remove the new files, which nothing will name."""
        for path in self.new:
            path.unlink(missing_ok=True)


def write_anew(home: Home, traces: Traces) -> Rewritten:
    """Write every file anew that holds something of the message; whatever is raised leaves no new file."""
    written = Rewritten()
    try:
        _write_versions(home, traces, written)
        _write_quarantine(home, traces, written)
        _write_staged(home, traces, written)
        _write_imports(home, traces, written)
    except BaseException:
        written.discard()
        raise
    return written


def name(connection: sa.Connection, traces: Traces, written: Rewritten) -> None:
    """Have the ledger name the new files, in the caller's transaction; Conflict where it does not name the old any more."""
    for before, after in written.versions:
        its = [MANIFEST.c[key] == getattr(before, key) for key in ("asset", "partition", "version", "path", "sha256")]
        _require_one(connection.execute(sa.update(MANIFEST).where(*its).values(path=after.path, sha256=after.sha256)))
    for old, new in written.quarantine.items():
        connection.execute(sa.update(QUARANTINE).where(QUARANTINE.c.path == old).values(path=new))
    for before, after in written.imports:
        its = (LABEL_IMPORTS.c.import_id == before.import_id, LABEL_IMPORTS.c.sha256 == before.sha256)
        values = {"path": after.path, "sha256": after.sha256, "rows": after.rows}
        _require_one(connection.execute(sa.update(LABEL_IMPORTS).where(*its).values(**values)))
    _name_arrivals(connection, traces, written.arrivals)


def _name_arrivals(connection: sa.Connection, traces: Traces, taken: list[TakenOut]) -> None:
    gone: Counter[str] = Counter()
    for one in taken:
        entry = one.entry
        its = (ARRIVALS.c.arrival_id == entry["arrival_id"], ARRIVALS.c.path == entry["path"])
        is_same = ARRIVALS.c.batch.is_(None) if entry["batch"] is None else ARRIVALS.c.batch == entry["batch"]
        if entry["batch"] is None and not one.left:
            _require_one(connection.execute(sa.delete(ARRIVALS).where(*its, is_same)))
            continue
        _require_one(connection.execute(sa.update(ARRIVALS).where(*its, is_same).values(path=one.path, rows=one.left)))
        if entry["batch"] is not None:
            gone[entry["batch"]] += one.rows
    for digest in {one.entry["file_sha256"] for one in taken if not one.left}:
        of_file = ARRIVALS.c.file_sha256 == digest
        if not connection.execute(sa.select(sa.func.sum(ARRIVALS.c.rows)).where(of_file)).scalar():
            # the digest of a file of one message tells what it said to whoever guesses it
            connection.execute(sa.update(ARRIVALS).where(of_file).values(file_sha256=""))
            its = QUARANTINE.c.file_sha256 == digest
            connection.execute(sa.update(QUARANTINE).where(its).values(file_sha256=None))
    for batch, number in gone.items():
        _count_without(connection, traces, batch, number)


def _count_without(connection: sa.Connection, traces: Traces, batch: str, number: int) -> None:
    """Keep a batch's numbers right without so many rows: the message itself still counts where it was published or
    refused, and each row more was a duplicate.
    """
    is_refused = any(row.partition == batch and row.state != "superseded" for row in traces.refused)
    is_held = traces.holder == batch
    counts = 1 if is_refused or (is_held and batch in traces.published) else 0
    duplicates = number - (1 if is_refused or is_held else 0)
    changed = {"rows": BATCHES.c.rows - (number - counts)}
    known = connection.execute(sa.select(BATCHES.c.duplicates).where(BATCHES.c.batch == batch)).scalar_one()
    changed |= {"duplicates": max(known - duplicates, 0)}
    connection.execute(sa.update(BATCHES).where(BATCHES.c.batch == batch).values(**changed))


def _write_versions(home: Home, traces: Traces, written: Rewritten) -> None:
    eraser = Eraser(traces.message_id, traces.words, traces.columns)
    for version in traces.versions:
        try:
            table = home.warehouse.read(version.path)
        except ArtifactRefused:
            written.missing.append(version.path)
            continue
        is_shared = version.partition == UNPARTITIONED
        erased = eraser.erased(table, came_in=traces.came_in(version), is_shared=is_shared)
        if erased is not None:
            file = home.warehouse.write(version.asset, version.partition, version.run_id, erased)
            written.new.append(home.warehouse.root / file.path)
            written.versions.append((version, replace(version, path=file.path, sha256=file.sha256)))


def _write_quarantine(home: Home, traces: Traces, written: Rewritten) -> None:
    positions: dict[str, dict[int, bool]] = {}
    for row in traces.refused:
        positions.setdefault(row.path, {})[row.position] = row.reason.startswith("unparsable:")
    for path, rows in positions.items():
        try:
            table = home.warehouse.read_quarantine(path)
        except ArtifactRefused:
            written.missing.append(path)
            continue
        erased = table
        for number, column in enumerate(table.column_names):
            cells: list[Any] = table[column].to_pylist()
            kept = [
                cell if row not in rows or cell == traces.message_id or (rows[row] and column in (*ADDED, ID)) else None
                for row, cell in enumerate(cells)
            ]
            if kept != cells:
                erased = erased.set_column(
                    number, table.schema.field(column), pa.array(kept, table.schema.field(column).type)
                )
        if erased is not table:
            written.quarantine[path] = home.warehouse.write_quarantine_again(path, erased).path
            written.new.append(home.warehouse.quarantine / written.quarantine[path])


def _write_staged(home: Home, traces: Traces, written: Rewritten) -> None:
    for entry in traces.arrivals:
        table = staged(home, entry)
        if table is None:
            written.missing.append(entry["path"])
        elif own := set(rows_of_arrival(home, traces, entry, table)):
            left = table.take(pa.array([row for row in range(len(table)) if row not in own], pa.int64()))
            token, _, number = entry["arrival_id"].partition("/")
            final = home.staged / f"{token}-{number}-{uuid4().hex[:8]}.parquet"
            temporary = temporary_beside(final)
            written.new += [temporary, final]
            pq.write_table(left, temporary, compression="zstd")
            publish_file(temporary, final)
            written.arrivals.append(TakenOut(entry, len(own), len(left), home.below(final)))


def _write_imports(home: Home, traces: Traces, written: Rewritten) -> None:
    for entry in traces.imports:
        table = labels.table_of(home, entry)
        if table is None:
            written.missing.append(entry.path)
            continue
        frame: Any = table.to_pandas()
        says_it = is_labelled(traces)
        own = [says_it(one, text) for one, text in zip(frame[labels.MESSAGE_ID], frame[labels.TEXT], strict=True)]
        if any(own):
            left = frame[[not one for one in own]].reset_index(drop=True)
            content = labels.to_parquet(left)
            path = labels.path_of(home, entry.family, content)
            if not (home.root / path).exists():  # another import may have the same rows
                written.new.append(home.root / path)
                labels.store(home, entry.family, content)
            after = replace(entry, path=path, sha256=labels.digest_of(content), rows=len(left))
            written.imports.append((entry, after))


def is_labelled(traces: Traces) -> Callable[[str, str], bool]:
    """Whether a label with this id and text is one of the message: under its id, one made of its text, or any other."""
    ids = {traces.message_id, *made_ids(traces.words)}
    return lambda message_id, text: message_id in ids or text.strip() in traces.words.said


def _require_one(result: "sa.CursorResult[Any]") -> None:
    if result.rowcount != 1:
        raise Conflict("A file of the message was written anew by somebody else meanwhile. Try again.")

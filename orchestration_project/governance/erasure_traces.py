"""What is known of a message before it is erased: the batches that have, or had, it, and what it said."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from orchestration_project.core.erasing import Words, is_telling, strings_in
from orchestration_project.core.errors import ArtifactRefused
from orchestration_project.stores import cascades, claims, erasures, labels, manifest
from orchestration_project.stores.erased_tables import ID, holds_text
from orchestration_project.stores.formats import ERROR, LINE
from orchestration_project.stores.home import Home
from orchestration_project.stores.labels import Import
from orchestration_project.stores.manifest import UNPARTITIONED, Version
from orchestration_project.stores.message_rows import MessageRows
from orchestration_project.stores.quarantine import QuarantinedRow
from orchestration_project.stores.schema import ARRIVALS, LABEL_IMPORTS, MANIFEST, QUARANTINE, REVIEWS, VERDICTS
from orchestration_project.stores.staging import read_staged

ADDED = frozenset({"file", "file_sha256", "line", "registered_at"})
"""Columns that a line which could not be read has in quarantine besides its text and the error."""


@dataclass(frozen=True)
class Traces:
    """A message and where it may be. `holder` is the batch that has claimed it (None: none has); `batches` have it, or had
    it; `published` are those of them that published it as it came in; `columns` are those it came in with.
    """

    message_id: str
    holder: str | None
    batches: frozenset[str]
    published: frozenset[str]
    columns: frozenset[str]
    words: Words
    rows: MessageRows
    sources: dict[str, str]
    versions: Sequence[Version]
    refused: Sequence[QuarantinedRow]
    arrivals: Sequence["sa.RowMapping"]
    imports: Sequence[Import]

    def came_in(self, version: Version) -> bool:
        """Whether a version has messages as they came in."""
        return self.sources.get(version.partition) == version.asset and version.partition != UNPARTITIONED


def find(home: Home, message_id: str, known: Words) -> Traces:
    """Look for a message; `known` is what it is already known to have said. What is missing on the disk is passed over.

    UnknownName, with the nearest id, for one of which nobody knows anything.
    """
    with home.ledger.read() as connection:
        named = _named(connection, message_id)
        heard = _Heard(_names(connection) | {message_id}, known)
        is_erased = erasures.get(connection, message_id) is not None
    _hear_quarantine(home, named.refused, heard)
    published, columns = _hear_versions(home, message_id, named, heard)
    is_labelled = _hear_imports(home, message_id, named.imports, heard)
    if not (named.batches or is_labelled or is_erased):
        with home.ledger.read() as connection:
            raise claims.unknown(connection, message_id)
    lines = ((row.file_sha256, row.line) for row in named.refused)
    places = frozenset((digest, line) for digest, line in lines if digest and line is not None)
    rows = MessageRows(message_id, home.secret, home.settings.inbox_id_names, places, frozenset(heard.texts))
    _hear_arrivals(home, named, rows, heard)
    return Traces(
        **vars(named),
        message_id=message_id,
        published=published,
        columns=columns,
        words=Words(heard.said),
        rows=replace(rows, texts=frozenset(heard.texts)),
    )


@dataclass(frozen=True)
class _Named:
    """What the ledger names of a message, and of everything in which it may stand."""

    holder: str | None
    batches: frozenset[str]
    sources: dict[str, str]
    versions: Sequence[Version]
    refused: Sequence[QuarantinedRow]
    arrivals: Sequence["sa.RowMapping"]
    imports: Sequence[Import]


def _named(connection: sa.Connection, message_id: str) -> _Named:
    holder = claims.batch_of(connection, message_id)
    refused = _refused(connection, message_id)
    batches = {*([] if holder is None else [holder]), *(row.partition for row in refused)}
    for table in (REVIEWS, VERDICTS):
        query = sa.select(table.c.partition).where(table.c.message_id == message_id)
        batches |= set(connection.execute(query).scalars())
    families = connection.execute(sa.select(LABEL_IMPORTS.c.family).distinct()).scalars().all()
    return _Named(
        holder=holder,
        batches=frozenset(batches),
        sources=manifest.sources(connection),
        versions=[Version(*row) for row in connection.execute(sa.select(*manifest.COLUMNS))],
        refused=refused,
        arrivals=connection.execute(sa.select(ARRIVALS).order_by(ARRIVALS.c.arrival_id)).mappings().all(),
        imports=[entry for family in families for entry in labels.imports(connection, family)],
    )


@dataclass
class _Heard:
    """Collects what the message said: every text of its rows, and of each row the longest, which is what it says."""

    names: Collection[str]
    known: Words
    said: set[str] = field(default_factory=lambda: set[str]())
    texts: set[str] = field(default_factory=lambda: set[str]())

    def __post_init__(self) -> None:
        self.said |= self.known.said

    def rows(self, table: pa.Table, rows: Sequence[int]) -> None:
        """These rows; without values that other rows have in the same column too, which name a kind, unless they are
        the longest.
        """
        longest = dict.fromkeys(rows, "")
        for name in _text_columns(table) if rows else ():
            cells: list[Any] = table[name].to_pylist()
            others = {cell for row, cell in enumerate(cells) if row not in longest and isinstance(cell, str)}
            for row in rows:
                if isinstance(cells[row], str):
                    longest[row] = max(longest[row], cells[row], key=len)
                self.said |= {text for text in strings_in(cells[row]) if text not in others and text not in self.names}
        for text in filter(is_telling, longest.values()):
            self.said.add(text)
            self.texts.add(text.strip())


def staged(home: Home, entry: "sa.RowMapping") -> pa.Table | None:
    """The rows of an arrival as they are staged; None where the file is gone."""
    try:
        return read_staged(home, entry["path"])
    except ArtifactRefused:
        return None


def rows_of_arrival(home: Home, traces: Traces, entry: "sa.RowMapping", table: pa.Table) -> list[int]:
    """The numbers of the message's rows in an arrival, or in the file that it came in with."""
    held = _held(home, entry["batch"], traces.message_id)
    return traces.rows.among(table, entry["file_sha256"], held, is_own=entry["batch"] in traces.batches)


def _refused(connection: sa.Connection, message_id: str) -> list[QuarantinedRow]:
    columns = [QUARANTINE.c[name] for name in QuarantinedRow.__dataclass_fields__]
    query = sa.select(*columns).where(QUARANTINE.c.message_id == message_id).order_by(QUARANTINE.c.row_id)
    return [QuarantinedRow(*row) for row in connection.execute(query)]


def _names(connection: sa.Connection) -> set[str]:
    """What the project itself calls things by: a message that says only such a name tells nothing by it."""
    found = set(connection.execute(sa.select(MANIFEST.c.asset).distinct()).scalars())
    for cascade in cascades.every(connection):
        found |= {cascade.asset, *cascade.performers, *cascade.labels}
    return found


def _held(home: Home, batch: str | None, message_id: str) -> set[str]:
    if batch is None:
        return {message_id}
    with home.ledger.read() as connection:
        return {*claims.held_by(connection, batch), message_id}


def _read(home: Home, version: Version) -> pa.Table | None:
    try:
        return home.warehouse.read(version.path)
    except ArtifactRefused:
        return None


def _hear_quarantine(home: Home, refused: Sequence[QuarantinedRow], heard: _Heard) -> None:
    for row in refused:
        heard.said |= set(strings_in(dict(row.correction or {}))) - set(heard.names)
        try:
            table = home.warehouse.read_quarantine(row.path)
        except ArtifactRefused:
            continue
        kept = [name for name in table.column_names if name not in (*ADDED, "error")]
        heard.rows(table.select(kept), [row.position])


def _hear_versions(home: Home, message_id: str, named: _Named, heard: _Heard) -> tuple[frozenset[str], frozenset[str]]:
    """Hear what its batches published as it came in; returns those that have it, and the columns that it came in with."""
    published: set[str] = set()
    columns: set[str] = set()
    for version in named.versions:
        batch = version.partition
        if batch == UNPARTITIONED or batch not in named.batches or named.sources[batch] != version.asset:
            continue
        table = _read(home, version)
        if table is not None and ID in table.column_names:
            columns |= set(_text_columns(table))
            if own := _rows_with(table, message_id):
                published.add(batch)
                heard.rows(table, own)
    return frozenset(published), frozenset(columns - ADDED)


def _hear_imports(home: Home, message_id: str, imports: Sequence[Import], heard: _Heard) -> bool:
    """Hear the labels that have its id; returns whether any has."""
    is_labelled = False
    for entry in imports:
        table = labels.table_of(home, entry)
        if table is not None and (own := _rows_with(table, message_id)):
            is_labelled = True
            heard.rows(table.select([labels.TEXT]), own)
    return is_labelled


def _hear_arrivals(home: Home, named: _Named, rows: MessageRows, heard: _Heard) -> None:
    for entry in named.arrivals:
        if entry["batch"] in named.batches and (table := staged(home, entry)) is not None:
            held = _held(home, entry["batch"], rows.message_id)
            own = rows.among(table, entry["file_sha256"], held, is_own=True)
            heard.rows(table.drop_columns([LINE, ERROR]), own)


def _rows_with(table: pa.Table, message_id: str) -> list[int]:
    return [row for row, one in enumerate(table[ID].to_pylist()) if str(one) == message_id]


def _text_columns(table: pa.Table) -> list[str]:
    return [field.name for field in table.schema if field.name != ID and holds_text(field.type)]

"""Refused rows on their way back: staged anew as they came in, with what somebody set right, under their file and line."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import sqlalchemy as sa

from orchestration_project.core.errors import ArtifactRefused, Refused
from orchestration_project.stores.files import publish_file, temporary_beside
from orchestration_project.stores.formats import ERROR, LINE, RAW
from orchestration_project.stores.home import Home
from orchestration_project.stores.quarantine import QuarantinedRow
from orchestration_project.stores.schema import ARRIVALS

if TYPE_CHECKING:
    import pyarrow

ID = "message_id"
"""Column in which a corrected row keeps the id that its message is claimed under."""


@dataclass(frozen=True)
class Staged:
    """Rows of one received file, staged anew: the arrival to be registered, which quarantined rows they are, and the
    ids whose claims end because the id itself was set right.
    """

    arrival: Mapping[str, Any]
    rows: tuple[int, ...]
    message_ids: frozenset[str]
    ended: frozenset[str]


def stage(home: Home, batch: str, rows: Sequence[QuarantinedRow]) -> list[Staged]:
    """Write rows that came in with a batch as Parquet again, a file for each that they came from.

    They are the rows as they were read, not as the gate saw them, with their corrections: a corrected value is read as
    the type of its column. A corrected row keeps its message id unless the id itself was set right. Refused for a value
    that is not of its column's type and for a line that could not be read and has no correction; ArtifactRefused when a
    staged file is gone.
    """
    waiting = {(row.file_sha256, row.line): row for row in rows}
    with home.ledger.read() as connection:
        query = sa.select(ARRIVALS).where(ARRIVALS.c.batch == batch).order_by(ARRIVALS.c.arrival_id)
        entries = connection.execute(query).mappings().all()
    found: list[Staged] = []
    for entry in entries:
        own = {line: row for (digest, line), row in waiting.items() if digest == entry["file_sha256"]}
        if own and (staged := _stage_of(home, entry, own)):
            found.append(staged)
            done = set(staged.rows)
            waiting = {place: row for place, row in waiting.items() if row.row_id not in done}
    if waiting:
        row = next(iter(waiting.values()))
        raise ArtifactRefused(
            f"Row {row.row_id} is not among the staged rows of batch {batch}. Discard it, or send it."
        )
    return found


def withdraw(home: Home, staged: Sequence[Staged]) -> None:
    """Remove what was staged and will not be registered."""
    for entry in staged:
        (home.root / entry.arrival["path"]).unlink(missing_ok=True)


def _stage_of(home: Home, entry: "sa.RowMapping", own: Mapping[int | None, QuarantinedRow]) -> Staged | None:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(home.root / entry["path"]).read()
    except FileNotFoundError as error:
        raise ArtifactRefused(
            f"{entry['path']} is named in the ledger and is not in {home.root}. Put it back."
        ) from error
    lines = table[LINE].to_pylist()
    positions = [position for position, line in enumerate(lines) if line in own]
    if not positions:
        return None
    table = table.take(positions)
    chosen = [own[line] for line in table[LINE].to_pylist()]
    _refuse_unreadable(chosen, table[ERROR].to_pylist())
    table, ended = _corrected(table.drop_columns([ERROR, RAW]), chosen)
    return _written(home, entry, table, chosen, ended)


def _written(
    home: Home, entry: "sa.RowMapping", table: "pyarrow.Table", chosen: Sequence[QuarantinedRow], ended: frozenset[str]
) -> Staged:
    import pyarrow
    import pyarrow.parquet

    token = uuid4().hex
    empty = pyarrow.nulls(len(table), pyarrow.string())
    whole = table.append_column(ERROR, empty).append_column(RAW, empty)
    final = home.staged / f"{token}-000000.parquet"
    temporary = temporary_beside(final)
    pyarrow.parquet.write_table(whole, temporary, compression="zstd")
    publish_file(temporary, final)
    columns = [f"{field.name}: {field.type}" for field in table.schema if field.name != LINE]
    arrival = {
        **{name: entry[name] for name in ("file", "file_sha256", "registered_at")},
        "arrival_id": f"{token}/000000",
        "path": home.below(final),
        "rows": len(table),
        "columns": json.dumps(sorted(columns)),
    }
    ids = frozenset(row.message_id for row in chosen if row.message_id)
    return Staged(arrival, tuple(row.row_id for row in chosen), ids - ended, ended)


def _refuse_unreadable(chosen: Sequence[QuarantinedRow], errors: Sequence[str | None]) -> None:
    for row, error in zip(chosen, errors, strict=True):
        if error and not row.correction:
            raise Refused(
                f"Row {row.row_id} (line {row.line} of {row.file}) could not be read: {error} "
                "Give its columns with: orchestrate quarantine fix FILE"
            )


def _corrected(table: "pyarrow.Table", chosen: Sequence[QuarantinedRow]) -> "tuple[pyarrow.Table, frozenset[str]]":
    """The rows with what was set right, and the ids that were themselves set right."""
    import pyarrow

    rows: list[dict[str, Any]] = table.to_pylist()
    types = {field.name: field.type for field in table.schema}
    ended: set[str] = set()
    for values, row in zip(rows, chosen, strict=True):
        correction = row.correction or {}
        is_named = correction.keys() & {ID} or any(str(values.get(name)) == row.message_id for name in correction)
        if is_named and row.message_id:
            ended.add(row.message_id)
        for name, text in correction.items():
            types.setdefault(name, pyarrow.string())
            values[name] = None if text is None else _read_as(types[name], text, name, row)
        if correction and not is_named and str(row.message_id) not in map(str, values.values()):
            types.setdefault(ID, pyarrow.string())
            values[ID] = row.message_id
    return pyarrow.Table.from_pylist(rows, schema=pyarrow.schema(list(types.items()))), frozenset(ended)


def _read_as(kind: "pyarrow.DataType", text: str, name: str, row: QuarantinedRow) -> Any:
    import pyarrow

    try:
        return pyarrow.scalar(text).cast(kind).as_py()
    except pyarrow.ArrowInvalid as error:
        raise Refused(
            f"Row {row.row_id} is corrected in column '{name}' to {text!r:.80}, which is no {kind}. Correct it again."
        ) from error

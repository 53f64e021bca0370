"""Inbound files (CSV, TSV, JSON, JSON Lines, text, mail, Parquet) as a stream of Arrow tables: bounded memory, nothing
lost.

A row that cannot be parsed stays, with its text and the reason. A file that is not what its suffix says is refused.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from orchestration_project.core.errors import FileRefused
from orchestration_project.stores.file_kinds import PARQUET, FileKind, kind_of
from orchestration_project.stores.json_rows import Values, as_json, read_object
from orchestration_project.stores.mail import COLUMNS as MAIL_COLUMNS
from orchestration_project.stores.mail import LARGEST_MAIL, read_mail
from orchestration_project.stores.opening import Allowance, open_bytes, open_text
from orchestration_project.stores.parquet_pages import RowGroups
from orchestration_project.stores.text_rows import LONGEST_ROW, Lines, Records, Row, Unreadable, WholeText, read_rows

LINE = "_line"
ERROR = "_error"
RAW = "_raw"
SUFFIXES = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"})
"""Of tables with a row a line, which are written too; `file_kinds` has all that are read."""

LARGEST_SLICE = 64 * 2**20  # characters of a slice's rows, each cell counted as 8 more
MOST_COLUMNS = 10_000  # of one file

_UNPACKED = "Send its rows as CSV if they are meant to be so."
_DELIMITERS = {".csv": ",", ".tsv": "\t"}


def read_slices(path: Path, rows_per_slice: int) -> Iterator[pa.Table]:
    """Read a file of messages, of the kind that its name tells, as tables of at most `rows_per_slice` rows.

    Columns: `_line` (int64, from 1: the line where the row starts; in Parquet the row number), `_error` (string: why
    the row cannot be parsed, else null), `_raw` (string: its text then, with bytes that are not text written `\\xff`),
    then the file's own in order of first appearance, null in a row with an error. Without rows there are no tables.

    CSV and TSV: every column is string, an empty field is null. A quote that is never closed, or only amid the text of
    another line, costs the line in which it opens; the lines behind it are read as rows of their own. Parquet: the
    file's own types. Text (.txt): one row, column `text`. Mail (.eml): one row, see `mail`. JSON (an array of objects,
    or objects one after another) and JSON Lines: a slice has its own columns and those of all slices before it. A
    column is string, bool, int64 or float64 if all its values in the slice are, so its type may differ between slices;
    without values it is string. Elsewhere strings stay, and the rest is written as JSON; so are integers beyond int64,
    or 2**53 among floats. How a line ends, and which encoding is read: see `opening`.

    Memory follows the slice, its number of rows and their length: it may end early (`LARGEST_SLICE`). A row of text of
    `LONGEST_ROW` characters is an error, of which `_raw` holds the beginning. A mail is read whole, and of Parquet the
    pages of a row group that hold the slice and its lists (`parquet_pages.LARGEST_GROUP`).

    Iterating raises `FileRefused` for a file that is missing, of another kind, binary, no mail, no JSON or not Parquet,
    and for column names that are empty (JSON may), repeated, reserved or more than `MOST_COLUMNS`; for damage in
    Parquet or a compression, a reserved JSON key and a file that unpacks without end only when it gets there, so keep
    no slice before the last has come.
    """
    if rows_per_slice < 1:
        raise ValueError(f"rows_per_slice is {rows_per_slice}. Give 1 or more.")
    kind = kind_of(path.name)
    if not path.is_file():
        raise FileRefused(f"{path} is not a file. Check the path.")
    if kind.suffix == PARQUET:
        if path.stat().st_size:
            yield from _parquet_slices(path, rows_per_slice)
    elif path.stat().st_size or kind.compression:
        columns: dict[str, None] = {}
        yield from _slices(_rows(path, kind, columns), rows_per_slice, columns)


def _rows(path: Path, kind: FileKind, columns: dict[str, None]) -> Iterator[Row]:
    """The rows of a file of text; the names that are met so far are put into `columns`."""
    if kind.suffix == ".eml":
        columns.update(dict.fromkeys(MAIL_COLUMNS))
        yield from _mail_rows(path, kind)
        return
    with open_text(path, kind, newline=None if kind.suffix == ".json" else "") as file:
        if kind.suffix == ".json":
            found = Values(file, path.name)
            yield from read_rows(found, lambda: _read_object(path, found, columns, "Write an array of {...}."))
        elif kind.suffix == ".txt":
            columns["text"] = None
            text = WholeText(file)
            yield from read_rows(text, lambda: {"text": kept} if (kept := next(text).rstrip("\r\n")) else None)
        elif kind.suffix in _DELIMITERS:
            yield from _csv_rows(path, Lines(file), _DELIMITERS[kind.suffix], columns)
        else:
            lines = Lines(file)
            yield from read_rows(lines, lambda: _read_object(path, lines, columns, "Write one {...} a line."))


def _csv_rows(path: Path, lines: Lines, delimiter: str, columns: dict[str, None]) -> Iterator[Row]:
    """The records below the header, whose names are put into `columns`."""
    records = Records(lines, delimiter)
    header: list[str] = []
    while not header:
        lines.begin_row()
        try:
            header = records.read()
        except StopIteration:
            return
        except Unreadable as flaw:
            raise FileRefused(f"{path.name} has no readable header in line {lines.line}: {flaw}") from flaw
    _refuse_unusable_names(path, header)
    columns.update(dict.fromkeys(header))

    def read() -> dict[str, Any] | None:
        fields = records.read()
        if fields and len(fields) != len(header):
            raise Unreadable(f"expected {len(header)} fields, found {len(fields)}. Quote fields with delimiters.")
        return {name: field for name, field in zip(header, fields, strict=True) if field} if fields else None

    yield from read_rows(lines, read)


def _read_object(path: Path, pieces: Lines | Values, columns: dict[str, None], advice: str) -> dict[str, Any] | None:
    """The object of the next piece, its keys put into `columns`; None for a blank one."""
    found = read_object(next(pieces), pieces.encoding, advice)
    if found is not None and not found.keys() <= columns.keys():
        _refuse_reserved_names(path, found)
        if len(columns.keys() | found.keys()) > MOST_COLUMNS:
            raise Unreadable(f"the file has more than {MOST_COLUMNS} keys with this row's. Put them into one object.")
        columns.update(dict.fromkeys(found))
    return found


def _mail_rows(path: Path, kind: FileKind) -> Iterator[Row]:
    """The one row of a mail."""
    with open_bytes(path, kind) as file:
        content = file.read(LARGEST_MAIL + 1)
    try:
        values = read_mail(content, kind.encoding)
    except Unreadable as flaw:
        raw = content[:LONGEST_ROW].decode(errors="backslashreplace").replace("\0", "\\x00")
        yield Row(1, len(content), {}, str(flaw), raw)
        return
    if values is None:
        raise FileRefused(f"{path.name} is no mail: it has no header. Send a text as .txt.")
    yield Row(1, len(content), values)


def _slices(rows: Iterator[Row], rows_per_slice: int, columns: dict[str, None]) -> Iterator[pa.Table]:
    taken: list[Row] = []
    size = 0
    for row in rows:
        taken.append(row)
        size += row.size + 8 * len(columns)
        if len(taken) == rows_per_slice or size >= LARGEST_SLICE:
            yield _table(taken, columns)
            taken, size = [], 0
    if taken:
        yield _table(taken, columns)


def _table(rows: list[Row], columns: dict[str, None]) -> pa.Table:
    lines = pa.array([row.line for row in rows], pa.int64())
    errors = pa.array([row.error for row in rows], pa.string())
    raws = pa.array([row.raw for row in rows], pa.string())
    own = {name: _column([row.values.get(name) for row in rows]) for name in columns}
    return pa.table({LINE: lines, ERROR: errors, RAW: raws, **own})


def _column(values: list[Any]) -> pa.Array:
    """The values in the narrowest type that holds each of them exactly; string if there is none."""
    kinds = set(map(type, values)) - {type(None)}
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    integers = [value for value in values if type(value) is int]
    if kinds == {int} and all(-(2**63) <= value < 2**63 for value in integers):
        return pa.array(values, pa.int64())
    if kinds and kinds <= {int, float} and all(abs(value) <= 2**53 for value in integers):
        return pa.array(values, pa.float64())
    return pa.array([value if value is None or type(value) is str else as_json(value) for value in values], pa.string())


def _parquet_slices(path: Path, rows_per_slice: int) -> Iterator[pa.Table]:
    try:
        line = 1
        for batches in _gathered(_parquet_batches(path, rows_per_slice), rows_per_slice):
            own = pa.Table.from_batches(batches)
            lines = pa.array(range(line, line + len(own)), pa.int64())
            empty = pa.nulls(len(own), pa.string())
            yield pa.table([lines, empty, empty, *own.columns], names=[LINE, ERROR, RAW, *own.column_names])
            line += len(own)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last of a column's name
        raise FileRefused(f"{path.name} is not whole Parquet ({error!r:.300}). Write it anew.") from error


def _parquet_batches(path: Path, rows_per_slice: int) -> Iterator[tuple[pa.RecordBatch, int]]:
    """All rows, and how much each batch of them counts for `LARGEST_SLICE`, which it hardly exceeds."""
    allowance = Allowance(path, _UNPACKED)
    with path.open("rb") as stream:
        groups = RowGroups(path, stream, _UNPACKED)
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=2**20, page_checksum_verification=True) as file:
            _refuse_unusable_names(path, file.schema_arrow.names)
            for number in range(file.num_row_groups):
                most = min(rows_per_slice, groups.rows_within(LARGEST_SLICE, file, number))
                for batch in file.iter_batches(batch_size=most, row_groups=[number]):
                    batch.validate(full=True)  # a text that is not UTF-8 would fail whoever reads the row
                    for name, column in zip(batch.schema.names, batch.columns, strict=True):
                        _refuse_unknown_moments(path, name, column)
                    size = 8 * len(batch) + sum(map(_bytes_of, batch.columns))
                    allowance.use(size)
                    yield batch, max(size, batch.nbytes)


def _refuse_unknown_moments(path: Path, name: str, column: pa.Array) -> None:
    """FileRefused for a date or time that is none, as the year 60,000 or a zone that nobody knows."""
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_time(kind):
        extremes = pc.call_function("min_max", [column])
        try:
            for moment in (pa.scalar(0, kind), *extremes.values()):
                moment.as_py()
        except (ValueError, OverflowError, LookupError) as error:
            raise FileRefused(
                f"{path.name} has in column {name!r:.80} what is no date or time ({error!r:.100}). Write it as text."
            ) from error
    for part in _parts_of(column):
        _refuse_unknown_moments(path, name, part)


def _parts_of(column: pa.Array) -> list[pa.Array]:
    """The columns within a column of lists, objects or the like."""
    if isinstance(column, pa.ExtensionArray):
        return [column.storage]
    if isinstance(column, pa.DictionaryArray):
        return [column.dictionary]
    if isinstance(column, pa.MapArray):
        return [column.keys, column.items]
    if isinstance(column, pa.StructArray):
        return column.flatten()
    return [column.flatten()] if pa.types.is_nested(column.type) else []


def _bytes_of(column: pa.Array) -> int:
    """Bytes of a column's values; a text of its dictionary counts in every row."""
    if not isinstance(column, pa.DictionaryArray):
        return column.nbytes
    size = column.indices.nbytes
    if column.type.value_type in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary()):
        lengths = pc.call_function("binary_length", [column.dictionary]).take(column.indices)
        size += pc.call_function("sum", [lengths]).as_py() or 0
    return size


def _gathered(batches: Iterator[tuple[pa.RecordBatch, int]], rows_per_slice: int) -> Iterator[list[pa.RecordBatch]]:
    """The batches of each slice, cut where one has its number of rows."""
    taken: list[pa.RecordBatch] = []
    rows = size = 0
    for batch, batch_size in batches:
        size += batch_size
        while len(batch):
            part = batch.slice(0, rows_per_slice - rows)
            batch = batch.slice(len(part))
            taken.append(part)
            rows += len(part)
            if rows == rows_per_slice or size >= LARGEST_SLICE:
                yield taken
                taken, rows, size = [], 0, 0
    if taken:
        yield taken


def _refuse_unusable_names(path: Path, names: list[str]) -> None:
    if len(names) > MOST_COLUMNS:
        raise FileRefused(f"{path.name} has {len(names)} columns. Send at most {MOST_COLUMNS}.")
    if nameless := [str(place) for place, name in enumerate(names, start=1) if not name]:
        raise FileRefused(f"{path.name} has no name for column {', '.join(nameless)}. Name each.")
    if repeated := [repr(name) for name, times in Counter(names).items() if times > 1]:
        raise FileRefused(f"{path.name} has more than one column named {', '.join(repeated)}. Name each differently.")
    _refuse_reserved_names(path, names)


def _refuse_reserved_names(path: Path, names: Iterable[str]) -> None:
    if reserved := [name for name in names if name in {LINE, ERROR, RAW}]:
        raise FileRefused(f"{path.name} has a column named {', '.join(reserved)}, which the reader adds. Rename it.")

"""Inbound files (CSV, TSV, JSON Lines, Parquet) as a stream of Arrow tables: bounded memory, nothing lost.

A row that cannot be parsed stays, with its text and the reason. A file that is not what its suffix says is refused.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from orchestration_project.core.errors import FileRefused
from orchestration_project.stores.text_rows import Lines, Records, Row, Unreadable, check_text, read_rows

LINE = "_line"
ERROR = "_error"
RAW = "_raw"
SUFFIXES = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"})

LARGEST_SLICE = 64 * 2**20  # characters of a slice's rows, each cell counted as 8 more
MOST_COLUMNS = 10_000  # of one file

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read_slices(path: Path, rows_per_slice: int) -> Iterator[pa.Table]:
    """Read a CSV, TSV, JSON Lines or Parquet file, chosen by suffix, as tables of at most `rows_per_slice` rows.

    Columns: `_line` (int64, from 1: the line where the row starts; in Parquet the row number), `_error` (string: why
    the row cannot be parsed, else null), `_raw` (string: its text then, with bytes that are not text written `\\xff`),
    then the file's own in order of first appearance, null in a row with an error. Without rows there are no tables.

    CSV and TSV: every column is string, an empty field is null. A quote that is never closed, or only amid the text of
    another line, costs the line in which it opens; the lines behind it are read as rows of their own. Parquet: the
    file's own types. JSON Lines: a slice has its own columns and those of all slices before it. A column is string,
    bool, int64 or float64 if all its values in the slice are, so its type may differ between slices; without values it
    is string. Elsewhere strings stay, and the rest is written as JSON; so are integers beyond int64, or 2**53 among
    floats. A line of text ends with \\n or \\r\\n, and with a \\r alone only if there is no \\n in the first 8 KiB.

    Memory follows the slice: in Parquet its number of rows, else also their length: it may end early (`LARGEST_SLICE`),
    and a row of `LONGEST_ROW` characters is an error, of which `_raw` holds the beginning.

    Iterating raises `FileRefused` for a file that is missing, of another suffix, binary, UTF-16 or not Parquet, and for
    column names that are empty (JSON may), repeated, reserved or more than `MOST_COLUMNS`; for damage in Parquet and a
    reserved JSON key only when it gets there, so keep no slice before the last has come.
    """
    if rows_per_slice < 1:
        raise ValueError(f"rows_per_slice is {rows_per_slice}. Give 1 or more.")
    if (suffix := path.suffix.lower()) not in SUFFIXES:
        raise FileRefused(f"{path.name} has the suffix '{suffix}'. Send one of: {', '.join(sorted(SUFFIXES))}.")
    if not path.is_file():
        raise FileRefused(f"{path} is not a file. Check the path.")
    if path.stat().st_size == 0:
        return
    if suffix == ".parquet":
        yield from _parquet_slices(path, rows_per_slice)
        return
    newline = _newline_of(path)
    delimiter = {".csv": ",", ".tsv": "\t"}.get(suffix)
    columns: dict[str, None] = {}
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline=newline) as file:
        lines = Lines(file)
        if delimiter:
            rows = _csv_rows(path, lines, delimiter, columns)
        else:
            rows = read_rows(lines, lambda: _read_object(path, lines, columns))
        yield from _slices(rows, rows_per_slice, columns)


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


def _read_object(path: Path, lines: Lines, columns: dict[str, None]) -> dict[str, Any] | None:
    """The object of the next line, what is nested in it as JSON, its keys put into `columns`; None for a blank line."""
    text = next(lines)
    if not text.strip(" \t\r\n"):
        return None
    check_text(text)
    try:
        found = _DECODER.decode(text)
        if not isinstance(found, dict):
            raise Unreadable(f"expected an object, found {text.strip():.40}. Write one {{...}} a line.")
        if _SURROGATE.search(text):
            _json(found).encode()
        for key, value in found.items():
            if isinstance(value, (dict, list)):
                found[key] = _json(value)
        if "\\u0000" in text and any(isinstance(value, str) and "\0" in value for value in found.values()):
            raise Unreadable("\\u0000 is NUL, which is no character of a text. Leave it out.")
    except json.JSONDecodeError as error:
        raise Unreadable(f"not JSON: {error.msg} at character {error.pos + 1}. Write one {{...}} a line.") from error
    except UnicodeEncodeError as error:
        raise Unreadable(f"{error.object[error.start]!r} is half a character. Write it whole.") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of levels
        raise Unreadable("a number is too long, or the nesting too deep, to be read. Write it as a string.") from error
    if not found.keys() <= columns.keys():
        _refuse_reserved_names(path, found)
        if len(columns.keys() | found.keys()) > MOST_COLUMNS:
            raise Unreadable(f"the file has more than {MOST_COLUMNS} keys with this row's. Put them into one object.")
        columns.update(dict.fromkeys(found))
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        [(key, times)] = Counter(key for key, _ in pairs).most_common(1)
        raise Unreadable(f"the key {key!r:.80} stands {times} times in one object. Keep one.")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise Unreadable(f"{text:.40} is not a number that JSON and float64 hold. Write null, or a string.")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_finite, parse_constant=_finite)
_json = json.JSONEncoder(ensure_ascii=False).encode


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
    return pa.array([value if value is None or type(value) is str else _json(value) for value in values], pa.string())


def _parquet_slices(path: Path, rows_per_slice: int) -> Iterator[pa.Table]:
    try:
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=2**20, page_checksum_verification=True) as file:
            names = file.schema_arrow.names
            _refuse_unusable_names(path, names)
            line = 1
            for batch in file.iter_batches(batch_size=rows_per_slice):
                lines = pa.array(range(line, line + len(batch)), pa.int64())
                empty = pa.nulls(len(batch), pa.string())
                yield pa.table([lines, empty, empty, *batch.columns], names=[LINE, ERROR, RAW, *names])
                line += len(batch)
    except (pa.ArrowException, OSError) as error:
        raise FileRefused(f"{path.name} is not whole Parquet ({error!r:.300}). Write it anew.") from error


def _newline_of(path: Path) -> str:
    """What ends a line, "" for any line end; a file that is binary or UTF-16 is refused."""
    with path.open("rb") as file:
        start = file.read(8192)
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise FileRefused(f"{path.name} starts with {start[:2].hex(' ')}, as UTF-16 does: save it as UTF-8.")
    if b"\0" in start:
        raise FileRefused(f"{path.name} is not text: byte {start.index(0) + 1} is NUL. Save it as text in UTF-8.")
    return "\n" if b"\n" in start else ""


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

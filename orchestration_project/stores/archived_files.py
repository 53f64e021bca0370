"""Takes rows out of a received file that is kept, of whatever kind it is.

| kind | what is left |
|---|---|
| CSV, TSV, JSON Lines | empty lines in the place of the row, so that every other row keeps its line |
| JSON | an array of the other objects |
| Parquet | the other rows |
| text, mail | nothing: the file is one message |

A compressed file is compressed again, in the encoding and with the mark that it had.
"""

import gzip
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from orchestration_project.stores.file_kinds import PARQUET, FileKind, kind_of
from orchestration_project.stores.files import publish_file, temporary_beside
from orchestration_project.stores.formats import LINE, read_slices
from orchestration_project.stores.json_rows import Values, read_object
from orchestration_project.stores.opening import open_bytes, open_text
from orchestration_project.stores.text_rows import read_rows

Chosen = Callable[[pa.Table], list[int]]
"""Which rows of a table, as `formats.read_slices` gives it, are meant, by number."""

ROWS_AT_ONCE = 50_000

_ONE_MESSAGE = (".txt", ".eml")
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_CODECS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be", b"\xef\xbb\xbf": "utf-8"}


def take_out(path: Path, chosen: Chosen) -> Literal["rewritten", "removed"] | None:
    """Take the chosen rows out of a file; None, and nothing is done, where it has none of them.

    FileRefused for a file that cannot be read to its end.
    """
    kind = kind_of(path.name)
    rows, lines = _rows(path, chosen)
    if not rows:
        return None
    if kind.suffix in _ONE_MESSAGE:
        path.unlink()
        return "removed"
    temporary = temporary_beside(path)
    try:
        if kind.suffix == PARQUET:
            _write_parquet(path, temporary, set(rows))
        elif kind.suffix == ".json":
            _write_json(path, kind, temporary, set(rows))
        else:
            _write_lines(path, kind, temporary, lines)
        publish_file(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return "rewritten"


def _rows(path: Path, chosen: Chosen) -> tuple[list[int], list[range]]:
    """The numbers of the chosen rows in the file, and the lines of each: those before the next row."""
    rows: list[int] = []
    starts: list[int] = []
    for table in read_slices(path, ROWS_AT_ONCE):
        rows += [len(starts) + row for row in chosen(table)]
        starts += table[LINE].to_pylist()
    ends = [*starts[1:], 2**62]
    return rows, [range(starts[row], ends[row]) for row in rows]


def _write_parquet(path: Path, temporary: Path, gone: set[int]) -> None:
    table = pq.ParquetFile(path).read()
    kept = [row for row in range(len(table)) if row not in gone]
    pq.write_table(table.take(pa.array(kept, pa.int64())), temporary, compression="zstd")


def _write_lines(path: Path, kind: FileKind, temporary: Path, lines: list[range]) -> None:
    gone = iter(sorted(lines, key=lambda own: own.start))
    own = next(gone, range(0))
    with open_text(path, kind) as text, _writing(path, kind, temporary, text.encoding) as write:
        for number, line in enumerate(text, start=1):
            while number >= own.stop and own.stop:
                own = next(gone, range(0))
            write(line[len(line.rstrip("\r\n")) :] if number in own else line)


def _write_json(path: Path, kind: FileKind, temporary: Path, gone: set[int]) -> None:
    with open_text(path, kind, newline=None) as text, _writing(path, kind, temporary, text.encoding) as write:
        values = Values(text, path.name)
        rows = read_rows(values, lambda: read_object(next(values), values.encoding, ""))
        between = "[\n"
        for number, _ in enumerate(rows):  # counted as `formats.read_slices` does
            if number not in gone:
                write(between + "".join(values.row))
                between = ",\n"
        write("\n]\n" if between == ",\n" else "[]\n")


@contextmanager
def _writing(path: Path, kind: FileKind, temporary: Path, encoding: str) -> Generator[Callable[[str], None]]:
    """Writes text as the file has it: with its mark, in its encoding, compressed as it is; bytes that are no text too."""
    with open_bytes(path, kind) as file:
        head = file.read(4)
    mark = next((mark for mark in _MARKS if head.startswith(mark)), b"")
    codec = _CODECS[mark] if mark else encoding.removesuffix("-sig")

    def write(text: str) -> None:
        stream.write(text.encode(codec, "surrogateescape"))

    with temporary.open("wb") as file, _compressing(file, kind) as stream:
        stream.write(mark)
        yield write


@contextmanager
def _compressing(file: IO[bytes], kind: FileKind) -> Generator[Any]:
    if kind.compression is None:
        yield file
    elif kind.compression == ".gz":
        with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as stream:
            yield stream
    else:
        with pa.CompressedOutputStream(pa.PythonFile(file, "w"), "zstd") as stream:
            yield stream

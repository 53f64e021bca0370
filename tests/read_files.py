"""Files for tests of the readers: written under a name and read back, the same rows in every format, and the same files
broken in every way.

What is broken how follows from the number of the example alone, so that one that fails does so again.
"""

import csv
import gzip
import io
import json
import os
import random
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pyarrow as pa

from orchestration_project.core.errors import FileRefused
from orchestration_project.stores.formats import ERROR, LINE, RAW, read_slices

EXAMPLES = 10_000 if os.environ.get("CI") == "true" else 50
"""Broken contents that every parser is given."""

MARKS = [
    *(b'"', b"\\", b"{", b"}", b"[", b"]", b",", b"\n", b"\r", b"\t", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe"),
    *(b"\\u0000", b"\\ud83d", b"1e999", b"NaN", b"9" * 5000, b"[" * 2000, b'{"a":' * 2000, b"_line", b'"text"'),
    *(b"Content-Type: ", b"charset=", b"; boundary=b1", b"=?utf-8?b?", b"?=", b"<!--", b"&#99999999999;", b"--b1"),
    *(b"data", b'"data": ', b'"id"', b'"time": "2026-01-01T10:00:00Z"', b"null", b"-0", b"PAR1", b"\x80" * 12),
]
"""What breaks readers."""


def tables_in(name: str, content: bytes | str, rows_per_slice: int = 100) -> list[pa.Table]:
    """The tables of a file of that name and content."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return list(read_slices(path, rows_per_slice))


def rows_in(name: str, content: bytes | str, rows_per_slice: int = 100) -> list[dict[str, Any]]:
    return [row for table in tables_in(name, content, rows_per_slice) for row in table.to_pylist()]


def packed(content: bytes, compression: str) -> bytes:
    """The content as `.gz` or `.zst`; as it is for ""."""
    if not compression:
        return content
    return gzip.compress(content) if compression == ".gz" else pa.Codec("zstd").compress(content, asbytes=True)


def text_of(suffix: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows, of one set of columns, as a file of that suffix; mail and text hold the first."""
    if suffix == ".json":
        return json.dumps(rows)
    if suffix == ".txt":
        return str(rows[0]["text"])
    if suffix == ".eml":
        mail = EmailMessage()
        mail["From"] = "ann@example.org"
        mail.set_content(str(rows[0]["text"]))
        return mail.as_string()
    if suffix in (".jsonl", ".ndjson"):
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter="," if suffix == ".csv" else "\t")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


@contextmanager
def scratch_folder() -> Generator[Path]:
    """A folder for a file that is written very often: in memory where that is a folder too."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


Spoil = Callable[[bytes, random.Random], bytes]


def mutated(whole: bytes, chance: random.Random) -> bytes:
    """The content with one to four places cut, doubled, overwritten or filled with what breaks readers."""
    changed = bytearray(whole)
    for _ in range(chance.randint(1, 4)):
        place = chance.randint(0, len(changed))
        length = chance.choice([1, 2, 8, 60])
        match chance.randint(0, 4):
            case 0:
                del changed[place : place + length]
            case 1:
                changed[place:place] = changed[place : place + length]
            case 2:
                changed[place : place + length] = chance.randbytes(length)
            case 3:
                changed[place:place] = chance.choice(MARKS)
            case _:
                del changed[place:]
    return bytes(changed)


def overwritten(whole: bytes, chance: random.Random) -> bytes:
    """The content with one to three bytes changed, each in its place: what is counted from the end is found."""
    changed = bytearray(whole)
    for _ in range(chance.randint(1, 3)):
        changed[chance.randrange(len(changed))] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
    return bytes(changed)


def loose_bytes(chance: random.Random) -> bytes:
    """Up to twelve pieces: marks, and bytes by chance."""
    pieces = range(chance.randint(0, 12))
    return b"".join(
        chance.choice(MARKS) if chance.random() < 0.5 else chance.randbytes(chance.randint(0, 20)) for _ in pieces
    )


def break_in_every_way(name: str, whole: bytes, check: Callable[[bytes], None], spoil: Spoil = mutated) -> None:
    """Give `check` all `EXAMPLES`: the whole content spoiled, and in turn bytes that have nothing to do with it.

    What it raises tells the number of the example.
    """
    for number in range(EXAMPLES):
        chance = random.Random(f"{name} {number}")
        content = loose_bytes(chance) if number % 2 else spoil(whole, chance)
        try:
            check(content)
        except BaseException as error:
            error.add_note(f"{name}, example {number}: {content!r:.2000}")
            raise


def read_or_refused(folder: Path, name: str, content: bytes) -> list[dict[str, Any]] | None:
    """The rows, each with its line and either values or a reason with its text; None for a file that is refused by its
    name. Anything else that is raised fails the test.
    """
    path = folder / name
    path.write_bytes(content)
    try:
        rows = [row for table in read_slices(path, 100) for row in table.to_pylist()]
    except FileRefused as refusal:
        assert name in str(refusal)
        return None
    assert [row[LINE] for row in rows] == sorted(row[LINE] for row in rows)
    for row in rows:
        own = [value for name, value in row.items() if name not in (LINE, ERROR, RAW)]
        assert (row[ERROR] is None) == (row[RAW] is None)
        assert row[ERROR] is None or (row[ERROR] and not any(value is not None for value in own))
        json.dumps(row, default=str).encode()
    return rows

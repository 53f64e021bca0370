"""A large file takes no more memory than a small one: each is taken in by a process of its own (`bench/large_file.py`)."""

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from read_files import text_of

from bench.large_file import made_rows, taken_in

SMALL = 5
"""Megabytes of rows of the small file: a few slices."""

LARGE = {"f.csv": (100, 20), "f.jsonl": (40, 20), "f.csv.gz": (40, 20), "f.parquet": (150, 80)}
"""Megabytes of the large one, and how many more of memory it may take; if its rows were kept, it would take them all.

A megabyte or two was measured, and of Parquet, whose columns are read at once, up to forty.
"""

BATCH_ROWS = 5000  # about a megabyte

ROWS = made_rows(1_000_000)


def write(path: Path, megabytes: int) -> None:
    """The same rows again and again."""
    if path.suffix == ".parquet":
        rows = pa.Table.from_pylist(ROWS)
        with pq.ParquetWriter(path, rows.schema) as parquet:
            for _ in range(0, megabytes, 5):
                parquet.write_table(pa.concat_tables([rows] * 5))
        return
    suffix = path.suffixes[0]
    header, *lines = text_of(suffix, ROWS).splitlines(keepends=True)
    if suffix == ".jsonl":
        header, lines = "", [header, *lines]
    with gzip.open(path, "wb", 1) if path.suffix == ".gz" else path.open("wb") as file:
        file.write(header.encode())
        for _ in range(megabytes):
            file.write("".join(lines).encode())


@pytest.mark.parametrize("name", LARGE)
def test_memory_does_not_grow_with_the_file(tmp_path: Path, name: str) -> None:
    peaks: list[float] = []
    size, more = LARGE[name]
    for megabytes in (SMALL, size):
        write(tmp_path / name, megabytes)
        taken = taken_in(tmp_path / name, tmp_path / f"home-{megabytes}", BATCH_ROWS)
        assert taken.rows == megabytes * len(ROWS)
        peaks.append(taken.megabytes)
    small, large = peaks
    assert large < small + more

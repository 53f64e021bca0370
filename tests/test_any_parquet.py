"""Whatever a Parquet file holds, it is tables that can be staged and read back, or is refused by name."""

import io
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from read_files import break_in_every_way, mutated, overwritten, read_or_refused, rows_in, scratch_folder

from orchestration_project.stores.formats import ERROR, LINE, RAW, read_slices
from orchestration_project.stores.staging import frame_of

TABLE = pa.table(
    {
        "text": ["The box is empty.", None, "größer 😀", "The box is empty."],
        "at": pa.array([0, 1, None, 10**15], pa.timestamp("us", "UTC")),
        "stars": pa.array([1, None, 3, 4], pa.int8()),
        "tags": pa.array([["a", None], [], None, ["a"]], pa.list_(pa.string())),
        "shop": pa.array(["n", "s", "n", "s"]).dictionary_encode(),
    }
)


def written(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


WHOLE = {
    "plain.parquet": written(
        TABLE.select(["text", "at"]), compression="none", use_dictionary=False, store_schema=False
    ),
    "packed.parquet": written(TABLE, row_group_size=2, data_page_version="2.0"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_file_is_read(tmp_path: Path, name: str) -> None:
    assert [row[ERROR] for row in read_or_refused(tmp_path, name, WHOLE[name]) or []] == [None] * 4


@pytest.mark.parametrize("name", WHOLE)
def test_any_content_is_rows_that_can_be_staged_or_a_refusal(name: str) -> None:
    with scratch_folder() as folder:

        def check(content: bytes) -> None:
            if read_or_refused(folder, name, content):
                for table in read_slices(folder / name, 100):
                    pq.write_table(table, folder / "staged.parquet", compression="zstd")
                    assert len(frame_of(pq.read_table(folder / "staged.parquet"))) == len(table)

        break_in_every_way(name, WHOLE[name], check, spoil)


def spoil(content: bytes, chance: random.Random) -> bytes:
    """Mostly in its place, for whoever moves the end of a file is found out at once."""
    return (overwritten if chance.random() < 0.8 else mutated)(content, chance)


@settings(deadline=None)
@given(
    st.lists(st.fixed_dictionaries({"text": st.none() | st.text(), "stars": st.none() | st.integers(0, 5)}), min_size=1)
)
def test_every_row_of_parquet_comes_out_once(rows: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pylist(rows, pa.schema({"text": pa.string(), "stars": pa.int64()}))
    found = rows_in("f.parquet", written(table), 3)
    assert found == [{LINE: line, ERROR: None, RAW: None, **row} for line, row in enumerate(rows, start=1)]

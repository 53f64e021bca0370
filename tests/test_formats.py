import csv
import io
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration_project.core.errors import FileRefused
from orchestration_project.stores import formats, opening, parquet_pages
from orchestration_project.stores.formats import ERROR, LINE, MOST_COLUMNS, RAW, SUFFIXES, read_slices
from orchestration_project.stores.text_rows import LONGEST_ROW

DELIMITERS = {".csv": ",", ".tsv": "\t"}
TEXT_SUFFIXES = sorted(SUFFIXES - {".parquet"})


def slices_of(content: bytes | str, suffix: str, rows_per_slice: int = 100) -> list[pa.Table]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"feedback{suffix}"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return list(read_slices(path, rows_per_slice))


def rows_of(content: bytes | str, suffix: str, rows_per_slice: int = 100) -> list[dict[str, Any]]:
    return [row for table in slices_of(content, suffix, rows_per_slice) for row in table.to_pylist()]


def parquet_of(table: pa.Table, **options: Any) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table, stream, **options)
    return stream.getvalue()


def record_text(fields: list[str], delimiter: str, line_end: str) -> str:
    text = io.StringIO()
    # Before Python 3.13 the writer does not see by itself that a lone \r needs quotes.
    quoting = csv.QUOTE_ALL if any("\r" in field for field in fields) else csv.QUOTE_MINIMAL
    csv.writer(text, delimiter=delimiter, lineterminator=line_end, quoting=quoting).writerow(fields)
    return text.getvalue()


line_ends = st.sampled_from(["\n", "\r\n"])
marks = st.sampled_from(["", "\ufeff"])
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
json_objects = st.dictionaries(
    st.text().filter(lambda key: key not in {LINE, ERROR, RAW}),
    json_values.filter(lambda value: not (isinstance(value, str) and "\0" in value)),  # no character of a text
    max_size=4,
)


@settings(deadline=None)
@given(st.integers(1, 3), st.lists(st.lists(texts, max_size=3)), st.sampled_from([".csv", ".tsv"]), line_ends, marks)
def test_every_record_that_csv_writer_writes_is_one_row_with_its_line_and_fields_or_reason(
    width: int, records: list[list[str]], suffix: str, line_end: str, mark: str
) -> None:
    names = ["c", "b", "a"][:width]
    content = record_text(names, DELIMITERS[suffix], line_end)
    expected: list[dict[str, Any]] = []
    for record in records:
        text = record_text(record, DELIMITERS[suffix], line_end)
        row: dict[str, Any] = {LINE: content.count("\n") + 1, ERROR: None, RAW: None, **dict.fromkeys(names)}
        if len(record) == width:
            row |= {name: field or None for name, field in zip(names, record, strict=True)}
        else:
            row[ERROR] = f"expected {width} fields, found {len(record)}. Quote fields with delimiters."
            row[RAW] = text.removesuffix(line_end)
        expected += [row] if record else []  # a record of no fields is a blank line
        content += text

    slices = slices_of(mark + content, suffix, 3)

    assert [row for table in slices for row in table.to_pylist()] == expected
    assert all(table.num_rows == 3 for table in slices[:-1])
    assert all(table.column_names == [LINE, ERROR, RAW, *names] for table in slices)
    assert all(table.schema.types[1:] == [pa.string()] * (width + 2) for table in slices)


@settings(deadline=None)
@given(
    st.lists(json_objects | st.sampled_from(["", " \t", "{broken", "[1]", "null", '{"a": 1, "a": 2}'])),
    st.booleans(),
    line_ends,
    marks,
)
def test_every_json_line_that_is_not_blank_is_one_row_with_its_line_and_values_or_reason(
    lines: list[dict[str, Any] | str], escaped: bool, line_end: str, mark: str
) -> None:
    written = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=escaped) for line in lines]

    rows = rows_of(mark + "".join(text + line_end for text in written), ".jsonl", 3)

    kept = [(number, line) for number, line in enumerate(lines, start=1) if not isinstance(line, str) or line.strip()]
    assert [row[LINE] for row in rows] == [number for number, _ in kept]
    for row, (number, line) in zip(rows, kept, strict=True):
        if isinstance(line, str):
            assert (bool(row[ERROR]), row[RAW]) == (True, written[number - 1])
        else:
            assert (row[ERROR], row[RAW]) == (None, None)
            assert all(row[key] == value or json.loads(row[key]) == value for key, value in line.items())


@settings(deadline=None)
@given(
    st.lists(st.binary(max_size=12) | st.sampled_from([b'{"a": 1}', b"\xff", b"1,2", b'"', b"\\ud800"])),
    st.sampled_from(TEXT_SUFFIXES),
    st.sampled_from([b"", b"a,b\n", b"a\tb\n", b'{"a": 1}\n' * 1000, b"x\r" * 5000]),
)
def test_any_bytes_are_rows_or_a_refusal(lines: list[bytes], suffix: str, lead: bytes) -> None:
    content = lead + b"\n".join(lines)
    try:
        rows = rows_of(content, suffix)
    except FileRefused:
        return
    assert all((row[ERROR] is None) == (row[RAW] is None) for row in rows)
    assert [row[LINE] for row in rows] == sorted({row[LINE] for row in rows})
    if suffix not in DELIMITERS and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        written = re.split(rb"\n" if b"\n" in content[:8192] else rb"\r\n|\r|\n", content.removeprefix(b"\xef\xbb\xbf"))
        assert len(rows) == sum(1 for line in written if line.strip(b" \t\r\n"))


def test_lines_may_end_in_carriage_returns_alone() -> None:
    rows = rows_of('\ra,b\r\r1,"x\ry"\r\r2,z', ".csv")
    assert [(row[LINE], row["a"], row["b"]) for row in rows] == [(4, "1", "x\ry"), (7, "2", "z")]


def test_missing_quotes_never_cut_a_csv_row() -> None:
    good, cut, next_good, opened, last = rows_of('a,b\n1,2\n3,fine\rand good\n5,6\n7,"8\n9,10\n', ".csv")
    assert (good["b"], cut["b"], next_good["b"], opened["b"], last["b"]) == ("2", None, "6", None, "10")
    assert (cut[LINE], cut[RAW], opened[LINE], opened[RAW], last[LINE]) == (3, "3,fine\rand good", 5, '7,"8', 6)
    assert "not CSV: new-line character seen in unquoted field. " in cut[ERROR]
    assert "a quote opens in this row and is never closed. " in opened[ERROR]


@pytest.mark.parametrize(
    ("values", "kind", "stored"),
    [
        (["x", None, ""], pa.string(), ["x", None, ""]),
        (["😀", "\\ud800"], pa.string(), ["😀", "\\ud800"]),
        ([None, None], pa.string(), [None, None]),
        ([True, None, False], pa.bool_(), [True, None, False]),
        ([None, -(2**63), 2**63 - 1], pa.int64(), [None, -(2**63), 2**63 - 1]),
        ([1, 2.5, None, 2**53], pa.float64(), [1.0, 2.5, None, 2.0**53]),
        ([2**64 + 1, 1], pa.string(), [str(2**64 + 1), "1"]),
        ([2**53 + 1, 0.5], pa.string(), [str(2**53 + 1), "0.5"]),
        (["x", 1, True, None], pa.string(), ["x", "1", "true", None]),
        ([["ü", "\n"], {"b": None}], pa.string(), ['["ü", "\\n"]', '{"b": null}']),
    ],
)
def test_json_column_has_the_type_for_every_value(values: list[Any], kind: pa.DataType, stored: list[Any]) -> None:
    (table,) = slices_of("".join(json.dumps({"a": value}) + "\n" for value in values), ".jsonl")
    assert (table["a"].type, table["a"].to_pylist()) == (kind, stored)


def test_json_type_is_inferred_for_each_slice_and_its_columns_carry_on() -> None:
    first, second = slices_of('{"a": 1}\n{"b": "x"}\n{"a": "y"}\n{"c": true}\n', ".jsonl", 2)
    assert first.column_names == [LINE, ERROR, RAW, "a", "b"]
    assert second.column_names == [LINE, ERROR, RAW, "a", "b", "c"]
    assert [first["a"].type, second["a"].type, second["b"].to_pylist()] == [pa.int64(), pa.string(), [None, None]]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"a": 1', "not JSON: Expecting ',' delimiter at character 9"),
        ('["x"]', 'expected an object, found ["x"]'),
        ('{"a": NaN}', "NaN is not a number"),
        ('{"a": [-Infinity]}', "-Infinity is not a number"),
        ('{"a": 1e999}', "1e999 is not a number"),
        ('{"b": [{"a": 1, "a": 2}]}', "the key 'a' stands 2 times"),
        ('{"a": "\\ud800"}', "'\\ud800' is half a character"),
        ('{"a": "b\\u0000"}', "NUL, which is no character of a text"),
        ('{"\\uDFFF": 1}', "'\\udfff' is half a character"),
        ('{"a": ' + "1" * 5000 + "}", "too long"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "too deep"),
        (json.dumps(dict.fromkeys(map(str, range(MOST_COLUMNS)))), f"more than {MOST_COLUMNS} keys"),
    ],
)
def test_json_line_that_cannot_be_kept_is_a_row_with_its_reason(line: str, reason: str) -> None:
    good, bad, next_good = rows_of(f'{{"a": 1}}\n{line}\n{{"a": 2}}\n', ".jsonl")
    assert (good["a"], good[ERROR], next_good["a"], next_good[LINE]) == (1, None, 2, 3)
    assert (bad[LINE], bad[RAW], bad["a"]) == (2, line, None)
    assert reason in bad[ERROR]


def test_reserved_json_key_is_refused_where_it_is_met(tmp_path: Path) -> None:
    path = tmp_path / "feedback.ndjson"
    path.write_text('{"a": 1}\n{"a": 1, "_raw": 2}\n')
    slices = read_slices(path, 1)
    assert next(slices).num_rows == 1
    with pytest.raises(FileRefused, match="column named _raw"):
        next(slices)


@pytest.mark.parametrize(
    ("suffix", "before", "bad", "after"),
    [
        (".csv", b"a,b\n1,2\n", b"3,\xe2\x82", b"\n5,6\n"),
        (".csv", b"a,b\n1,2\n", b'3,"\n\xff"', b"\n5,6\n"),
        (".csv", b"a,b\n" + b"1,2\n" * 3000, b"3,\0", b"\n5,6\n"),
        (".tsv", b"a\tb\n1\t2\n", b"3\t\xfc", b"\r\n5\t6\n"),
        (".jsonl", b'{"a": "1"}\n', b'{"a": "\xed\xa0\x80"}', b'\r\n{"a": "5"}\n'),
        (".jsonl", b'{"a": "1"}\n' * 3000, b'{"a": "\0"}', b'\n{"a": "5"}\n'),
    ],
)
def test_bytes_that_are_not_text_cost_their_own_row_only(suffix: str, before: bytes, bad: bytes, after: bytes) -> None:
    *_, good, failed, last = rows_of(before + bad + after, suffix)
    place = next(place for place, byte in enumerate(bad, start=1) if byte > 0x7F or byte == 0)
    raw = bad.decode(errors="backslashreplace").replace("\0", "\\x00")
    assert (good["a"], failed[LINE], failed[RAW], last["a"]) == ("1", before.count(b"\n") + 1, raw, "5")
    assert f"byte {place} of the row is 0x{bad[place - 1]:02x}" in failed[ERROR]


@pytest.mark.parametrize(("suffix", "start", "end"), [(".csv", "", ""), (".jsonl", '{"a": "', '"}')])
def test_row_is_held_up_to_the_limit_and_one_beyond_costs_itself_only(suffix: str, start: str, end: str) -> None:
    values = ["a", "x" * (LONGEST_ROW - 20), "x" * 2 * LONGEST_ROW, "b"]
    *_, whole, bad, after = rows_of("".join(f"{start}{value}{end}\n" for value in values), suffix)
    assert (whole["a"] == values[1], whole[ERROR], after["a"], after[LINE]) == (True, None, "b", 4)
    assert (bad["a"], bad[LINE], len(bad[RAW]), bad[RAW][:10]) == (None, 3, LONGEST_ROW, f"{start}{'x' * 10}"[:10])
    assert f"reaches {LONGEST_ROW} characters" in bad[ERROR]


def test_slice_of_long_rows_ends_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestration_project.stores.formats.LARGEST_SLICE", 10_000)
    content = "a\n" + ("x" * 1000 + "\n") * 12
    assert [table.num_rows for table in slices_of(content, ".csv", 1000)] == [10, 2]


def test_parquet_keeps_its_types_and_numbers_its_rows() -> None:
    own = pa.table(
        {
            "when": pa.array([0, 1, None], pa.timestamp("us", "UTC")),
            "tags": pa.array([["x"], [], None], pa.list_(pa.string())),
            "kind": pa.array(["a", "b", "a"]).dictionary_encode(),
        }
    )
    first, second = slices_of(parquet_of(own), ".PARQUET", 2)
    assert first.column_names == [LINE, ERROR, RAW, "when", "tags", "kind"]
    assert first.schema.types == [pa.int64(), pa.string(), pa.string(), *own.schema.types]
    assert [first[LINE].to_pylist(), second[LINE].to_pylist()] == [[1, 2], [3]]
    assert first[ERROR].null_count == first[RAW].null_count == 2
    assert pa.concat_tables([first, second]).select(own.column_names).to_pylist() == own.to_pylist()


@pytest.mark.parametrize(
    "column",
    [
        pa.array([0, 2**62], pa.timestamp("us", "UTC")),
        pa.array([None, -(2**62)], pa.timestamp("ms")),
        pa.array([2**30], pa.int32()).cast(pa.date32()),
        pa.array([None], pa.timestamp("us", "No/Where")),
        pa.array([[0], [2**62]], pa.list_(pa.timestamp("us"))),
        pa.array([[0], [2**62]], pa.list_(pa.timestamp("us"), 1)),
        pa.array([{"at": 2**62}], pa.struct([("at", pa.timestamp("us"))])),
        pa.array([[("a", 2**62)]], pa.map_(pa.string(), pa.timestamp("us"))),
        pa.array([2**62], pa.timestamp("us")).dictionary_encode(),
    ],
)
def test_date_that_is_none_is_refused_by_column_before_anybody_reads_it(column: pa.Array) -> None:
    message = r"feedback\.parquet has in column 'when' what is no date or time \(.*\)\. Write it as text\."
    with pytest.raises(FileRefused, match=message):
        slices_of(parquet_of(pa.table({"when": column})), ".parquet")


# How much Parquet unpacks to


def texts_by_dictionary(text: str, rows: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([text]))


BOMBS: dict[str, tuple[pa.Array, dict[str, Any]]] = {
    "text that stands in a million rows": (texts_by_dictionary("long " * 20_000, 10**6), {"store_schema": False}),
    "category that stands in a million rows": (texts_by_dictionary("long " * 20_000, 10**6), {}),
    "text that begins as the one before": (
        pa.array(["long " * 20_000] * 1000),
        {"use_dictionary": False, "column_encoding": "DELTA_BYTE_ARRAY"},
    ),
    "page of zeros": (pa.array([bytes(2 * 10**7)] * 2), {"use_dictionary": False}),
    "nothing in millions of rows": (pa.nulls(10**7, pa.bool_()), {}),
    "list of nothing": (pa.ListArray.from_arrays([0, 4 * 10**7], pa.nulls(4 * 10**7, pa.bool_())), {}),
    "lists of one text": (
        pa.ListArray.from_arrays([0, 5 * 10**3, 10**4], texts_by_dictionary("long " * 20_000, 10**4)),
        {"store_schema": False},
    ),
    "absent lists of a fixed length": (pa.nulls(100, pa.list_(pa.float64(), 10**5)), {}),
    "absent bytes of a fixed length": (pa.nulls(100, pa.binary(10**6)), {}),
}


@pytest.mark.parametrize("name", BOMBS)
def test_parquet_that_unpacks_without_end_is_refused_before_memory_is_full(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(opening, "FREE_BYTES", 2**20)
    monkeypatch.setattr(parquet_pages, "LARGEST_GROUP", 2**24)
    monkeypatch.setattr(formats, "LARGEST_SLICE", 2**20)
    column, options = BOMBS[name]
    bomb = parquet_of(pa.table({"a": column}), compression="zstd", dictionary_pagesize_limit=2**20, **options)
    memory = pa.default_memory_pool()
    before, allocated = memory.max_memory(), memory.bytes_allocated()
    with pytest.raises(
        FileRefused,
        match=rf"feedback\.parquet (has {len(bomb):,} bytes and unpacks to more than [\d,]+, over 250 times as many\. Send"
        rf"|may unpack to [\d,]+ bytes at once in row group 1; {2**24:,} is the most\. Write)",
    ):
        slices_of(bomb, ".parquet", 50_000)
    assert memory.max_memory() <= max(before, allocated + 2**25)


def zigzag(number: int, length: int) -> bytes:
    """An integer as Thrift writes it, in so many bytes."""
    parts = [(number * 2 >> 7 * place) & 0x7F for place in range(length)]
    return bytes([part | 0x80 for part in parts[:-1]] + parts[-1:])


def test_parquet_that_denies_what_it_unpacks_to_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "FREE_BYTES", 2**20)
    whole = parquet_of(pa.table({"a": [bytes(10**6)] * 10}), compression="zstd", use_dictionary=False)
    group = pq.ParquetFile(io.BytesIO(whole)).metadata.row_group(0)
    lying = whole
    for size in {group.total_byte_size, group.column(0).total_uncompressed_size}:
        lying = lying.replace(zigzag(size, 4), zigzag(100, 4))
    assert pq.ParquetFile(io.BytesIO(lying)).metadata.row_group(0).total_byte_size == 100
    with pytest.raises(FileRefused, match=r"unpacks to more than [\d,]+, over 250 times as many"):
        slices_of(lying, ".parquet")


def test_parquet_of_which_too_much_tells_where_its_rows_are_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_pages, "_MOST_HEADER_BYTES", 1000)
    content = parquet_of(pa.table({"a": range(15)}), row_group_size=1)
    with pytest.raises(FileRefused, match=r"has a footer of 1,\d+ bytes; 1,000 is the most\. Write it with fewer row"):
        slices_of(content, ".parquet")


@pytest.mark.parametrize(
    "options",
    [
        *({"compression": codec} for codec in ("none", "snappy", "gzip", "brotli", "zstd", "lz4")),
        *({"use_dictionary": False, "data_page_version": version} for version in ("1.0", "2.0")),
        *(
            {"use_dictionary": False, "column_encoding": {"text": coding}, "data_page_version": version}
            for coding in ("DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY")
            for version in ("1.0", "2.0")
        ),
        {"row_group_size": 130},
    ],
)
def test_parquet_that_is_packed_well_is_read(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    monkeypatch.setattr(opening, "FREE_BYTES", 0)
    numbers = range(4000)
    own = pa.table(
        {
            "text": [f"Message {number % 500} of a shop that answers the same. " * 3 for number in numbers],
            "tags": [["delivery", "box"][: number % 3] for number in numbers],
            "shop": pa.array(["north", "south"] * 2000).dictionary_encode(),
            "place": pa.array([[number / 7, 0.5] for number in numbers], pa.list_(pa.float64(), 2)),
            "number": numbers,
            "took": pa.array(numbers, pa.duration("us")),
            "at": pa.array(numbers, pa.timestamp("ms", "Europe/Berlin")),
        }
    )
    slices = slices_of(parquet_of(own, **options), ".parquet", 600)
    assert [table.num_rows for table in slices] == [600] * 6 + [400]
    read = pa.concat_tables(slices)
    assert read[LINE].to_pylist() == list(range(1, 4001))
    assert read.select(own.column_names).to_pylist() == own.to_pylist()


@pytest.mark.parametrize(
    ("column", "options"),
    [
        (pa.array(["x" * 1000] * 120), {"use_dictionary": False}),
        (pa.array(["x" * 1000] * 120), {}),
        (pa.array(["x" * 1000] * 120).dictionary_encode(), {}),
        (pa.array(["x" * 1000] * 120), {"use_dictionary": False, "column_encoding": "DELTA_BYTE_ARRAY"}),
        (pa.array([["x" * 500, "x" * 500]] * 120), {}),
        (pa.array([[0.5] * 125] * 120), {}),
        (pa.array([[0.5] * 125] * 120, pa.list_(pa.float64(), 125)), {}),
        (pa.array(["x" * 1000] * 120), {"row_group_size": 1}),
    ],
)
def test_slice_of_wide_parquet_rows_ends_early(
    monkeypatch: pytest.MonkeyPatch, column: pa.Array, options: dict[str, Any]
) -> None:
    monkeypatch.setattr(formats, "LARGEST_SLICE", 10_000)
    slices = slices_of(parquet_of(pa.table({"a": column}), **options), ".parquet", 1000)
    assert all(table.num_rows <= 20 for table in slices)
    assert len(slices) <= 40
    assert pa.concat_tables(slices)["a"].to_pylist() == column.to_pylist()


def test_value_of_parquet_that_is_larger_than_a_slice_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "LARGEST_SLICE", 10_000)
    texts = ["a", "b" * 100_000, "c"]
    slices = slices_of(parquet_of(pa.table({"a": texts})), ".parquet", 1000)
    assert len(slices) > 1
    assert pa.concat_tables(slices)["a"].to_pylist() == texts


PARQUET = parquet_of(pa.table({"a": ["text that compresses " * 20] * 100}))


@pytest.mark.parametrize(
    ("suffix", "content", "message"),
    [
        (".csv", "a,b,a,c,c\n", r"more than one column named 'a', 'c'\. Name"),
        (".tsv", "a\t\tb\t\n", r"no name for column 2, 4\. Name"),
        (".csv", "a,_error,_line\n", r"a column named _error, _line, .* Rename"),
        (".csv", ",".join(map(str, range(MOST_COLUMNS + 1))), f"{MOST_COLUMNS + 1} columns. Send at most"),
        (".csv", "\na,ü\n".encode("latin-1"), "header in line 2: byte 3 of the row is 0xfc.* Save"),
        (".csv", '"a,b\n1,2\n', "header in line 1: a quote opens in this row and is never closed. Close"),
        (".parquet", parquet_of(pa.table({"_line": [1]})), "a column named _line, .* Rename"),
        (".parquet", parquet_of(pa.table([[1], [2]], names=["a", "a"])), "more than one column named 'a'"),
        (".parquet", "a,b\n1,2\n", r"is not whole Parquet .*\. Write it anew"),
        (".parquet", PARQUET[:4] + b"\xff" * 60 + PARQUET[64:], r"is not whole Parquet .*\. Write it anew"),
        (".parquet", parquet_of(pa.table({"a": pa.array([b"\xff"]).view(pa.string())})), "not whole Parquet .*UTF8"),
        (".parquet", parquet_of(pa.table({"name": [1]})).replace(b"name", b"n\xf1me"), r"not whole Parquet .*utf-8"),
        (".parquet", PARQUET[:-20], r"is not whole Parquet .*\. Write it anew"),
        (".xlsx", "a,b\n", r"suffix '\.xlsx'\. Send one of: \.csv, \.eml, \.json, .* or \.parquet\."),
        (".jsonl", b"{}\n" * 2000 + b"\0", "character 6001 is NUL. Save"),
    ],
)
def test_file_that_cannot_be_read_is_refused_with_what_to_do(suffix: str, content: bytes | str, message: str) -> None:
    with pytest.raises(FileRefused, match=message):
        slices_of(content, suffix)


@pytest.mark.parametrize("name", ["folder.csv", "missing.jsonl", "missing.parquet"])
def test_missing_file_and_folder_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(FileRefused, match=f"{name} is not a file"):
        next(read_slices(tmp_path / name, 10))


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        *((suffix, b"") for suffix in sorted(SUFFIXES)),
        *((suffix, b"\xef\xbb\xbf\r\n\n") for suffix in TEXT_SUFFIXES),
        (".tsv", b"\xef\xbb\xbfa\tb\r\n\r\n"),
        (".parquet", parquet_of(pa.table({"a": pa.array([], pa.int64())}))),
    ],
)
def test_file_without_rows_gives_no_tables(suffix: str, content: bytes) -> None:
    assert slices_of(content, suffix) == []


def test_slice_of_no_rows_is_an_error_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rows_per_slice is 0"):
        next(read_slices(tmp_path / "feedback.csv", 0))

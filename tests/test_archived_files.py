"""Rows are taken out of received files of every kind, and the others stay as they were."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration_project.core.errors import FileRefused
from orchestration_project.stores.archived_files import take_out
from orchestration_project.stores.formats import LINE, read_slices
from orchestration_project.stores.message_rows import MessageRows

CSV = 'message_id,text\nm1,first\nm2,"of\ntwo ""lines"""\n\nm3,last\n'
OBJECTS = [{"message_id": one, "text": f"of {one}", "n": number} for number, one in enumerate(("m1", "m2", "m3"))]
JSONL = "".join(json.dumps(one, ensure_ascii=False) + "\r\n" for one in OBJECTS)
LETTER = "Message-ID: <m2>\nFrom: a@b.de\nSubject: s\n\nZanzibar\n"


def chosen(table: pa.Table) -> list[int]:
    ids = table["message_id"].to_pylist() if "message_id" in table.column_names else []
    return [row for row, one in enumerate(ids) if one == "m2"]


def read(path: Path) -> list[dict[str, object]]:
    return [row for table in read_slices(path, 100) for row in table.to_pylist()]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", CSV.encode()),
        ("a.csv.gz", gzip.compress(CSV.encode(), mtime=0)),
        ("a.tsv", CSV.replace(",", "\t").encode()),
        ("a.csv", b"\xef\xbb\xbf" + CSV.encode()),
        ("a.latin-1.csv", CSV.replace("last", "l\xe4st").encode("latin-1")),
        ("a.utf-16.csv", CSV.encode("utf-16")),
        ("a.csv", CSV.encode() + b"m4,broken \xff byte\n"),
        ("a.jsonl", JSONL.encode()),
        ("a.jsonl.zst", b""),
    ],
)
def test_a_line_becomes_empty_and_every_other_row_keeps_its_line(tmp_path: Path, name: str, content: bytes) -> None:
    file = tmp_path / name
    if name.endswith(".zst"):
        with pa.CompressedOutputStream(pa.OSFile(str(file), "wb"), "zstd") as stream:
            stream.write(JSONL.encode())
    else:
        file.write_bytes(content)
    before = read(file)
    assert take_out(file, chosen) == "rewritten"
    assert read(file) == [row for row in before if row["message_id"] != "m2"]
    assert take_out(file, chosen) is None
    if not file.suffix.startswith((".gz", ".zst")):
        assert file.read_bytes()[:3] == content[:3]
        assert file.read_bytes().count(b"\n") == content.count(b"\n")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(OBJECTS),
        json.dumps(OBJECTS, indent=2),
        "\n".join(map(json.dumps, OBJECTS)),
        json.dumps(OBJECTS[1:2]),
    ],
)
def test_an_object_goes_from_json(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(text)
    before = [{**row, LINE: 0} for row in read(file)]
    assert take_out(file, chosen) == "rewritten"
    assert [{**row, LINE: 0} for row in read(file)] == [row for row in before if row["message_id"] != "m2"]
    assert "of m2" not in file.read_text()


def test_a_row_goes_from_parquet(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(OBJECTS), file)
    assert take_out(file, chosen) == "rewritten"
    assert pq.read_table(file).to_pylist() == [OBJECTS[0], OBJECTS[2]]
    assert b"of m2" not in file.read_bytes()


@pytest.mark.parametrize("name", ["a.eml", "a.eml.gz"])
def test_a_file_of_one_message_goes_whole(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(gzip.compress(LETTER.encode()) if name.endswith(".gz") else LETTER.encode())
    assert take_out(file, lambda table: []) is None and file.exists()
    assert take_out(file, chosen) == "removed" and not file.exists()


def test_a_damaged_file_is_refused_and_stays(tmp_path: Path) -> None:
    file = tmp_path / "a.csv.gz"
    file.write_bytes(gzip.compress(CSV.encode())[:-9])
    with pytest.raises(FileRefused):
        take_out(file, chosen)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


ORDERS: list[dict[str, object]] = [
    {"pieces": 2, "number": 1, "text": "first"},
    {"pieces": 2, "number": 2, "text": "second"},
    {"pieces": 1, "number": 3, "text": "third"},
]
"""Their ids are called otherwise: only all rows together say that `number` is the id, and `pieces` is none."""

HEADER_AND_ROWS = "pieces,number,text\n2,1,first\n2,2,second\n1,3,third\n"

AS_TEXT = {
    ".csv": HEADER_AND_ROWS,
    ".tsv": HEADER_AND_ROWS.replace(",", "\t"),
    ".json": json.dumps(ORDERS),
    ".jsonl": "\n".join(map(json.dumps, ORDERS)),
    ".ndjson": "\n".join(map(json.dumps, ORDERS)) + "\n",
}


def packed(content: bytes, compression: str) -> bytes:
    if compression == ".gz":
        return gzip.compress(content)
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("compression", ["", ".gz", ".zst"])
@pytest.mark.parametrize("suffix", AS_TEXT)
def test_a_row_is_told_by_all_rows_of_its_file(tmp_path: Path, suffix: str, compression: str) -> None:
    file = tmp_path / f"a{suffix}{compression}"
    content = AS_TEXT[suffix].encode()
    file.write_bytes(packed(content, compression) if compression else content)
    assert take_out(file, first_order) == "rewritten"
    assert [(str(row["number"]), row["text"]) for row in read(file)] == [("2", "second"), ("3", "third")]


def test_a_row_of_parquet_is_told_by_all_rows_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(ORDERS), file)
    assert take_out(file, first_order) == "rewritten"
    assert pq.read_table(file).to_pylist() == ORDERS[1:]


def first_order(table: pa.Table) -> list[int]:
    message = MessageRows("1", b"secret", ("message_id", "id"), frozenset(), frozenset())
    return message.among(table, "ab" * 32, {"1", "2", "3"}, is_own=True)


def test_of_objects_on_one_line_only_the_one_that_is_meant_goes(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps([{"text": "first"}, {"text": "second"}, {"text": "third"}, {"text": "second"}]))
    meant = MessageRows("m-1", b"secret", ("id",), frozenset({("ab" * 32, 1)}), frozenset({"first"}))
    assert take_out(file, lambda table: meant.among(table, "ab" * 32, {"m-1"}, is_own=True)) == "rewritten"
    assert [row["text"] for row in read(file)] == ["second", "third", "second"]


def test_what_is_no_object_in_json_is_counted_as_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(
        '[{"message_id": "m1"}, 7, {"message_id": "m1", "message_id": "m1"}, {"message_id": "m2"}, {"n": 1}]'
    )
    assert take_out(file, chosen) == "rewritten"
    assert file.read_text() == '[\n{"message_id": "m1"},\n7,\n{"message_id": "m1", "message_id": "m1"},\n{"n": 1}\n]\n'

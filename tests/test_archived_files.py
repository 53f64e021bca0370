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
        ("a.csv.gz", gzip.compress(CSV.encode())),
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

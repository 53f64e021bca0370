"""Whatever a file holds, every reader gives tables or refuses it by name; and every row comes out once, or is told."""

import io
import json
import math
import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from read_files import packed, rows_in, text_of

from orchestration_project.core.errors import FileRefused
from orchestration_project.stores.file_kinds import ENCODINGS, TEXT_SUFFIXES
from orchestration_project.stores.formats import ERROR, LINE, RAW, read_slices

ROWS = [
    {"text": "The box is empty.", "account": "A1", "note": ""},
    {"text": 'She said "no",\nand left; größer als 5 €', "account": "A2", "note": "[]{}"},
    {"text": "\\u00e9 \\ 😀 <p>&amp;</p>", "account": "", "note": "null"},
]

LETTER = (
    b"Message-ID: <m-1@example.org>\nFrom: =?utf-8?q?Ann_L=C3=A9e?= <ann@example.org>\nTo: a@b.example, Zo <c@d.example>\n"
    b"Date: Tue, 03 Mar 2026 10:00:00 +0100\nSubject: =?iso-8859-1?q?Gr=FC=DFe?= and more\nMIME-Version: 1.0\n"
    b'Content-Type: multipart/mixed; boundary="b1"\n\n--b1\nContent-Type: multipart/alternative; boundary=b2\n\n'
    b"--b2\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nGr=FC=DFe\n"
    b"--b2\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: base64\n\nPHA+R3LDvMOfZTwvcD4=\n--b2--\n"
    b"--b1\nContent-Type: application/pdf; name*=utf-8''b%C3%A4r.pdf\nContent-Disposition: attachment; filename=\"b.pdf\"\n"
    b"\n%PDF\n--b1--\n"
)


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(
        pa.table({name: [row[name] for row in ROWS] for name in ROWS[0]}),
        sink,
        compression="none",
        use_dictionary=False,
    )
    return sink.getvalue()


VALID: dict[str, bytes] = {
    f"f{suffix}": text_of(suffix, ROWS).encode() for suffix in TEXT_SUFFIXES if suffix != ".ndjson"
} | {
    "f.eml": LETTER,
    "f.parquet": parquet(),
    "f.utf-16.csv": text_of(".csv", ROWS).encode("utf-16"),
    "f.cp1252.tsv": text_of(".tsv", ROWS).encode("cp1252", "replace"),
    "f.csv.gz": packed(text_of(".csv", ROWS).encode(), ".gz"),
    "f.jsonl.zst": packed(text_of(".jsonl", ROWS).encode(), ".zst"),
}
"""A whole file of each kind, by a name that tells it; mutated until none is whole."""

EXAMPLES = 10_000 if os.environ.get("CI") == "true" else 200
"""Files of all kinds together."""


def share_of(name: str) -> int:
    """How many of the files are of a kind; fewer of Parquet, which takes ten times as long."""
    weights = {kind: 1 if kind == "f.parquet" else 4 for kind in VALID}
    return math.ceil(EXAMPLES * weights[name] / sum(weights.values()) / 2)  # mutations and plain bytes


MARKS = [b'"', b"\\", b"{", b"}", b"[", b"]", b",", b"\n", b"\r", b"\t", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe"]
MARKS += [b"\\u0000", b"\\ud83d", b"1e999", b"NaN", b"9" * 5000, b"[" * 2000, b'{"a":' * 2000, b"_line", b'"text"']
MARKS += [b"Content-Type: ", b"charset=", b"; boundary=b1", b"=?utf-8?b?", b"?=", b"<!--", b"&#99999999999;", b"--b1"]


def mutated(content: bytes, seed: random.Random) -> bytes:
    """The content with one to four places cut, doubled, overwritten or filled with what breaks readers."""
    changed = bytearray(content)
    for _ in range(seed.randint(1, 4)):
        place = seed.randint(0, len(changed))
        length = seed.choice([1, 2, 8, 60])
        match seed.randint(0, 4):
            case 0:
                del changed[place : place + length]
            case 1:
                changed[place:place] = changed[place : place + length]
            case 2:
                changed[place : place + length] = seed.randbytes(length)
            case 3:
                changed[place:place] = seed.choice(MARKS)
            case _:
                del changed[place:]
    return bytes(changed)


def read_or_refused(folder: Path, name: str, content: bytes) -> list[dict[str, Any]] | None:
    """The rows; None for a file that is refused by its name. Anything else that is raised fails the test."""
    path = folder / name
    path.write_bytes(content)
    try:
        rows = [row for table in read_slices(path, 100) for row in table.to_pylist()]
    except FileRefused as refusal:
        assert name in str(refusal)
        return None
    return rows


def check_rows(rows: list[dict[str, Any]]) -> None:
    """Each has its line, and either values or a reason with its text."""
    assert [row[LINE] for row in rows] == sorted(row[LINE] for row in rows)
    for row in rows:
        own = [value for name, value in row.items() if name not in (LINE, ERROR, RAW)]
        assert (row[ERROR] is None) == (row[RAW] is None)
        assert row[ERROR] is None or (row[ERROR] and not any(value is not None for value in own))
        json.dumps(row, default=str).encode()


@pytest.mark.parametrize("name", VALID)
def test_whole_file_of_each_kind_is_read(tmp_path: Path, name: str) -> None:
    rows = read_or_refused(tmp_path, name, VALID[name])
    assert rows
    assert not any(row[ERROR] for row in rows)


@pytest.mark.parametrize("name", VALID)
def test_any_mutation_of_a_whole_file_is_rows_or_a_refusal(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:

        @settings(max_examples=share_of(name), deadline=None, database=None)
        @given(st.randoms(use_true_random=False))
        def fuzz(seed: random.Random) -> None:
            rows = read_or_refused(Path(folder), name, mutated(VALID[name], seed))
            check_rows(rows or [])

        fuzz()


@pytest.mark.parametrize("name", VALID)
def test_any_bytes_under_any_name_are_rows_or_a_refusal(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:

        @settings(max_examples=share_of(name), deadline=None, database=None)
        @given(st.lists(st.binary(max_size=20) | st.sampled_from(MARKS), max_size=12).map(b"".join))
        def fuzz(content: bytes) -> None:
            check_rows(read_or_refused(Path(folder), name, content) or [])

        fuzz()


GOOD = [row["text"].replace("\n", " ") for row in ROWS]
BROKEN: dict[str, list[str]] = {
    ".csv": ["a,b,c", 'x,"never closed'],
    ".tsv": ["a\tb\tc", 'x\t"never closed'],
    ".jsonl": ['{"text":', "nonsense", '{"text": NaN}', "[1]"],
    ".json": ['{"text" 1}', "nonsense", '{"text": NaN}', "[1]"],
}
"""Lines of a kind that are no rows of it."""

SHAPES: dict[str, tuple[str, Callable[[str], str], str, str]] = {
    ".csv": ("number,text\n", lambda text: '1,"{}"'.format(text.replace('"', '""')), "\n", ""),
    ".tsv": ("number\ttext\n", lambda text: '1\t"{}"'.format(text.replace('"', '""')), "\n", ""),
    ".jsonl": ("", lambda text: json.dumps({"text": text}, ensure_ascii=False), "\n", ""),
    ".json": ("[\n", lambda text: json.dumps({"text": text}), ",\n", "\n]"),
}
"""Start, how a text is written, what stands between two rows, end."""


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.data(), st.sampled_from(list(SHAPES)), st.sampled_from(["", ".gz", ".zst"]), st.sampled_from(["utf-8", "utf-16"])
)
def test_every_row_comes_out_once_as_itself_or_as_an_error_with_its_line(
    data: st.DataObject, suffix: str, compression: str, encoding: str
) -> None:
    texts = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), min_size=1) | st.sampled_from(GOOD)
    written = data.draw(
        st.lists(texts.map(lambda text: (True, text)) | st.sampled_from([(False, text) for text in BROKEN[suffix]]))
    )
    start, write, between, end = SHAPES[suffix]
    content = start + between.join(write(text) if good else text for good, text in written) + end
    rows = rows_in(f"f{suffix}{compression}", packed(content.encode(encoding), compression), 3)
    first = start.count("\n") + 1
    assert [row[LINE] for row in rows] == list(range(first, first + len(written)))
    found = [(row[ERROR] is None, row["text"] if row[ERROR] is None else row[RAW].strip()) for row in rows]
    assert found == written


@settings(deadline=None)
@given(st.sampled_from(ENCODINGS), st.text(st.characters(codec="ascii", exclude_characters="\0\r\n"), min_size=1))
def test_every_text_file_is_one_row(encoding: str, text: str) -> None:
    [row] = rows_in(f"f.{encoding}.txt", f"{text}\n".encode(encoding))
    assert (row[LINE], row["text"], row[ERROR]) == (1, text, None)


@settings(deadline=None)
@given(
    st.lists(st.fixed_dictionaries({"text": st.none() | st.text(), "stars": st.none() | st.integers(0, 5)}), min_size=1)
)
def test_every_row_of_parquet_comes_out_once(rows: list[dict[str, Any]]) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, pa.schema({"text": pa.string(), "stars": pa.int64()})), sink)
    found = rows_in("f.parquet", sink.getvalue(), 3)
    expected = [{LINE: line, ERROR: None, RAW: None, **row} for line, row in enumerate(rows, start=1)]
    assert found == expected

"""Whatever a file holds, every reader gives tables or refuses it by name; and every row comes out once, or is told."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from read_files import Spoil, break_in_every_way, mutated, packed, read_or_refused, rows_in, scratch_folder, text_of

from orchestration_project.stores.file_kinds import COMPRESSIONS, ENCODINGS, TEXT_SUFFIXES
from orchestration_project.stores.formats import ERROR, LINE, RAW

ROWS = [
    {"text": "The box is empty.", "account": "A1", "note": ""},
    {"text": 'She said "no",\nand left; größer als 5 €', "account": "A2", "note": "[]{}"},
    {"text": "\\u00e9 \\ 😀 <p>&amp;</p>", "account": "", "note": "null"},
]

TEXTS: dict[str, bytes] = {
    f"f{suffix}": text_of(suffix, ROWS).encode() for suffix in TEXT_SUFFIXES if suffix not in (".eml", ".ndjson")
} | {
    "f.utf-16.csv": text_of(".csv", ROWS).encode("utf-16"),
    "f.cp1252.tsv": text_of(".tsv", ROWS).encode("cp1252", "replace"),
    "f.csv.gz": text_of(".csv", ROWS).encode(),
    "f.jsonl.zst": text_of(".jsonl", ROWS).encode(),
}
"""What a whole file of each kind holds, by a name that tells it."""


def packed_for(name: str, content: bytes) -> bytes:
    suffix = Path(name).suffix
    return packed(content, suffix if suffix in COMPRESSIONS else "")


@pytest.mark.parametrize("name", TEXTS)
def test_whole_file_of_each_kind_is_read(tmp_path: Path, name: str) -> None:
    rows = read_or_refused(tmp_path, name, packed_for(name, TEXTS[name]))
    assert rows
    assert not any(row[ERROR] for row in rows)


@pytest.mark.parametrize("name", TEXTS)
def test_any_content_under_any_name_is_rows_or_a_refusal(name: str) -> None:
    with scratch_folder() as folder:
        break_in_every_way(name, TEXTS[name], lambda content: check(folder, name, content), spoil_for(name))


def spoil_for(name: str) -> Spoil:
    """Of a compressed file, one time its text is spoiled and one time the file."""

    def spoil(content: bytes, chance: random.Random) -> bytes:
        if chance.random() < 0.5:
            return packed_for(name, mutated(content, chance))
        return mutated(packed_for(name, content), chance)

    return spoil


def check(folder: Path, name: str, content: bytes) -> None:
    read_or_refused(folder, name, content)


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

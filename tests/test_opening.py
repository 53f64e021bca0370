"""Compression and encoding: what they hide is read as if it were not there, and what they break is told by name."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from read_files import packed, rows_in, text_of

from orchestration_project.core.errors import FileRefused
from orchestration_project.stores import opening
from orchestration_project.stores.file_kinds import COMPRESSIONS, ENCODINGS, TEXT_SUFFIXES
from orchestration_project.stores.formats import ERROR, LINE, RAW, read_slices

ROWS = [{"text": f"message {number} of many, {number**5} words", "account": f"A{number}"} for number in range(2000)]

# Compression


@pytest.mark.parametrize("suffix", TEXT_SUFFIXES)
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_compressed_file_has_the_rows_of_the_file(suffix: str, compression: str) -> None:
    content = text_of(suffix, ROWS).encode()
    assert rows_in(f"may{suffix}{compression}", packed(content, compression)) == rows_in(f"may{suffix}", content)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_parts_that_were_compressed_one_by_one_are_one_file(compression: str) -> None:
    content = packed(b"text\na\n", compression) + packed(b"b\n", compression)
    assert [row["text"] for row in rows_in(f"may.csv{compression}", content)] == ["a", "b"]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "last byte gone": lambda whole: whole[:-1],
    "half gone": lambda whole: whole[: len(whole) // 2],
    "three bytes left": lambda whole: whole[:3],
    "nothing left": lambda whole: b"",
    "more behind it": lambda whole: whole + b"and more",
    "not compressed": lambda whole: b"text\nnot compressed at all\n",
    "zeros amid it": lambda whole: whole[:200] + bytes(64) + whole[264:],
}


@pytest.mark.parametrize("suffix", [".csv", ".json", ".txt", ".eml"])
@pytest.mark.parametrize(
    ("compression", "damage"),
    [
        *((compression, damage) for compression in COMPRESSIONS for damage in DAMAGES if damage != "zeros amid it"),
        (".gz", "zeros amid it"),  # .zst as it is made here has no checksum that would tell
    ],
)
def test_damaged_compression_is_refused_by_name(tmp_path: Path, compression: str, damage: str, suffix: str) -> None:
    everything = {"text": " ".join(row["text"] for row in ROWS), "account": "all"}
    path = tmp_path / f"may{suffix}{compression}"
    path.write_bytes(DAMAGES[damage](packed(text_of(suffix, [everything, *ROWS]).encode(), compression)))
    with pytest.raises(FileRefused, match=rf"may\{suffix}\{compression} (cannot be unpacked \(.+\): it is|is empty)"):
        list(read_slices(path, 100))


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_file_that_unpacks_without_end_is_refused_with_its_figures(
    monkeypatch: pytest.MonkeyPatch, compression: str
) -> None:
    monkeypatch.setattr(opening, "FREE_BYTES", 2**20)
    bomb = packed(b"text\n" + b"a\n" * 2**20, compression)
    with pytest.raises(
        FileRefused, match=rf"has {len(bomb):,} bytes and unpacks to more than 1,\d+,\d+, over 250 times"
    ):
        rows_in(f"may.csv{compression}", bomb)
    monkeypatch.setattr(opening, "FREE_BYTES", 2**22)
    assert len(rows_in(f"may.csv{compression}", bomb, 2**20)) == 2**20


def test_file_is_unpacked_while_it_is_read(tmp_path: Path) -> None:
    """The first rows come before the damage at the end is met, so no more than a piece was unpacked."""
    path = tmp_path / "may.csv.zst"
    path.write_bytes(packed(text_of(".csv", ROWS * 100).encode(), ".zst")[:-10])
    slices = read_slices(path, 10)
    assert next(slices).num_rows == 10
    with pytest.raises(FileRefused, match="cut off"):
        list(slices)


# Encodings


WRITTEN = "text,account\nGrüße für 12 €,ü1\n"


@pytest.mark.parametrize("compression", ["", *COMPRESSIONS])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("may.csv", WRITTEN.encode()),
        ("may.csv", WRITTEN.encode("utf-8-sig")),
        ("may.utf-8.csv", WRITTEN.encode("utf-8-sig")),
        ("may.csv", b"\xff\xfe" + WRITTEN.encode("utf-16-le")),
        ("may.csv", b"\xfe\xff" + WRITTEN.encode("utf-16-be")),
        ("may.utf-16.csv", WRITTEN.encode("utf-16")),
        ("may.iso-8859-15.csv", WRITTEN.encode("iso-8859-15")),
        ("may.cp1252.csv", WRITTEN.encode("cp1252")),
        ("may.Windows-1252.CSV", WRITTEN.encode("cp1252")),
    ],
)
def test_text_is_the_same_in_every_encoding(name: str, content: bytes, compression: str) -> None:
    [row] = rows_in(name + compression, packed(content, compression))
    assert (row["text"], row["account"], row[LINE]) == ("Grüße für 12 €", "ü1", 2)


@settings(deadline=None)
@given(
    st.sampled_from(ENCODINGS),
    st.lists(st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), min_size=1), min_size=1),
)
def test_what_an_encoding_holds_comes_back_from_every_line(encoding: str, texts: list[str]) -> None:
    texts = [text.encode(encoding, "replace").decode(encoding) for text in texts]
    rows = rows_in(f"may.{encoding}.jsonl", text_of(".jsonl", [{"text": text} for text in texts]).encode(encoding))
    assert [(row[LINE], row["text"]) for row in rows] == list(enumerate(texts, start=1))


@pytest.mark.parametrize(
    ("name", "bad", "place", "byte", "raw", "called"),
    [
        ("may.csv", b"a\xfc", 2, "0xfc", "a\\xfc", "UTF-8"),
        ("may.cp1252.csv", b"\xe9\x81", 2, "0x81", "é\\x81", "CP1252"),
        ("may.utf-16.csv", b"a\0\x00\xd8", 3, "0x00", "a\\x00\\xd8", "UTF-16"),
        ("may.utf-16.csv", b"\xe9\0\x41\xdc", 3, "0x41", "é\\x41\\xdc", "UTF-16"),
    ],
)
def test_byte_that_is_not_of_the_encoding_costs_its_own_row(
    name: str, bad: bytes, place: int, byte: str, raw: str, called: str
) -> None:
    utf_16 = called == "UTF-16"

    def written(text: str) -> bytes:
        return text.encode("utf-16-le" if utf_16 else "ascii")

    content = (b"\xff\xfe" if utf_16 else b"") + written("text\nok\n") + bad + written("\nfine\n")
    good, failed, last = rows_in(name, content)
    assert (good["text"], failed[LINE], failed[RAW], last["text"]) == ("ok", 3, raw, "fine")
    assert failed[ERROR].startswith(f"byte {place} of the row is {byte}, which is not {called} text. Save")


def test_half_a_character_at_the_end_costs_the_last_row() -> None:
    good, failed = rows_in("may.csv", "text\nok\nab".encode("utf-16") + b"\x41")
    assert (good["text"], failed[LINE], failed[RAW]) == ("ok", 3, "ab\\x41")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("may.latin-1.csv", b"\xef\xbb\xbftext\n", "starts with ef bb bf, as UTF-8 does and is named latin-1. Save"),
        ("may.utf-8.csv", "text\n".encode("utf-16"), "starts with ff fe, as UTF-16 does and is named utf-8. Save"),
        ("may.utf-16.csv", b"text\n", "is named utf-16 and lacks its mark"),
        ("may.csv", "text\n".encode("utf-32"), "starts with ff fe 00 00, as UTF-32 does. Save it as UTF-8"),
        ("may.csv", "text\na\0b\n".encode("utf-16"), "character 7 is NUL"),
        ("may.latin-1.txt", b"a\0", "character 2 is NUL"),
    ],
)
def test_file_that_is_not_what_it_declares_is_refused(name: str, content: bytes, message: str) -> None:
    with pytest.raises(FileRefused, match=message):
        rows_in(name, content)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_lines_may_end_in_carriage_returns_alone_in_every_encoding(encoding: str) -> None:
    assert [row["text"] for row in rows_in("may.csv", "text\ra\rb\r".encode(encoding))] == ["a", "b"]


def test_disk_that_fails_is_not_called_damage(tmp_path: Path) -> None:
    path = tmp_path / "may.csv.gz"
    path.write_bytes(packed(b"text\n", ".gz"))
    with Path("/proc/self/mem").open("rb") as unreadable:
        stream = opening._Unpacked(path, unreadable, ".gz")
        with pytest.raises(OSError, match="Input/output error"):
            stream.read(10)

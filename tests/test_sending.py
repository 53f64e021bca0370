"""What `send` takes: every format by its name, its encoding where it is named, and no text for a file."""

from pathlib import Path

import pytest
from read_files import packed, text_of
from received_files import files_in, registered

from orchestration_project.cli.sending import files_among, take_in
from orchestration_project.core.errors import FileRefused, Refused
from orchestration_project.stores.file_kinds import TEXT_SUFFIXES
from orchestration_project.stores.home import Home


@pytest.mark.parametrize("ending", [*TEXT_SUFFIXES, ".csv.gz", ".eml.zst"])
def test_file_of_every_format_is_taken_in(home: Home, tmp_path: Path, ending: str) -> None:
    suffix, _, compression = ending[1:].partition(".")
    file = tmp_path / f"may{ending}"
    file.write_bytes(packed(text_of(f".{suffix}", [{"text": "hello"}]).encode(), compression and f".{compression}"))
    tokens, rows = take_in(home, [str(file)])
    assert (len(tokens), rows, registered(home)[0][0]) == (1, 1, f"may{ending}")


def test_encoding_is_that_of_every_file_and_stands_in_their_names(home: Home, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.csv", "b.utf-8.csv")]
    for file in files:
        file.write_bytes("text\nGrüße\n".encode("latin-1"))
    assert take_in(home, list(map(str, files)), "latin-1")[1] == 2
    assert sorted(file for file, _, _ in registered(home)) == ["a.latin-1.csv", "b.latin-1.csv"]


@pytest.mark.parametrize(
    ("item", "encoding", "message"),
    [
        ("hello there", "latin-1", "--encoding is of files, and a message on the command line is text"),
        ("may.csv", "klingon", "'klingon' is no encoding that is read"),
        ("may.parquet", "latin-1", "Parquet, which has no encoding"),
    ],
)
def test_encoding_that_cannot_be_is_refused(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, item: str, encoding: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "may.csv").write_text("text\nhello\n")
    (tmp_path / "may.parquet").write_bytes(b"PAR1")
    with pytest.raises(Refused, match=message):
        take_in(home, [item], encoding)
    assert (registered(home), files_in(home.received)) == ([], [])


def test_damaged_file_is_refused_and_nothing_of_it_is_kept(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "may.csv.gz"
    file.write_bytes(packed(b"text\n" + b"hello\n" * 10_000, ".gz")[:-4])
    with pytest.raises(FileRefused, match=r"may\.csv\.gz cannot be unpacked"):
        take_in(home, [str(file)])
    assert (registered(home), files_in(home.received), files_in(home.staged)) == ([], [], [])


@pytest.mark.parametrize("name", ["may.json", "letter.eml", "may.csv.gz", "may.latin-1.txt.zst"])
def test_name_of_a_file_that_is_not_there_is_no_text(name: str) -> None:
    with pytest.raises(Refused, match=f"There is no file {name}"):
        files_among([name])
    assert files_among([f"Where is {name} now?"]) == []

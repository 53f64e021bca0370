"""What the name of a file tells: suffix, compression and encoding, and nothing else is read into it."""

import pytest

from orchestration_project.core.errors import FileRefused, Refused
from orchestration_project.stores.file_kinds import ENCODINGS, FileKind, is_readable_name, kind_of, name_with_encoding


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("may.csv", FileKind(".csv")),
        ("MAY.CSV", FileKind(".csv")),
        ("may.csv.gz", FileKind(".csv", ".gz")),
        ("may.latin-1.csv", FileKind(".csv", None, "latin-1")),
        ("may.CP1252.jsonl.ZST", FileKind(".jsonl", ".zst", "cp1252")),
        ("may.latin-2.csv", FileKind(".csv")),
        ("latin-1.csv", FileKind(".csv")),
        ("may.utf-16.2026.csv", FileKind(".csv")),
        ("may.parquet", FileKind(".parquet")),
        ("may.latin-1.parquet", FileKind(".parquet")),
        ("letter.eml", FileKind(".eml")),
        ("a b\n.txt.gz", FileKind(".txt", ".gz")),
    ],
)
def test_kind_stands_at_the_end_of_the_name(name: str, kind: FileKind) -> None:
    assert kind_of(name) == kind
    assert is_readable_name(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("may.xlsx", r"may\.xlsx has the suffix '\.xlsx'\. Send one of: \.csv, "),
        ("may.docx.gz", r"has the suffix '\.docx'"),
        ("may.gz", r"has the suffix '\.gz'"),
        ("may.csv.zip", r"has the suffix '\.zip'"),
        ("may", r"has the suffix ''"),
        ("", r"has the suffix ''"),
        ("may.parquet.gz", r"is Parquet, compressed once more as \.gz\. Send the Parquet file itself\."),
    ],
)
def test_name_of_another_kind_is_refused_with_those_there_are(name: str, message: str) -> None:
    with pytest.raises(FileRefused, match=message):
        kind_of(name)
    assert not is_readable_name(name)


@pytest.mark.parametrize("encoding", [*ENCODINGS, "LATIN-1"])
@pytest.mark.parametrize("name", ["may.csv", "may.utf-8.csv", "may.JSONL.gz", "may.utf-16.txt.zst"])
def test_name_with_an_encoding_declares_it_and_is_of_the_same_kind(name: str, encoding: str) -> None:
    assert kind_of(name_with_encoding(name, encoding)) == kind_of(name)._replace(encoding=encoding.lower())


@pytest.mark.parametrize(
    ("name", "encoding", "message"),
    [
        ("may.csv", "latin1", r"'latin1' is no encoding that is read\. Did you mean 'latin-1'\?"),
        ("may.csv", "utf-32", r"'utf-32' is no encoding that is read\."),
        ("may.parquet", "latin-1", r"may\.parquet is Parquet, which has no encoding\. Send it without --encoding\."),
        ("may.xlsx", "latin-1", r"has the suffix '\.xlsx'"),
    ],
)
def test_encoding_that_a_file_cannot_have_is_refused(name: str, encoding: str, message: str) -> None:
    with pytest.raises(Refused, match=message):
        name_with_encoding(name, encoding)

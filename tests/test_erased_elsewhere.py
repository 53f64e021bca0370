"""Files outside of the ledger that tell a message: those that were refused, and those that wait."""

import gzip
from pathlib import Path

import dagster as dg
import letters_home
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from letters_home import ID, TEXT

from orchestration_project.governance import erasure
from orchestration_project.stores.home import Home


@pytest.fixture
def published(named_home: Home) -> Home:
    """A home with the letter in a batch that was published; Dagster's stores are elsewhere."""
    with dg.DagsterInstance.ephemeral() as instance:
        letters_home.receive(
            named_home, "a.csv", letters_home.csv([(ID, TEXT, letters_home.ACCOUNT, 1), *letters_home.others()])
        )
        letters_home.work(named_home, instance)
    return named_home


def sentence_on(file: Path, home: Home) -> str:
    """The one sentence of an order that names a file."""
    (found,) = (one for one in erasure.forget(home, ID, "asked").unreached if file.name in one)
    return found


def broken(content: bytes, how: str) -> bytes:
    packed = gzip.compress(content, mtime=0)
    return packed[:-12] if how == "cut off" else packed[:20] + b"\xff\xff\xff" + packed[23:]


@pytest.mark.parametrize("folder", ["refused", "inbox"])
@pytest.mark.parametrize("how", ["cut off", "damaged"])
def test_a_file_that_cannot_be_unpacked_stays_and_is_told(published: Home, folder: str, how: str) -> None:
    file = published.root / folder / "0-b.csv.gz"
    content = broken(letters_home.csv([(ID, TEXT, letters_home.ACCOUNT, 1)]), how)
    file.write_bytes(content)
    told = sentence_on(file, published)
    assert told.startswith("0-b.csv.gz cannot be unpacked (") and "may tell it" in told and str(file.parent) in told
    assert file.read_bytes() == content


def test_a_refused_file_that_is_not_compressed_as_its_name_says_goes_whole(published: Home) -> None:
    file = published.refused / "0-b.csv.gz"
    file.write_bytes(letters_home.csv([(ID, TEXT, letters_home.ACCOUNT, 1)]))
    erasure.forget(published, ID, "asked")
    assert not file.exists()


@pytest.mark.parametrize("name", ["0-b.csv.gz", "0-b.csv.zst"])
def test_a_refused_file_is_looked_through_unpacked(published: Home, name: str) -> None:
    file, other = published.refused / name, published.refused / f"1-{name}"
    codec = "gzip" if name.endswith(".gz") else "zstd"
    for path, text in ((file, TEXT), (other, "A calm word")):
        with pa.CompressedOutputStream(pa.OSFile(str(path), "wb"), codec) as stream:
            stream.write(f"text\n{text}\n".encode())
    erasure.forget(published, ID, "asked")
    assert (file.exists(), other.exists()) == (False, True)


def test_parquet_that_was_refused_is_looked_through_by_its_rows(published: Home) -> None:
    file, other = published.refused / "0-b.parquet", published.refused / "1-b.parquet"
    pq.write_table(pa.table({"_line": [1] * 50, "text": [TEXT] * 50}), file, compression="gzip", write_statistics=False)
    pq.write_table(pa.table({"_line": [1], "text": ["A calm word"]}), other)
    assert TEXT.encode() not in file.read_bytes()
    erasure.forget(published, ID, "asked")
    assert (file.exists(), other.exists()) == (False, True)


def test_parquet_that_cannot_be_read_stays_and_is_told(published: Home) -> None:
    file = published.refused / "0-b.parquet"
    pq.write_table(pa.table({"text": [TEXT] * 50}), file, compression="gzip", write_statistics=False)
    file.write_bytes(file.read_bytes()[:-20])
    assert "0-b.parquet is not whole Parquet" in sentence_on(file, published)
    assert file.exists()


def test_an_empty_file_tells_nothing(published: Home) -> None:
    for name in ("0-b.csv.gz", "0-b.parquet", "0-b.exe"):
        (published.refused / name).write_bytes(b"")
    told = erasure.forget(published, ID, "asked").unreached
    assert not [one for one in told if "0-b" in one]
    assert len(list(published.refused.iterdir())) == 3


def test_a_refused_file_goes_whole_and_one_that_waits_is_told(published: Home) -> None:
    refused = published.refused / "0-b.csv"
    refused.write_bytes(b"\0" + TEXT.encode())
    refused.with_name("0-b.csv.reason.txt").write_text(f"b.csv is not text: {TEXT}")
    (published.inbox / "c.csv").write_bytes(letters_home.csv([(ID, TEXT, letters_home.ACCOUNT, 1)]))
    found = erasure.forget(published, ID, "asked")
    assert not refused.exists()
    assert any(one.startswith("c.csv in") and "not taken in yet" in one for one in found.unreached)
    assert [place.split(":")[0] for place in set(letters_home.places_that_tell(published.root))] == [
        str(published.inbox / "c.csv")
    ] * len(letters_home.TRACES)


def test_a_file_that_is_damaged_goes_whole_once_it_is_published(published: Home) -> None:
    (file,) = published.archive.iterdir()
    file.write_bytes(file.read_bytes() + b"\0" * 10)
    head = file.read_bytes()
    file.write_bytes(b"\0" + head)
    found = erasure.forget(published, ID, "asked")
    assert not file.exists()
    assert any("could not be written anew" in one and "the whole file was removed" in one for one in found.unreached)

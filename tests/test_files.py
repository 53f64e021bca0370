"""Files that are either there whole or not at all."""

import hashlib
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration_project.stores.files import (
    file_digest,
    flush_folder,
    publish_file,
    temporary_beside,
    write_file,
    write_once,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_published_file_has_its_name_and_its_temporary_one_is_gone(tmp_path: Path) -> None:
    final = tmp_path / "deep" / "er" / "table.parquet"
    temporary = temporary_beside(final)
    temporary.write_bytes(b"rows")
    assert not final.exists()
    publish_file(temporary, final)
    assert (names(final.parent), final.read_bytes()) == (["table.parquet"], b"rows")


def test_temporary_name_is_hidden_in_the_same_folder_and_new_every_time(tmp_path: Path) -> None:
    final = tmp_path / "new" / "table.parquet"
    found = {temporary_beside(final) for _ in range(50)}
    assert len(found) == 50
    assert {path.parent for path in found} == {final.parent}
    assert all(path.name.startswith(".") and path.suffix == ".part" for path in found)
    assert names(final.parent) == []


def test_written_file_replaces_an_older_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    final = tmp_path / "notices" / "1.md"
    write_file(final, b"first, and longer")
    write_file(final, b"second")
    assert (names(final.parent), final.read_bytes()) == (["1.md"], b"second")


def test_what_cannot_get_its_name_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "taken" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        write_file(tmp_path / "taken", b"content")
    assert names(tmp_path / "taken") == ["inside"]
    with pytest.raises(FileNotFoundError):
        publish_file(tmp_path / "nothing", tmp_path / "final")
    assert not (tmp_path / "final").exists()


def test_reader_meets_the_old_file_or_the_new_one_and_never_a_part(tmp_path: Path) -> None:
    final, ended = tmp_path / "state", Event()
    contents = [bytes([letter]) * 200_000 for letter in b"ab"]
    write_file(final, contents[0])

    def read() -> set[bytes]:
        seen: set[bytes] = set()
        while not ended.is_set():
            seen.add(final.read_bytes())
        return seen

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for number in range(30):
            write_file(final, contents[number % 2])
        ended.set()
    assert {content for reader in readers for content in reader.result()} <= set(contents)


def test_of_several_writers_at_once_the_first_wins_and_all_read_the_same(tmp_path: Path) -> None:
    for round_ in range(10):
        final, barrier = tmp_path / f"{round_}" / "secret", Barrier(4)

        def write(number: int, final: Path = final, barrier: Barrier = barrier) -> bytes:
            barrier.wait()
            write_once(final, f"of {number}".encode())
            return final.read_bytes()

        with ThreadPoolExecutor(4) as pool:
            read = set(pool.map(write, range(4)))
        assert len(read) == 1
        assert names(final.parent) == ["secret"]


def test_file_that_is_written_once_stays_as_it_is(tmp_path: Path) -> None:
    final = tmp_path / "dagster.yaml"
    write_once(final, b"first")
    write_once(final, b"second")
    assert (names(tmp_path), final.read_bytes()) == (["dagster.yaml"], b"first")


def test_secret_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    write_once(tmp_path / "secret", b"key", mode=0o600)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_folder_that_is_not_there_cannot_be_flushed(tmp_path: Path) -> None:
    flush_folder(tmp_path)
    with pytest.raises(FileNotFoundError):
        flush_folder(tmp_path / "nothing")


@settings(deadline=None, max_examples=40)
@given(st.binary(max_size=2000), st.integers(1, 300))
def test_digest_is_the_sha256_of_all_bytes_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, times: int
) -> None:
    final = tmp_path_factory.getbasetemp() / "digested"
    write_file(final, content * times)
    assert final.read_bytes() == content * times
    assert file_digest(final) == hashlib.sha256(content * times).hexdigest()


def test_file_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError):
        write_file(tmp_path / "taken", b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]

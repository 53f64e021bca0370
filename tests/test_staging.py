"""Staging: whole or not at all, where the disk is full and where a file changes while it is read."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from received_files import files_in, receive, registered

from orchestration_project.core.errors import Refused
from orchestration_project.stores import arrivals, batches, staging
from orchestration_project.stores.arrivals import StillWritten
from orchestration_project.stores.home import Home
from orchestration_project.stores.staging import staged_slices

LARGE = "text\n" + "".join(f"{os.urandom(300).hex()}\n" for _ in range(4000))


@contextmanager
def full_disk() -> Iterator[None]:
    """No file can grow beyond 1 MB, as on a disk without room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


NO_ROOM = r" cannot be copied into .*/received: File too large\. Mend that, and send it again\.$"


def test_file_for_which_there_is_no_room_is_not_received(home: Home, tmp_path: Path) -> None:
    source = tmp_path / "large.csv"
    source.write_text(LARGE)
    with full_disk(), pytest.raises(Refused, match=rf"^large\.csv{NO_ROOM}"):
        arrivals.receive(home, source)
    assert files_in(home.received) == []


def test_message_for_which_there_is_no_room_is_not_received(home: Home) -> None:
    with full_disk(), pytest.raises(Refused, match=f"^The message{NO_ROOM}"):
        arrivals.receive_message(home, {"text": LARGE})
    assert files_in(home.received) == []


def test_message_that_no_folder_takes_is_refused(home: Home) -> None:
    home.received.rmdir()
    home.received.write_text("")
    with pytest.raises(Refused, match=r"^The message cannot be copied into .*/received: File exists"):
        arrivals.receive_message(home, {"text": "hello"})


def test_rows_for_which_there_is_no_room_wait_in_their_file_until_there_is(home: Home) -> None:
    large, small = receive(home, LARGE, "a-large.csv"), receive(home, "text\nhello\n", "small.csv")
    with (
        full_disk(),
        pytest.raises(Refused, match=r"^a-large\.csv cannot be taken in: .*[Ff]ile too large.* It is kept, "),
    ):
        arrivals.register_received(home)
    assert [file for file, _, _ in registered(home)] == ["small.csv"]
    assert (files_in(home.received), len(files_in(home.staged))) == ([large.name], 1)
    arrivals.register_received(home)
    assert [(file, rows) for file, _, rows in registered(home)] == [("small.csv", 1), ("a-large.csv", 4000)]
    assert (files_in(home.received), files_in(home.archive)) == ([], sorted([large.name, small.name]))


def test_whatever_ends_the_staging_leaves_nothing_staged(home: Home) -> None:
    received = receive(home, "text\nhello\n", "feedback.csv")
    (home.staged / f".{'0' * 32}-000001.parquet.abc.part").write_bytes(b"half a slice of an interrupted run")
    other = home.staged / f"{'1' * 32}-000000.parquet"
    other.touch()
    with pytest.raises(KeyboardInterrupt), staged_slices(home, received, "0" * 32):
        assert len(files_in(home.staged)) == 2
        raise KeyboardInterrupt
    assert files_in(home.staged) == [other.name]


@contextmanager
def written_while_it_is_read(path: Path, content: str) -> Iterator[None]:
    """A writer adds to the file when its first rows were read."""
    reading = staging.read_slices

    def read(file: Path, rows_per_slice: int) -> Iterator[pa.Table]:
        for number, table in enumerate(reading(file, rows_per_slice)):
            if number == 0:
                with path.open("a") as writer:
                    writer.write(content)
            yield table

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staging, "read_slices", read)
        yield


def test_file_that_grows_while_it_is_read_is_read_again_later(home: Home) -> None:
    sliced = Home(replace(home.settings, batch_rows=2))
    received = receive(sliced, "text\na\nb\nc\n", "feedback.csv")
    with (
        written_while_it_is_read(received, "late\n"),
        pytest.raises(StillWritten, match=r"^feedback\.csv changed while"),
    ):
        arrivals.register(sliced, received)
    assert (registered(sliced), files_in(home.staged), files_in(home.received)) == ([], [], [received.name])
    with written_while_it_is_read(received, "later\n"):
        arrivals.register_received(sliced)
    assert registered(sliced) == []
    arrivals.register_received(sliced)
    texts: list[str] = []
    while batch := batches.open_next(sliced):
        texts += arrivals.read(sliced, batch).rows["text"].tolist()
    assert texts == ["a", "b", "c", "late", "later"]
    sliced.ledger.close()

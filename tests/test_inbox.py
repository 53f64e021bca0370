"""The inbox: complete files are taken in, what cannot be read leaves it with its reason, and nothing else is touched."""

import os
import sqlite3
import sys
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from received_files import files_in, registered

from orchestration_project.core.errors import FileRefused, LedgerUnavailable, Refused
from orchestration_project.stores import arrivals, ledger
from orchestration_project.stores.home import Home
from orchestration_project.stores.inbox import MOST_SKEW_SECONDS, complete_files, is_held_open, is_settled

who_writes = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who has a file open to write")


def drop(home: Home, name: str, content: bytes = b"text\nhello\n", age_seconds: float = 60) -> Path:
    path = home.inbox / name
    path.write_bytes(content)
    os.utime(path, (moment := time.time() - age_seconds, moment))
    return path


def test_complete_file_of_the_inbox_is_taken_in(home: Home) -> None:
    drop(home, "feedback.csv")
    arrivals.take_in_inbox(home)
    assert (files_in(home.inbox), [file for file, _, _ in registered(home)]) == ([], ["feedback.csv"])


def test_file_that_may_still_grow_and_what_is_no_file_stay_in_the_inbox(home: Home) -> None:
    drop(home, "growing.csv", age_seconds=0)
    drop(home, "uploading.csv.part")
    drop(home, ".hidden.csv")
    (home.inbox / "folder.csv").mkdir()
    os.mkfifo(home.inbox / "pipe.csv")
    drop(home, "UPLOADING.CSV.PART")
    before = files_in(home.inbox)
    arrivals.take_in_inbox(home)
    assert (files_in(home.inbox), registered(home)) == (before, [])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.docx", b"x"),
        ("bad.csv", b"a,a\n1,2\n"),
        ("bad.parquet", b"PAR1"),
        ("bad.csv.gz", b"text\nhello\n"),
        ("bad.eml", b"hi"),
        ("n" * 245 + ".docx", b"x"),
    ],
)
def test_file_that_cannot_be_read_leaves_the_inbox_with_its_reason(home: Home, name: str, content: bytes) -> None:
    drop(home, name, content)
    drop(home, "zz.csv")
    arrivals.take_in_inbox(home)
    kept, reason = files_in(home.refused)
    assert (home.refused / kept).read_bytes() == content
    assert reason == f"{kept}.reason.txt"
    assert [file for file, _, _ in registered(home)] == ["zz.csv"]


@pytest.mark.parametrize("name", ["n" * 250 + ".csv", os.fsdecode(b"caf\xe9.csv")])
def test_odd_name_in_the_inbox_stops_nobody(home: Home, name: str) -> None:
    drop(home, name)
    drop(home, "zz.csv")
    arrivals.take_in_inbox(home)
    assert (files_in(home.inbox), len(registered(home))) == ([], 2)


def test_part_is_taken_in_once_it_is_renamed(home: Home) -> None:
    waiting = drop(home, "feedback.csv.part")
    arrivals.take_in_inbox(home)
    waiting.rename(home.inbox / "feedback.csv")
    arrivals.take_in_inbox(home)
    assert (files_in(home.inbox), [file for file, _, _ in registered(home)]) == ([], ["feedback.csv"])


# Who still writes


@pytest.mark.parametrize(
    ("age_seconds", "is_complete"),
    [
        (3, True),
        (1, False),
        (0, False),
        (-1, False),
        (-MOST_SKEW_SECONDS, False),
        (-MOST_SKEW_SECONDS - 1, True),
        (-1e9, True),
    ],
)
def test_file_is_settled_when_its_change_is_past_or_beyond_any_clock(age_seconds: float, is_complete: bool) -> None:
    assert is_settled(1.7e9 - age_seconds, 1.7e9) is is_complete


def test_file_of_the_future_does_not_wait_for_ever(home: Home) -> None:
    drop(home, "set-back.csv", age_seconds=-86_400)
    arrivals.take_in_inbox(home)
    assert [file for file, _, _ in registered(home)] == ["set-back.csv"]


@who_writes
def test_file_that_somebody_holds_open_to_write_waits_however_long_it_is_silent(home: Home) -> None:
    path = drop(home, "slow.csv")
    with path.open("ab") as writer:
        assert is_held_open(path)
        arrivals.take_in_inbox(home)
        assert (files_in(home.inbox), registered(home)) == (["slow.csv"], [])
        writer.write(b"late\n")
    drop(home, "slow.csv", path.read_bytes())
    with path.open("rb"):
        assert not is_held_open(path), "a reader changes nothing"
        arrivals.take_in_inbox(home)
    assert [(file, rows) for file, _, rows in registered(home)] == [("slow.csv", 2)]


@who_writes
def test_received_file_that_is_opened_again_to_write_waits_too(home: Home) -> None:
    path = drop(home, "slow.csv").rename(home.received / f"{'0' * 32}-slow.csv")
    with path.open("ab") as writer:
        arrivals.register_received(home)
        assert registered(home) == []
        writer.write(b"late\n")
    arrivals.register_received(home)
    assert [rows for _, _, rows in registered(home)] == [2]


def test_file_that_is_gone_when_its_turn_comes_stops_nobody(home: Home) -> None:
    drop(home, "a.csv")
    gone = drop(home, "b.csv")
    drop(home, "c.csv")
    found = complete_files(home.inbox)
    assert next(found).name == "a.csv"
    gone.unlink()
    assert [path.name for path in found] == ["c.csv"]
    assert not is_held_open(gone)


def test_inbox_that_several_processes_empty_at_once_is_taken_in_once(home: Home) -> None:
    for number in range(20):
        drop(home, f"{number:02d}.csv")
    drop(home, "bad.csv", b"a,a\n")
    homes = [Home(replace(home.settings)) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(arrivals.take_in_inbox, homes))
    arrivals.register_received(home)
    assert sorted(file for file, _, _ in registered(home)) == [f"{number:02d}.csv" for number in range(20)]
    assert (files_in(home.inbox), files_in(home.received), len(files_in(home.refused))) == ([], [], 2)
    for other in homes:
        other.ledger.close()


# Links


@pytest.mark.parametrize("target", ["/etc/passwd", "missing.csv", "real.csv", "..", "link.csv"])
def test_link_is_never_followed_and_is_refused_itself(home: Home, target: str) -> None:
    (home.inbox / "link.csv").symlink_to(target)
    drop(home, "real.csv")
    arrivals.take_in_inbox(home)
    link, reason = files_in(home.refused)
    assert (home.refused / link).readlink() == Path(target)
    assert (
        "is a link, which is never followed. Put the file itself into the inbox." in (home.refused / reason).read_text()
    )
    assert [file for file, _, _ in registered(home)] == ["real.csv"]
    assert (files_in(home.inbox), files_in(home.received)) == ([], [])


def test_link_that_takes_the_place_of_a_received_file_is_refused(home: Home, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("text\nsecret\n")
    (home.received / f"{'0' * 32}-feedback.csv").symlink_to(tmp_path / "secret.csv")
    arrivals.register_received(home)
    assert (registered(home), len(files_in(home.refused)), files_in(home.received)) == ([], 2, [])


def test_file_that_may_not_be_read_is_refused_by_name(home: Home) -> None:
    received = drop(home, "mine.csv").rename(home.received / f"{'0' * 32}-mine.csv")
    received.chmod(0)
    user = os.geteuid()
    if user == 0:  # who may read everything
        os.seteuid(65_534)
    try:
        with pytest.raises(FileRefused, match=r"-mine\.csv may not be read\. Send it with the permission to read it\."):
            arrivals.register(home, received)
    finally:
        os.seteuid(user)


# What cannot be written


def is_no_folder(folder: Path) -> None:
    """Nothing can be put into it: a file lies in its place."""
    folder.rmdir()
    folder.write_text("")


def is_folder_again(folder: Path) -> None:
    folder.unlink()
    folder.mkdir()


def test_inbox_stays_as_it_is_where_nothing_can_be_received_and_is_taken_in_afterwards(home: Home) -> None:
    drop(home, "a.csv")
    drop(home, "b.csv")
    is_no_folder(home.received)
    with pytest.raises(
        Refused, match=r"a\.csv cannot be taken out of .*: Not a directory .* It stays there\.\nb\.csv cannot"
    ):
        arrivals.take_in_inbox(home)
    assert (files_in(home.inbox), registered(home)) == (["a.csv", "b.csv"], [])
    is_folder_again(home.received)
    arrivals.take_in_inbox(home)
    assert [file for file, _, _ in registered(home)] == ["a.csv", "b.csv"]


def test_unreadable_file_that_cannot_be_put_aside_is_kept_and_stops_nobody(home: Home) -> None:
    drop(home, "bad.csv", b"a,a\n")
    drop(home, "good.csv")
    is_no_folder(home.refused)
    with pytest.raises(
        Refused, match=r"more than one column named 'a'.* It cannot be put into .* It is kept until it can be\."
    ):
        arrivals.take_in_inbox(home)
    assert [file for file, _, _ in registered(home)] == ["good.csv"]
    assert len(files_in(home.received)) == 1
    is_folder_again(home.refused)
    arrivals.register_received(home)
    assert (len(files_in(home.refused)), files_in(home.received)) == (2, [])


@pytest.mark.parametrize("folder", ["staged", "archive"])
def test_file_that_cannot_be_staged_or_archived_is_registered_once_afterwards(home: Home, folder: str) -> None:
    drop(home, "a.csv")
    drop(home, "b.csv")
    is_no_folder(home.root / folder)
    with pytest.raises(Refused, match=r"a\.csv cannot be taken in: .*\nb\.csv cannot be taken in: "):
        arrivals.take_in_inbox(home)
    assert (files_in(home.inbox), len(files_in(home.received))) == ([], 2)
    is_folder_again(home.root / folder)
    arrivals.register_received(home)
    arrivals.register_received(home)
    assert sorted(file for file, _, _ in registered(home)) == ["a.csv", "b.csv"]
    assert (files_in(home.received), len(files_in(home.archive))) == ([], 2)


# A ledger that is locked


@contextmanager
def locking_at(home: Home, monkeypatch: pytest.MonkeyPatch, *names: str) -> Generator[list[str]]:
    """Another process writes into the ledger from the moment at which one of these files is read, until another's turn
    comes. Gives the names of the files that were read.
    """
    monkeypatch.setattr(ledger, "BUSY_TIMEOUT_SECONDS", 0)
    other = sqlite3.connect(home.root / "ledger.db", isolation_level=None)
    digest, read = arrivals.file_digest, list[str]()

    def lock_and_digest(received: Path) -> str:
        read.append(received.name.partition("-")[2])
        if other.in_transaction:
            other.execute("ROLLBACK")
        if read[-1] in names:
            other.execute("BEGIN IMMEDIATE")
        return digest(received)

    with monkeypatch.context() as patched:
        patched.setattr(arrivals, "file_digest", lock_and_digest)
        yield read
    other.close()


def test_file_that_meets_a_locked_ledger_is_kept_and_the_others_go_on(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.csv", "b.csv", "c.csv"):
        drop(home, name)
    with (
        locking_at(home, monkeypatch, "b.csv"),
        pytest.raises(
            Refused, match=r"^b\.csv is not registered yet: The ledger .* is locked: .* do not send it again\.$"
        ),
    ):
        arrivals.take_in_inbox(home)
    assert [file for file, _, _ in registered(home)] == ["a.csv", "c.csv"]
    assert [name.partition("-")[2] for name in files_in(home.received)] == ["b.csv"]
    assert (files_in(home.inbox), len(files_in(home.archive))) == ([], 2)
    arrivals.register_received(home)
    assert [file for file, _, _ in registered(home)] == ["a.csv", "c.csv", "b.csv"]
    assert (files_in(home.received), len(files_in(home.archive))) == ([], 3)


def test_look_ends_where_the_ledger_stays_locked_and_the_next_one_goes_on(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file would wait as long as a lock is waited for, and nothing else be done meanwhile."""
    names = ["a.csv", "b.csv", "c.csv", "d.csv"]
    for name in names:
        drop(home, name)
    with locking_at(home, monkeypatch, *names) as read, pytest.raises(LedgerUnavailable, match="is locked") as told:
        arrivals.take_in_inbox(home)
    assert (read, str(told.value).count("\n")) == (["a.csv", "b.csv"], 1)
    assert files_in(home.inbox) == ["c.csv", "d.csv"]
    with locking_at(home, monkeypatch, *names) as read, pytest.raises(LedgerUnavailable, match="is locked"):
        arrivals.register_received(home)
    assert len(read) == 2
    arrivals.register_received(home)
    arrivals.take_in_inbox(home)
    assert sorted(file for file, _, _ in registered(home)) == names

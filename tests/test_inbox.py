"""The inbox: complete files are taken in, what cannot be read leaves it with its reason, and nothing else is touched."""

import os
import time
from pathlib import Path

import pytest
from received_files import files_in, registered

from orchestration_project.stores import arrivals
from orchestration_project.stores.home import Home


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
    (home.inbox / "link.csv").symlink_to("/etc/passwd")
    before = files_in(home.inbox)
    arrivals.take_in_inbox(home)
    assert (files_in(home.inbox), registered(home)) == (before, [])


@pytest.mark.parametrize(
    ("name", "content"),
    [("notes.docx", b"x"), ("bad.csv", b"a,a\n1,2\n"), ("bad.parquet", b"PAR1"), ("n" * 245 + ".docx", b"x")],
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

"""Arrivals: what came in is received, and registered once, wherever it was interrupted."""

import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from received_files import TIME, files_in, receive, registered, rows_of

from orchestration_project.core.errors import FileRefused
from orchestration_project.stores import arrivals, batches
from orchestration_project.stores.files import file_digest
from orchestration_project.stores.home import Home

# Receiving


def test_received_file_is_ours_whatever_becomes_of_the_source(home: Home) -> None:
    received = receive(home, rows_of("a"), "feedback.jsonl")
    (home.root.parent / "sent" / "feedback.jsonl").unlink()
    assert re.fullmatch(r"[0-9a-f]{32}-feedback\.jsonl", received.name)
    assert (received.parent, received.read_text()) == (home.received, '{"text": "a"}\n')


def test_file_of_another_kind_is_not_received(home: Home) -> None:
    with pytest.raises(FileRefused, match=r"notes\.docx has the suffix '\.docx'\. Send one of: \.csv, "):
        receive(home, "x", "notes.docx")
    assert files_in(home.received) == []


@pytest.mark.parametrize(
    "name", ["n" * 250 + ".csv", "日" * 83 + ".csv", os.fsdecode(b"caf\xe9.csv"), "-.csv", "a\nb.csv"]
)
def test_any_file_name_that_a_folder_holds_is_taken_in(any_home: Home, name: str) -> None:
    received = receive(any_home, "text\nhello\n", name)
    assert arrivals.register(any_home, received) == 1
    [(file, _, rows)] = registered(any_home)
    assert (file[-4:], rows) == (".csv", 1)
    assert files_in(any_home.archive) == [received.name]


def test_one_message_is_a_file_of_one_line(home: Home) -> None:
    received = arrivals.receive_message(home, {"text": 'so "good" 🙂\nreally', "received_at": TIME})
    assert arrivals.register(home, received) == 1
    batch = batches.open_next(home)
    assert batch is not None
    assert arrivals.read(home, batch).rows.to_dict("records") == [{"text": 'so "good" 🙂\nreally', "received_at": TIME}]


def test_message_that_is_not_text_is_refused(home: Home) -> None:
    with pytest.raises(FileRefused, match=r"The message is not text at '\\udce9'\. Send it as UTF-8\."):
        arrivals.receive_message(home, {"text": os.fsdecode(b"caf\xe9")})
    assert files_in(home.received) == []


def test_file_is_received_under_a_name_that_tells_its_encoding(home: Home) -> None:
    source = home.root.parent / "feedback.csv"
    source.write_bytes("text\nGrüße\n".encode("latin-1"))
    received = arrivals.receive(home, source, "latin-1")
    assert received.name.endswith("-feedback.latin-1.csv")
    arrivals.register(home, received)
    batch = batches.open_next(home)
    assert batch is not None
    assert arrivals.read(home, batch).rows["text"].tolist() == ["Grüße"]


# Registering


def test_registered_file_is_staged_known_and_archived(any_home: Home) -> None:
    received = receive(any_home, "text,account\nhello,1\nbye,2\n", "feedback.csv")
    digest = file_digest(received)
    assert arrivals.register(any_home, received) == 2
    assert registered(any_home) == [("feedback.csv", '["account: string", "text: string"]', 2)]
    assert (files_in(any_home.received), files_in(any_home.archive)) == ([], [received.name])
    assert len(files_in(any_home.staged)) == 1
    with any_home.ledger.read() as connection:
        assert arrivals.is_known(connection, digest)
        assert not arrivals.is_known(connection, "other")


def test_larger_file_becomes_several_arrivals(home: Home) -> None:
    small = Home(replace(home.settings, batch_rows=3))
    assert arrivals.register(small, receive(small, rows_of(*"abcdefgh"))) == 8
    assert [rows for _, _, rows in registered(small)] == [3, 3, 2]


def test_file_without_rows_is_archived_and_nothing_waits(home: Home) -> None:
    received = receive(home, "")
    assert arrivals.register(home, received) == arrivals.register(home, received) == 0
    assert (registered(home), files_in(home.archive)) == ([], [received.name])
    assert batches.open_next(home) is None


def test_registering_twice_registers_once(any_home: Home) -> None:
    received = receive(any_home, rows_of("a", "b"))
    assert arrivals.register(any_home, received) == arrivals.register(any_home, received) == 2
    assert len(registered(any_home)) == 1


def test_processes_that_register_one_file_at_once_register_it_once(any_home: Home) -> None:
    received = receive(any_home, rows_of(*map(str, range(200))))
    sliced = [Home(replace(any_home.settings, batch_rows=size)) for size in (7, 40, 300)]  # each with its own settings
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(lambda number: arrivals.register(sliced[number % 3], received), range(6))) == [200] * 6
    assert sum(rows for _, _, rows in registered(any_home)) == 200
    texts: list[str] = []
    while batch := batches.open_next(any_home):
        texts += arrivals.read(any_home, batch).rows["text"].tolist()
    assert texts == [str(number) for number in range(200)]
    for home in sliced:
        home.ledger.close()


def state_before_staging(home: Home, received: Path) -> None:
    """Killed before anything was done."""


def state_while_staging(home: Home, received: Path) -> None:
    """Killed when slices of another length, one of them half written, were staged."""
    token = received.name.partition("-")[0]
    for number in range(4):
        pyarrow.parquet.write_table(pyarrow.table({"_line": [9]}), home.staged / f"{token}-{number:06d}.parquet")
    (home.staged / f".{token}-000004.parquet.abc.part").write_bytes(b"half a file")


def state_before_archiving(home: Home, received: Path) -> None:
    """Killed when the ledger knew the rows and the file still lay there."""
    arrivals.register(home, received)
    shutil.move(home.archive / received.name, received)


def state_after_archiving(home: Home, received: Path) -> None:
    """Killed when everything was done."""
    arrivals.register(home, received)


@pytest.mark.parametrize(
    "interrupt", [state_before_staging, state_while_staging, state_before_archiving, state_after_archiving]
)
@pytest.mark.parametrize("batch_rows", [2, 50])
def test_interrupted_registration_is_finished_exactly_once(any_home: Home, interrupt: Any, batch_rows: int) -> None:
    interrupt(any_home, receive(any_home, rows_of(*"abcde")))
    later = Home(replace(any_home.settings, batch_rows=batch_rows))
    for _ in range(3):
        arrivals.register_received(later)
    assert sum(rows for _, _, rows in registered(later)) == 5
    texts: list[str] = []
    while batch := batches.open_next(later):
        texts += arrivals.read(later, batch).rows["text"].tolist()
    assert texts == list("abcde")
    assert (files_in(later.received), len(files_in(later.archive))) == ([], 1)
    assert len([name for name in files_in(later.staged) if not name.startswith(".")]) == len(registered(later))
    later.ledger.close()


def test_what_is_being_received_is_not_registered(home: Home) -> None:
    (home.received / ".abc-feedback.csv.xyz.part").write_text("text\nhalf a l")
    arrivals.register_received(home)
    assert registered(home) == []


def damaged_parquet() -> bytes:
    """A Parquet file whose second row group is damaged."""
    sink = pyarrow.BufferOutputStream()
    table = pyarrow.table({"text": [f"message {number} {number**7}" for number in range(4000)]})
    pyarrow.parquet.write_table(
        table, sink, row_group_size=2000, write_page_checksum=True, compression="none", use_dictionary=False
    )
    content = bytearray(sink.getvalue().to_pybytes())
    place = content.index(b"message 3000 ")
    content[place : place + 7] = b"MESSAGE"
    return bytes(content)


def test_refused_file_leaves_nothing_behind(home: Home) -> None:
    received = receive(Home(replace(home.settings, batch_rows=500)), damaged_parquet(), "feedback.parquet")
    with pytest.raises(FileRefused, match=r"feedback\.parquet is not whole Parquet"):
        arrivals.register(Home(replace(home.settings, batch_rows=500)), received)
    assert (registered(home), files_in(home.staged)) == ([], [])
    assert files_in(home.received) == [received.name], "the caller decides what becomes of it"


def test_unreadable_file_is_put_aside_with_its_reason_and_the_others_go_on(home: Home) -> None:
    bad = receive(home, "a,a\n1,2\n", "bad.csv")
    receive(home, "text\nhello\n", "good.csv")
    arrivals.register_received(home)
    arrivals.register_received(home)
    assert [file for file, _, _ in registered(home)] == ["good.csv"]
    assert files_in(home.refused) == [bad.name, f"{bad.name}.reason.txt"]
    assert "more than one column named 'a'" in (home.refused / f"{bad.name}.reason.txt").read_text()


def test_file_that_another_process_refused_is_refused_here_too(home: Home) -> None:
    received = receive(home, "a,a\n1,2\n", "bad.csv")
    arrivals.register_received(home)
    with pytest.raises(FileRefused, match=r"bad\.csv was refused by another process"):
        arrivals.register(home, received)

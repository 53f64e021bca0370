"""Arrivals: what came in is received, registered once and read back as it stood, wherever it was interrupted."""

import json
import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration_project.core.errors import ArtifactRefused, FileRefused
from orchestration_project.core.settings import Settings
from orchestration_project.stores import arrivals, batches
from orchestration_project.stores.arrivals import Arrivals
from orchestration_project.stores.files import file_digest
from orchestration_project.stores.home import Home
from orchestration_project.stores.schema import ARRIVALS

BY = ("text", "account", "received_at")
TIME = "2024-05-01T10:00:00Z"


def receive(home: Home, content: str | bytes | Sequence[Mapping[str, Any]], name: str = "feedback.jsonl") -> Path:
    """Receive a file of that content; rows become JSON lines."""
    if not isinstance(content, str | bytes):
        content = "".join(json.dumps(row) + "\n" for row in content)
    source = home.root.parent / "sent" / name
    source.parent.mkdir(exist_ok=True)
    source.write_bytes(content if isinstance(content, bytes) else content.encode())
    return arrivals.receive(home, source)


def rows_of(*texts: str) -> list[dict[str, str]]:
    return [{"text": text} for text in texts]


def take_in(home: Home, *files: str | bytes | Sequence[Mapping[str, Any]], name: str = "feedback.jsonl") -> Arrivals:
    """Receive and register files, and read them as one batch."""
    for content in files:
        arrivals.register(home, receive(home, content, name))
    batch = batches.open_next(home)
    assert batch is not None
    return arrivals.read(home, batch)


def registered(home: Home) -> list[tuple[str, str, int]]:
    """(file, columns, rows) of every arrival, in order."""
    table = ARRIVALS.c
    with home.ledger.read() as connection:
        query = sa.select(table.file, table.columns, table.rows).order_by(table.registered_at, table.arrival_id)
        return [tuple(row) for row in connection.execute(query)]


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Receiving


def test_received_file_is_ours_whatever_becomes_of_the_source(home: Home) -> None:
    received = receive(home, rows_of("a"), "feedback.jsonl")
    (home.root.parent / "sent" / "feedback.jsonl").unlink()
    assert re.fullmatch(r"[0-9a-f]{32}-feedback\.jsonl", received.name)
    assert (received.parent, received.read_text()) == (home.received, '{"text": "a"}\n')


def test_file_of_another_kind_is_not_received(home: Home) -> None:
    with pytest.raises(FileRefused, match=r"notes\.docx is no file of messages\. Send one of: \.csv, "):
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


# The inbox


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


# Reading


def test_rows_come_back_in_the_order_of_coming_with_where_they_stood(any_home: Home) -> None:
    found = take_in(any_home, "text\na\nb\n", "text\nc\n", name="feedback.csv")
    assert found.rows.to_dict("list") == {"text": ["a", "b", "c"]}
    assert found.origin["line"].tolist() == [2, 3, 2]
    assert found.origin["file"].tolist() == ["feedback.csv"] * 3
    assert found.origin["file_sha256"].nunique() == 2
    assert str(found.origin["registered_at"].dtype) == "datetime64[us, UTC]"
    assert found.rows.index.equals(found.origin.index)
    assert found.unparsable.empty


def test_line_that_cannot_be_parsed_is_kept_apart_with_its_text(home: Home) -> None:
    found = take_in(home, '{"text": "a"}\nnonsense\n{"text": "b"}\n')
    assert found.rows["text"].tolist() == ["a", "b"]
    assert found.origin["line"].tolist() == [1, 3]
    [broken] = found.unparsable.to_dict("records")
    assert (broken["raw"], broken["line"], broken["file"]) == ("nonsense", 2, "feedback.jsonl")
    assert broken["error"].startswith("not JSON")
    assert re.fullmatch("m-[0-9a-f]{32}", broken["message_id"])


def test_batch_of_nothing_but_broken_lines_has_no_rows(home: Home) -> None:
    found = take_in(home, "nonsense\nmore\n", '{"text": "a"}\n')
    assert (len(found.rows), len(found.unparsable)) == (0, 2)
    assert found.unparsable["message_id"].is_unique


def test_broken_line_changes_no_other_row(home: Home) -> None:
    whole = '{"message_id": 7, "sure": true, "share": 0.5}\n{"message_id": 8, "sure": false, "share": 1.5}\n'
    found = take_in(home, whole + "nonsense\n").rows
    pd.testing.assert_frame_equal(found, take_in(home, whole).rows)
    assert [str(dtype) for dtype in found.dtypes] == ["int64", "bool", "float64"]


def test_whole_numbers_stay_whole_where_some_are_absent(home: Home) -> None:
    large = 2**60 + 1
    found = take_in(home, [{"message_id": large, "text": "a"}, {"text": "b"}])
    assert found.rows["message_id"].tolist() == [large, pd.NA]
    given, made = found.identify(found.rows, BY)
    assert (given, made[:2]) == (str(large), "m-")


def test_unsigned_numbers_of_parquet_stay_whole_too(home: Home) -> None:
    table = pyarrow.table({"message_id": pyarrow.array([2**64 - 1, None], pyarrow.uint64()), "text": ["a", "b"]})
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink)
    found = take_in(home, sink.getvalue().to_pybytes(), name="feedback.parquet")
    assert found.identify(found.rows, BY)[0] == str(2**64 - 1)


def test_columns_named_like_ours_are_the_senders_and_stay(home: Home) -> None:
    row = {"_file": "x", "_filename": "y", "_file_sha256": "z", "_registered_at": "now", "file": "f", "line": 9}
    found = take_in(home, [row])
    assert found.rows.to_dict("records") == [row]
    assert found.origin["line"].tolist() == [1]


def test_staged_file_that_is_gone_is_refused_by_name(home: Home) -> None:
    arrivals.register(home, receive(home, rows_of("a")))
    batch = batches.open_next(home)
    [staged] = home.staged.iterdir()
    staged.unlink()
    with pytest.raises(ArtifactRefused, match=f"staged/{staged.name} is named in the ledger"):
        arrivals.read(home, batch or "")


def test_tokens_tell_which_batches_took_what_was_received(any_home: Home) -> None:
    first, second = (receive(any_home, rows_of(text)) for text in "ab")
    tokens = [path.name.partition("-")[0] for path in (first, second)]
    arrivals.register(any_home, first)
    batch = batches.open_next(any_home)
    arrivals.register(any_home, second)
    with any_home.ledger.read() as connection:
        assert arrivals.batches_of(connection, tokens) == {batch, None}
        assert arrivals.batches_of(connection, tokens[:1]) == {batch}
        assert arrivals.batches_of(connection, []) == set()
        assert arrivals.batches_of(connection, [*tokens, *(f"{number:032x}" for number in range(3000))]) == {
            batch,
            None,
        }


# Message ids


def identified(rows: Sequence[Mapping[str, Any]], digest: str = "d", secret: bytes = b"s") -> list[str]:
    """Ids of rows that came in with one file."""
    frame = pd.DataFrame(list(rows)).astype(object).where(lambda frame: frame.notna(), None)
    origin = pd.DataFrame({"file_sha256": digest, "line": range(1, len(frame) + 1)}, index=frame.index)
    return Arrivals("b", frame, origin, pd.DataFrame(), secret).identify(frame, BY).tolist()


COMPLETE = {"text": "thanks", "account": "7", "received_at": TIME}


def test_given_id_is_kept_without_the_space_around_it() -> None:
    assert identified([{"message_id": " F1 ", **COMPLETE}, {"message_id": "ü 2", **COMPLETE}]) == ["F1", "ü 2"]


def test_blank_id_is_none() -> None:
    [blank, absent] = identified([{"message_id": " ", **COMPLETE}, {"message_id": None, **COMPLETE}])
    assert blank == absent == identified([COMPLETE])[0]


def test_complete_message_has_the_same_id_in_every_file_and_line() -> None:
    other = {**COMPLETE, "text": "other"}
    assert identified([other, COMPLETE], digest="x")[1] == identified([COMPLETE], digest="y")[0]


def test_made_id_depends_on_the_secret_of_the_home() -> None:
    assert identified([COMPLETE], secret=b"a") != identified([COMPLETE], secret=b"b")
    assert re.fullmatch("m-[0-9a-f]{32}", identified([COMPLETE])[0])


@pytest.mark.parametrize("name", BY)
def test_any_other_text_account_or_time_is_another_message(name: str) -> None:
    assert identified([COMPLETE]) != identified([{**COMPLETE, name: "2024-05-01T10:00:01Z"}])


@pytest.mark.parametrize("name", ["account", "received_at"])
@pytest.mark.parametrize("value", [None, "", "  ", "absent column"])
def test_two_customers_who_write_the_same_stay_two_where_account_or_time_is_absent(
    name: str, value: str | None
) -> None:
    row = {key: kept for key, kept in COMPLETE.items() if key != name}
    row |= {} if value == "absent column" else {name: value}
    first, second = identified([row, row])
    assert first != second
    assert identified([row, row]) == [first, second], "the same file again gives the same ids"
    assert not set(identified([row, row], digest="other file")) & {first, second}


def test_values_do_not_run_into_each_other() -> None:
    left = {"text": "a", "account": "bc", "received_at": TIME}
    assert identified([left]) != identified([{**left, "text": "ab", "account": "c"}])


def test_file_with_none_of_the_columns_has_an_id_for_each_line() -> None:
    assert len(set(identified([{"note": "x"}, {"note": "x"}, {"note": "y"}]))) == 3


def test_list_in_a_column_is_content_like_any_other() -> None:
    rows = [{**COMPLETE, "text": ["a", "b"]}, {**COMPLETE, "text": ["a", "c"]}]
    assert len(set(identified(rows))) == 2


def test_some_of_the_rows_have_the_ids_they_have_among_all(home: Home) -> None:
    found = take_in(home, [{"text": "a"}, {"text": "b"}, {"text": "c", "message_id": "F3"}])
    everything = found.identify(found.rows, BY)
    some = found.identify(found.rows.iloc[1:], BY)
    pd.testing.assert_series_equal(some, everything.iloc[1:])


def test_no_rows_have_no_ids(home: Home) -> None:
    found = take_in(home, "nonsense\n")
    assert found.identify(found.rows, BY).tolist() == []


def test_same_file_twice_gives_the_same_ids(any_home: Home) -> None:
    content = rows_of("thanks", "thanks")
    found = take_in(any_home, content, content)
    ids = found.identify(found.rows, BY).tolist()
    assert ids[:2] == ids[2:]
    assert len(set(ids)) == 2


cells = st.none() | st.text(max_size=3)
messages = st.lists(
    st.fixed_dictionaries({"text": cells, "account": cells, "received_at": cells}), min_size=1, max_size=8
)


@settings(deadline=None, max_examples=150)
@given(messages)
def test_ids_are_equal_exactly_where_complete_messages_are(rows: list[dict[str, str | None]]) -> None:
    ids = identified(rows)
    for left, left_id in enumerate(ids):
        for right, right_id in enumerate(ids):
            is_complete = all((value or "").strip() for value in rows[left].values())
            same = left == right or (is_complete and rows[left] == rows[right])
            assert (left_id == right_id) == same


def test_home_that_was_moved_gives_the_same_ids(home: Home, tmp_path: Path) -> None:
    before = take_in(home, [COMPLETE])
    home.ledger.close()
    moved = Home(Settings(home=home.root.rename(tmp_path / "moved")))
    after = arrivals.read(moved, before.batch)
    assert after.identify(after.rows, BY).tolist() == before.identify(before.rows, BY).tolist()
    moved.ledger.close()

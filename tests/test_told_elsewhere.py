"""What a message said in databases and logs beside the ledger."""

import json
import sqlite3
from pathlib import Path

from orchestration_project.core.erasing import ERASED, Words
from orchestration_project.stores import told_elsewhere as told
from orchestration_project.stores.sqlite_files import clean_database

TEXT = 'The "Quetzal" parcel drowned near Zürich'
WORDS = Words([TEXT])


def database(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE event_logs (id INTEGER PRIMARY KEY, event TEXT, at REAL, body BLOB)")
    return connection


def test_only_the_words_go_from_json_within_json(tmp_path: Path) -> None:
    file = tmp_path / "runs.db"
    inner = json.dumps({"said": TEXT, "n": 1.5, "rows": [{"message_id": "m1", "text": "short"}]})
    event = {"__class__": "EventLogEntry", "user_message": f"Read {TEXT}", "timestamp": 1741234567.25, "data": inner}
    connection = database(file)
    connection.execute("INSERT INTO event_logs VALUES (1, ?, 1.5, NULL)", [json.dumps(event)])
    connection.execute("INSERT INTO event_logs VALUES (2, 'other', 1.5, NULL)")
    assert told.erase_in_database(file, "m1", WORDS) == 1
    assert told.erase_in_database(file, "m1", WORDS) == 0
    left = json.loads(connection.execute("SELECT event FROM event_logs WHERE id = 1").fetchone()[0])
    assert left.pop("data") == inner.replace(json.dumps(TEXT), json.dumps(ERASED)).replace("short", ERASED)
    assert left == {**{name: event[name] for name in ("__class__", "timestamp")}, "user_message": f"Read {ERASED}"}


def test_a_log_keeps_the_rest_and_what_is_no_text_goes_whole(tmp_path: Path) -> None:
    log, pickle, other = tmp_path / "a.out", tmp_path / "result", tmp_path / "b.out"
    log.write_bytes(f"one\nPrinted {TEXT}\n".encode() + b"\xff\n")
    pickle.write_bytes(b"\x80\0" + TEXT.encode())
    other.write_text("one\n")
    assert [told.erase_in_file(file, "m1", WORDS) for file in (log, pickle, other)] == [True, True, False]
    assert log.read_bytes() == f"one\nPrinted {ERASED}\n".encode() + b"\xff\n"
    assert not pickle.exists() and other.read_text() == "one\n"


def test_databases_are_told_from_other_files(tmp_path: Path) -> None:
    connection = database(tmp_path / "runs.db")
    connection.execute("INSERT INTO event_logs (event) VALUES ('x')")
    (tmp_path / "a.out").write_text("x")
    assert [path.name for path in told.databases_below(tmp_path)] == ["runs.db"]
    assert [path.name for path in told.plain_files_below(tmp_path)] == ["a.out"]
    connection.close()


def test_what_a_row_said_is_told_until_the_file_is_cleaned(tmp_path: Path) -> None:
    file = tmp_path / "runs.db"
    connection = database(file)
    connection.executemany("INSERT INTO event_logs (event) VALUES (?)", [(f"{TEXT} {n}",) for n in range(500)])
    connection.execute("DELETE FROM event_logs")
    assert told.is_told_in(file, WORDS.probes)
    connection.close()
    assert clean_database(file) is None
    assert not told.is_told_in(file, WORDS.probes)

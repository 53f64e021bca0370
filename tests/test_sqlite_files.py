"""SQLite files of others: changing their texts, and writing them anew."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from orchestration_project.stores import sqlite_files

SAID = "drowned near Zürich"


def database(file: Path, *texts: str) -> sqlite3.Connection:
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE event_logs (id INTEGER PRIMARY KEY, event TEXT, body BLOB)")
    connection.executemany("INSERT INTO event_logs (event) VALUES (?)", [[text] for text in texts])
    return connection


def erased(file: Path) -> int:
    return sqlite_files.change_texts(file, ["drowned"], lambda text: text.replace(SAID, "-"))


@pytest.mark.parametrize(
    ("table", "column"),
    [("größe", "wörter"), ('say "it"', 'the "text"'), ("back\\slash", "new\nline"), ("a'b", "rowid"), ("sqlite", "x")],
)
@pytest.mark.parametrize("kind", ["", "WITHOUT ROWID"])
def test_tables_of_any_name_and_kind_are_changed(tmp_path: Path, table: str, column: str, kind: str) -> None:
    file = tmp_path / "foreign.db"
    table, column = (f'"{name.replace(chr(34), chr(34) * 2)}"' for name in (table, column))
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute(f"CREATE TABLE {table} (key TEXT, n INTEGER, {column} TEXT, PRIMARY KEY (key, n)) {kind}")
        rows = [("a", 1, SAID), ("a", 2, f"it {SAID}"), (SAID, 1, "other"), ("b", 1, None), ("b", 2, "drowned")]
        connection.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)", rows)
        assert erased(file) == 3
        left = connection.execute(f"SELECT * FROM {table} ORDER BY key, n").fetchall()
    assert left == [("-", 1, "other"), ("a", 1, "-"), ("a", 2, "it -"), ("b", 1, None), ("b", 2, "drowned")]


def test_a_number_and_what_is_no_text_stay(tmp_path: Path) -> None:
    file = tmp_path / "runs.db"
    with closing(database(file, SAID)) as connection:
        connection.execute("UPDATE event_logs SET body = ?", [SAID.encode()])
        assert erased(file) == 1
        assert connection.execute("SELECT * FROM event_logs").fetchall() == [(1, "-", SAID.encode())]


def test_nothing_is_written_where_nothing_is_told_though_others_hold_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_files, "BUSY_SECONDS", 0)
    told, other = tmp_path / "told.db", tmp_path / "other.db"
    with closing(database(told, SAID)) as one, closing(database(other, "drowned")) as two:
        one.execute("BEGIN IMMEDIATE")
        two.execute("BEGIN IMMEDIATE")
        assert erased(other) == 0
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            erased(told)


def test_free_pages_and_the_log_are_cleaned(tmp_path: Path) -> None:
    file = tmp_path / "runs.db"
    with closing(database(file, *[f"{SAID} {number}" for number in range(500)])) as connection:
        connection.execute("DELETE FROM event_logs")
        files = [file, file.with_name("runs.db-wal")]
        assert any(SAID.encode() in one.read_bytes() for one in files)
    assert sqlite_files.clean_database(file) is None
    assert not any(SAID.encode() in one.read_bytes() for one in files if one.exists())


def test_a_database_that_others_use_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_files, "BUSY_SECONDS", 0)
    file = tmp_path / "runs.db"
    with closing(database(file)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        sentence = sqlite_files.clean_database(file)
    assert sentence == f"{file} keeps what was deleted in it until it is free: database is locked."

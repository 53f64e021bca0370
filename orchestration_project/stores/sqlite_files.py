"""SQLite files, whoever wrote them: where they lie, changing their texts, and writing them anew without what was deleted."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

BUSY_SECONDS = 30

BESIDE = ("-wal", "-shm", "-journal")
"""How the files end that SQLite keeps beside one of its own."""

_BEGINNING = b"SQLite format 3\0"


def is_database(path: Path) -> bool:
    """Whether a file is one of SQLite's, as its first bytes tell."""
    with path.open("rb") as stream:
        return stream.read(len(_BEGINNING)) == _BEGINNING


def change_texts(file: Path, probes: Sequence[str], change: Callable[[str], str]) -> int:
    """Change every text of a database in which one of the probes stands; returns how many became another.

    Nothing is written where nothing is to be changed. sqlite3.Error where the file is locked for longer than
    `BUSY_SECONDS`, or damaged.
    """
    changed = 0
    with closing(sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
        connection.execute("PRAGMA secure_delete = ON")
        connection.create_function("changed", 1, change, deterministic=True)
        for table, column in _columns(connection):
            is_told = " OR ".join([f"instr({column}, ?)"] * len(probes))
            its = f"typeof({column}) = 'text' AND ({is_told}) AND changed({column}) <> {column}"
            if connection.execute(f"SELECT 1 FROM {table} WHERE {its} LIMIT 1", probes).fetchone():
                update = f"UPDATE {table} SET {column} = changed({column}) WHERE {its}"
                changed += connection.execute(update, probes).rowcount
    return changed


def clean_database(file: Path) -> str | None:
    """Write a database anew without its free pages and its write-ahead log; a sentence where others keep it from that."""
    try:
        with closing(sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
            return clean_connection(connection, file.name)
    except sqlite3.Error as error:
        return f"{file} keeps what was deleted in it until it is free: {error}."


def clean_connection(connection: sqlite3.Connection, name: str) -> str | None:
    """The same with a connection that is in no transaction."""
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("VACUUM")
    is_busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return f"{name} is read by others, who keep its write-ahead log from being emptied." if is_busy else None


def _columns(connection: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """(table, column), quoted, of every table."""
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    for (table,) in connection.execute(query).fetchall():
        for (column,) in connection.execute("SELECT name FROM pragma_table_info(?)", [table]).fetchall():
            yield _quoted(table), _quoted(column)


def _quoted(name: str) -> str:
    """A name as SQL writes it: in double quotes, and each of its own doubled."""
    return '"' + name.replace('"', '""') + '"'

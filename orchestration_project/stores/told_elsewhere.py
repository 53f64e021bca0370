"""What a message said in databases and files beside the ledger: Dagster's, the model registry's, logs.

In a row of a database, and in JSON within it, only the words go; numbers and the names around them stay, so that whoever
wrote the row reads it again.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from orchestration_project.core.erasing import Words, erased_text
from orchestration_project.stores.files import write_file

BUSY_SECONDS = 30
_SQLITE = b"SQLite format 3\0"
_BESIDE = ("-wal", "-shm", "-journal")


def databases_below(folder: Path) -> list[Path]:
    """The SQLite files below a folder."""
    return [path for path in _files(folder) if _begins(path) == _SQLITE]


def plain_files_below(folder: Path) -> list[Path]:
    """The other files below a folder, without those that belong to an SQLite file."""
    return [path for path in _files(folder) if _begins(path) != _SQLITE and not path.name.endswith(_BESIDE)]


def erase_in_database(file: Path, message_id: str, words: Words) -> int:
    """Take what the message said out of every text of an SQLite file; returns from how many.

    sqlite3.Error where the file is locked for longer than `BUSY_SECONDS`, or damaged.
    """
    probes = [message_id, *words.probes]
    changed = 0
    with closing(sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
        connection.execute("PRAGMA secure_delete = ON")
        for table, column in _columns(connection):
            is_told = " OR ".join([f"instr({column}, ?)"] * len(probes))
            query = f"SELECT rowid, {column} FROM {table} WHERE typeof({column}) = 'text' AND ({is_told})"
            told = [
                (row, erased_text(text, message_id, words), text) for row, text in connection.execute(query, probes)
            ]
            for row, erased, text in told:
                if erased != text:
                    connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (erased, row))
                    changed += 1
    return changed


def clean_database(file: Path) -> str | None:
    """Write an SQLite file anew without its free pages and its write-ahead log; a sentence where others keep it from that."""
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


def erase_in_file(file: Path, message_id: str, words: Words) -> bool:
    """Take it out of a file of text; one that is no text and tells it is removed. Returns whether anything was done."""
    content = file.read_bytes()
    text = content.decode("utf-8", "surrogateescape")
    if not any(probe in text for probe in (message_id, *words.probes)):
        return False
    erased = "\n".join(erased_text(line, message_id, words) for line in words.erased(text).split("\n"))
    if erased == text:
        return False
    if "\0" in text:
        file.unlink()
    else:
        write_file(file, erased.encode("utf-8", "surrogateescape"))
    return True


def is_told_in(file: Path, probes: Iterable[str]) -> bool:
    """Whether one of these stands in a file's bytes, or in the write-ahead log beside it, also as UTF-16."""
    pieces = [probe.encode(codec) for probe in probes for codec in ("utf-8", "utf-16-le")]
    files = [file, *(file.with_name(file.name + end) for end in _BESIDE)]
    contents = (one.read_bytes() for one in files if one.exists())
    return any(piece in content for content in contents for piece in pieces)


def _columns(connection: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """(table, column), quoted, of every table that has row ids."""
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    for (table,) in connection.execute(query).fetchall():
        quoted = json.dumps(table)
        for _, column, *_ in connection.execute(f"PRAGMA table_info({quoted})").fetchall():
            yield quoted, json.dumps(column)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _begins(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(len(_SQLITE))

"""What a message said outside of the ledger and the files that it names: received files that are kept, notices, logs,
Dagster's databases and the registry's, and files that nothing names any more.

It is taken out before the ledger names new files: what the message said is still known then, should this break off.
"""

import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from orchestration_project.core.erasing import Words, strings_in
from orchestration_project.core.errors import FileRefused
from orchestration_project.core.settings import dagster_home
from orchestration_project.governance import erased_rows
from orchestration_project.governance.erased_files import Rewritten, TakenOut
from orchestration_project.governance.erasure_traces import Traces, rows_of_arrival
from orchestration_project.stores import batches, outbox
from orchestration_project.stores.archived_files import take_out
from orchestration_project.stores.arrivals import batches_of
from orchestration_project.stores.erased_tables import holds_text, tells
from orchestration_project.stores.file_kinds import PARQUET, is_readable_name, kind_of
from orchestration_project.stores.files import write_file
from orchestration_project.stores.home import Home
from orchestration_project.stores.opening import open_bytes
from orchestration_project.stores.schema import ARRIVALS, LABEL_IMPORTS, MANIFEST, QUARANTINE
from orchestration_project.stores.sqlite_files import clean_database
from orchestration_project.stores.told_elsewhere import (
    databases_below,
    erase_in_database,
    erase_in_file,
    is_told_in,
    plain_files_below,
)

SETTLED_SECONDS = 600.0
"""A file that nothing names and that is younger may be one that a run, or somebody who sends, is about to have named."""

_CODECS = ("utf-8", "utf-16-le", "utf-16-be", "latin-1")


def erase(home: Home, traces: Traces, written: Rewritten, unreached: list[str]) -> Counter[str]:
    """Take it out; returns place → how many files or rows. `unreached` hears where it cannot be, a sentence each."""
    message_id, words = traces.message_id, traces.words
    counts: Counter[str] = Counter()
    by_token = {taken.token: taken for taken in written.arrivals}
    counts["archived files"] = sum(_erase_archived(home, traces, taken, unreached) for taken in by_token.values())
    counts["refused files"] = sum(_erase_refused(file, message_id, words, unreached) for file in _files(home.refused))
    counts["files of notices"] = _erase_notices(home, traces)
    logs = [file for folder in (home.root / "logs", *_dagster_homes(home)) for file in plain_files_below(folder)]
    counts["logs"] = sum(erase_in_file(file, message_id, words) for file in logs)
    counts["rows of other databases"] = sum(
        _erase_database(file, message_id, words, unreached) for file in _databases(home)
    )
    for folder in (home.inbox, home.received):
        for file in _files(folder):
            if _tells(file, words, unreached):
                unreached.append(
                    f"{file.name} in {folder} tells it and is not taken in yet. Run this again when it is."
                )
    return +counts


def remove_unnamed(home: Home, message_id: str, words: Words, unreached: list[str]) -> int:
    """Remove the files of rows that the ledger does not name and that tell it; returns how many."""
    with home.ledger.read() as connection:
        found = {home.root / path for table in (ARRIVALS, LABEL_IMPORTS) for path in _paths(connection, table)}
        found |= {home.warehouse.root / path for path in _paths(connection, MANIFEST)}
        found |= {home.warehouse.quarantine / path for path in _paths(connection, QUARANTINE)}
    number = 0
    folders = (home.warehouse.root, home.warehouse.quarantine, home.staged, home.labels)
    for file in (file for folder in folders for file in _files(folder)):
        if file in found or not _rows_tell(file, message_id, words):
            continue
        if time.time() - file.stat().st_mtime > SETTLED_SECONDS:
            file.unlink(missing_ok=True)
            number += 1
        else:
            unreached.append(
                f"{file} tells it, and is named by nothing yet. Run this again in {SETTLED_SECONDS / 60:.0f} minutes."
            )
    return number


def _erase_archived(home: Home, traces: Traces, taken: TakenOut, unreached: list[str]) -> int:
    file = home.archive / f"{taken.token}-{taken.entry['file']}"
    if not file.is_file():
        return 0

    def chosen(table: pa.Table) -> list[int]:
        return rows_of_arrival(home, traces, taken.entry, table)

    try:
        return int(take_out(file, chosen) is not None)
    except FileRefused as refusal:
        with home.ledger.read() as connection:
            keys = batches_of(connection, [taken.token])
            is_over = None not in keys and all(
                (found := batches.get(connection, key)) is not None and found.state in ("done", "discarded")
                for key in keys
                if key is not None
            )
        if not is_over:
            unreached.append(f"{file} cannot be written anew, and not all of it is published: {refusal}")
            return 0
        file.unlink()
        unreached.append(f"{file.name} could not be written anew ({refusal}): the whole file was removed.")
        return 1


def _erase_refused(file: Path, message_id: str, words: Words, unreached: list[str]) -> int:
    """A file that could not be read goes whole where it tells the message; of the reason beside it, the words."""
    if file.name.endswith(".reason.txt"):
        return int(erase_in_file(file, message_id, words))
    if not _tells(file, words, unreached):
        return 0
    file.unlink()
    return 1


def _erase_notices(home: Home, traces: Traces) -> int:
    number = 0
    with home.ledger.read() as connection:
        found = list(erased_rows.notices(connection, traces))
    for notice_id, values in found:
        file = outbox.file_of(home, notice_id)
        content = outbox.as_markdown(values["title"], values["body"])
        if file.is_file() and file.read_bytes() != content:
            write_file(file, content)
            number += 1
    return number


def _erase_database(file: Path, message_id: str, words: Words, unreached: list[str]) -> int:
    try:
        number = erase_in_database(file, message_id, words)
    except sqlite3.Error as error:
        unreached.append(f"{file} could not be looked through: {error}. Run this again when nobody uses it.")
        return 0
    if (number or is_told_in(file, words.probes)) and (trouble := clean_database(file)):
        unreached.append(f"{trouble} Run this again when nobody uses it.")
    return number


def _dagster_homes(home: Home) -> list[Path]:
    """Dagster's own folders: this home's, and the one that the environment names."""
    named = dagster_home()
    others = [Path(named).resolve()] if named and Path(named).is_dir() else []
    return [home.dagster, *(folder for folder in others if not folder.is_relative_to(home.root))]


def _databases(home: Home) -> list[Path]:
    """Every SQLite file of the home and of Dagster, but the ledger."""
    ledger = sa.make_url(home.ledger_url)
    own = Path(ledger.database).resolve() if ledger.get_backend_name() == "sqlite" and ledger.database else None
    folders = [home.root, *(folder for folder in _dagster_homes(home) if folder != home.dagster)]
    return [file for folder in folders for file in databases_below(folder) if file.resolve() != own]


def _rows_tell(file: Path, message_id: str, words: Words) -> bool:
    """Whether a file of rows tells it; one that is only half there counts as if it did."""
    try:
        return tells(pq.ParquetFile(file).read(), message_id, words)
    except (pa.ArrowException, OSError):
        return True


def _tells(file: Path, words: Words, unreached: list[str]) -> bool:
    """Whether a file of messages tells it, as its bytes lie there or as it is read; `unreached` hears of one of which
    nobody can say so.
    """
    content = file.read_bytes()
    if _are_in(content, words):
        return True
    if not content or not is_readable_name(file.name):
        return False
    try:
        if kind_of(file.name).suffix == PARQUET:
            return any(words.are_in(text) for text in _texts_of_parquet(file))
        with open_bytes(file, kind_of(file.name)) as stream:
            return _are_in(stream.read(), words)
    except FileRefused as refusal:
        unreached.append(f"{refusal} It lies in {file.parent} and may tell it. Look into it, and remove it if it does.")
        return False


def _are_in(content: bytes, words: Words) -> bool:
    return any(words.are_in(content.decode(codec, "replace")) for codec in _CODECS)


def _texts_of_parquet(file: Path) -> list[str]:
    """Every text in it, whatever its columns are called; FileRefused where it cannot be read."""
    try:
        columns = [column for column in pq.ParquetFile(file).read().columns if holds_text(column.type)]
        return [text for column in columns for text in strings_in(column.to_pylist())]
    except (pa.ArrowException, OSError, ValueError, LookupError, OverflowError) as error:  # the last three of moments
        raise FileRefused(f"{file.name} is not whole Parquet ({error!r:.300}).") from error


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in sorted(folder.rglob("*")) if file.is_file() and not file.is_symlink())


def _paths(connection: sa.Connection, table: sa.Table) -> set[str]:
    return set(connection.execute(sa.select(table.c.path).distinct()).scalars())

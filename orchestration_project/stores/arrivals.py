"""What has come in: files are received, registered row by row as arrivals, and read back as the rows of a batch.

Each step ends in one rename or one ledger transaction, and each finds out by itself what an interrupted run left
behind: received (the file has our name) → staged (its rows are Parquet) → registered (the ledger knows them) →
archived.
"""

import fcntl
import hashlib
import hmac
import json
import os
import shutil
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import sqlalchemy as sa

from orchestration_project.core.errors import ArtifactRefused, FileRefused
from orchestration_project.stores.files import file_digest, flush_folder, publish_file, temporary_beside, write_file
from orchestration_project.stores.formats import ERROR, LINE, RAW, SUFFIXES, read_slices
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import insert_new, now
from orchestration_project.stores.schema import ARRIVALS

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow

SETTLED_SECONDS = 2.0
"""A file in the inbox counts as complete when it has not changed for this long."""

MOST_NAME_BYTES = 150
"""Of a sender's file name, the last bytes are kept: ours is longer, and a folder holds names of 255."""


@dataclass(frozen=True)
class Arrivals:
    """The rows that came in with one batch, as they stood.

    `rows` has the columns of the files; `origin` (file, file_sha256, line, registered_at) has the same index. A column
    of whole numbers stays one where some are absent (pandas' Int64).
    `unparsable` are the lines that could not be read at all: file, file_sha256, line, registered_at, error, raw, and a
    message_id made from file and line.
    """

    batch: str
    rows: "pd.DataFrame"
    origin: "pd.DataFrame"
    unparsable: "pd.DataFrame"
    secret: bytes

    def identify(self, rows: "pd.DataFrame", by: Sequence[str], given: str = "message_id") -> "pd.Series":
        """The message id of each row: the one in column `given`, else one made from the columns `by`.

        A made id is a keyed hash (HMAC-SHA256 with this home's secret). Where one of `by` is absent or blank it also
        covers the file's digest and the line, so that two people who write the same words stay two. `rows` may be some
        of this batch's, under the index they have there.
        """
        import pandas as pd

        known = rows[given] if given in rows else pd.Series(None, rows.index, dtype="str")
        known = known.astype("str").str.strip()
        is_missing = known.isna() | (known == "")
        missing = rows.index[is_missing]
        origin = self.origin.loc[missing]
        texts = [_texts(rows.loc[missing, name]) if name in rows else [None] * len(missing) for name in by]
        made: list[str] = []
        for number, (digest, line) in enumerate(zip(origin["file_sha256"], origin["line"], strict=True)):
            content = [column[number] for column in texts]
            made.append(keyed_id(self.secret, [*content, digest, int(line)] if None in content else content))
        return known.mask(is_missing, pd.Series(made, missing, dtype="str"))


def receive(home: Home, source: Path) -> Path:
    """Copy a file into the home under a name of its own; it is then ours, whatever becomes of the source."""
    if source.suffix.lower() not in SUFFIXES:
        raise FileRefused(f"{source.name} is no file of messages. Send one of: {', '.join(sorted(SUFFIXES))}.")
    final = _new_place(home, source.name)
    temporary = temporary_beside(final)
    shutil.copyfile(source, temporary)
    publish_file(temporary, final)
    return final


def receive_message(home: Home, message: dict[str, str]) -> Path:
    """Take in one message as a file of one JSON line."""
    try:
        content = (json.dumps(message, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError as error:
        raise FileRefused(f"The message is not text at {error.object[error.start]!r}. Send it as UTF-8.") from error
    final = _new_place(home, "message.jsonl")
    write_file(final, content)
    return final


def register(home: Home, received: Path) -> int:
    """Stage a received file's rows and register them as arrivals; returns how many rows.

    Doing it twice, or in two processes at once, registers once. FileRefused, and nothing of it is kept, for a file that
    cannot be read.
    """
    with _locked(received):
        rows = _registered_rows(home, received)
        if rows is None:
            rows = _stage_and_register(home, received)
        _move(received, home.archive)
    return rows


def register_received(home: Home) -> None:
    """Register what an interrupted process received and did not register."""
    for received in sorted(home.received.glob("[!.]*")):
        _register_or_refuse(home, received)


def take_in_inbox(home: Home) -> None:
    """Receive and register every complete file of the inbox.

    One that cannot be read goes to `refused/`, with the reason beside it.
    """
    for source in sorted(home.inbox.iterdir()):
        if source.name.startswith(".") or source.suffix == ".part" or source.is_symlink() or not source.is_file():
            continue
        if time.time() - source.stat().st_mtime < SETTLED_SECONDS:
            continue
        received = _new_place(home, source.name)
        source.rename(received)
        flush_folder(home.received)
        _register_or_refuse(home, received)


def batches_of(connection: sa.Connection, tokens: Sequence[str]) -> set[str | None]:
    """The batches that claimed what was received under these tokens (first part of the received name); None among them:
    some waits.
    """
    return set(connection.execute(sa.select(ARRIVALS.c.batch).where(_TOKEN.in_(tokens)).distinct()).scalars())


def is_known(connection: sa.Connection, file_sha256: str) -> bool:
    """Whether a file of this digest was registered before."""
    query = sa.select(sa.func.count()).where(ARRIVALS.c.file_sha256 == file_sha256)
    return connection.execute(query).scalar_one() > 0


def read(home: Home, batch: str) -> Arrivals:
    """Every row of the arrivals that a batch claimed, in the order in which they came."""
    import pandas as pd
    import pyarrow.compute

    with home.ledger.read() as connection:
        query = sa.select(ARRIVALS).where(ARRIVALS.c.batch == batch)
        entries = connection.execute(query.order_by(ARRIVALS.c.registered_at, ARRIVALS.c.arrival_id)).mappings().all()
    rows: list[pd.DataFrame] = []
    origin: list[pd.DataFrame] = []
    broken: list[pd.DataFrame] = []
    for entry in entries:
        table = _read_staged(home, entry["path"])
        good = table.filter(pyarrow.compute.field(ERROR).is_null())
        rows.append(_frame(good.drop_columns([LINE, ERROR, RAW])))
        origin.append(_origin(entry, good))
        bad = table.filter(~pyarrow.compute.field(ERROR).is_null())
        broken.append(_origin(entry, bad).assign(error=bad[ERROR].to_pandas(), raw=bad[RAW].to_pandas()))
    unparsable = pd.concat(broken, ignore_index=True)
    places = zip(unparsable["file_sha256"], unparsable["line"], strict=True)
    made = [keyed_id(home.secret, [digest, int(line)]) for digest, line in places]
    unparsable["message_id"] = pd.Series(made, dtype="str")
    return Arrivals(
        batch, pd.concat(rows, ignore_index=True), pd.concat(origin, ignore_index=True), unparsable, home.secret
    )


def keyed_id(secret: bytes, content: Sequence[str | int | None]) -> str:
    """A message id made from content: HMAC-SHA256 of its JSON, the first 32 hexadecimal digits."""
    encoded = json.dumps(content, ensure_ascii=True).encode()
    return "m-" + hmac.new(secret, encoded, hashlib.sha256).hexdigest()[:32]


_ORIGIN = {"file": "str", "file_sha256": "str", "registered_at": "datetime64[us, UTC]"}
_TOKEN = sa.func.substr(ARRIVALS.c.arrival_id, 1, 32)


def _new_place(home: Home, name: str) -> Path:
    """Where a file of that name is received: under a token, with the end of its name, as text and not too long."""
    text = os.fsencode(name).decode(errors="replace")
    while len(text.encode()) > MOST_NAME_BYTES:
        text = text[1:]
    return home.received / f"{uuid4().hex}-{text}"


@contextmanager
def _locked(received: Path) -> Generator[None]:
    """Keeps every other process from registering the same file; without effect when it is not there any more."""
    try:
        stream = received.open("rb")
    except FileNotFoundError:
        yield
        return
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX)  # until the stream is closed, also by the process's death
        yield


def _registered_rows(home: Home, received: Path) -> int | None:
    """How many rows of a received file are registered; None when it was not registered yet."""
    query = sa.select(sa.func.sum(ARRIVALS.c.rows)).where(_TOKEN.in_([received.name.partition("-")[0]]))
    with home.ledger.read() as connection:
        return connection.execute(query).scalar()


def _stage_and_register(home: Home, received: Path) -> int:
    if (home.archive / received.name).exists():
        return 0  # another process found no row in it
    if not received.exists():
        raise FileRefused(f"{received.name} was refused by another process. The reason stands in {home.refused}.")
    token, _, name = received.name.partition("-")
    digest = file_digest(received)
    _discard_staged(home, token)
    try:
        slices = _stage(home, received, token)
    except FileRefused:
        _discard_staged(home, token)
        raise
    shared = {"file": name, "file_sha256": digest, "registered_at": now()}
    with home.ledger.write() as connection:
        insert_new(connection, ARRIVALS, [{**shared, **entry} for entry in slices])
    return sum(entry["rows"] for entry in slices)


def _stage(home: Home, received: Path, token: str) -> list[dict[str, Any]]:
    """Write a received file's rows as Parquet, a file for each slice; what the ledger is to know of each."""
    import pyarrow.parquet

    slices: list[dict[str, Any]] = []
    for number, table in enumerate(read_slices(received, home.settings.batch_rows)):
        staged = home.staged / f"{token}-{number:06d}.parquet"
        temporary = temporary_beside(staged)
        pyarrow.parquet.write_table(table, temporary, compression="zstd")
        publish_file(temporary, staged)
        own = [f"{field.name}: {field.type}" for field in table.schema if field.name not in (LINE, ERROR, RAW)]
        entry = {"arrival_id": f"{token}/{number:06d}", "path": home.below(staged), "rows": table.num_rows}
        slices.append({**entry, "columns": json.dumps(sorted(own))})
    return slices


def _discard_staged(home: Home, token: str) -> None:
    """Remove what an interrupted or refused registration staged; the ledger names none of it."""
    for staged in home.staged.glob(f"{token}-*.parquet"):
        staged.unlink()


def _register_or_refuse(home: Home, received: Path) -> None:
    try:
        register(home, received)
    except FileRefused as refusal:
        if received.exists():
            write_file(home.refused / f"{received.name}.reason.txt", f"{refusal}\n".encode())
            _move(received, home.refused)


def _move(source: Path, folder: Path) -> None:
    """Put a received file away; one that another process put away is left there."""
    with suppress(FileNotFoundError):
        source.replace(folder / source.name)
        flush_folder(folder)


def _read_staged(home: Home, path: str) -> "pyarrow.Table":
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(home.root / path).read()
    except FileNotFoundError as error:
        raise ArtifactRefused(f"{path} is named in the ledger and is not in {home.root}. Put it back.") from error


def _frame(table: "pyarrow.Table") -> "pd.DataFrame":
    import pyarrow.types

    whole = {
        field.name: "UInt64" if pyarrow.types.is_unsigned_integer(field.type) else "Int64"
        for field in table.schema
        if pyarrow.types.is_integer(field.type) and table[field.name].null_count
    }
    return table.to_pandas(integer_object_nulls=True).astype(whole)


def _origin(entry: "sa.RowMapping", table: "pyarrow.Table") -> "pd.DataFrame":
    values = {name: entry[name] for name in _ORIGIN}
    return table.select([LINE]).to_pandas().rename(columns={LINE: "line"}).assign(**values).astype(_ORIGIN)


def _texts(values: "pd.Series") -> list[str | None]:
    """Each value as text; None where it is absent or blank."""
    absent = values.isna()
    return [None if gone or not str(value).strip() else str(value) for value, gone in zip(values, absent, strict=True)]

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
import stat
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import sqlalchemy as sa

from orchestration_project.core.errors import FileRefused, LedgerUnavailable, Refused
from orchestration_project.stores.file_kinds import kind_of, name_with_encoding
from orchestration_project.stores.files import file_digest, flush_folder, publish_file, temporary_beside, write_file
from orchestration_project.stores.formats import ERROR, LINE, RAW
from orchestration_project.stores.home import Home
from orchestration_project.stores.inbox import complete_files, is_held_open
from orchestration_project.stores.ledger import insert_new, now
from orchestration_project.stores.schema import ARRIVALS
from orchestration_project.stores.staging import frame_of, read_staged, staged_slices

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow

MOST_NAME_BYTES = 150
"""Of a sender's file name, the last bytes are kept: ours is longer, and a folder holds names of 255."""

MOST_WAITS = 2
"""Files in a row that a look lets meet a ledger which cannot be used; each may wait as long as a lock is waited for."""


class StillWritten(Refused):
    """A file changed while it was read; nothing of it is kept, and it is read anew later."""


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


def receive(home: Home, source: Path, encoding: str | None = None) -> Path:
    """Copy a file into the home under a name of its own, which tells its encoding where one is given.

    It is then ours, whatever becomes of the source. Refused, and nothing of it is kept, where it cannot be copied.
    """
    kind_of(source.name)
    final = _new_place(home, name_with_encoding(source.name, encoding) if encoding else source.name)
    with _whole(final, source.name) as temporary:
        shutil.copyfile(source, temporary)
    return final


def receive_message(home: Home, message: dict[str, str]) -> Path:
    """Take in one message as a file of one JSON line."""
    try:
        content = (json.dumps(message, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError as error:
        raise FileRefused(f"The message is not text at {error.object[error.start]!r}. Send it as UTF-8.") from error
    final = _new_place(home, "message.jsonl")
    with _whole(final, "The message") as temporary:
        temporary.write_bytes(content)
    return final


def register(home: Home, received: Path) -> int:
    """Stage a received file's rows and register them as arrivals; returns how many rows.

    Doing it twice, or in two processes at once, registers once. FileRefused, and nothing of it is kept, for a file that
    cannot be read; StillWritten for one that changes meanwhile. Refused where the home cannot be written, and
    LedgerUnavailable where the ledger cannot be used: the file stays received, and whoever registers next does it.
    """
    name = received.name.partition("-")[2]
    try:
        with _locked(received):
            rows = _registered_rows(home, received)
            if rows is None:
                rows = _stage_and_register(home, received)
            _move(received, home.archive)
    except OSError as error:
        raise Refused(
            f"{name} cannot be taken in: {_cause(error)}. It is kept, and taken in when it can be."
        ) from error
    except LedgerUnavailable as error:
        raise LedgerUnavailable(
            f"{name} is not registered yet: {error} It is kept, and taken in when it can be; do not send it again."
        ) from error
    return rows


def register_received(home: Home) -> None:
    """Register what an interrupted process received and did not register, and what was still written then.

    Refused with what cannot be done, when everything else is done; LedgerUnavailable where the ledger is what ended it.
    """
    _do_each(home, sorted(home.received.glob("[!.]*")), _take_in)


def take_in_inbox(home: Home) -> None:
    """Receive and register every complete file of the inbox.

    One that cannot be read goes to `refused/`, with the reason beside it; a link too, which is never followed. What
    cannot be moved or written for now stays as it is: Refused with what that is, when everything else is done;
    LedgerUnavailable where the ledger is what ended it.
    """
    _do_each(home, complete_files(home.inbox), _receive_and_take_in)


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
        table = read_staged(home, entry["path"])
        good = table.filter(pyarrow.compute.field(ERROR).is_null())
        rows.append(frame_of(good.drop_columns([LINE, ERROR, RAW])))
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
def _whole(final: Path, name: str) -> Generator[Path]:
    """Receives what is written to the temporary file; Refused, and nothing is kept, where that cannot be."""
    temporary: Path | None = None
    try:
        temporary = temporary_beside(final)
        yield temporary
        publish_file(temporary, final)
    except OSError as error:
        if temporary:
            temporary.unlink(missing_ok=True)
        cause = error.strerror or error
        raise Refused(f"{name} cannot be copied into {final.parent}: {cause}. Mend that, and send it again.") from error


@contextmanager
def _locked(received: Path) -> Generator[None]:
    """Keeps every other process from registering the same file; without effect when it is not there any more."""
    try:
        stream = received.open("rb")
    except FileNotFoundError:
        yield
        return
    except PermissionError as error:
        raise FileRefused(f"{received.name} may not be read. Send it with the permission to read it.") from error
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
    before = _state_of(received)
    shared = {"file": name, "file_sha256": file_digest(received), "registered_at": now()}
    with staged_slices(home, received, token) as slices:
        if _state_of(received) != before:
            raise StillWritten(f"{name} changed while it was read. Send it when it is complete.")
    with home.ledger.write() as connection:
        insert_new(connection, ARRIVALS, [{**shared, **entry} for entry in slices])
    return sum(entry["rows"] for entry in slices)


def _state_of(received: Path) -> tuple[int, int]:
    """What changes when somebody writes into a file: its size, and when it was changed last."""
    found = received.stat()
    return found.st_size, found.st_mtime_ns


def _do_each(home: Home, files: Iterable[Path], do: Callable[[Home, Path, Callable[[str], object]], None]) -> None:
    """Do this with each file; where a file meets a ledger that cannot be used, the next may find that it can be.

    After MOST_WAITS such files in a row the rest is left for the next look.
    """
    troubles: list[str] = []
    waits = 0
    for file in files:
        try:
            do(home, file, troubles.append)
        except LedgerUnavailable as trouble:
            troubles.append(str(trouble))
            waits += 1
            if waits == MOST_WAITS:
                break
        else:
            waits = 0
    if troubles:
        raise (LedgerUnavailable if waits else Refused)("\n".join(troubles))


def _receive_and_take_in(home: Home, source: Path, tell: Callable[[str], object]) -> None:
    """Move a file out of the inbox, and take it in; `tell` hears what could not be done for now."""
    received = _new_place(home, source.name)
    try:
        source.rename(received)
        flush_folder(home.received)
    except OSError as error:
        if os.path.lexists(source):  # else another process took it, or its sender took it back
            tell(f"{source.name} cannot be taken out of {home.inbox}: {_cause(error)}. It stays there.")
        elif os.path.lexists(received):
            tell(f"{source.name} may be lost in a crash: {_cause(error)}. Look after {home.received}.")
    if os.path.lexists(received):
        _take_in(home, received, tell)


def _take_in(home: Home, received: Path, tell: Callable[[str], object]) -> None:
    """Register a received file, or put it aside with the reason; `tell` hears what could not be done for now."""
    try:
        if stat.S_ISLNK(received.lstat().st_mode):
            raise FileRefused(
                f"{received.name} is a link, which is never followed. Put the file itself into the inbox."
            )
        if not is_held_open(received):
            register(home, received)
    except (FileNotFoundError, StillWritten):
        return  # another process put it away; or the next look reads it
    except FileRefused as refusal:
        try:
            if os.path.lexists(received):
                write_file(home.refused / f"{received.name}.reason.txt", f"{refusal}\n".encode())
                _move(received, home.refused)
        except OSError as error:
            tell(f"{refusal} It cannot be put into {home.refused}: {_cause(error)}. It is kept until it can be.")
    except Refused as trouble:
        tell(str(trouble))


def _cause(error: OSError) -> str:
    return f"{error.strerror or error} ({error.filename})" if error.filename else str(error.strerror or error)


def _move(source: Path, folder: Path) -> None:
    """Put a received file away; one that another process put away is left there."""
    with suppress(FileNotFoundError):
        source.replace(folder / source.name)
        flush_folder(folder)


def _origin(entry: "sa.RowMapping", table: "pyarrow.Table") -> "pd.DataFrame":
    values = {name: entry[name] for name in _ORIGIN}
    return table.select([LINE]).to_pandas().rename(columns={LINE: "line"}).assign(**values).astype(_ORIGIN)


def _texts(values: "pd.Series") -> list[str | None]:
    """Each value as text; None where it is absent or blank."""
    absent = values.isna()
    return [None if gone or not str(value).strip() else str(value) for value, gone in zip(values, absent, strict=True)]

"""What has come in: files are received, registered row by row as arrivals, and read back as the rows of a batch.

Each step ends in one rename or one ledger transaction, and each finds out by itself what an interrupted run left
behind: received (the file has our name) → staged (its rows are Parquet) → registered (the ledger knows them) →
archived.
"""

import hashlib
import hmac
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pandas as pd
import pyarrow
import pyarrow.parquet
import sqlalchemy as sa

from orchestration_project.core.errors import FileRefused
from orchestration_project.stores.files import file_digest, flush_folder, publish_file, temporary_beside
from orchestration_project.stores.formats import ERROR, LINE, RAW, SUFFIXES, read_slices
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import insert_new, now
from orchestration_project.stores.schema import ARRIVALS

SETTLED_SECONDS = 2.0
"""A file in the inbox counts as complete when it has not changed for this long."""


@dataclass(frozen=True)
class Arrivals:
    """The rows that came in with one batch, as they stood.

    `rows` has the columns of the files; `origin` (file, file_sha256, line, registered_at) has the same index.
    `unparsable` are the lines that could not be read at all: file, file_sha256, line, registered_at, error, raw, and a
    message_id made from file and line.
    """

    batch: str
    rows: pd.DataFrame
    origin: pd.DataFrame
    unparsable: pd.DataFrame
    secret: bytes

    def identify(self, rows: pd.DataFrame, by: Sequence[str], given: str = "message_id") -> pd.Series:
        """The message id of each row: the one in column `given`, else one made from the columns `by`.

        A made id is a keyed hash (HMAC-SHA256 with this home's secret). Where one of `by` is absent it also covers the
        file's digest and the line, so that two people who write the same words stay two.
        """
        known = rows[given] if given in rows else pd.Series(None, rows.index, dtype="str")
        known = known.astype("str").str.strip()
        missing = known.isna() | (known == "")
        present = [name for name in by if name in rows]
        made: list[str] = []
        for values, digest, line in zip(
            rows.loc[missing, present].itertuples(index=False, name=None),
            self.origin.loc[missing, "file_sha256"],
            self.origin.loc[missing, "line"],
            strict=True,
        ):
            texts = [None if pd.isna(value) else str(value) for value in values]
            is_complete = len(present) == len(by) and None not in texts
            made.append(keyed_id(self.secret, texts if is_complete else [*texts, digest, int(line)]))
        return known.mask(missing, pd.Series(made, rows.index[missing], dtype="str"))


def receive(home: Home, source: Path) -> Path:
    """Copy a file into the home under a name of its own; it is then ours, whatever becomes of the source."""
    if source.suffix.lower() not in SUFFIXES:
        raise FileRefused(f"{source.name} is no file of messages. Send one of: {', '.join(sorted(SUFFIXES))}.")
    final = home.received / f"{uuid4().hex}-{source.name}"
    temporary = temporary_beside(final)
    shutil.copyfile(source, temporary)
    publish_file(temporary, final)
    return final


def receive_message(home: Home, message: dict[str, str]) -> Path:
    """Take in one message as a file of one JSON line."""
    final = home.received / f"{uuid4().hex}-message.jsonl"
    temporary = temporary_beside(final)
    temporary.write_text(json.dumps(message, ensure_ascii=False) + "\n", encoding="utf-8")
    publish_file(temporary, final)
    return final


def register(home: Home, received: Path) -> int:
    """Stage a received file's rows and register them as arrivals; returns how many rows.

    Doing it twice registers once.
    """
    token, _, name = received.name.partition("-")
    digest = file_digest(received)
    entries: list[dict[str, object]] = []
    for number, table in enumerate(read_slices(received, home.settings.batch_rows)):
        staged = home.staged / f"{token}-{number:06d}.parquet"
        temporary = temporary_beside(staged)
        pyarrow.parquet.write_table(table, temporary, compression="zstd")
        publish_file(temporary, staged)
        own = [field for field in table.schema if field.name not in (LINE, ERROR, RAW)]
        entries.append(
            {
                "arrival_id": f"{token}/{number:06d}",
                "file": name,
                "file_sha256": digest,
                "path": home.below(staged),
                "rows": table.num_rows,
                "columns": json.dumps(sorted(f"{field.name}: {field.type}" for field in own)),
                "registered_at": now(),
            }
        )
    with home.ledger.write() as connection:
        insert_new(connection, ARRIVALS, entries)
    _move(received, home.archive)
    return sum(int(str(entry["rows"])) for entry in entries)


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
        received = home.received / f"{uuid4().hex}-{source.name}"
        source.rename(received)
        flush_folder(home.received)
        _register_or_refuse(home, received)


def batches_of(connection: sa.Connection, tokens: Sequence[str]) -> set[str | None]:
    """The batches that claimed what was received under these tokens (first part of the received name); None among them:
    some waits.
    """
    of_tokens = sa.or_(*(ARRIVALS.c.arrival_id.startswith(f"{token}/") for token in tokens))
    return set(connection.execute(sa.select(ARRIVALS.c.batch).where(of_tokens)).scalars())


def is_known(connection: sa.Connection, file_sha256: str) -> bool:
    """Whether a file of this digest was registered before."""
    query = sa.select(sa.func.count()).where(ARRIVALS.c.file_sha256 == file_sha256)
    return connection.execute(query).scalar_one() > 0


def read(home: Home, batch: str) -> Arrivals:
    """Every row of the arrivals that a batch claimed, in the order in which they came."""
    with home.ledger.read() as connection:
        query = sa.select(ARRIVALS).where(ARRIVALS.c.batch == batch)
        entries = connection.execute(query.order_by(ARRIVALS.c.registered_at, ARRIVALS.c.arrival_id)).mappings().all()
    frames: list[pd.DataFrame] = []
    for entry in entries:
        table = pyarrow.parquet.ParquetFile(home.root / entry["path"]).read()
        frame = table.to_pandas()
        frame["_file"], frame["_file_sha256"] = entry["file"], entry["file_sha256"]
        frame["_registered_at"] = pd.Timestamp(entry["registered_at"])
        frames.append(frame)
    everything = pd.concat(frames, ignore_index=True)
    origin = pd.DataFrame(
        {
            "file": everything["_file"],
            "file_sha256": everything["_file_sha256"],
            "line": everything[LINE],
            "registered_at": everything["_registered_at"].astype("datetime64[us, UTC]"),
        }
    )
    is_broken = everything[ERROR].notna()
    own = [name for name in everything.columns if not name.startswith("_file") and name not in _PRIVATE]
    broken = everything.loc[is_broken, [ERROR, RAW]].rename(columns={ERROR: "error", RAW: "raw"})
    unparsable = pd.concat([origin[is_broken], broken], axis="columns").reset_index(drop=True)
    places = zip(unparsable["file_sha256"], unparsable["line"], strict=True)
    made = [keyed_id(home.secret, [digest, int(line)]) for digest, line in places]
    unparsable["message_id"] = pd.Series(made, dtype="str")
    rows = everything.loc[~is_broken, own].reset_index(drop=True)
    return Arrivals(batch, rows, origin[~is_broken].reset_index(drop=True), unparsable, home.secret)


def keyed_id(secret: bytes, content: Sequence[str | int | None]) -> str:
    """A message id made from content: HMAC-SHA256 of its JSON, the first 32 hexadecimal digits."""
    encoded = json.dumps(content, ensure_ascii=True).encode()
    return "m-" + hmac.new(secret, encoded, hashlib.sha256).hexdigest()[:32]


_PRIVATE = (LINE, ERROR, RAW, "_registered_at")


def _register_or_refuse(home: Home, received: Path) -> None:
    try:
        register(home, received)
    except FileRefused as refusal:
        _move(received, home.refused)
        (home.refused / f"{received.name}.reason.txt").write_text(f"{refusal}\n", encoding="utf-8")


def _move(source: Path, folder: Path) -> None:
    source.replace(folder / source.name)
    flush_folder(folder)

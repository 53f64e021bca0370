"""Takes posted messages in: durable, in one ledger transaction, once for each key, or not at all.

A body is written under a hidden name, which nobody else takes in, and staged; the transaction makes it an arrival. What
a crash leaves before that is nobody's, and `recover` removes it.
"""

import hashlib
import hmac
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from orchestration_project.core.errors import LedgerUnavailable, Refused
from orchestration_project.serving.backlog import refuse_full
from orchestration_project.serving.identity import digest_content, with_ids
from orchestration_project.serving.messages import BodyRefused, Message
from orchestration_project.stores import batches
from orchestration_project.stores.files import file_digest, flush_folder
from orchestration_project.stores.formats import MOST_COLUMNS
from orchestration_project.stores.home import Home
from orchestration_project.stores.json_rows import as_json
from orchestration_project.stores.ledger import now
from orchestration_project.stores.schema import ARRIVALS, INBOX_KEYS
from orchestration_project.stores.staging import discard_staged, staged_slices
from orchestration_project.stores.text_rows import LONGEST_ROW

FILE = "posted.jsonl"
"""Name of the file that a posted body counts as."""


class KeyReused(Refused):
    """An Idempotency-Key came with other messages before."""


class Unconfirmed(Refused):
    """The ledger was lost before it said whether it kept the messages."""


@dataclass(frozen=True)
class Accepted:
    """What was taken in: the id of each message, in order, and their number."""

    message_ids: list[str]
    rows: int


class _Repeated(Exception):
    """Another request with the same key was first; the token that it was received under."""


def take_in(home: Home, messages: Sequence[Message], key: str | None, tell: Callable[[str], object]) -> Accepted:
    """Make messages an arrival, and request its run where there is room for a batch; `tell` hears what could not be put away.

    With a key that was used for the same messages, only the answer of then. KeyReused, BacklogFull, BodyRefused,
    OSError and LedgerUnavailable leave nothing behind; after Unconfirmed nobody knows until `recover` finds out.
    """
    if not messages:
        raise BodyRefused("The body holds no message. Send at least one object.")
    kept = _Key.of(home, key, messages) if key is not None else None
    with home.ledger.read() as connection:
        known = kept.token_in(connection) if kept else None
        if known is None:
            refuse_full(connection, home.settings.inbox_backlog_rows, len(messages))
    if known is not None:
        return _answer(home, messages, known)
    token = uuid4().hex
    rows, ids = with_ids(messages, home.settings, home.secret, token)
    hidden = home.received / f".{token}-{FILE}"
    try:
        _write(hidden, rows, messages)
        with staged_slices(home, hidden, token) as slices:
            shared = {"file": FILE, "file_sha256": file_digest(hidden), "registered_at": now()}
        _register(home, [{**shared, **entry} for entry in slices], token, kept)
    except _Repeated as repeated:
        _forget(home, hidden, token)
        return _answer(home, messages, str(repeated))
    except LedgerUnavailable:
        if not _is_kept_unconfirmed(home, token):
            _forget(home, hidden, token)
            raise
    except BaseException:
        _forget(home, hidden, token)
        raise
    _archive(home, hidden, tell)
    return Accepted(ids, len(ids))


def recover(home: Home, tell: Callable[[str], object]) -> None:
    """Put away what a process left that took messages in and died: what is registered is archived, the rest removed.

    Only where no other process takes messages in.
    """
    for hidden in sorted(home.received.glob(f".*-{FILE}")):
        token = hidden.name[1:].partition("-")[0]
        if _is_registered(home, token):
            _archive(home, hidden, tell)
        else:
            _forget(home, hidden, token)


@dataclass(frozen=True)
class _Key:
    """An Idempotency-Key and what came with it, as digests: neither can be read from the ledger."""

    digest: str
    messages_digest: str

    @classmethod
    def of(cls, home: Home, key: str, messages: Sequence[Message]) -> "_Key":
        def digest(what: str, text: str) -> str:
            return hmac.new(home.secret, f"{what} {text}".encode(), hashlib.sha256).hexdigest()

        return cls(digest("inbox key", key), digest("inbox messages", as_json(digest_content(messages))))

    def token_in(self, connection: sa.Connection) -> str | None:
        """The token that messages with this key were received under; None for a new key. KeyReused for others."""
        table = INBOX_KEYS.c
        query = sa.select(table.messages_digest, table.token)
        found = connection.execute(query.where(table.key_digest == self.digest, table.kept_until > now())).one_or_none()
        if found is None:
            return None
        if found.messages_digest != self.messages_digest:
            raise KeyReused(
                "This Idempotency-Key came with other messages before. Take a new key for each body, and the same for "
                "each repetition of it."
            )
        return found.token

    def keep(self, connection: sa.Connection, token: str, hours: int) -> None:
        """Remember the key, and forget those whose time is over."""
        connection.execute(sa.delete(INBOX_KEYS).where(INBOX_KEYS.c.kept_until <= now()))
        row = {"key_digest": self.digest, "messages_digest": self.messages_digest, "token": token}
        connection.execute(sa.insert(INBOX_KEYS).values(**row, kept_until=now() + timedelta(hours=hours)))


def _register(home: Home, slices: list[dict[str, Any]], token: str, key: _Key | None) -> None:
    with home.ledger.write() as connection:
        if key:
            if (first := key.token_in(connection)) is not None:
                raise _Repeated(first)
            key.keep(connection, token, home.settings.inbox_key_hours)
        refuse_full(connection, home.settings.inbox_backlog_rows, sum(entry["rows"] for entry in slices))
        left = slices
        if batches.has_room(connection, home) and not batches.is_anything_free(connection):
            batches.open_with(connection, slices[:1], cause="arrival")
            left = slices[1:]
        if left:
            connection.execute(sa.insert(ARRIVALS), left)


def _answer(home: Home, messages: Sequence[Message], token: str) -> Accepted:
    _, ids = with_ids(messages, home.settings, home.secret, token)
    return Accepted(ids, len(ids))


def _write(hidden: Path, rows: Sequence[dict[str, Any]], messages: Sequence[Message]) -> None:
    """Write the rows as a file, durable. BodyRefused for what its reader would not take as a row."""
    names: set[str] = set()
    with hidden.open("wb") as file:
        for row, message in zip(rows, messages, strict=True):
            names |= row.keys()
            if len(names) > MOST_COLUMNS:
                raise BodyRefused(
                    f"the body has more than {MOST_COLUMNS} different fields with this message's and those that are "
                    "added. Put them into one object.",
                    message.line,
                )
            text = as_json(row)
            if len(text) >= LONGEST_ROW - 1:
                raise BodyRefused(f"the message reaches {LONGEST_ROW} characters. Shorten it.", message.line)
            file.write(f"{text}\n".encode())
        file.flush()
        os.fsync(file.fileno())


def _is_registered(home: Home, token: str) -> bool:
    with home.ledger.read() as connection:
        query = sa.select(sa.func.count()).where(sa.func.substr(ARRIVALS.c.arrival_id, 1, 32) == token)
        return connection.execute(query).scalar_one() > 0


def _is_kept_unconfirmed(home: Home, token: str) -> bool:
    """Whether the ledger kept what it did not confirm. Unconfirmed where that cannot be asked now."""
    try:
        return _is_registered(home, token)
    except LedgerUnavailable as error:
        raise Unconfirmed(
            "The ledger was lost before it said whether the messages are kept. Send them again, under the same "
            "Idempotency-Key if they had one."
        ) from error


def _forget(home: Home, hidden: Path, token: str) -> None:
    discard_staged(home, token)
    hidden.unlink(missing_ok=True)


def _archive(home: Home, hidden: Path, tell: Callable[[str], object]) -> None:
    """Put the file of a registered body away; where that cannot be, it stays hidden until the next start."""
    try:
        hidden.replace(home.archive / hidden.name[1:])
        flush_folder(home.archive)
    except OSError as error:
        tell(f"{hidden.name} cannot be archived: {error.strerror or error}. It is tried again at the next start.")

"""The audit log: one hash-chained entry for each decision batch and each action, written in the transaction of what it
records.

Each entry's digest covers its content and the digest before it, so an edit, a gap or another order shows when the chain
is verified. A tail that was cut off together with the head shows against a head that was kept elsewhere.
"""

import hashlib
import json
import os
import pwd
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from json.encoder import encode_basestring as quoted
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from orchestration_project.stores.ledger import now
from orchestration_project.stores.schema import AUDIT, AUDIT_HEAD

PRUNED = "audit pruned"
"""Action of the entry that says up to which one those before it were moved into a file."""

_ROWS_AT_ONCE = 2000


class Entry(NamedTuple):
    """One entry, as it is stored. `at` is ISO 8601 in UTC, `detail` canonical JSON, `previous` the digest before it."""

    sequence: int
    at: str
    actor: str
    action: str
    subject: str
    detail: str
    previous: str
    digest: str


class Head(NamedTuple):
    """Where the chain ended once: number and digest of the last entry. `source` says where that was kept, and when."""

    sequence: int
    digest: str
    source: str = ""


BEGINNING = Head(0, "")


def append(
    connection: sa.Connection, action: str, subject: str, detail: Mapping[str, Any], actor: str | None = None
) -> str:
    """Add one entry in the caller's transaction; returns its digest.

    The actor defaults to the operating-system user.
    """
    end = connection.execute(sa.select(AUDIT_HEAD.c.sequence, AUDIT_HEAD.c.digest)).one()
    entry = Entry(
        end.sequence + 1,
        now().isoformat(),
        actor or system_user(),
        action,
        subject,
        canonical(detail),
        end.digest,
        digest="",
    )
    digest = digest_of(entry)
    connection.execute(sa.insert(AUDIT).values(**entry._replace(digest=digest)._asdict()))
    connection.execute(sa.update(AUDIT_HEAD).values(sequence=entry.sequence, digest=digest))
    return digest


def canonical(detail: Mapping[str, Any]) -> str:
    """A detail as it is stored: JSON with sorted keys and without blanks."""
    return json.dumps(detail, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest_of(entry: Entry) -> str:
    """What an entry's digest has to be: sha256, in hex, of the JSON list of all that stands before it, in UTF-8.

    TypeError for an entry in which another type stands where text must.
    """
    sequence, *texts, _ = entry
    content = f"[{sequence},{','.join(map(quoted, texts))}]"  # json.dumps would take twice the time
    return hashlib.sha256(content.encode()).hexdigest()


def entries(connection: sa.Connection, tell: Callable[[str], object]) -> Iterator[Entry]:
    """Every entry in order, some at a time: a long log takes no more memory than a short one.

    `tell` hears of one that cannot be read, which ends them.
    """
    query = sa.select(AUDIT).order_by(AUDIT.c.sequence)
    found = connection.execute(query, execution_options={"stream_results": True}).partitions(_ROWS_AT_ONCE)
    sequence = 0
    while True:
        try:
            rows = next(found, ())
        except OperationalError as error:
            if "decode" not in str(error):
                raise
            tell(f"An entry behind entry {sequence} holds what is no text; nothing more was verified.")
            return
        if not rows:
            return
        for row in rows:
            yield Entry._make(row)
        sequence = rows[-1][0]


def head(connection: sa.Connection) -> Head | None:
    """Where the chain ends, as the ledger says; None when it does not say it any more."""
    found = connection.execute(sa.select(AUDIT_HEAD.c.sequence, AUDIT_HEAD.c.digest)).one_or_none()
    return None if found is None else Head(*found)


def start(connection: sa.Connection) -> Head:
    """The entry that the ledger's first one follows: the last that was pruned."""
    last = last_prune(connection)
    return BEGINNING if last is None else _pruned_through(last.detail)


def last_prune(connection: sa.Connection) -> Entry | None:
    """The entry that says what was pruned so far; None when nothing was."""
    query = sa.select(AUDIT).where(AUDIT.c.action == PRUNED).order_by(AUDIT.c.sequence.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return None if row is None else Entry._make(row)


class Chain:
    """Follows entries from one to the next; `tell` hears where the chain does not hold, a sentence each.

    It begins after the entry that `after` names, and each of the `heads` that were kept elsewhere must be an entry of
    it. `start` is `after`, and `end` the last entry that it met.
    """

    def __init__(self, tell: Callable[[str], object], after: Head = BEGINNING, heads: Iterable[Head] = ()) -> None:
        self.start = self.end = after
        self._tell = tell
        self._kept: defaultdict[int, list[Head]] = defaultdict(list)
        for kept in heads:
            if kept.sequence > after.sequence:
                self._kept[kept.sequence].append(kept)

    def follow(self, found: Iterable[Entry]) -> Iterator[Entry]:
        """Give each entry that was not changed, having held it to the one before it and to the heads."""
        sequence, previous = self.end[:2]
        for entry in found:
            sequence += 1
            if entry.sequence != sequence:
                self._tell(_gap(sequence, entry.sequence))
                sequence = entry.sequence
            if entry.previous != previous:
                self._tell(f"Entry {sequence} does not follow the entry before it.")
            previous = entry.digest
            self.end = Head(sequence, previous)
            if sequence in self._kept:
                self._hold(self._kept.pop(sequence))
            if _holds(entry):
                yield entry
            else:
                self._tell(f"Entry {sequence} was changed.")

    def close(self, recorded: Head | None) -> None:
        """Hold the end to the head that the ledger has, and to those kept elsewhere."""
        if recorded is None:
            self._tell("The head of the chain is missing.")
        elif recorded[:2] != self.end[:2]:
            what = f"its head says {recorded.sequence}" if recorded.sequence != self.end.sequence else "not as its head"
            self._tell(f"The chain ends at entry {self.end.sequence}, {what}.")
        for sequence, kept in sorted(self._kept.items()):
            self._tell(
                f"Entry {sequence} is missing, which was kept in {kept[0].source}; the chain ends at entry "
                f"{self.end.sequence}."
            )

    def _hold(self, kept: Iterable[Head]) -> None:
        for head in kept:
            if head.digest != self.end.digest:
                self._tell(
                    f"Entry {head.sequence} has the digest {self.end.digest}, and {head.digest} was kept in "
                    f"{head.source}."
                )


def breaks(connection: sa.Connection, heads: Iterable[Head] = ()) -> list[str]:
    """Where the chain does not hold, in words; empty when it holds."""
    found: list[str] = []
    chain = Chain(found.append, start(connection), heads)
    deque(chain.follow(entries(connection, found.append)), maxlen=0)
    chain.close(head(connection))
    return found


def system_user() -> str:
    """The operating-system user this process runs as, whatever the environment says; its number where it has no
    name.
    """
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"uid {os.geteuid()}"


def _holds(entry: Entry) -> bool:
    try:
        return entry.digest == digest_of(entry)
    except TypeError:
        return False


def _gap(expected: int, found: int) -> str:
    if found < expected:
        return f"Entry {found} stands after entry {expected - 1}."
    return (
        f"Entry {expected} is missing." if found == expected + 1 else f"Entries {expected} to {found - 1} are missing."
    )


def _pruned_through(detail: str) -> Head:
    """What a prune's entry says; the beginning where somebody changed it, which then shows."""
    try:
        last = json.loads(detail)["archives"][-1]
        return Head(int(last["sequence"]), str(last["digest"]))
    except (ValueError, LookupError, TypeError):
        return BEGINNING

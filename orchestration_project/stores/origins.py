"""Where a message came in: each line of a file or post that it stands in, and what became of it there.

A message that was made an id from its words is found by them, for the files do not know its id.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa

from orchestration_project.core.errors import ArtifactRefused
from orchestration_project.stores import batches, claims
from orchestration_project.stores.audited import published_details
from orchestration_project.stores.formats import ERROR, LINE, RAW
from orchestration_project.stores.halts import open_halts
from orchestration_project.stores.home import Home
from orchestration_project.stores.message_rows import MessageRows
from orchestration_project.stores.schema import ARRIVALS, BATCHES, QUARANTINE
from orchestration_project.stores.staging import read_staged

if TYPE_CHECKING:
    import pyarrow

Outcome = Literal[
    "waiting",
    "working",
    "published",
    "quarantined",
    "halted",
    "set_aside",
    "replayed",
    "taken_over",
    "duplicate",
    "discarded",
]

MOST_FILES = 500
"""Of other batches than the message's own, the latest files that are looked through."""

ID = "message_id"


@dataclass(frozen=True)
class Place:
    """One line of a file in which a message stands. `batch` is None while it waits for one, `successor` the batch that it
    was replayed in, or that took it over. `reason` says why a gate refused it. `row` has the values as they came in.
    """

    file: str
    file_sha256: str
    line: int | None
    registered_at: datetime | None
    batch: str | None
    outcome: Outcome
    successor: str | None = None
    reason: str | None = None
    row: Mapping[str, Any] = field(default_factory=lambda: dict[str, Any]())


@dataclass(frozen=True)
class Places:
    """Where a message stands, in the order of coming. `unread` is how many files could not be looked through, or were too
    many.
    """

    found: list[Place]
    unread: int = 0

    @property
    def state(self) -> str:
        """Where a message is that no batch claimed: one of `batches.STATES`."""
        last = self.found[-1].outcome if self.found else "discarded"
        return last if last in batches.STATES else "discarded"


@dataclass(frozen=True)
class _Known:
    """What the ledger knows of a message: its own batch, its refusals (batch, file digest and line → row of the
    quarantine), the batches that gave it up to its own, those that are halted, and the state of each in
    the order in which they were opened.
    """

    own: str | None
    is_published: bool
    refusals: "Sequence[sa.RowMapping]"
    gave_up: frozenset[str]
    halted: frozenset[str]
    states: Mapping[str, str]

    def refusal(self, batch: str, file_sha256: str, line: int | None) -> "sa.RowMapping | None":
        """The last refusal of the line, or of the batch's file where the line was not kept."""
        own = [row for row in self.refusals if row["partition"] == batch and row["file_sha256"] == file_sha256]
        return next((row for row in reversed(own) if row["line"] in (line, None)), None)


def places_of(home: Home, message_id: str, message: Mapping[str, Any] | None = None) -> Places:
    """Every place of a message that is known or still waits; empty for one of which nothing is known.

    `message` is its published row; None: it was not published, and only its id tells which lines are its own.
    """
    with home.ledger.read() as connection:
        known = _known(connection, message_id, is_published=message is not None)
        entries, unread = _entries(connection, known)
    places = frozenset((row["file_sha256"], row["line"]) for row in known.refusals if row["line"] is not None)
    texts = frozenset(filter(None, [_longest_text(message or {})]))
    rows = MessageRows(message_id, home.secret, home.settings.inbox_id_names, places, texts)
    held = lru_cache(maxsize=1)(partial(_held, home, message_id))  # the files of a batch mostly follow one another
    found: list[Place] = []
    taken: set[str] = set()
    lines: list[tuple[sa.RowMapping, pyarrow.Table, list[int]]] = []
    own: list[tuple[sa.RowMapping, pyarrow.Table]] = []
    for entry in entries:
        try:
            table = read_staged(home, entry["path"])
        except ArtifactRefused:
            unread += 1
            continue
        is_own = entry["batch"] is not None and entry["batch"] == known.own
        lines.append((entry, table, rows.among(table, entry["file_sha256"], held(entry["batch"]), is_own=is_own)))
        own += [(entry, table)] if is_own else []
    if message is not None and not any(positions for entry, _, positions in lines if entry["batch"] == known.own):
        lines += _alike(own, message)
    for entry, table, positions in lines:
        for row in table.take(positions).to_pylist() if positions else ():
            found.append(_place(entry, row, known, is_first=str(entry["batch"]) not in taken))
            taken.add(str(entry["batch"]))
    found += _lost(known, found)
    opened = {batch: number for number, batch in enumerate(known.states)}  # a replay is registered when its row was
    return Places(sorted(found, key=partial(_moment, opened)), unread)


def _known(connection: sa.Connection, message_id: str, *, is_published: bool) -> _Known:
    own = claims.batch_of(connection, message_id)
    query = sa.select(QUARANTINE).where(QUARANTINE.c.message_id == message_id, QUARANTINE.c.file.is_not(None))
    gave_up: set[str] = set()
    if own is not None:
        for detail in published_details(connection, own, actions=("published", "halted")):
            gave_up |= detail.get("took_over", {}).keys()
    states = connection.execute(sa.select(BATCHES.c.batch, BATCHES.c.state).order_by(BATCHES.c.number))
    return _Known(
        own,
        is_published,
        connection.execute(query.order_by(QUARANTINE.c.row_id)).mappings().all(),
        frozenset(gave_up),
        frozenset(halt.partition for halt in open_halts(connection)),
        {batch: state for batch, state in states},
    )


def _entries(connection: sa.Connection, known: _Known) -> "tuple[list[sa.RowMapping], int]":
    """The arrivals in which the message may stand: all of its own batch, and of others the latest."""
    table = ARRIVALS.c
    query = sa.select(ARRIVALS).order_by(table.registered_at, table.arrival_id)
    named: set[str] = {row["partition"] for row in known.refusals} | known.gave_up
    surely = table.batch.in_(named | {known.own or ""})
    is_open = BATCHES.c.state != "done"
    halted = BATCHES.c.batch.in_(known.halted)
    others = sa.select(BATCHES.c.batch).where(is_open | halted | (BATCHES.c.duplicates > 0))
    perhaps = (table.batch.is_(None) | table.batch.in_(others)) & ~sa.func.coalesce(surely, sa.false())
    number = connection.execute(sa.select(sa.func.count()).where(perhaps)).scalar_one()
    latest = query.order_by(None).order_by(table.registered_at.desc(), table.arrival_id.desc())
    found = [*connection.execute(query.where(surely)).mappings()]
    found += reversed(connection.execute(latest.where(perhaps).limit(MOST_FILES)).mappings().all())
    return found, max(0, number - MOST_FILES)


def _held(home: Home, message_id: str, batch: str | None) -> set[str]:
    """The messages of a batch, by which the column is known that holds its ids."""
    if batch is None:
        return {message_id}
    with home.ledger.read() as connection:
        return {*claims.held_by(connection, batch), message_id}


def _alike(
    tables: "Iterable[tuple[sa.RowMapping, pyarrow.Table]]", message: Mapping[str, Any]
) -> "list[tuple[sa.RowMapping, pyarrow.Table, list[int]]]":
    """The rows that share the longest text of a published message and, of these, most of its other values."""
    values = {str(value) for name, value in message.items() if value is not None and name != ID}
    text = _longest_text(message)
    scored: list[tuple[int, sa.RowMapping, pyarrow.Table, int]] = []
    for entry, table in tables:
        columns = [table[name].to_pylist() for name in table.column_names if name not in (LINE, ERROR, RAW)]
        for place, row in enumerate(zip(*columns, strict=True)):
            own = {str(value).strip() for value in row if value is not None}
            if text in own:
                scored.append((len(values & own), entry, table, place))
    most = max((score for score, *_ in scored), default=0)
    return [(entry, table, [place]) for score, entry, table, place in scored if score == most]


def _longest_text(message: Mapping[str, Any]) -> str:
    """What a published message says; empty where it says nothing."""
    texts = (value.strip() for name, value in message.items() if isinstance(value, str) and name != ID)
    return max(texts, key=len, default="")


def _place(entry: "sa.RowMapping", row: dict[str, Any], known: _Known, *, is_first: bool) -> Place:
    line = row.pop(LINE)
    error, raw = row.pop(ERROR), row.pop(RAW)
    shown = {name: value for name, value in row.items() if value is not None} if error is None else {"raw": raw}
    named = {name: entry[name] for name in ("file", "file_sha256", "registered_at", "batch")}
    refusal = known.refusal(entry["batch"], entry["file_sha256"], line) if entry["batch"] else None
    outcome, successor = _outcome(known, entry["batch"], refusal, is_first=is_first)
    reason = refusal["reason"] if refusal is not None and outcome != "published" else None
    return Place(**named, line=line, outcome=outcome, successor=successor, reason=reason, row=shown)


def _outcome(
    known: _Known, batch: str | None, refusal: "sa.RowMapping | None", *, is_first: bool
) -> tuple[Outcome, str | None]:
    """What became of a message at a place, and in which batch it went on."""
    if batch is None:
        return "waiting", None
    if refusal is not None and refusal["state"] != "superseded":
        states: dict[str, Outcome] = {"open": "quarantined", "replayed": "replayed", "discarded": "discarded"}
        return states[refusal["state"]], refusal["successor"]
    if known.states.get(batch) == "discarded":
        return "discarded", None
    if known.own is not None and batch != known.own and (batch in known.gave_up or refusal is not None):
        return "taken_over", known.own
    if batch == known.own and not is_first:
        return "duplicate", None
    if batch == known.own and known.is_published:
        return "published", None
    if batch in known.halted:
        return "halted", None
    state = known.states.get(batch)
    if state == "set_aside":
        return "set_aside", None
    return ("duplicate" if state == "done" and known.own is not None else "working"), None


def _lost(known: _Known, found: Iterable[Place]) -> list[Place]:
    """The refusals whose files are gone: the ledger still knows file and line."""
    seen = {(place.batch, place.file_sha256, place.line) for place in found}
    lost: dict[tuple[str, str, int | None], Place] = {}
    for row in known.refusals:
        key = (row["partition"], row["file_sha256"], row["line"])
        if key not in seen:
            outcome, successor = _outcome(known, row["partition"], row, is_first=True)
            named = {name: row[name] for name in ("file", "file_sha256", "line", "reason")}
            lost[key] = Place(**named, registered_at=None, batch=row["partition"], outcome=outcome, successor=successor)
    return list(lost.values())


def _moment(opened: Mapping[str, int], place: Place) -> tuple[bool, float, int, int]:
    """Those that wait come last."""
    seconds = place.registered_at.timestamp() if place.registered_at else 0.0
    return (place.batch is None, seconds, opened.get(place.batch or "", 0), place.line or 0)

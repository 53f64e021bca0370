"""Notices to people: rows of the ledger before anybody is told, delivered at least once and recorded when they are.

They are redacted as they are recorded (`core/redaction.py`): title, body and facts, and so all that is delivered or
shown later. Message ids stay, and so does the key, which is the row's name. The rows that a notice is made of stay in
the warehouse as they are.

Here they reach the home's own files and the console. What goes to other targets waits in `deliveries`, and the sensor
sends it, so that no step waits for a network.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from orchestration_project.core.errors import Conflict
from orchestration_project.core.redaction import redact, redact_values
from orchestration_project.core.targets import target_name
from orchestration_project.stores import deliveries
from orchestration_project.stores.files import write_file
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import Ledger, insert_new, now
from orchestration_project.stores.schema import OUTBOX

OF_A_RUN = ""
"""In the place of an asset: the notice is about a run, for whoever runs the project. No asset has that name."""


@dataclass(frozen=True)
class Notice:
    """What somebody is to be told. `key` makes it unique: of two notices with one key the first is sent.

    The fact `message_ids` lists the messages that it speaks of.
    """

    key: str
    title: str
    body: str
    facts: dict[str, Any] = field(default_factory=lambda: dict[str, Any]())


def record(connection: sa.Connection, *, asset: str, partition: str, notices: Sequence[Notice]) -> None:
    """Put notices into the outbox, redacted, in the caller's transaction.

    A key that the same asset and partition recorded before is left as it is. One that another partition recorded raises
    Conflict.
    """
    for notice in notices:
        row = {**_redacted(notice), "asset": asset, "partition": partition, "recorded_at": now()}
        if insert_new(connection, OUTBOX, [row]):
            continue
        query = sa.select(OUTBOX.c.asset, OUTBOX.c.partition).where(OUTBOX.c.key == notice.key)
        if tuple(connection.execute(query).one()) != (asset, partition):
            raise Conflict(f"Notice '{notice.key}' was recorded by another run meanwhile.")


def _redacted(notice: Notice) -> dict[str, Any]:
    ids = notice.facts.get("message_ids", ())
    title, body = redact(notice.title, ids), redact(notice.body, ids)
    return {"key": notice.key, "title": title, "body": body, "facts": redact_values(notice.facts, ids)}


def is_recorded(connection: sa.Connection, key: str) -> bool:
    """Whether a notice of that key was recorded."""
    return connection.execute(sa.select(OUTBOX.c.notice_id).where(OUTBOX.c.key == key)).first() is not None


def recorded(connection: sa.Connection) -> list[dict[str, Any]]:
    """Every notice of an asset, oldest first: key, title, body, facts, asset, batch, recorded_at, delivered_at."""
    columns = [column for column in OUTBOX.c if column.name not in ("notice_id", "partition")]
    query = sa.select(*columns, OUTBOX.c.partition.label("batch")).where(OUTBOX.c.asset != OF_A_RUN)
    query = query.order_by(OUTBOX.c.notice_id)
    return [dict(row) for row in connection.execute(query).mappings()]


def deliver(home: Home, tell: Callable[[str], object]) -> int:
    """Deliver what waits: a line to `tell`, a Markdown file in the home's notices. Returns how many were delivered.

    A crash between telling and recording tells again; the file, named by the notice's number, is then written over with
    the same text. For each target of the setting what waits is planned first, and not sent.
    """
    deliveries.plan(home.ledger, targets_of(home))
    with home.ledger.read() as connection:
        query = sa.select(OUTBOX).where(OUTBOX.c.delivered_at.is_(None)).order_by(OUTBOX.c.notice_id)
        waiting = connection.execute(query).mappings().all()
    for row in waiting:
        write_file(file_of(home, row["notice_id"]), as_markdown(row["title"], row["body"]))
        tell(row["title"])
        _mark_delivered(home.ledger, row["notice_id"])
    return len(waiting)


def file_of(home: Home, notice_id: int) -> Path:
    """The home's own file of a notice."""
    return home.notices / f"{notice_id:06d}.md"


def as_markdown(title: str, body: str) -> bytes:
    """What stands in the file."""
    return f"# {title}\n\n{body}\n".encode()


def targets_of(home: Home) -> dict[str, str]:
    """Name of each target that the setting names → its URL."""
    return {target_name(url, home.secret): url for url in home.settings.notify}


def _mark_delivered(ledger: Ledger, notice_id: int) -> None:
    with ledger.write() as connection:
        connection.execute(sa.update(OUTBOX).where(OUTBOX.c.notice_id == notice_id).values(delivered_at=now()))

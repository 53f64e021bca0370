"""Files of messages for tests: sent into a real home, registered and read back."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from orchestration_project.stores import arrivals, batches
from orchestration_project.stores.arrivals import Arrivals
from orchestration_project.stores.home import Home
from orchestration_project.stores.schema import ARRIVALS

BY = ("text", "account", "received_at")
TIME = "2024-05-01T10:00:00Z"


def receive(home: Home, content: str | bytes | Sequence[Mapping[str, Any]], name: str = "feedback.jsonl") -> Path:
    """Receive a file of that content; rows become JSON lines."""
    if not isinstance(content, str | bytes):
        content = "".join(json.dumps(row) + "\n" for row in content)
    source = home.root.parent / "sent" / name
    source.parent.mkdir(exist_ok=True)
    source.write_bytes(content if isinstance(content, bytes) else content.encode())
    return arrivals.receive(home, source)


def rows_of(*texts: str) -> list[dict[str, str]]:
    return [{"text": text} for text in texts]


def take_in(home: Home, *files: str | bytes | Sequence[Mapping[str, Any]], name: str = "feedback.jsonl") -> Arrivals:
    """Receive and register files, and read them as one batch."""
    for content in files:
        arrivals.register(home, receive(home, content, name))
    batch = batches.open_next(home)
    assert batch is not None
    return arrivals.read(home, batch)


def registered(home: Home) -> list[tuple[str, str, int]]:
    """(file, columns, rows) of every arrival, in order."""
    table = ARRIVALS.c
    with home.ledger.read() as connection:
        query = sa.select(table.file, table.columns, table.rows).order_by(table.registered_at, table.arrival_id)
        return [tuple(row) for row in connection.execute(query)]


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())

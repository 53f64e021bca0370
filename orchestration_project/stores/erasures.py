"""Messages that were erased: which, why, by whom, and how much was found where. The id stays: an erasure is known by it."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from orchestration_project.core.errors import Refused
from orchestration_project.stores.ledger import in_parts
from orchestration_project.stores.schema import CLAIMS, ERASURES

_C = ERASURES.c


@dataclass(frozen=True)
class Erasure:
    """One erased message. `found` is place → how many rows or files were erased there."""

    message_id: str
    why: str
    person: str
    erased_at: datetime
    found: dict[str, int]

    def facts(self) -> dict[str, Any]:
        """What the audit log keeps of it."""
        return {**asdict(self), "erased_at": self.erased_at.isoformat()}


def get(connection: sa.Connection, message_id: str) -> Erasure | None:
    """The erasure of a message; None where it was not erased."""
    row = connection.execute(sa.select(ERASURES).where(_C.message_id == message_id)).mappings().one_or_none()
    return None if row is None else Erasure(**{str(name): value for name, value in row.items()})


def put(connection: sa.Connection, erasure: Erasure) -> None:
    """Keep an erasure in place of an earlier one of the same message, in the caller's transaction."""
    connection.execute(sa.delete(ERASURES).where(_C.message_id == erasure.message_id))
    connection.execute(sa.insert(ERASURES).values(**asdict(erasure)))


def of_batch(connection: sa.Connection, batch: str) -> set[str]:
    """The erased messages that a batch holds."""
    query = sa.select(_C.message_id).join(CLAIMS, CLAIMS.c.message_id == _C.message_id)
    return set(connection.execute(query.where(CLAIMS.c.batch == batch)).scalars())


def among(connection: sa.Connection, message_ids: Collection[str]) -> set[str]:
    """Of these messages those that were erased."""
    found: set[str] = set()
    for some in in_parts(sorted(message_ids)):
        found |= set(connection.execute(sa.select(_C.message_id).where(_C.message_id.in_(some))).scalars())
    return found


def refuse_erased(connection: sa.Connection, message_id: str) -> None:
    """Raise Refused where a message was erased: nobody can judge it any more."""
    found = get(connection, message_id)
    if found is not None:
        raise Refused(
            f"{found.person} had message {message_id} erased at {found.erased_at.isoformat(timespec='seconds')} "
            f"({found.why}). What it said is gone, so nobody can judge it: what was decided stands."
        )

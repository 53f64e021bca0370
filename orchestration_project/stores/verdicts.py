"""What people decided, as rows of the ledger. A verdict that a later one corrects stays, and is no longer current."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from orchestration_project.stores.ledger import now
from orchestration_project.stores.reviews import Review
from orchestration_project.stores.schema import VERDICTS

_C = VERDICTS.c


@dataclass(frozen=True)
class Verdict:
    """What a person decided on one row of an asset."""

    verdict_id: int
    review_id: int
    asset: str
    partition: str
    message_id: str
    content_digest: str
    label: str
    person: str
    note: str | None
    is_current: bool
    decided_at: datetime

    def facts(self) -> dict[str, Any]:
        """What the audit log keeps of it: all but the note, which may repeat what a message says."""
        found = {**vars(self), "decided_at": self.decided_at.isoformat()}
        del found["note"]
        return found


def record(connection: sa.Connection, review: Review, *, label: str, person: str, note: str | None) -> int:
    """Keep a verdict in place of the one before it on the same row, in the caller's transaction; returns its number."""
    connection.execute(sa.update(VERDICTS).where(*_on_row_of(review)).values(is_current=False))
    row = {name: getattr(review, name) for name in ("review_id", "asset", "partition", "message_id", "content_digest")}
    row |= {"label": label, "person": person, "note": note, "is_current": True, "decided_at": now()}
    return connection.execute(sa.insert(VERDICTS).values(**row).returning(_C.verdict_id)).scalar_one()


def current_of_row(connection: sa.Connection, review: Review) -> Verdict | None:
    """The verdict that stands on a review's row; None when there is none."""
    return next(iter(select(connection, *_on_row_of(review))), None)


def of_row(connection: sa.Connection, review: Review) -> list[Verdict]:
    """Every verdict on a review's row, those that were corrected among them, oldest first."""
    return select(connection, *_on_row_of(review)[:-1])


def current_of_batch(connection: sa.Connection, asset: str, partition: str) -> list[Verdict]:
    """The verdicts that stand on an asset's rows in a batch, oldest first."""
    return select(connection, _C.partition == partition, _C.asset == asset, _C.is_current)


def of_batch(connection: sa.Connection, asset: str, partition: str) -> list[Verdict]:
    """Every verdict on an asset's rows in a batch, those that were corrected among them, oldest first."""
    return select(connection, _C.partition == partition, _C.asset == asset)


def of_review(connection: sa.Connection, review_id: int) -> list[Verdict]:
    """Every verdict on a review, oldest first."""
    return select(connection, _C.review_id == review_id)


def select(connection: sa.Connection, *conditions: sa.ColumnElement[bool], limit: int | None = None) -> list[Verdict]:
    """The verdicts that meet all conditions, oldest first."""
    query = sa.select(VERDICTS).where(*conditions).order_by(_C.verdict_id).limit(limit)
    return [Verdict(**row) for row in connection.execute(query).mappings()]


def _on_row_of(review: Review) -> tuple[sa.ColumnElement[bool], ...]:
    row = (_C.partition == review.partition, _C.asset == review.asset, _C.message_id == review.message_id)
    return (*row, _C.is_current)

"""Rows that wait for a person, as rows of the ledger: why each is here, what was proposed, who has it, until when.

open → decided (a verdict), overdue (nobody decided in time; a verdict may still come) or closed (nobody need decide)
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from orchestration_project.stores import erasures
from orchestration_project.stores.ledger import in_parts, is_over, now
from orchestration_project.stores.schema import QUARANTINE, REVIEWS, VERDICTS

State = Literal["open", "decided", "overdue", "closed"]

Cause = Literal["unsure", "disagreement", "unknown_kind", "failure", "switched", "urgent", "check", "appeal"]

CAUSES: Mapping[Cause, str] = {
    "unsure": "nobody was sure",
    "disagreement": "performers disagree",
    "unknown_kind": "a message of an unknown kind",
    "failure": "a performer failed",
    "switched": "a performer, or the asset, was taken out of work",
    "urgent": "it could not wait, and nobody was sure",
    "check": "drawn at random, to check on accepted answers",
    "appeal": "somebody appealed",
}
"""Why a row came to a review, in words."""

CHECK: Cause = "check"
URGENT: Cause = "urgent"

BESIDE: tuple[Cause, ...] = (URGENT, CHECK)
"""Causes of reviews that a step opens beside a row that goes on: they take no room from rows that wait."""

ASKED_FOR: tuple[Cause, ...] = (*BESIDE, "appeal")
"""Causes of reviews for which no row waits: what was answered stands until they are decided."""

ANY_CONTENT = ""
"""In the place of a digest: the verdict holds whatever the message says, as one on an appeal does."""

_C = REVIEWS.c


@dataclass(frozen=True)
class Review:
    """One row that waits, or waited. `proposal` has the decision as it stood (label, confidence, accepted, decided_by,
    performer, version, reason) with `runner_up`, and of an overdue one the `default` it took.
    """

    review_id: int
    asset: str
    partition: str
    message_id: str
    content_digest: str
    cause: Cause
    state: State
    proposal: dict[str, Any]
    probability: float | None
    why: str | None
    needs_lead: bool
    assigned_to: str | None
    claimed_by: str | None
    claimed_until: datetime | None
    passed_by: list[str]
    opened_at: datetime
    respond_by: datetime
    closed_at: datetime | None

    @property
    def is_blind(self) -> bool:
        """Whether the person is not to see what was answered."""
        return self.cause == CHECK

    @property
    def subject(self) -> str:
        """What the audit log calls it."""
        return f"{self.asset}/{self.partition}"

    def is_claimed_by_other(self, person: str, claim_minutes: float) -> bool:
        """Whether somebody else has it in hand."""
        if self.claimed_by in (None, person) or self.claimed_until is None:
            return False
        return not is_over(self.claimed_until, claim_minutes * 60)


def get(connection: sa.Connection, review_id: int) -> Review | None:
    """The review of that number; None when there is none."""
    return next(iter(select(connection, _C.review_id == review_id)), None)


def select(connection: sa.Connection, *conditions: sa.ColumnElement[bool], limit: int | None = None) -> list[Review]:
    """The reviews that meet all conditions, the most pressing first: by respond-by time, then number."""
    query = sa.select(REVIEWS).where(*conditions).order_by(_C.respond_by, _C.review_id).limit(limit)
    return [Review(**row) for row in connection.execute(query).mappings()]


def matching(
    connection: sa.Connection, *, asset: str | None = None, state: str | None = None, cause: str | None = None
) -> list[Review]:
    """The reviews of an asset, in a state, with a cause, of each that is given; the most pressing first."""
    wanted = ((_C.asset, asset), (_C.state, state), (_C.cause, cause))
    return select(connection, *(column == value for column, value in wanted if value is not None))


def of_batch(connection: sa.Connection, asset: str, partition: str) -> list[Review]:
    """Every review of an asset's rows in a batch."""
    return select(connection, _C.partition == partition, _C.asset == asset)


def open_count(connection: sa.Connection, asset: str | None = None, *, without: Collection[Cause] = ()) -> int:
    """How many reviews wait, of one asset or of all, without those of some causes."""
    query = sa.select(sa.func.count()).where(_C.state == "open", _C.cause.not_in(without))
    if asset is not None:
        query = query.where(_C.asset == asset)
    return connection.execute(query).scalar_one()


def undecided_messages(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> dict[str, int]:
    """Batch → how many of its messages wait for a person, without those of which an answer or a verdict stands
    meanwhile, and those that a gate refused elsewhere; of the reviews that meet the conditions.
    """
    number = sa.func.count(_C.message_id.distinct())
    has_verdict = sa.exists().where(VERDICTS.c.review_id == _C.review_id)  # it was reopened
    its = (QUARANTINE.c.partition == _C.partition) & (QUARANTINE.c.message_id == _C.message_id)
    is_refused = sa.exists().where(its, QUARANTINE.c.state.in_(("open", "replayed", "discarded")))
    waits = (_C.state == "open", _C.cause.not_in(ASKED_FOR), ~has_verdict, ~is_refused)
    query = sa.select(_C.partition, number).where(*waits, *conditions).group_by(_C.partition)
    return {batch: count for batch, count in connection.execute(query)}


def insert(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Open reviews, in the caller's transaction; none of a message that was erased, which nobody can judge."""
    fresh = {"state": "open", "needs_lead": False, "passed_by": [], "opened_at": now()}
    erased = erasures.among(connection, {row["message_id"] for row in rows})
    if opened := [{**fresh, **row} for row in rows if row["message_id"] not in erased]:
        connection.execute(sa.insert(REVIEWS), opened)


def close_batch(connection: sa.Connection, partition: str) -> None:
    """Close what waits of a batch that was given up, in the caller's transaction."""
    its = (_C.partition == partition) & (_C.state == "open")
    connection.execute(sa.update(REVIEWS).where(its).values(state="closed", closed_at=now()))


def update(connection: sa.Connection, review_ids: Collection[int], **values: Any) -> None:
    """Change reviews, in the caller's transaction."""
    for some in in_parts(sorted(review_ids)):
        connection.execute(sa.update(REVIEWS).where(_C.review_id.in_(some)).values(**values))

"""What publishing decisions does to reviews: each row that waits gets one, and one that nothing waits for any more is
closed.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pandas as pd
import sqlalchemy as sa

from orchestration_project.core.contracts import records
from orchestration_project.governance.policy import Policy
from orchestration_project.stores import reviews, verdicts
from orchestration_project.stores.ledger import now

PROPOSED = ("label", "confidence", "accepted", "decided_by", "performer", "version", "reason")
"""What a review keeps of the decision as it stood."""


def keep_reviews(
    connection: sa.Connection, policy: Policy, *, asset: str, partition: str, frame: pd.DataFrame, waiting: pd.DataFrame
) -> int:
    """Open and close reviews in the transaction that publishes the decisions; returns how many were opened.

    `frame` are the decisions, `waiting` those of their rows that wait (see `person.let_wait`). A row that has a review
    keeps it; one on which a verdict was made meanwhile, or whose time ended, needs none: a run of its own decides it. A
    review that was reopened stays open while its row has the verdict; one that somebody asked for, until it is decided.
    """
    known = [one for one in reviews.of_batch(connection, asset, partition) if one.cause not in reviews.ASKED_FOR]
    opened = [one for one in known if one.state == "open"]
    said = verdicts.of_batch(connection, asset, partition)
    reviewed = {verdict.review_id for verdict in said}
    settled = {(one.message_id, one.content_digest) for one in known if one.state == "overdue"}
    settled |= {(verdict.message_id, verdict.content_digest) for verdict in said if verdict.is_current}
    by_people = set(frame.loc[(frame["decided_by"] == "person") & (frame["state"] == "decided"), "message_id"])
    wanted = {(row["message_id"], row["content_digest"]): row for row in records(waiting)}
    still = {
        (one.message_id, one.content_digest): one.review_id
        for one in opened
        if (one.message_id, one.content_digest) in wanted or (one.review_id in reviewed and one.message_id in by_people)
    }
    gone = {one.review_id for one in opened} - set(still.values())
    reviews.update(connection, gone, state="closed", closed_at=now())
    new = [
        row
        for (message_id, digest), row in wanted.items()
        if not {(message_id, digest), (message_id, reviews.ANY_CONTENT)} & settled and (message_id, digest) not in still
    ]
    open_for(connection, new, policy.reviews.respond_hours, asset=asset, partition=partition, frame=frame)
    return len(new)


def keep_urgent(
    connection: sa.Connection, policy: Policy, *, asset: str, partition: str, frame: pd.DataFrame, urgent: pd.DataFrame
) -> None:
    """Open a review beside each row that cannot wait and had none on what it says, in the transaction that publishes."""
    if urgent.empty:
        return
    known = reviews.of_batch(connection, asset, partition)
    had = {(one.message_id, one.content_digest) for one in known if one.cause == reviews.URGENT}
    new = [row for row in records(urgent) if (row["message_id"], row["content_digest"]) not in had]
    open_for(connection, new, policy.reviews.respond_hours, asset=asset, partition=partition, frame=frame)


def open_for(
    connection: sa.Connection,
    rows: Sequence[Mapping[str, Any]],
    respond_hours: float,
    *,
    asset: str,
    partition: str,
    frame: pd.DataFrame,
) -> None:
    """Open a review for each of the rows (columns of `person.let_wait`), with the decision on it as its proposal."""
    proposals = _proposals(frame, {row["message_id"] for row in rows})
    shared: dict[str, Any] = {"asset": asset, "partition": partition}
    shared["respond_by"] = now() + timedelta(hours=respond_hours)
    reviews.insert(
        connection,
        [
            {
                **shared,
                **{name: row[name] for name in ("message_id", "content_digest", "cause")},
                "probability": row["probability"] if row["cause"] == reviews.CHECK else None,
                "proposal": {**proposals[row["message_id"]], "runner_up": row["runner_up"] or None},
            }
            for row in rows
        ],
    )


def _proposals(frame: pd.DataFrame, message_ids: set[str]) -> Mapping[str, dict[str, Any]]:
    """Message → the decision on it, with None for what is missing, which JSON has no other word for."""
    chosen = frame.loc[frame["message_id"].isin(message_ids), ["message_id", *PROPOSED]].astype("object")
    return {row.pop("message_id"): row for row in records(chosen.where(chosen.notna(), None))}

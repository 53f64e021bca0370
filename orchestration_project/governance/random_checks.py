"""Random checks: of the answers that performers accept by themselves a share goes to people, who decide them blind. Only
these say how often accepted answers are wrong (see `live_errors`).

1. A row may be drawn that a performer answered and that was accepted: no person's, none of the safe state, and only in
   a cascade with people.
2. All of a batch are as likely: the policy's share, or more, so that of the asset about `per_day` rows a day are drawn.
   How many are accepted a day, the batches of the last `HISTORY` say that were drawn from, and this one.
3. A keyed hash of asset, message and content draws, so that whoever lacks the home's secret cannot tell which rows will
   be. Each run of a batch draws by the probability of its first, hence the same rows. A batch that was published before
   any of its rows could be drawn is left alone.
4. What is drawn gets one review, ever, with its probability. What is not drawn leaves nothing behind.
"""

import hmac
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd
import sqlalchemy as sa
from numpy.typing import NDArray

from orchestration_project.core.contracts import records
from orchestration_project.governance.open_reviews import open_for
from orchestration_project.governance.policy import Checks, Policy
from orchestration_project.stores import draws, manifest, reviews
from orchestration_project.stores.ledger import now
from orchestration_project.stores.reviews import CHECK
from orchestration_project.stores.schema import REVIEWS

HISTORY = timedelta(days=7)
"""How far back it is looked how many rows are accepted a day."""

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Chance:
    """How likely an accepted row of a batch of an asset is drawn. `fixed` is what an earlier run drew by (None: none
    did); `accepted` are the rows of other batches within `days`, from 1 to `HISTORY`.
    """

    asset: str
    policy: Checks
    fixed: float | None
    accepted: int
    days: float

    def probability(self, accepted: int) -> float:
        """The probability, from 0 to 1, where the batch has so many accepted rows."""
        if self.fixed is not None:
            return self.fixed
        a_day = max((self.accepted + accepted) / self.days, 1.0)
        return min(1.0, max(self.policy.share, self.policy.per_day / a_day))

    def draw(self, message_ids: pd.Series, digests: pd.Series, probability: float, secret: bytes) -> NDArray[np.bool_]:
        """Which of the rows are drawn, by their messages and digests of their content; all are of shape (n,)."""
        below = int(probability * 2**64)
        drawn = [
            int.from_bytes(hmac.digest(secret, f"check\0{self.asset}\0{one}\0{digest}".encode(), "sha256")[:8]) < below
            for one, digest in zip(message_ids, digests, strict=True)
        ]
        return np.array(drawn, dtype="bool")


def chance_of(connection: sa.Connection, policy: Checks, asset: str, partition: str) -> Chance:
    """How likely rows of a batch are drawn that is decided now."""
    fixed = draws.probability_of(connection, asset, partition)
    if fixed is None and manifest.latest(connection, asset, partition) is not None:
        fixed = 0.0
    moment = now()
    before = draws.drawn_since(connection, asset, moment - HISTORY)
    days = (moment - before.first_at) / DAY if before.first_at else 0.0
    return Chance(asset, policy, fixed, before.accepted, min(max(days, 1.0), HISTORY / DAY))


def drawable(frame: pd.DataFrame) -> pd.Series:
    """Which decisions may be drawn, bool of shape (n,)."""
    by_performer = ~frame["decided_by"].isin(["person", "safe_state"])
    return frame["accepted"] & (frame["state"] == "decided") & by_performer


def keep_checks(
    connection: sa.Connection,
    policy: Policy,
    *,
    asset: str,
    partition: str,
    frame: pd.DataFrame,
    drawn: pd.DataFrame,
    probability: float,
) -> int:
    """Open a review for each row that is drawn and had none, in the transaction that publishes the decisions; returns
    how many. `frame` are the decisions that are published, `drawn` those that were drawn (see `person.let_wait`), with
    this probability.
    """
    last = manifest.latest(connection, asset, partition)
    if last is None or last.version == 1:  # of a batch that was published before any row could be drawn nothing is kept
        accepted = int(drawable(frame).sum())
        draws.record(connection, asset=asset, partition=partition, probability=probability, accepted=accepted)
    known = _checked(connection, asset, drawn["message_id"].tolist())
    rows = [
        row
        for row in records(drawn)
        if not {(row["message_id"], partition), (row["message_id"], row["content_digest"])} & known
    ]
    open_for(connection, rows, policy.checks.respond_hours, asset=asset, partition=partition, frame=frame)
    return len(rows)


def _checked(connection: sa.Connection, asset: str, message_ids: list[str]) -> set[tuple[str, str]]:
    """(message, batch) and (message, digest of its content) of those that were drawn already."""
    its = REVIEWS.c
    found: set[tuple[str, str]] = set()
    for start in range(0, len(message_ids), 500):
        chosen = its.message_id.in_(message_ids[start : start + 500])
        for one in reviews.select(connection, chosen, its.asset == asset, its.cause == CHECK):
            found |= {(one.message_id, one.partition), (one.message_id, one.content_digest)}
    return found

"""Whose a message is: each is claimed by one batch, and counts once however often it is sent."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from orchestration_project.core.errors import UnknownName, did_you_mean
from orchestration_project.stores.departures import leave
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import in_parts, insert_new
from orchestration_project.stores.schema import BATCHES, CLAIMS, HALTS, MANIFEST, QUARANTINE

MOST_NEAR = 10_000
"""Ids among which the nearest to an unknown one is looked for."""


@dataclass(frozen=True)
class Claim:
    """What a batch holds after it claimed messages: all their ids, how many it took over from which batch, and of which
    assets such a batch has no version in use any more because it held one of these.
    """

    held: frozenset[str]
    replaced: dict[str, int]
    withdrawn: dict[str, list[str]]


def claim_messages(
    connection: sa.Connection, home: Home, batch: str, message_ids: Collection[str], *, asset: str
) -> Claim:
    """Claim message ids for a batch, in addition to those it holds from an earlier run.

    Another batch keeps what it holds, but for messages of which `asset`, which takes messages in, could publish
    nothing: one that it refused, or whose batch it halts, gives way to its corrected self, and is a duplicate in its
    old batch from then on.
    """
    insert_new(connection, CLAIMS, [{"message_id": message_id, "batch": batch} for message_id in message_ids])
    replaced = _take_over(connection, batch, set(message_ids), asset)
    withdrawn = {
        old: assets
        for old, moved in replaced.items()
        if (assets := leave(connection, home, old, moved, asset=asset, because_of=batch))
    }
    return Claim(frozenset(held_by(connection, batch)), {old: len(moved) for old, moved in replaced.items()}, withdrawn)


def move(connection: sa.Connection, message_ids: Collection[str], old: str, new: str | None) -> None:
    """Give a batch's claims on these messages to another batch, or up (None): then whoever sends one again is new."""
    for some in in_parts(sorted(message_ids)):
        own = CLAIMS.c.message_id.in_(some) & (CLAIMS.c.batch == old)
        if new is None:
            connection.execute(sa.delete(CLAIMS).where(own))
        else:
            connection.execute(sa.update(CLAIMS).where(own).values(batch=new))


def release(connection: sa.Connection, batch: str) -> None:
    """Give up every claim of a batch."""
    connection.execute(sa.delete(CLAIMS).where(CLAIMS.c.batch == batch))


def number_claimed(connection: sa.Connection, batch: str) -> int:
    """How many messages a batch holds; it grows by claiming, and shrinks when another batch takes some over."""
    return connection.execute(sa.select(sa.func.count()).where(CLAIMS.c.batch == batch)).scalar_one()


def held_by(connection: sa.Connection, batch: str) -> set[str]:
    """The messages that a batch holds."""
    return set(connection.execute(sa.select(CLAIMS.c.message_id).where(CLAIMS.c.batch == batch)).scalars())


def batch_of(connection: sa.Connection, message_id: str) -> str | None:
    """The batch that holds a message; None when the message is unknown."""
    return connection.execute(sa.select(CLAIMS.c.batch).where(CLAIMS.c.message_id == message_id)).scalar()


def unknown(connection: sa.Connection, message_id: str) -> UnknownName:
    """The refusal of an id of which nobody knows anything, with the nearest that is known."""
    known = connection.execute(sa.select(CLAIMS.c.message_id).limit(MOST_NEAR)).scalars().all()
    return UnknownName(f"No message has the id '{message_id}'.{did_you_mean(message_id, known)}")


def _take_over(connection: sa.Connection, batch: str, message_ids: set[str], asset: str) -> dict[str, list[str]]:
    """Move the claims of these messages that other batches hold in vain; returns old batch → which."""
    given_up: defaultdict[str, list[str]] = defaultdict(list)
    for some in in_parts(sorted(message_ids)):
        for message_id, old in connection.execute(_held_in_vain(batch, some, asset)):
            given_up[old].append(message_id)
    for old, moved in given_up.items():
        for some in in_parts(moved):
            claims = sa.update(CLAIMS).where(CLAIMS.c.message_id.in_(some), CLAIMS.c.batch == old)
            connection.execute(claims.values(batch=batch))
            refused = sa.update(QUARANTINE).where(QUARANTINE.c.message_id.in_(some), QUARANTINE.c.partition == old)
            connection.execute(refused.where(QUARANTINE.c.asset == asset).values(state="superseded"))
        counted = sa.update(BATCHES).where(BATCHES.c.batch == old)
        connection.execute(counted.values(duplicates=BATCHES.c.duplicates + len(moved)))
    return dict(given_up)


def _held_in_vain(batch: str, message_ids: Sequence[str], asset: str) -> "sa.CompoundSelect[*tuple[Any, ...]]":
    """(message_id, batch) of what other batches hold of these and the asset did not publish: it refused the row, or halts
    the batch and never published anything of it. Behind a halt on a later run, what was published stands.
    """
    claimed = sa.select(CLAIMS.c.message_id, CLAIMS.c.batch).where(
        CLAIMS.c.message_id.in_(message_ids), CLAIMS.c.batch != batch
    )
    is_published = sa.exists().where(MANIFEST.c.asset == asset, MANIFEST.c.partition == CLAIMS.c.batch)
    is_halted = sa.exists().where(
        HALTS.c.asset == asset, HALTS.c.partition == CLAIMS.c.batch, HALTS.c.closed_at.is_(None)
    )
    is_refused = sa.exists().where(
        QUARANTINE.c.asset == asset,
        QUARANTINE.c.partition == CLAIMS.c.batch,
        QUARANTINE.c.message_id == CLAIMS.c.message_id,
        QUARANTINE.c.state == "open",
    )
    return sa.union(claimed.where(is_halted, ~is_published), claimed.where(is_refused, ~is_halted))

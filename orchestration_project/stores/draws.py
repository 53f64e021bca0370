"""With which probability the accepted rows of each batch are drawn for checks, and how many there were: what a later
run of the batch draws by, and what a later batch is weighed against.
"""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from orchestration_project.stores.ledger import insert_new, now
from orchestration_project.stores.schema import DRAWS

_C = DRAWS.c


@dataclass(frozen=True)
class Drawn:
    """How many accepted rows an asset's batches had that were drawn from since a moment, and when its first was."""

    accepted: int
    first_at: datetime | None


def probability_of(connection: sa.Connection, asset: str, partition: str) -> float | None:
    """With which probability rows of a batch are drawn; None for one that was never drawn from."""
    its = (_C.asset == asset) & (_C.partition == partition)
    return connection.execute(sa.select(_C.probability).where(its)).scalar()


def drawn_since(connection: sa.Connection, asset: str, moment: datetime) -> Drawn:
    """What an asset's batches held since a moment; `first_at` is of all of them, None before the first."""
    recent = sa.select(sa.func.coalesce(sa.func.sum(_C.accepted), 0)).where(_C.asset == asset, _C.drawn_at > moment)
    first = sa.select(_C.drawn_at).where(_C.asset == asset).order_by(_C.drawn_at).limit(1)
    return Drawn(connection.execute(recent).scalar_one(), connection.execute(first).scalar())


def record(connection: sa.Connection, *, asset: str, partition: str, probability: float, accepted: int) -> None:
    """Keep how a batch was drawn from first, in the caller's transaction; a later run of it changes nothing."""
    row = {"asset": asset, "partition": partition, "probability": probability, "accepted": accepted}
    insert_new(connection, DRAWS, [{**row, "drawn_at": now()}])

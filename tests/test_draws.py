"""How batches were drawn from: kept once, and summed up for later batches."""

from datetime import timedelta

import sqlalchemy as sa

from orchestration_project.stores import draws
from orchestration_project.stores.draws import Drawn
from orchestration_project.stores.ledger import Ledger, now
from orchestration_project.stores.schema import DRAWS


def draw(ledger: Ledger, partition: str, accepted: int, *, asset: str = "mood", probability: float = 0.1) -> None:
    with ledger.write() as connection:
        draws.record(connection, asset=asset, partition=partition, probability=probability, accepted=accepted)


def test_first_probability_of_a_batch_stays(ledger: Ledger) -> None:
    draw(ledger, "b1", 10, probability=0.25)
    draw(ledger, "b1", 99, probability=1.0)
    draw(ledger, "b1", 5, asset="topic", probability=0.5)
    with ledger.read() as connection:
        assert draws.probability_of(connection, "mood", "b1") == 0.25
        assert draws.probability_of(connection, "topic", "b1") == 0.5
        assert draws.probability_of(connection, "mood", "b2") is None
        assert draws.drawn_since(connection, "mood", now() - timedelta(days=1)).accepted == 10


def test_only_recent_batches_of_the_asset_count(ledger: Ledger) -> None:
    draw(ledger, "old", 1000)
    moment = now() - timedelta(days=9)
    with ledger.write() as connection:
        connection.execute(sa.update(DRAWS).values(drawn_at=moment))
    draw(ledger, "b1", 10)
    draw(ledger, "b2", 20)
    draw(ledger, "b1", 500, asset="topic")
    with ledger.read() as connection:
        assert draws.drawn_since(connection, "mood", now() - timedelta(days=7)) == Drawn(30, moment)
        assert draws.drawn_since(connection, "none", now()) == Drawn(0, None)

"""What was measured of each batch that an asset published, for later batches to be held against; and which anomalies
somebody let pass.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from orchestration_project.stores.ledger import insert_new, now
from orchestration_project.stores.schema import MEASUREMENTS, PASSES

WINDOW = 60
"""Batches that a batch is held against: the last that were published before it."""

UNLIKE = "Unlike the batches before"
"""How the reason of a halt begins that an anomaly opened."""

_TABLE = MEASUREMENTS.c


def record(connection: sa.Connection, *, asset: str, partition: str, measured: Mapping[str, Mapping[str, Any]]) -> None:
    """Keep what was measured of a batch (measure → JSON), in place of what an earlier run measured of it."""
    its = (_TABLE.asset == asset) & (_TABLE.partition == partition)
    first = connection.execute(sa.select(sa.func.min(_TABLE.measured_at)).where(its)).scalar()
    connection.execute(sa.delete(MEASUREMENTS).where(its))
    shared = {"asset": asset, "partition": partition, "measured_at": first or now()}
    rows = [{**shared, "measure": name, "value": dict(value)} for name, value in measured.items()]
    if rows:
        connection.execute(sa.insert(MEASUREMENTS), rows)


def window(connection: sa.Connection, *, asset: str, partition: str) -> dict[str, list[dict[str, Any]]]:
    """Measure → what was measured of the last `WINDOW` batches before this one, oldest first.

    A batch that was published before is held against those before it, not against later ones.
    """
    before = sa.select(sa.func.min(_TABLE.measured_at)).where(_TABLE.asset == asset, _TABLE.partition == partition)
    moment = connection.execute(before).scalar()
    recent = sa.select(_TABLE.partition, sa.func.min(_TABLE.measured_at).label("at"))
    recent = recent.where(_TABLE.asset == asset, _TABLE.partition != partition)
    if moment is not None:
        recent = recent.where(_TABLE.measured_at < moment)
    recent = recent.group_by(_TABLE.partition).order_by(sa.desc("at"), _TABLE.partition).limit(WINDOW).subquery()
    query = sa.select(_TABLE.measure, _TABLE.value).join(recent, recent.c.partition == _TABLE.partition)
    query = query.where(_TABLE.asset == asset).order_by(recent.c.at, _TABLE.partition)
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for measure, value in connection.execute(query):
        found[measure].append(value)
    return dict(found)


def let_pass(connection: sa.Connection, *, asset: str, partition: str, reason: str) -> None:
    """Somebody looked at the anomalies of a batch and lets it pass: its gate halts for none from now on."""
    insert_new(connection, PASSES, [{"asset": asset, "partition": partition, "reason": reason, "passed_at": now()}])


def passed(connection: sa.Connection, *, asset: str, partition: str) -> str | None:
    """Why somebody let the anomalies of a batch pass; None when nobody did."""
    query = sa.select(PASSES.c.reason).where(PASSES.c.asset == asset, PASSES.c.partition == partition)
    return connection.execute(query).scalar()

"""The sensor that has the lists of what waits for somebody made anew: when a row was refused, corrected, replayed or
discarded, when a halt opened or closed, when a batch was set aside or taken up again.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import dagster as dg
import sqlalchemy as sa

from orchestration_project.stores.home import Home, current_home
from orchestration_project.stores.schema import BATCHES, HALTS, QUARANTINE

SECONDS_BETWEEN = 60
"""Under load one run a minute lists whatever happened in it."""


def what_waits(home: Home | None) -> str:
    """A digest of the refused rows, halts and batches that wait; of a home where nothing does when there is none.

    Numbers of rows and halts only grow. So where as many wait as before, and the highest number is the same, they are
    the same ones.
    """
    row, halt, batch = QUARANTINE.c, HALTS.c, BATCHES.c
    corrected = sa.func.count(sa.func.nullif(sa.cast(row.correction, sa.String), "null"))  # JSON has a null of its own
    queries = (
        sa.select(sa.func.count(), sa.func.max(row.row_id), corrected).where(row.state == "open"),
        sa.select(sa.func.count(), sa.func.max(halt.halt_id)).where(halt.closed_at.is_(None)),
    )
    aside = sa.select(batch.batch).where(batch.state == "set_aside").order_by(batch.number)
    if home is None:
        facts: list[Any] = [[0, None, 0], [0, None], []]
    else:
        with home.ledger.read() as connection:
            facts = [list(connection.execute(query).one()) for query in queries]
            facts.append(list(connection.execute(aside).scalars()))
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def waiting_sensor(
    name: str,
    job: Any,
    *,
    look: Callable[[Home | None], str] = what_waits,
    seconds_between: int = SECONDS_BETWEEN,
    **arguments: Any,
) -> dg.SensorDefinition:
    """A sensor that starts `job` when what it looks at (what waits) is not as it was at the last tick. `look` gives a
    digest of it, of None as of an empty home. `arguments` go to `dg.sensor`.
    """

    @dg.sensor(name=name, job=job, minimum_interval_seconds=seconds_between, **arguments)
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        found = look(current_home())
        if found == (context.cursor or look(None)):
            return dg.SkipReason("Nothing changed since the list was made.")
        return dg.SensorResult(run_requests=[dg.RunRequest()], cursor=found)

    return sensor

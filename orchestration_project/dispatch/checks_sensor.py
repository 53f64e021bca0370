"""The sensor that has the live error estimated anew: when a check was drawn, answered, corrected or closed, and when a
day begins, for the days that count move with it.
"""

import hashlib
import json
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import sqlalchemy as sa

from orchestration_project.dispatch.waiting_sensor import waiting_sensor
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.reviews import CHECK
from orchestration_project.stores.schema import REVIEWS, VERDICTS


def checks_sensor(name: str, job: Any, **arguments: Any) -> dg.SensorDefinition:
    """A sensor that starts `job` when what was checked is not what was checked at the last tick. `arguments` go to
    `waiting_sensor`.
    """
    return waiting_sensor(name, job, look=what_was_checked, **arguments)


def what_was_checked(home: Home | None) -> str:
    """A digest of the checks, their verdicts and the day; of a home without checks when there is none."""
    facts: list[Any] = []
    if home is not None:
        its = REVIEWS.c
        counted = sa.select(its.state, sa.func.count()).where(its.cause == CHECK).group_by(its.state)
        checks = sa.select(its.review_id).where(its.cause == CHECK)
        last = sa.select(sa.func.max(VERDICTS.c.verdict_id)).where(VERDICTS.c.review_id.in_(checks))
        with home.ledger.read() as connection:
            facts = sorted([state, number] for state, number in connection.execute(counted))
            if facts:
                today = now().astimezone(ZoneInfo(home.settings.time_zone)).date()
                facts += [connection.execute(last).scalar(), today.isoformat()]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]

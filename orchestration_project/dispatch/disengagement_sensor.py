"""The sensor that has the policy's limits watched: a performer that breaks one goes into shadow."""

from typing import Any

import dagster as dg

from orchestration_project.governance.disengagement import disengage
from orchestration_project.stores.home import current_home

SECONDS_BETWEEN = 30


def disengagement_sensor(name: str, *, seconds_between: int = SECONDS_BETWEEN, **arguments: Any) -> dg.SensorDefinition:
    """A sensor that sends performers into shadow as the policy says. `arguments` go to `dg.sensor`."""

    @dg.sensor(name=name, minimum_interval_seconds=seconds_between, **arguments)
    def sensor(_context: dg.SensorEvaluationContext) -> dg.SkipReason:
        found = disengage(current_home())
        return dg.SkipReason(
            "; ".join(switch.told() for switch in found) or "Every performer keeps the policy's limits."
        )

    return sensor

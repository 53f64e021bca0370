"""When an asset that no job of ours runs is made again: Dagster's automation conditions, under names of what they mean."""

from typing import Any

import dagster as dg


def when_upstream_changed() -> dg.AutomationCondition[Any]:
    """Whenever an asset that it is made from has a new version, once all of them are there, none is at work, and each
    passed its blocking checks.

        @governed_asset(contract=Topics, partitions_def=None, automation_condition=when_upstream_changed())

    A run that failed is not tried again before the next change. Upstream of an asset with partitions, an asset without
    any asks for every one of them: let a run request do that instead.
    """
    condition = dg.AutomationCondition.eager() & dg.AutomationCondition.all_deps_blocking_checks_passed()
    return condition.with_label("when upstream changed")

"""The job that runs after a verdict: the asset that it is about, and what depends on it, for the one batch."""

from collections.abc import Iterable
from typing import Any

import dagster as dg

from orchestration_project.model_output.decorators import step_of
from orchestration_project.stores.run_requests import verdict_job_name


def verdict_job(asset: str, within: dg.AssetSelection) -> Any:
    """The job that makes a model output again, and of the assets `within` those that depend on it."""
    return dg.define_asset_job(
        verdict_job_name(asset),
        selection=dg.AssetSelection.assets(asset).downstream() & within,
        description=f"What depends on a verdict about {asset}, in its batch.",
    )


def require_verdict_jobs(assets: Iterable[object], jobs: Iterable[Any]) -> None:
    """ValueError for a model output with a Person whose verdicts no job would apply."""
    known = {job.name for job in jobs}
    for asset in assets:
        step = step_of(asset) if isinstance(asset, dg.AssetsDefinition) else None
        if step is None or step.cascade is None or not step.cascade.has_people:
            continue
        if verdict_job_name(step.name) not in known:
            raise ValueError(
                f"People decide about {step.name}, and no job {verdict_job_name(step.name)} applies what they decide. "
                f"Add verdict_job('{step.name}', …) to the triggers, and give it to arrivals_sensor."
            )

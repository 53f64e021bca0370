"""The model outputs of a code location, loaded outside of a run by a process of their own: what each is to decide, and how
the process answers whoever started it.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from dagster._core.definitions.reconstruct import ReconstructableRepository

from orchestration_project.core.contracts import arrow_schema
from orchestration_project.core.errors import OrchestrationError, Refused, UnknownName, did_you_mean
from orchestration_project.model_output.decorators import step_of
from orchestration_project.model_output.inputs import Run, load
from orchestration_project.model_output.step import Result, Step
from orchestration_project.stores import manifest
from orchestration_project.stores.home import Home

NO_RUN = Run("outside of a run", {}, lambda _: None)


def steps_of(location: str, name: str | None) -> list[Step]:
    """The model outputs of a code location, or the one of that name."""
    repository = ReconstructableRepository.for_module(location, "defs").get_definition()
    found = [step_of(asset) for asset in repository.assets_defs_by_key.values()]
    steps = {step.name: step for step in found if step is not None and step.cascade is not None}
    if name is not None and name not in steps:
        raise UnknownName(f"There is no model output '{name}'.{did_you_mean(name, steps)}")
    return [step for key, step in sorted(steps.items()) if name in (None, key)]


def rows_to_decide(home: Home, step: Step, batch: str) -> pd.DataFrame:
    """What the performers of a step are shown of a batch, as it would be loaded now."""
    inputs = load(home, step.signature, batch, (step.name, arrow_schema(step.contract)), NO_RUN)
    result = step.function(**inputs.arguments)
    frame = result.frame if isinstance(result, Result) else result
    return frame.reset_index(drop=True)


def newest_rows(home: Home, step: Step) -> tuple[str, pd.DataFrame]:
    """The newest batch that the step decided on, and what its performers are shown of it."""
    with home.ledger.read() as connection:
        versions = manifest.all_current(connection)
    for version in reversed(versions):
        if version.asset == step.name and version.rows:
            return version.partition, rows_to_decide(home, step, version.partition)
    raise Refused(f"{step.name} has decided on no row yet. Send messages first, or run: orchestrate demo")


def answer_with(answer: str, found: Callable[[], dict[str, Any]]) -> None:
    """Write what is found, or why there is nothing (`refused`), as JSON into the file that is read for it."""
    try:
        content = found()
    except OrchestrationError as error:
        content = {"refused": str(error)}
    Path(answer).write_text(json.dumps(content), encoding="utf-8")

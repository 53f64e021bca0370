"""The time limit of a step's function: one that hangs fails its run, and holds no batch up for ever.

Nothing is published by it: publishing comes after the function, in the thread that waits. A function that is left
behind may still write what it writes itself, such as a trained model's file, and that no run reads before it is
published.
"""

from collections.abc import Callable, Mapping
from threading import Event
from typing import Any

from orchestration_project.core.errors import AssetTimeout, PerformerTimeout
from orchestration_project.core.settings import variable
from orchestration_project.performers.time_limit import within


def in_time(asset: str, function: Callable[..., Any], arguments: Mapping[str, Any], seconds: float) -> Any:
    """What the function gives or raises; AssetTimeout when it takes longer."""
    ended = Event()

    def call() -> Any:
        try:
            return function(**arguments)
        finally:
            ended.set()

    try:
        return within(seconds, call, asset)
    except PerformerTimeout as error:
        if ended.is_set():  # the function asked a performer itself, and that took too long
            raise
        raise AssetTimeout(
            f"{asset} was not computed within its limit of {seconds:.3g} s. Look for what it waits for, or give its "
            f"decorator more: limit_seconds=…, or every asset by {variable('asset_seconds')}."
        ) from error

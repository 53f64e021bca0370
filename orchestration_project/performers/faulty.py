"""A performer that fails as it is told to, around one that works: for tests and drills.

It fails by a plan, the same one for the same seed, so that what a cascade makes of a fault can be seen and repeated.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Event
from typing import Any, Literal, get_args

import pandas as pd

from orchestration_project.core.errors import PerformerUnavailable
from orchestration_project.performers.performer import Performer, Prepared
from orchestration_project.stores.home import Home

Fault = Literal[
    "transient", "permanent", "hang", "slow", "wrong type", "no label", "unknown label", "too few rows", "other order"
]
FAULTS: tuple[Fault, ...] = get_args(Fault)

UNKNOWN = "a label of nobody"


@dataclass(frozen=True)
class Plan:
    """Which calls fail, and how: a `share` of the first `calls` (None: of all), drawn from `seed`.

    `seconds` is how long a slow call takes longer. A call that hangs never ends by itself.
    """

    fault: Fault
    share: float = 1.0
    calls: int | None = None
    seconds: float = 0.01
    seed: int = 0

    def hits(self, call: int) -> bool:
        """Whether the call of that number, from 0, fails."""
        is_meant = self.calls is None or call < self.calls
        return is_meant and random.Random(f"{self.seed}/{call}").random() < self.share


class Faulty(Performer):
    """Another performer, under its name, that fails by a plan. `calls` counts how often it was called in this process,
    `faults` which of them failed. `limit_seconds` may be another than its own.
    """

    def __init__(self, inner: Performer, plan: Plan, *, limit_seconds: float | None = None) -> None:
        self.name = inner.name
        self.kind = inner.kind
        self.families = inner.families
        self.limit_seconds = limit_seconds or inner.limit_seconds
        self.chunk_rows = inner.chunk_rows
        self.inner = inner
        self.plan = plan
        self.calls = 0
        self.faults: list[int] = []
        self._released = Event()

    def prepare(self, home: Home) -> Prepared:
        ready = self.inner.prepare(home)

        def answer(rows: pd.DataFrame) -> pd.DataFrame:
            call, self.calls = self.calls, self.calls + 1
            if not self.plan.hits(call):
                return ready.answer(rows)
            self.faults.append(call)
            return self._fail(rows, ready)

        return replace(ready, answer=answer)

    def release(self) -> None:
        """End every call that hangs; later ones do not hang any more."""
        self._released.set()

    def _fail(self, rows: pd.DataFrame, ready: Prepared) -> pd.DataFrame:
        fault = self.plan.fault
        if fault == "transient":
            raise PerformerUnavailable("a fault that was injected")
        if fault == "permanent":
            raise ValueError("a fault that was injected")
        if fault in ("hang", "slow"):
            self._released.wait(None if fault == "hang" else self.plan.seconds)
            return ready.answer(rows)
        return _SPOILT[fault](ready.answer(rows))


_SPOILT: dict[str, Callable[[pd.DataFrame], Any]] = {
    "wrong type": lambda answers: answers.to_dict("records"),
    "no label": lambda answers: answers.assign(label=pd.Series(float("nan"), answers.index)),
    "unknown label": lambda answers: answers.assign(label=UNKNOWN),
    "too few rows": lambda answers: answers.iloc[:-1],
    "other order": lambda answers: answers.iloc[::-1],
}
"""What becomes of good answers. One row in another order is in order."""

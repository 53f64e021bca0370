"""A performer that answers what it was told to: for tests, demonstrations and drills, never a mock."""

from collections.abc import Callable, Iterable

import pandas as pd

from orchestration_project.performers.performer import Kind, Performer, Prepared
from orchestration_project.stores.home import Home

Script = Callable[[pd.DataFrame], pd.DataFrame]


class Scripted(Performer):
    """Answers by a plain function of the rows. `asked` counts the rows it was asked about in this process."""

    def __init__(
        self,
        name: str,
        script: Script,
        *,
        labels: Iterable[str],
        threshold: float | None = 0.5,
        kind: Kind = "model",
        version: str = "scripted-1",
        limit_seconds: float | None = None,
        chunk_rows: int | None = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.limit_seconds = limit_seconds
        self.chunk_rows = chunk_rows
        self.asked = 0
        self._script = script
        self._labels = frozenset(labels)
        self._threshold = threshold
        self._version = version

    def prepare(self, home: Home) -> Prepared:
        return Prepared(self._version, self._threshold, self._labels, self._answer)

    def _answer(self, rows: pd.DataFrame) -> pd.DataFrame:
        self.asked += len(rows)
        return self._script(rows)


def same_answer(label: str | None, confidence: float | None, reason: str = "") -> Script:
    """A script that gives every row the same answer."""

    def script(rows: pd.DataFrame) -> pd.DataFrame:
        answer = {"label": label, "confidence": confidence, "reason": reason}
        return pd.DataFrame([answer] * len(rows), index=rows.index, columns=list(answer))

    return script

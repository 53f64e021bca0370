"""Whoever can decide. Every kind of performer answers the same question in the same shape, and is held to the same
rules.

A performer is declared at import and touches nothing; `prepare` reads what it needs from the home and returns it ready
to be asked.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from orchestration_project.core.errors import PerformerFailed
from orchestration_project.stores.home import Home

Kind = Literal["model", "rules", "llm", "agent", "person", "safe_state"]
KINDS: tuple[Kind, ...] = ("model", "rules", "llm", "agent", "person", "safe_state")

ANSWER_COLUMNS = ("label", "confidence", "reason")


@dataclass(frozen=True)
class Prepared:
    """A performer ready to be asked.

    `threshold` is the confidence from which an answer is accepted; None: no answer is. `answer` takes the rows to
    decide, shape (n, …), and returns a frame with the same index and the columns label (null: I cannot say), confidence
    (0 to 1; null: not known) and reason; it may have `runner_up`, the second likeliest label. `load` reads what takes long
    to read, before the first call and out of its time; of a performer that is switched off nobody calls it.
    """

    version: str
    threshold: float | None
    labels: frozenset[str]
    answer: Callable[[pd.DataFrame], pd.DataFrame]
    load: Callable[[], object] = lambda: None


class Performer(ABC):
    """Base of every performer.

    `name` is what rows and people call it, and by which its circuit breaker is known; `families` are the models whose
    champion it needs. `limit_seconds` is how long one call may take, its attempts together (None: as the setting says),
    and `chunk_rows` the most rows of one call (None: as many as the cascade gives).
    """

    name: str
    kind: Kind
    families: tuple[str, ...] = ()
    limit_seconds: float | None = None
    chunk_rows: int | None = None

    @abstractmethod
    def prepare(self, home: Home) -> Prepared:
        """Read what is recorded of it; NoChampion if a model has no version in use. What is large, or may be damaged, is
        left to `load`: also one that is switched off is made ready.
        """

    def on_trial(self, home: Home) -> Prepared | None:
        """Another version of it, which is asked in shadow about the same rows; None where none is on trial."""
        return None


class BrokenContract(PerformerFailed):
    """A performer answered what it may not.

    The sentence quotes no answer, which may repeat a message; `answers` are those that broke the contract, each for its
    own row (same index).
    """

    def __init__(self, sentence: str, answers: pd.Series | None = None) -> None:
        super().__init__(sentence)
        self.answers = pd.Series(dtype="str") if answers is None else answers.astype("str")


def hold_to_contract(
    performer: Performer, prepared: Prepared, rows: pd.DataFrame, answers: pd.DataFrame
) -> pd.DataFrame:
    """The answers with their types settled, or BrokenContract that says what they break.

    Each row has one answer; labels are among the performer's own; confidence lies in 0 to 1.
    """
    name, asked = performer.name, len(rows)
    if not isinstance(answers, pd.DataFrame):  # pyright: ignore[reportUnnecessaryIsInstance]  # scripts are not typed
        raise BrokenContract(f"{name} answered {type(answers).__name__} and no frame.")
    missing = [column for column in ANSWER_COLUMNS if (answers.columns == column).sum() != 1]
    if missing:
        raise BrokenContract(f"{name} has not one column {', '.join(missing)} in its answer.")
    if not answers.index.equals(rows.index):
        raise BrokenContract(f"{name} was asked about {asked} rows and answered {len(answers)} others.")
    labels = answers["label"].astype("str")
    strange = labels[labels.notna() & ~labels.isin(prepared.labels)]
    if len(strange):
        raise BrokenContract(f"{name} answered {len(strange)} of {asked} rows with none of its labels.", strange)
    try:
        confidence = answers["confidence"].astype("float64")
    except (TypeError, ValueError):
        raise BrokenContract(f"{name} answered a confidence that is no number.", answers["confidence"]) from None
    beyond = confidence[confidence.notna() & ~confidence.between(0, 1)]
    if len(beyond):
        raise BrokenContract(f"{name} answered {len(beyond)} of {asked} rows with a confidence beyond 0 to 1.", beyond)
    reason = answers["reason"].astype("str").fillna("")
    runner_up = answers.get("runner_up", pd.Series("", rows.index)).astype("str").fillna("")
    settled = {"label": labels, "confidence": confidence, "reason": reason, "runner_up": runner_up}
    return pd.DataFrame(settled, index=rows.index)

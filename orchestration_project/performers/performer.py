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
    (0 to 1; null: not known) and reason.
    """

    version: str
    threshold: float | None
    labels: frozenset[str]
    answer: Callable[[pd.DataFrame], pd.DataFrame]


class Performer(ABC):
    """Base of every performer.

    `name` is what rows and people call it; `families` are the models whose champion it needs.
    """

    name: str
    kind: Kind
    families: tuple[str, ...] = ()

    @abstractmethod
    def prepare(self, home: Home) -> Prepared:
        """Read what is needed to answer; NoChampion if a model has no version in use."""


def hold_to_contract(
    performer: Performer, prepared: Prepared, rows: pd.DataFrame, answers: pd.DataFrame
) -> pd.DataFrame:
    """The answers with their types settled, or PerformerFailed that says what they break.

    Each row has one answer; labels are among the performer's own; confidence lies in 0 to 1.
    """
    if not isinstance(answers, pd.DataFrame):  # pyright: ignore[reportUnnecessaryIsInstance]  # scripts are not typed
        raise PerformerFailed(f"{performer.name} answered {type(answers).__name__} and no frame.")
    missing = [name for name in ANSWER_COLUMNS if (answers.columns == name).sum() != 1]
    if missing:
        raise PerformerFailed(f"{performer.name} has not one column {', '.join(missing)} in its answer.")
    if not answers.index.equals(rows.index):
        raise PerformerFailed(f"{performer.name} was asked about {len(rows)} rows and answered {len(answers)} others.")
    labels = answers["label"].astype("str")
    strange = sorted(set(labels.dropna()) - prepared.labels)
    if strange:
        raise PerformerFailed(f"{performer.name} answered '{strange[0]}', which is none of its labels.")
    try:
        confidence = answers["confidence"].astype("float64")
    except (TypeError, ValueError) as error:
        raise PerformerFailed(f"{performer.name} answered a confidence that is no number.") from error
    known = confidence.dropna()
    if not known.between(0, 1).all():
        raise PerformerFailed(f"{performer.name} answered confidence {known[~known.between(0, 1)].iloc[0]}.")
    reason = answers["reason"].astype("str").fillna("")
    return pd.DataFrame({"label": labels, "confidence": confidence, "reason": reason}, index=rows.index)

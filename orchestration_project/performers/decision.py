"""The row of a decision: what was decided, by whom, how sure, and why. Every model output's contract builds on it."""

from functools import lru_cache
from typing import Any

import pandas as pd
import pandera.pandas as pa

from orchestration_project.core.contracts import Contract, arrow_schema
from orchestration_project.performers.performer import KINDS


class Decision(Contract):
    """One decision on one message."""

    message_id: str = pa.Field(unique=True, description="The message that was decided on.")
    label: str = pa.Field(nullable=True, description="What was decided; of a pending row, what is proposed.")
    confidence: float = pa.Field(ge=0, le=1, nullable=True, description="How sure the performer was; null: not known.")
    accepted: bool = pa.Field(description="Whether the confidence reached the performer's acceptance threshold.")
    state: str = pa.Field(isin=["decided", "pending"], description="Decided, or waiting for a person.")
    decided_by: str = pa.Field(isin=list(KINDS), description="Kind of performer.")
    performer: str = pa.Field(description="Name of the performer.")
    version: str = pa.Field(description="Version of the performer.")
    reason: str = pa.Field(description="Why it is so: a rule, doubts and failures on the way; empty: plainly accepted.")
    degraded: bool = pa.Field(description="Whether a performer failed on the way; such an answer is never reused.")
    message_digest: str = pa.Field(description="sha256 of what the performers were shown and of the cascade.")

    @pa.dataframe_check
    def decided_has_label(cls, frame: pd.DataFrame) -> Any:
        """A decided row has a label."""
        return frame["label"].notna() | (frame["state"] == "pending")


COLUMNS = tuple(arrow_schema(Decision).names)


@lru_cache(maxsize=32)
def answering(contract: type[Contract], labels: frozenset[str] = frozenset()) -> type[Contract]:
    """The contract of a model output with one rule more, `label_known`: a label is one of these.

    Which they are is known only when the performers are ready: a model's labels come from its champion.
    """

    def known(cls: type[Contract], label: pd.Series) -> Any:
        """label is one that the cascade may answer"""
        return label.isin(labels)

    rule = pa.check("label", name="known")(known)
    return type(contract.__name__, (contract,), {"__doc__": contract.__doc__, "label_known": rule})

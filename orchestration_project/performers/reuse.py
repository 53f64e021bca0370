"""Stored decisions that stand when a batch is decided again: those on the same content by the same cascade, and those on
messages that were erased since, whose content nobody can judge any more.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence

import pandas as pd

from orchestration_project.core.erasing import ERASED
from orchestration_project.performers.decision import COLUMNS
from orchestration_project.performers.performer import Performer, Prepared


def lasting(stored: pd.DataFrame | None, prepared: Sequence[tuple[Performer, Prepared]]) -> pd.DataFrame | None:
    """The stored decisions that may stand, whatever the messages say now."""
    if stored is None:
        return None
    answerable = pd.Series(False, stored.index)
    for performer, ready in prepared:
        own = stored["performer"] == performer.name
        answerable |= own & (stored["label"].isna() | stored["label"].isin(ready.labels))
    is_erased = stored["message_digest"] == ERASED
    return stored[is_erased | (answerable & (stored["decided_by"] != "safe_state") & ~stored["degraded"])]


def erased(stored: pd.DataFrame) -> pd.DataFrame:
    """The stored decisions on messages that were erased since: they stand whoever made them, whatever else is asked
    again.
    """
    return stored[stored["message_digest"] == ERASED]


def reuse(frame: pd.DataFrame, known: pd.DataFrame | None) -> pd.Series:
    """Fill in the stored decisions on the same content; returns which rows they are."""
    if known is None or known.empty or frame.empty:
        return pd.Series(False, frame.index)
    known = known.drop_duplicates("message_id").set_index("message_id").reindex(frame["message_id"])
    known.index = frame.index
    is_known = known["message_digest"].isin([ERASED]) | (known["message_digest"] == frame["message_digest"])
    same = is_known.fillna(False).astype("bool")
    for name in COLUMNS[1:]:
        frame[name] = frame[name].mask(same, known[name]).astype(frame[name].dtype)
    return same


def digests(rows: pd.DataFrame, cascade: list[str]) -> Iterator[str]:
    """What identifies what is shown of each row, and to whom: the names of the cascade's performers."""
    shown = [name for name in sorted(rows.columns) if name != "message_id"]
    prefix = hashlib.sha256(json.dumps([cascade, shown]).encode())
    for values in zip(*(rows[name] for name in shown), strict=True) if shown else ((),) * len(rows):
        digest = prefix.copy()
        digest.update(json.dumps(values, default=str).encode())
        yield digest.hexdigest()

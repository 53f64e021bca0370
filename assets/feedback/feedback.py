"""What customers wrote, in one shape whatever file it came in."""

import json
from datetime import timedelta
from typing import Any

import pandas as pd
import pandera.pandas as pa

from assets.feedback.anomalies import WATCH
from orchestration_project.core.contracts import Contract, UtcTime
from orchestration_project.model_output import governed_asset
from orchestration_project.stores.arrivals import Arrivals
from orchestration_project.stores.ledger import now

ALIASES = {
    "message_id": ("id", "ticket_id", "review_id"),
    "received_at": ("timestamp", "created_at", "sent_at", "date"),
    "channel": ("source", "medium"),
    "account": ("customer_id", "customer", "account_id", "user", "from"),
    "text": ("message", "body", "comment", "review", "content"),
    "metadata": ("meta",),
}
"""Column → other names it is accepted under. Any other column is drift and halts the batch."""

AHEAD = timedelta(days=1)
"""How far the clock of whoever sends may be ahead of ours."""

PERSONAL = {"personal_data": "yes"}
"""Tag of an asset whose rows hold what customers wrote."""


class Feedback(Contract):
    """One message of a customer."""

    message_id: str = pa.Field(unique=True, str_length={"min_value": 1, "max_value": 200}, description="Stable id.")
    received_at: UtcTime = pa.Field(description="When it came in, UTC.")
    channel: str = pa.Field(description="How it came in: email, chat, app, …")
    account: str = pa.Field(nullable=True, description="Who wrote it, as far as known.")
    text: str = pa.Field(description="What was written.")
    metadata: str = pa.Field(description="Further facts, a JSON object.")

    @pa.check("received_at")
    def not_in_future(cls, received_at: pd.Series) -> Any:
        """received_at is a day ahead at most: clocks differ, and nobody writes tomorrow"""
        return received_at <= now() + AHEAD

    @pa.check("text")
    def not_blank(cls, text: pd.Series) -> Any:
        """text says something"""
        return text.str.strip() != ""

    @pa.check("metadata")
    def json_object(cls, metadata: pd.Series) -> Any:
        """metadata is a JSON object"""
        return metadata.map(is_json_object)


def is_json_object(text: str) -> bool:
    """Whether a text is a JSON object."""
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):  # thousands of levels are no metadata
        return False


def with_own_names(rows: pd.DataFrame) -> pd.DataFrame:
    """Rename aliases to our column names; where a row has several names of one column, the first that has a value
    counts.
    """
    frame = rows.copy()
    for name, aliases in ALIASES.items():
        for alias in aliases:
            if alias not in frame:
                continue
            other = frame.pop(alias)
            if name in frame:
                own = frame[name].astype("object")
                other = own.where(own.notna(), other).infer_objects()
            frame[name] = other
    return frame


def without_blanks(values: pd.Series) -> pd.Series:
    """The values, of which blank text becomes null: it states nothing."""
    return values if values.dtype != "str" else values.mask(values.str.strip() == "")


def parse_times(values: pd.Series) -> pd.Series:
    """Moments in UTC from ISO 8601 text that states its zone; anything else becomes null, which the gate refuses."""
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return values.dt.tz_convert("UTC").astype("datetime64[us, UTC]")
    texts = values.astype("str").str.strip()
    has_zone = texts.str.contains(r"[T ]\d.*(?:Z|[+-]\d{2}(?::?\d{2})?)$", na=False)
    times = pd.to_datetime(texts.where(has_zone), format="ISO8601", utc=True, errors="coerce")
    return times.astype("datetime64[us, UTC]")


@governed_asset(contract=Feedback, watch=WATCH, group_name="feedback", owners=["team:customer-care"], tags=PERSONAL)
def feedback(arrivals: Arrivals) -> pd.DataFrame:
    """Every message that came in with the batch, once."""
    frame = with_own_names(arrivals.rows)
    for name, default in (("received_at", None), ("channel", "unknown"), ("account", None), ("metadata", "{}")):
        values = frame[name] if name in frame else pd.Series(None, frame.index, dtype="str")
        values = without_blanks(values)
        is_text = values.dtype == "str"  # anything else is drift, which the gate names
        frame[name] = values.fillna(default) if is_text and default is not None else values
    is_stated = frame["received_at"].notna()
    frame["received_at"] = parse_times(frame["received_at"])
    frame["message_id"] = arrivals.identify(frame, by=("text", "account", "received_at"))
    frame["received_at"] = frame["received_at"].where(is_stated, arrivals.origin["registered_at"])
    return frame

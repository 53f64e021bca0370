"""What became of the documents: each that was added, changed or removed, with when it was noticed."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import duckdb
import pandas as pd
import pandera.pandas as pa

from orchestration_project.core.contracts import Contract, UtcTime, columns, empty_frame
from orchestration_project.model_output import Result, governed_asset
from orchestration_project.model_output.automation import when_upstream_changed
from orchestration_project.stores.ledger import now


class DocumentChange(Contract):
    """One change of one document."""

    document_id: str = pa.Field(description="Its path below the folder.")
    change: str = pa.Field(isin=["added", "changed", "removed"], description="What happened to it.")
    sha256_before: str = pa.Field(nullable=True, description="Of its bytes before; null: it was not there.")
    sha256_after: str = pa.Field(nullable=True, description="Of its bytes after; null: it is not there any more.")
    at: UtcTime = pa.Field(description="When it was noticed, UTC.")


def changes(documents: pd.DataFrame, past: pd.DataFrame, moment: datetime) -> pd.DataFrame:
    """What is to be added to the changes of the `past`, oldest first, so that they lead to these documents."""
    latest = past.drop_duplicates("document_id", keep="last").dropna(subset="sha256_after")
    before = dict(zip(latest["document_id"], latest["sha256_after"], strict=True))
    after = dict(zip(documents["document_id"], documents["sha256"], strict=True))
    frame = pd.DataFrame(_compared(before, after), columns=list(columns(DocumentChange))[:-1])
    return frame.assign(at=pd.Series(moment, frame.index, dtype="datetime64[us, UTC]"))


def _compared(before: dict[str, str], after: dict[str, str]) -> Iterator[tuple[str, str, str | None, str | None]]:
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old != new:
            yield name, "added" if old is None else "removed" if new is None else "changed", old, new


@governed_asset(
    contract=DocumentChange,
    partitions_def=None,
    automation_condition=when_upstream_changed(),
    group_name="knowledge",
    owners=["team:customer-care"],
)
def document_changes(documents: pd.DataFrame, warehouse: duckdb.DuckDBPyConnection) -> Result:
    """Every change of the documents so far. One that cannot be read any more counts as removed."""
    past = warehouse.execute("SELECT * EXCLUDE (batch) FROM document_changes").df()
    new = changes(documents, past, now())
    counts: dict[str, Any] = dict(Counter(new["change"]))
    parts = [part for part in (past, new) if len(part)]
    return Result(pd.concat(parts, ignore_index=True) if parts else empty_frame(DocumentChange), counts)

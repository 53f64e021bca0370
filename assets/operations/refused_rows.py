"""The rows that gates refused and that wait for somebody: which, why, and where they came from."""

from collections import Counter

import dagster as dg
import pandas as pd
import pandera.pandas as pa

from assets.operations.markdown_table import as_markdown
from orchestration_project.core.contracts import Contract, UtcTime, empty_frame
from orchestration_project.model_output import governed_asset
from orchestration_project.model_output.step import Result
from orchestration_project.stores.home import Home
from orchestration_project.stores.quarantine import QuarantinedRow, Selection, rules_of

SHOWN = ("row", "asset", "batch", "message_id", "reason", "source", "contract", "corrected", "refused_at")
"""Columns of the table in the UI."""


class RefusedRows(Contract):
    """One row that waits. What stands in it is not here: `orchestrate quarantine show ROW` has it."""

    row: int = pa.Field(unique=True, description="Its number, for the jobs that mend.")
    asset: str = pa.Field(description="Whose gate refused it.")
    batch: str = pa.Field(description="Of which batch.")
    message_id: str = pa.Field(nullable=True, description="Which message it is.")
    reason: str = pa.Field(description="Rules that it broke, or unparsable.")
    source: str = pa.Field(nullable=True, description="File and line; null: it was computed.")
    contract: str = pa.Field(description="Version of the contract that refused it.")
    corrected: bool = pa.Field(description="Whether somebody set something right.")
    refused_at: UtcTime = pa.Field(description="Since when it waits, UTC.")


@governed_asset(
    contract=RefusedRows, partitions_def=None, group_name="operations", owners=["team:customer-care"], deps=["feedback"]
)
def refused_rows(home: Home) -> Result:
    """The rows that gates refused and that wait for somebody, as of its last materialisation: within a minute or two of
    a row that was refused, corrected, replayed or discarded, while `quarantine_changed` is on.
    """
    with home.ledger.read() as connection:
        rows = Selection().find(connection)
    if not rows:
        return Result(empty_frame(RefusedRows), {"waiting": 0})
    frame = pd.DataFrame([_record(row) for row in rows])
    frame["refused_at"] = frame["refused_at"].astype("datetime64[us, UTC]")
    broken = Counter(name for row in rows for name in rules_of(row.reason))
    facts = {f"refused for {name}": number for name, number in broken.most_common()}
    return Result(frame, {"waiting": len(rows), **facts, "rows": dg.MarkdownMetadataValue(as_markdown(frame, SHOWN))})


def _record(row: QuarantinedRow) -> dict[str, object]:
    return {
        "row": row.row_id,
        "asset": row.asset,
        "batch": row.partition,
        "message_id": row.message_id,
        "reason": ", ".join(rules_of(row.reason)),
        "source": f"{row.file}, line {row.line}" if row.file else None,
        "contract": row.contract,
        "corrected": bool(row.correction),
        "refused_at": row.refused_at,
    }

"""What is halted or set aside and waits for somebody: which batch, why, since when, and how it goes on."""

from datetime import datetime

import dagster as dg
import pandas as pd
import pandera.pandas as pa

from assets.operations.markdown_table import as_markdown
from orchestration_project.core.contracts import Contract, UtcTime, empty_frame
from orchestration_project.model_output import governed_asset
from orchestration_project.model_output.step import Result
from orchestration_project.stores import batches, halts
from orchestration_project.stores.halts import Halt
from orchestration_project.stores.home import Home

SHOWN = ("kind", "asset", "batch", "reason", "since", "what_to_do")
"""Columns of the table in the UI."""


class OpenHalt(Contract):
    """One halt of an asset, or one batch that was set aside."""

    kind: str = pa.Field(isin=["halted", "set aside"], description="What became of it.")
    asset: str = pa.Field(nullable=True, description="Whose gate halted it; null: the batch as a whole is set aside.")
    batch: str = pa.Field(nullable=True, description="Which batch; null: the asset has none.")
    reason: str = pa.Field(description="Why.")
    since: UtcTime = pa.Field(description="Since when it is halted, or when its batch came, UTC.")
    what_to_do: str = pa.Field(description="The command by which it goes on; each is also a job.")


@governed_asset(
    contract=OpenHalt, partitions_def=None, group_name="operations", owners=["team:customer-care"], deps=["feedback"]
)
def open_halts(home: Home) -> Result:
    """What is halted or set aside and waits for somebody, as of its last materialisation: within a minute or two of the
    halt, or of its end, while `quarantine_changed` is on.
    """
    with home.ledger.read() as connection:
        halted, aside = halts.open_halts(connection), batches.set_aside(connection)
        opened = batches.opened_at(connection, [batch.batch for batch in aside])
    records = [
        *(_record("halted", halt.asset, halt.partition, halt.reason, halt.opened_at, _way_on(halt)) for halt in halted),
        *(
            _record(
                "set aside", None, batch.batch, batch.cause or "", opened[batch.batch], _retry("batch", batch.batch)
            )
            for batch in aside
        ),
    ]
    if not records:
        return Result(empty_frame(OpenHalt), {"halted": 0, "set aside": 0})
    frame = pd.DataFrame(records)
    frame["since"] = frame["since"].astype("datetime64[us, UTC]")
    facts = {"halted": len(halted), "set aside": len(aside)}
    return Result(frame, {**facts, "what waits": dg.MarkdownMetadataValue(as_markdown(frame, SHOWN))})


def _record(
    kind: str, asset: str | None, batch: str | None, reason: str, since: datetime, way_on: str
) -> dict[str, object]:
    return {
        "kind": kind,
        "asset": asset,
        "batch": batch or None,
        "reason": reason,
        "since": since,
        "what_to_do": way_on,
    }


def _way_on(halt: Halt) -> str:
    if not halt.partition:
        return f"Mend the cause, and materialise {halt.asset} again"
    if halt.is_anomaly:
        return f"orchestrate halt pass {halt.partition} --reason TEXT"
    return _retry("halt", halt.partition)


def _retry(what: str, batch: str) -> str:
    return f"Mend the cause; orchestrate {what} retry {batch} --reason TEXT"

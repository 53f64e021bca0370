"""What a materialisation shows in Dagster's UI beside the rows."""

import hmac
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow

from orchestration_project.core.contracts import Contract, arrow_schema
from orchestration_project.model_output.computed import Computed
from orchestration_project.model_output.gate import Judgement
from orchestration_project.model_output.with_people import people_facts
from orchestration_project.stores import manifest


def shown(computed: Computed, judgement: Judgement, version: manifest.Version) -> dict[str, Any]:
    """How many rows, how fast, who decided them, and what became of the rest."""
    rows, seconds = version.rows, computed.seconds
    facts: dict[str, Any] = {
        "dagster/row_count": rows,
        "version": version.version,
        "refused": judgement.refused,
        "latency_seconds": round(seconds, 4),
        "throughput_rows_per_second": round(judgement.rows / seconds, 1) if seconds else 0.0,
        "file": version.path,
        **computed.metadata,
    }
    if computed.duplicates:
        facts["duplicates"] = computed.duplicates
    if computed.decisions is not None:
        frame = computed.decisions.frame
        total = max(1, len(frame))
        facts["accepted_share"] = round(float(frame["accepted"].sum()) / total, 4)
        facts["reused"] = computed.decisions.reused
        facts |= people_facts(computed.decisions)
        for name, count in computed.decisions.decided_by().items():
            facts[f"decided by {name}"] = f"{count} ({count / total:.0%})"
        for work in computed.decisions.work:
            facts |= work.facts()
    return facts


def data_version(rows: pd.DataFrame, contract: type[Contract], secret: bytes) -> dg.DataVersion:
    """By which Dagster tells whether an asset's rows are others than before: a digest of them, keyed with the home's secret,
    so that it gives nothing of them away. That of the file would not do, for each file of a batch has a salt of its own.
    """
    table = pyarrow.Table.from_pandas(rows, schema=arrow_schema(contract), preserve_index=False)
    written = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(written, table.schema) as stream:
        stream.write_table(table)
    return dg.DataVersion(hmac.new(secret, written.getvalue(), "sha256").hexdigest()[:16])

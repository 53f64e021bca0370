"""The documents of the knowledge folder, as text: what policies and handbooks say today."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import duckdb
import pandas as pd
import pandera.pandas as pa

from orchestration_project.core.contracts import Contract, UtcTime, columns
from orchestration_project.model_output import Result, Run, governed_asset
from orchestration_project.stores.document_files import (
    KINDS,
    MOST_BYTES,
    FoundFile,
    Text,
    content_digest,
    look,
    read_text,
)
from orchestration_project.stores.home import Home


class Document(Contract):
    """One document that can be read."""

    document_id: str = pa.Field(unique=True, description="Its path below the folder.")
    title: str = pa.Field(description="First heading or title; without one, the file's name.")
    text: str = pa.Field(description="What it says; of Markdown the source.")
    kind: str = pa.Field(isin=sorted(set(KINDS.values())), description="What it is written in.")
    sha256: str = pa.Field(description="Of its bytes.")
    bytes: int = pa.Field(in_range={"min_value": 1, "max_value": MOST_BYTES}, description="Size of the file.")
    modified_at: UtcTime = pa.Field(description="Time of the file when it first said this, UTC.")
    version: str = pa.Field(description="Digest of all files of the folder, whatever their times.")


@governed_asset(
    contract=Document,
    partitions_def=None,
    group_name="knowledge",
    owners=["team:customer-care"],
)
def documents(warehouse: duckdb.DuckDBPyConnection, home: Home, run: Run) -> Result:
    """Every document of the knowledge folder, as text. One that cannot be read is a refused row."""
    folder = look(home.settings.knowledge)
    read = {found: read_text(found) for found in folder.files}
    known = "SELECT document_id, sha256, modified_at FROM documents"
    times = {(name, sha256): moment for name, sha256, moment in warehouse.execute(known).fetchall()}
    version = content_digest({found.document_id: text.sha256 for found, text in read.items()})
    rows = [{**_record(found, text, times), "version": version} for found, text in read.items()]
    frame = pd.DataFrame(rows, columns=list(columns(Document)))
    frame["modified_at"] = pd.to_datetime(frame["modified_at"], utc=True).astype("datetime64[us, UTC]")
    problems = {found.document_id: text.problem for found, text in read.items() if text.problem}
    for name, problem in problems.items():
        run.log(f"{name}: {problem}")
    facts: dict[str, Any] = {"folder": str(home.settings.knowledge), "content": version}
    if folder.passed_over:
        facts["pictures passed over"] = dict(folder.passed_over)
    if problems:
        facts["not readable"] = dg.MarkdownMetadataValue(
            "\n".join(f"- {name}: {why}" for name, why in problems.items())
        )
    return Result(frame, facts)


def _record(found: FoundFile, text: Text, times: Mapping[tuple[str, str], datetime]) -> dict[str, Any]:
    """A document's row. A file that was only touched, or copied, keeps the time of its content."""
    modified_at = datetime.fromtimestamp(found.changed_ns / 1e9, UTC)
    return {
        "document_id": found.document_id,
        "title": text.title,
        "text": text.text,
        "kind": found.kind,
        "sha256": text.sha256,
        "bytes": found.bytes,
        "modified_at": times.get((found.document_id, text.sha256), modified_at),
    }

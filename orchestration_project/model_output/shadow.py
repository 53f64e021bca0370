"""What performers in shadow answered, as a table of the warehouse beside the decisions: `sentiment_shadow` for
`sentiment`. It is no input of anything, and its version is published in the transaction that publishes the decisions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import pandas as pd
import pandera.pandas as pa
import pyarrow
import sqlalchemy as sa

from orchestration_project.core.contracts import Contract, arrow_schema
from orchestration_project.core.errors import ArtifactRefused
from orchestration_project.governance import audit
from orchestration_project.performers.cascade import Decisions
from orchestration_project.stores import manifest
from orchestration_project.stores.home import Home
from orchestration_project.stores.warehouse import StoredFile

KEY = ["message_id", "performer", "version"]


class ShadowAnswer(Contract):
    """What a performer in shadow answered on one message."""

    message_id: str = pa.Field(description="The message.")
    performer: str = pa.Field(description="Who answered.")
    version: str = pa.Field(description="Version of the performer.")
    label: str = pa.Field(description="What it answered.")
    confidence: float = pa.Field(ge=0, le=1, nullable=True, description="How sure it was; null: not known.")
    accepted: bool = pa.Field(description="Whether it would have been accepted.")
    decided: str = pa.Field(nullable=True, description="What was decided, or is proposed, without it.")


@dataclass(frozen=True)
class Shadow:
    """The shadow answers of a batch, written to a file and not published yet. `before` is the version in use; `lost` why
    what it holds is not among them, empty where it is.
    """

    table: str
    file: StoredFile
    before: int
    rows: pd.DataFrame
    lost: str = ""

    @classmethod
    def of(
        cls,
        home: Home,
        asset: str,
        partition: str,
        run_id: str,
        decisions: Decisions,
        good: pd.DataFrame,
        tell: Callable[[str], object],
    ) -> Self | None:
        """Those that were given now, and those of earlier runs, on messages whose decisions passed the gate (`good`); None
        where there are none. `tell` gets that earlier ones are lost.
        """
        name = manifest.shadow_of(asset)
        with home.ledger.read() as connection:
            before = manifest.current(connection, name, partition)
        known, lost = _known(home, before)
        if lost:
            tell(lost)
        found = pd.concat([known, _given(decisions)], ignore_index=True)
        found = found[found["message_id"].isin(good["message_id"])].drop_duplicates(KEY, keep="last")
        if found.empty:
            return None
        decided = good.set_index("message_id")["label"]
        rows = found.assign(decided=found["message_id"].map(decided).astype("str")).sort_values(KEY)
        table = pyarrow.Table.from_pandas(rows, schema=arrow_schema(ShadowAnswer), preserve_index=False)
        file = home.warehouse.write(name, partition, run_id, table)
        return cls(name, file, before.version if before else 0, rows, lost)

    def publish(
        self, connection: sa.Connection, partition: str, run_id: str, inputs: Mapping[str, int]
    ) -> manifest.Version:
        """Make them the current version, in the caller's transaction, with an audit entry."""
        version = manifest.publish(
            connection,
            asset=self.table,
            partition=partition,
            run_id=run_id,
            file=self.file,
            replaces=self.before,
            inputs=inputs,
        )
        detail = {"rows": len(self.rows), "run_id": run_id, **version.facts()}
        detail |= {"lost": self.lost} if self.lost else {}
        audit.append(connection, "published", f"{self.table}/{partition}", detail)
        return version

    def facts(self) -> dict[str, Any]:
        """How often each performer in shadow answered, and answered as was decided, for metadata."""
        facts: dict[str, Any] = {"lost in shadow": self.lost} if self.lost else {}
        for (performer, version), own in self.rows.groupby(["performer", "version"]):
            alike = int((own["label"] == own["decided"]).sum())
            facts[f"{performer} {version} in shadow"] = f"{alike} of {len(own)} as decided"
        return facts


def _given(decisions: Decisions) -> pd.DataFrame:
    columns = [*KEY, "label", "confidence", "accepted"]
    return pd.DataFrame(columns=columns) if decisions.shadow is None else decisions.shadow[columns]


def _known(home: Home, version: manifest.Version | None) -> tuple[pd.DataFrame | None, str]:
    """Earlier answers, or why they are lost: the batch goes on without them, for no decision rests on them."""
    try:
        return None if version is None else home.warehouse.read(version.path).to_pandas(), ""
    except ArtifactRefused as refusal:
        return None, str(refusal)

"""From which confidence on each model's answers are accepted, held once a week against what people found in random checks."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import pandas as pd
import pandera.pandas as pa
import sqlalchemy as sa

from assets.operations.markdown_table import as_markdown
from orchestration_project.core.contracts import Contract, empty_frame
from orchestration_project.governance.thresholds import Rechoice, raise_threshold, rechoices
from orchestration_project.model_output import governed_asset
from orchestration_project.model_output.step import Result
from orchestration_project.stores.home import Home
from orchestration_project.stores.model_versions import ModelVersion

SHOWN = ("family", "version", "proven", "threshold", "chosen", "checks", "errors")
"""Columns of the table in the UI."""


class AcceptanceThreshold(Contract):
    """The threshold of one model in use. A threshold that is null accepts nothing."""

    family: str = pa.Field(unique=True, description="Model family.")
    version: str = pa.Field(description="Version in use.")
    proven: float = pa.Field(ge=0, le=1, nullable=True, description="Threshold that its training proved.")
    threshold: float = pa.Field(ge=0, le=1, nullable=True, description="Threshold it accepted from until now.")
    chosen: float = pa.Field(ge=0, le=1, nullable=True, description="Threshold it accepts from now on.")
    is_new: bool = pa.Field(description="Whether that is another one.")
    error: float = pa.Field(ge=0, le=1, nullable=True, description="Live error from the old one on; null: no check.")
    checks: int = pa.Field(ge=0, description="Checks of the version that people answered since it accepts from there.")
    errors: int = pa.Field(ge=0, description="Of these, answers that were wrong.")
    stated: float = pa.Field(ge=0, le=1, description="Error that the threshold is to keep.")
    told: str = pa.Field(description="What becomes of it, and why.")
    record: str = pa.Field(description="JSON of the version in use as it was.")

    @pa.dataframe_check
    def never_lowered(cls, frame: pd.DataFrame) -> pd.Series:
        """Checks lower no threshold."""
        return frame["chosen"].isna() | (frame["chosen"] >= frame["threshold"])


def record_thresholds(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the new thresholds, in the transaction that publishes them."""
    for row in rows:
        if row["is_new"]:
            chosen = None if pd.isna(row["chosen"]) else row["chosen"]
            raise_threshold(connection, ModelVersion.from_json(row["record"]), chosen, row["told"])


@governed_asset(
    contract=AcceptanceThreshold,
    partitions_def=None,
    group_name="operations",
    owners=["team:data-science"],
    deps=["live_error"],
    record=record_thresholds,
)
def acceptance_thresholds(home: Home) -> Result:
    """From which confidence on each model's answers are accepted: raised where random checks break the stated error. A
    change is a revision of the version in use, with an audit entry and a notice.
    """
    return as_result(rechoices(home))


def as_result(found: Sequence[Rechoice]) -> Result:
    """The rows, and in words what becomes of each threshold."""
    if not found:
        return Result(empty_frame(AcceptanceThreshold), {"raised": 0})
    frame = pd.DataFrame([_row(one) for one in found])
    numbers = dict.fromkeys(("proven", "threshold", "chosen", "error"), "float64")
    table = dg.MarkdownMetadataValue(as_markdown(frame, SHOWN))
    told = {one.version.family: one.told() for one in found}
    return Result(frame.astype(numbers), {"raised": int(frame["is_new"].sum()), **told, "by model": table})


def _row(one: Rechoice) -> dict[str, Any]:
    was, found = one.version.threshold, one.choice.found
    return {
        "family": one.version.family,
        "version": one.version.version,
        "proven": one.proven,
        "threshold": was,
        "chosen": one.choice.threshold if one.is_applied else was,
        "is_new": one.is_applied,
        "error": found.error if found.checks else None,
        "checks": found.checks,
        "errors": found.errors,
        "stated": one.stated,
        "told": one.told(),
        "record": one.version.to_json(),
    }

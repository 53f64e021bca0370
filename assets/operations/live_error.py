"""How often accepted answers are wrong, by random checks that people decide blind, beside the error that was stated."""

import dagster as dg
import pandas as pd
import pandera.pandas as pa

from assets.operations.markdown_table import as_markdown
from orchestration_project.core.contracts import Contract, empty_frame
from orchestration_project.governance.live_errors import Standing, live_errors
from orchestration_project.model_output import governed_asset
from orchestration_project.model_output.step import Result
from orchestration_project.stores.home import Home

SHOWN = ("asset", "performer", "day", "told", "errors", "waiting", "unanswered")
"""Columns of the table in the UI."""


class LiveErrorOf(Contract):
    """The accepted answers of an asset: of a performer or of all, of a day or of the last days together."""

    asset: str = pa.Field(description="Whose rows were checked.")
    performer: str = pa.Field(nullable=True, description="Whose answers; null: of all performers.")
    day: str = pa.Field(nullable=True, description="On which they were accepted; null: the last days together.")
    error: float = pa.Field(ge=0, le=1, nullable=True, description="Estimated share that is wrong; null: no check.")
    low: float = pa.Field(ge=0, le=1, description="Lower end of its 95 % interval.")
    high: float = pa.Field(ge=0, le=1, description="Upper end of its 95 % interval.")
    checks: int = pa.Field(ge=0, description="Checks that people answered.")
    errors: int = pa.Field(ge=0, description="Of these, answers that were wrong.")
    waiting: int = pa.Field(ge=0, description="Checks that nobody answered yet.")
    unanswered: int = pa.Field(ge=0, description="Checks that nobody answered in time.")
    stated: float = pa.Field(ge=0, le=1, description="Error that acceptance thresholds are to keep.")
    is_thin: bool = pa.Field(description="Whether there are too few checks for the estimate to say something.")
    told: str = pa.Field(description="The estimate in words.")

    @pa.dataframe_check
    def interval_holds_error(cls, frame: pd.DataFrame) -> pd.Series:
        """The error lies in its interval."""
        return frame["error"].isna() | ((frame["low"] <= frame["error"]) & (frame["error"] <= frame["high"]))

    @pa.dataframe_check
    def wrong_of_checked(cls, frame: pd.DataFrame) -> pd.Series:
        """No more answers were wrong than were checked."""
        return frame["errors"] <= frame["checks"]


@governed_asset(
    contract=LiveErrorOf, partitions_def=None, group_name="operations", owners=["team:data-science"], deps=["feedback"]
)
def live_error(home: Home) -> Result:
    """How often accepted answers are wrong, by random checks that people decide blind, as of its last materialisation:
    within a minute or two of a check that was drawn, answered or closed, while `checks_changed` is on.
    """
    return as_result(live_errors(home))


def as_result(found: list[Standing]) -> Result:
    """The rows, and in words what is known of each asset."""
    if not found:
        return Result(empty_frame(LiveErrorOf), {"checks": 0})
    frame = pd.DataFrame([one.facts() for one in found])
    frame = frame.astype({"performer": "str", "day": "str", "error": "float64"})
    of_all = [one for one in found if one.performer is None]
    facts = {one.asset: one.told() for one in of_all}
    table = dg.MarkdownMetadataValue(as_markdown(frame, SHOWN))
    return Result(frame, {"checks": sum(one.found.checks for one in of_all), **facts, "by performer and day": table})

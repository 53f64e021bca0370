"""Jobs by which people give orders in Dagster's UI: what `orchestrate quarantine`, `halt`, `batch`, `contract`, `rescore` and
`switch` do, from the Launchpad. Each run shows its order, and the audit log its reason.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from orchestration_project.core.errors import Refused
from orchestration_project.governance import batch_orders, mending, rescore_orders
from orchestration_project.governance.contract_orders import accept_column
from orchestration_project.governance.corrections import parse_corrections, read_corrections
from orchestration_project.governance.rescore_orders import Wanted
from orchestration_project.governance.switch_orders import Turn, turn
from orchestration_project.model_output.decorators import HOME
from orchestration_project.model_output.redacted import redact_error
from orchestration_project.model_output.step import REFUSAL
from orchestration_project.stores.home import Home
from orchestration_project.stores.quarantine import Selection

WHY = "Why; it goes into the audit log."


class Ordered(dg.Config):
    """Why something is ordered, and by whom."""

    reason: str = Field(description=WHY)
    person: str = Field(default="", description="Who orders it, where Dagster's user may act for several persons.")


class RowOrder(Ordered):
    """Which refused rows are meant, and why."""

    rows: list[int] = Field(
        default_factory=list[int], description="Numbers of rows, as the asset refused_rows has them."
    )
    asset: str = Field(default="", description="Only rows that this asset refused.")
    batch: str = Field(default="", description="Only rows of this batch.")
    rule: str = Field(default="", description="Only rows that broke this rule.")
    everything: bool = Field(default=False, description="Every row that waits.")

    def selection(self) -> Selection:
        """The rows; Refused when nothing was said, for that would be everything."""
        if not (self.rows or self.asset or self.batch or self.rule or self.everything):
            raise Refused("No rows are named. Set rows, asset, batch or rule, or everything.")
        return Selection(tuple(self.rows), self.asset or None, self.batch or None, self.rule or None)


class Correction(Ordered):
    """What is set right in one refused row, and why."""

    row: int = Field(description="Number of the row.")
    values: dict[str, str] = Field(description="Column → the right value; an empty one empties it.")


class Corrections(Ordered):
    """What is set right in many refused rows, as CSV, and why."""

    csv: str = Field(default="", description="The corrections: what orchestrate quarantine export writes, corrected.")
    file: str = Field(default="", description="Or the path of a file with them, where the project runs.")


class Renaming(RowOrder):
    """Of which refused rows a column has another name, and why."""

    old: str = Field(description="The column in which the values stand.")
    new: str = Field(description="The column in which they belong.")


class ColumnOrder(Ordered):
    """Which column of inbound files is accepted, under which name, and why."""

    asset: str = Field(description="The asset that takes the files in, such as feedback.")
    column: str = Field(description="As the files call it.")
    name: str = Field(default="", description="The contract's name for it.")
    ignore: bool = Field(default=False, description="It is left out, instead.")


class BatchOrder(Ordered):
    """Which batch is meant, and why."""

    batch: str = Field(description="Its key.")


class RescoreOrder(BatchOrder):
    """Which batch is decided again, by whom, and why."""

    model_output: str = Field(default="", description="Only this model output; empty: every one.")


class HaltOrder(BatchOrder):
    """Which halt is meant, and why."""

    asset: str = Field(default="", description="Where several assets of the batch are halted.")


class SwitchOrder(Ordered):
    """What is switched, to which state, and why."""

    kind: str = Field(description="performer, version or asset.")
    name: str = Field(description="Of a version: FAMILY/VERSION.")
    state: str = Field(
        description="Of a performer: on, shadow or off; of a version: on or off; of an asset: on, people or safe_state."
    )


@dg.op(required_resource_keys={HOME}, description="Keep what is set right beside what came in.")
def correct(context: dg.OpExecutionContext, config: Correction) -> None:
    import pandas as pd

    line = {mending.ROW: str(config.row), **{name: value or None for name, value in config.values.items()}}
    number = _order(mending.fix, _home(context, config), pd.DataFrame([line], dtype="str"), _reason(config.reason))
    context.log.info(f"{number} row is corrected." if number else "The row says so already.")


@dg.op(required_resource_keys={HOME}, description="Keep what a CSV sets right beside what came in.")
def correct_many(context: dg.OpExecutionContext, config: Corrections) -> None:
    if bool(config.csv) == bool(config.file):
        raise dg.Failure("Give the corrections either as csv or as the path of a file.", allow_retries=False)

    def give() -> int:
        read = parse_corrections(config.csv) if config.csv else read_corrections(Path(config.file).expanduser())
        return mending.fix(_home(context, config), read, _reason(config.reason))

    context.log.info(f"{_order(give)} rows are corrected.")


@dg.op(required_resource_keys={HOME}, description="Set the column right in which values of refused rows stand.")
def rename(context: dg.OpExecutionContext, config: Renaming) -> None:
    number = _order(
        lambda: mending.rename(
            _home(context, config), config.selection(), config.old, config.new, _reason(config.reason)
        )
    )
    context.log.info(f"{number} rows are corrected.")


@dg.op(required_resource_keys={HOME}, description="Accept a column that halted a batch, or leave it out.")
def accept(context: dg.OpExecutionContext, config: ColumnOrder) -> None:
    if bool(config.name) == config.ignore:
        raise dg.Failure("Say either a name for the column, or ignore.", allow_retries=False)
    home = _home(context, config)
    halted = _order(accept_column, home, config.asset, config.column, config.name or None, _reason(config.reason))
    context.log.info(f"Commit {home.settings.accepted_columns}.")
    for batch in halted:
        context.log.info(f"Batch {batch} may go on: start the job retry_batch on it.")


@dg.op(required_resource_keys={HOME}, description="Send refused rows again, in a batch of their own.")
def replay(context: dg.OpExecutionContext, config: RowOrder) -> None:
    opened = _order(lambda: mending.replay(_home(context, config), config.selection(), _reason(config.reason)))
    context.log.info(f"Replayed in {', '.join(opened)}.")


@dg.op(required_resource_keys={HOME}, description="Give refused rows up.")
def discard(context: dg.OpExecutionContext, config: RowOrder) -> None:
    number = _order(lambda: mending.discard(_home(context, config), config.selection(), _reason(config.reason)))
    context.log.info(f"{number} rows are discarded.")


@dg.op(required_resource_keys={HOME}, description="Run the workflow on a batch again.")
def retry(context: dg.OpExecutionContext, config: BatchOrder) -> None:
    key = _order(batch_orders.retry_batch, _home(context, config), config.batch, _reason(config.reason))
    context.log.info(f"Requested as {key}.")


@dg.op(required_resource_keys={HOME}, description="Have a batch decided again: every performer is asked anew.")
def rescore(context: dg.OpExecutionContext, config: RescoreOrder) -> None:
    wanted = Wanted((config.batch,), model_output=config.model_output or None)
    _order(rescore_orders.rescore, _home(context, config), wanted, _reason(config.reason))
    context.log.info(f"A run of batch {config.batch} is requested.")


@dg.op(required_resource_keys={HOME}, description="Give a batch up; what it published is withdrawn.")
def give_up(context: dg.OpExecutionContext, config: BatchOrder) -> None:
    _order(batch_orders.discard_batch, _home(context, config), config.batch, _reason(config.reason))
    context.log.info(f"Batch {config.batch} is discarded.")


@dg.op(required_resource_keys={HOME}, description="Close a halt: the last good version counts again.")
def close_halt(context: dg.OpExecutionContext, config: HaltOrder) -> None:
    asset = config.asset or None
    is_gone = _order(batch_orders.discard_halt, _home(context, config), config.batch, asset, _reason(config.reason))
    context.log.info("The batch is discarded with it." if is_gone else "The last good version counts again.")


@dg.op(required_resource_keys={HOME}, description="Let the anomalies of a halted batch pass, and run it again.")
def let_pass(context: dg.OpExecutionContext, config: HaltOrder) -> None:
    key = _order(
        batch_orders.pass_halt, _home(context, config), config.batch, config.asset or None, _reason(config.reason)
    )
    context.log.info(f"Requested as {key}.")


@dg.op(required_resource_keys={HOME}, description="Take a performer, a model version or an asset out of work, or back.")
def turn_switch(context: dg.OpExecutionContext, config: SwitchOrder) -> None:
    wanted = Turn(config.kind, config.name, config.state)  # pyright: ignore[reportArgumentType]  # it is looked at there
    done = _order(turn, _home(context, config), wanted, _reason(config.reason))
    context.log.info(f"{done.told()}.")


def order_jobs() -> list[dg.JobDefinition]:
    """A job for each order."""
    named = {
        "correct_refused_row": correct,
        "correct_refused_rows": correct_many,
        "rename_refused_column": rename,
        "replay_refused_rows": replay,
        "discard_refused_rows": discard,
        "retry_batch": retry,
        "rescore_batch": rescore,
        "discard_batch": give_up,
        "pass_halt": let_pass,
        "discard_halt": close_halt,
        "accept_column": accept,
        "switch": turn_switch,
    }
    return [_job(name, operation) for name, operation in named.items()]


def _job(name: str, operation: dg.OpDefinition) -> dg.JobDefinition:
    @dg.job(name=name, description=operation.description)
    def job() -> None:
        operation()

    return job


def _order(give: Any, *arguments: Any) -> Any:
    """What an order gives; a refusal ends the run with its sentence."""
    try:
        return give(*arguments)
    except Refused as refusal:
        redact_error(refusal)  # it may quote what a row holds
        raise dg.Failure(str(refusal), {REFUSAL: type(refusal).__name__}, allow_retries=False) from refusal


def _home(context: dg.OpExecutionContext, order: Ordered) -> Home:
    """The home, on which whoever the order names acts."""
    home: Home = getattr(context.resources, HOME)
    return Home(replace(home.settings, person=order.person)) if order.person else home


def _reason(text: str) -> str:
    if not text.strip():
        raise dg.Failure("The reason is empty. Say why, for whoever reads the audit log.", allow_retries=False)
    return text.strip()

"""One governed step, in this order: load the inputs, compute, gate, publish.

Every asset of a workflow runs through it.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dagster as dg
import pandas as pd
import sqlalchemy as sa

from orchestration_project.core.contracts import Contract, arrow_schema, check, empty_frame, records, version_of
from orchestration_project.core.errors import ArtifactRefused, Conflict, Refused
from orchestration_project.core.redaction import redact
from orchestration_project.core.settings import dagster_home
from orchestration_project.model_output import publication
from orchestration_project.model_output.computed import Computed, of_own_messages
from orchestration_project.model_output.gate import Judgement, check_results, judge
from orchestration_project.model_output.in_time import in_time
from orchestration_project.model_output.inputs import Inputs, Run, Signature, load
from orchestration_project.model_output.materialisation import data_version, shown
from orchestration_project.model_output.measures import Seen
from orchestration_project.model_output.publication import Outcome
from orchestration_project.model_output.redacted import redact_error, redacted
from orchestration_project.model_output.shadow import Shadow
from orchestration_project.model_output.watch import Found, Watch
from orchestration_project.model_output.watch_checks import watch_results
from orchestration_project.model_output.with_people import people_facts, record_reviews, verdict_events
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.decision import answering
from orchestration_project.performers.reuse import erased
from orchestration_project.stores import manifest, outbox
from orchestration_project.stores.accepted_columns import read_accepted, with_accepted
from orchestration_project.stores.arrivals import Arrivals
from orchestration_project.stores.home import Home
from orchestration_project.stores.outbox import Notice
from orchestration_project.stores.run_requests import EVERY_OUTPUT, RESCORE_TAG

Record = Callable[[sa.Connection, Sequence[Mapping[str, Any]]], None]
"""What else is written in the transaction that publishes an asset's rows."""

REFUSAL = "refusal"
"""Metadata key of a failure that is an answer: trying again would give the same."""

REPEATS = 20
"""How often a step starts over because another run published first."""


@dataclass(frozen=True)
class Step:
    """An asset of a workflow: its function and what holds around it."""

    name: str
    function: "Function"
    contract: type[Contract]
    signature: Signature
    cascade: Cascade | None = None
    output_required: bool = True
    announce: Callable[[Mapping[str, Any]], Notice] | None = None
    record: Record | None = None
    watch: Watch | None = None
    limit_seconds: float | None = None  # of the function, and of the performers together; None: the setting's


@dataclass(frozen=True)
class Result:
    """Rows with metadata that the UI shows beside them; a step's function may return it in place of a plain frame."""

    frame: pd.DataFrame
    metadata: Mapping[str, Any]


Function = Callable[..., pd.DataFrame | Result]


def run_step(step: Step, context: dg.AssetExecutionContext, home: Home) -> Iterator[Any]:
    """Run one step of a run; yields Dagster's checks and materialisation, or raises dg.Failure for a refusal or a
    halt. What either says, and any other error, is redacted; rows are published, and quarantined, as they are.
    """
    try:
        yield from _run(step, context, home)
    except Exception as error:
        redact_error(error)
        raise


def _run(step: Step, context: dg.AssetExecutionContext, home: Home) -> Iterator[Any]:
    refuse_temporary_dagster_home(context)
    partition = context.partition_key if context.has_partition_key else manifest.UNPARTITIONED
    for _ in range(REPEATS):
        try:
            yield from _attempt(step, context, home, partition)
        except Conflict as conflict:
            context.log.info(redact(f"{conflict} Reading again."))
        except Refused as refusal:
            raise dg.Failure(str(refusal), {REFUSAL: type(refusal).__name__}, allow_retries=False) from refusal
        else:
            return
    raise dg.Failure(
        f"{step.name} was published by other runs {REPEATS} times in a row. Start it again when they ended."
    )


def refuse_temporary_dagster_home(context: dg.AssetExecutionContext) -> None:
    """Fail when Dagster runs with a temporary home: its batch keys would vanish while the ledger keeps what was
    published.
    """
    if not dagster_home() and not context.instance.is_ephemeral:
        raise dg.Failure(
            "DAGSTER_HOME is not set, so Dagster would forget this run. Run `make` once in the project: "
            "it writes .env, which Dagster reads from the folder it is started in.",
            allow_retries=False,
        )


def _attempt(step: Step, context: dg.AssetExecutionContext, home: Home, partition: str) -> Iterator[Any]:
    with home.ledger.read() as connection:
        before = manifest.current(connection, step.name, partition)
    run = Run(context.run.run_id, context.run.tags, context.log.info)
    inputs = load(home, step.signature, partition, (step.name, arrow_schema(step.contract)), run)
    computed = _compute(step, home, partition, inputs, _stored_decisions(step, context, home, partition))
    contract = step.contract
    if computed.decisions is not None:
        contract = answering(contract, computed.decisions.labels)
    checked = check(contract, computed.frame)
    judgement = judge(checked, home.settings, len(computed.unparsable), has_batches=bool(partition))
    found = _look(step, home, partition, computed, judgement)
    if judgement.halt is None and found is not None:
        judgement = replace(judgement, halt=found.halt)
    outcome = Outcome(
        step.name,
        partition,
        context.run.run_id,
        judgement,
        computed.raw,
        computed.unparsable,
        computed.duplicates,
        inputs.arrivals is not None,
        computed.claimed,
        computed.facts,
        computed.message_ids,
        computed.origin,
        version_of(step.contract),
    )
    replaces = before.version if before else 0
    takes_arrivals = inputs.arrivals is not None
    results = [
        *check_results(step.name, contract, judgement, partition, takes_arrivals=takes_arrivals),
        *watch_results(step.name, step.watch, found),
    ]
    ids = _message_ids(checked.frame)
    if judgement.halt:
        publication.halt(home, outcome, judgement.halt, replaces=replaces, inputs=inputs.versions)
        yield from (redacted(result, ids) for result in results)
        raise dg.Failure(f"{step.name} is halted. {judgement.halt}", allow_retries=False)
    notices = _notices(step, judgement)
    shadow = None
    if computed.decisions is not None:
        shadow = Shadow.of(
            home, step.name, partition, outcome.run_id, computed.decisions, checked.good, context.log.warning
        )
        computed.metadata = {**computed.metadata, **(shadow.facts() if shadow else {})}
    version = publication.publish(
        home,
        outcome,
        contract,
        replaces=replaces,
        inputs=inputs.versions,
        notices=notices,
        record=_recorded(step, outcome, inputs, computed, found, shadow),
    )
    if notices:
        outbox.deliver(home, context.log.info)
    if computed.decisions is not None:
        for event in verdict_events(step.name, partition, computed.decisions):
            context.log_event(event)
    if step.output_required or version.rows:
        result = dg.MaterializeResult(
            metadata=shown(computed, judgement, version),
            check_results=results,
            data_version=data_version(checked.good, contract, home.secret),
        )
        yield redacted(result, ids)
    else:
        yield from (redacted(result, ids) for result in results)


def _message_ids(frame: pd.DataFrame) -> Iterable[str]:
    """Ids by which people look messages up; none where the rows have no such column."""
    return frame["message_id"].dropna().astype("str") if "message_id" in frame else []


def _stored_decisions(step: Step, context: dg.AssetExecutionContext, home: Home, partition: str) -> pd.DataFrame | None:
    """The decisions that the cascade may reuse, also of a version that is out of use; when the run is to ask again, those
    on erased messages. None when their file is gone.
    """
    if step.cascade is None:
        return None
    with home.ledger.read() as connection:
        last = manifest.latest(connection, step.name, partition)
    if last is None:
        return None
    try:
        stored = home.warehouse.read(last.path).to_pandas()
    except ArtifactRefused as refusal:
        context.log.warning(f"{refusal} This run does so and asks the performers again.")
        return None
    return erased(stored) if context.run.tags.get(RESCORE_TAG) in (EVERY_OUTPUT, step.name) else stored


def _compute(step: Step, home: Home, partition: str, inputs: Inputs, stored: pd.DataFrame | None) -> Computed:
    started, limit_seconds = time.perf_counter(), step.limit_seconds or home.settings.asset_seconds
    if inputs.arrivals is not None:
        accepted = read_accepted(home.settings.accepted_columns).get(step.name, {})
        arrivals = replace(inputs.arrivals, rows=with_accepted(inputs.arrivals.rows, accepted))
        inputs.arguments |= {name: arrivals for name in step.signature.arrivals}
    if inputs.arrivals is not None and inputs.arrivals.rows.columns.empty:
        result = empty_frame(step.contract)  # no line could be read, so no column is known that could be missing
    else:
        result = in_time(step.name, step.function, inputs.arguments, limit_seconds)
    frame = result.frame if isinstance(result, Result) else result
    _refuse_mistakes(step, frame, inputs.arrivals)
    if step.cascade is not None:
        decisions = step.cascade.decide(
            frame, home, stored, asset=step.name, partition=partition, limit_seconds=limit_seconds
        )
        computed = Computed(decisions.frame, frame.reset_index(drop=True), decisions=decisions)
        computed.facts = {"performers": [vars(work) for work in decisions.work], "reused": decisions.reused}
        computed.facts |= people_facts(decisions)
    elif inputs.arrivals is not None:
        computed = of_own_messages(step.name, home, partition, inputs.arrivals, frame)
    else:
        computed = Computed(frame, frame.reset_index(drop=True))
    computed.metadata = result.metadata if isinstance(result, Result) else {}
    computed.seconds = time.perf_counter() - started
    return computed


def _refuse_mistakes(step: Step, frame: object, arrivals: Arrivals | None) -> None:
    """TypeError when a step's function gave what no contract could judge."""
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"{step.name} returned {type(frame).__name__}. Return a pandas frame, or a Result with one.")
    if step.cascade is not None and "message_id" not in frame:
        raise TypeError(f"{step.name} returned no column message_id. Return it with the columns that performers see.")
    if arrivals is not None and not frame.index.equals(arrivals.rows.index):
        raise TypeError(
            f"{step.name} returned {len(frame)} rows for {len(arrivals.rows)} arrivals, or another index. "
            "Return a row for each, with the index of arrivals.rows; the contract refuses the bad ones."
        )


def _look(step: Step, home: Home, partition: str, computed: Computed, judgement: Judgement) -> Found | None:
    """How the batch stands against those before it; None without a watch, and where no row could be judged."""
    if step.watch is None or judgement.checked.drift:
        return None
    seen = Seen(
        judgement.checked.good,
        judgement.rows + computed.duplicates,
        computed.duplicates,
        judgement.refused,
        step.watch.known_words(home, step.name),
    )
    return step.watch.look(home, step.name, partition, seen)


def _recorded(
    step: Step,
    outcome: Outcome,
    inputs: Inputs,
    computed: Computed,
    found: Found | None,
    shadow: Shadow | None,
) -> Record:
    """What is written in the transaction that publishes, besides the version: the step's own, what was measured, what
    waits for people, and what performers in shadow answered.
    """
    partition = outcome.partition

    def record(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        if shadow is not None:
            shadow.publish(connection, partition, outcome.run_id, inputs.versions)
        if step.cascade is not None and computed.decisions is not None:
            published = {row["message_id"] for row in rows}
            record_reviews(connection, step.cascade, step.name, partition, computed.decisions, published)
        if step.record is not None:
            step.record(connection, rows)
        if found is not None:
            found.record(connection, step.name, partition)

    return record


def _notices(step: Step, judgement: Judgement) -> list[Notice]:
    if step.announce is None:
        return []
    return [step.announce(row) for row in records(judgement.checked.good)]

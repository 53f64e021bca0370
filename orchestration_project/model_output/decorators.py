"""The two decorators of a workflow: `governed_asset` for one step, `model_output` for a step whose rows are decisions.

    @model_output(Cascade(Model("sentiment"), safe_state=Lexicon()), contract=Sentiment)
    def sentiment(feedback: pd.DataFrame) -> pd.DataFrame:
        "What each customer feels about us."
        return feedback[["message_id", "text"]]

Both return an ordinary `dg.AssetsDefinition` and pass further arguments on to `dg.asset`.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg
from dagster._core.definitions.decorators.op_decorator import DecoratedOpFunction

from orchestration_project.core.contracts import Contract, arrow_schema, columns
from orchestration_project.model_output.gate import check_specs
from orchestration_project.model_output.inputs import Signature, key_of
from orchestration_project.model_output.partitions import BATCHES
from orchestration_project.model_output.step import Function, Record, Step, run_step
from orchestration_project.model_output.watch import Watch
from orchestration_project.model_output.watch_checks import watch_specs
from orchestration_project.model_output.with_people import VERDICTS
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.decision import Decision, answering
from orchestration_project.stores.outbox import Notice

HOME = "home"
"""Key of the resource that a step takes its stores from."""

GOVERNED = "orchestrate/contract"
"""Metadata key that marks a governed asset; its value is the contract's name."""

STEP = "orchestrate/step"
"""Tag that says what kind of step an asset is: `governed_asset` or `model_output`; the catalog filters by it."""

_MADE_FROM = "step"


def governed_asset(
    *,
    contract: type[Contract],
    inputs: Mapping[str, str] | None = None,
    announce: Callable[[Mapping[str, Any]], Notice] | None = None,
    record: Record | None = None,
    partitions_def: dg.PartitionsDefinition | None = BATCHES,
    output_required: bool = True,
    watch: Watch | None = None,
    limit_seconds: float | None = None,
    **arguments: Any,
) -> Callable[[Function], dg.AssetsDefinition]:
    """An asset whose function gives rows of a contract: loaded, computed, gated and published as one step.

    Parameters of the function name its input assets; `inputs` maps a parameter to an asset of another name, and `deps`
    names assets that it only reads by SQL, through a `warehouse` parameter. `announce` makes a notice of each published
    row; `record` writes what else belongs into the transaction that publishes; `watch` holds batches against those
    before them; `limit_seconds` is how long the function may take (None: the setting's). `arguments` go to `dg.asset`.
    """

    def decorate(function: Function) -> dg.AssetsDefinition:
        own = dict(arguments)
        step = Step(
            name=own.pop("name", function.__name__),
            function=function,
            contract=contract,
            signature=Signature.of(function, inputs or {}, own.get("deps", ())),
            output_required=output_required,
            announce=announce,
            record=record,
            watch=watch,
            limit_seconds=limit_seconds,
        )
        return _asset(step, partitions_def, own)

    return decorate


def model_output(
    cascade: Cascade,
    *,
    contract: type[Decision],
    inputs: Mapping[str, str] | None = None,
    watch: Watch | None = None,
    limit_seconds: float | None = None,
    **arguments: Any,
) -> Callable[[Function], dg.AssetsDefinition]:
    """An asset whose rows are decisions: the function chooses the rows and what the performers are shown, the cascade
    decides.

    The function returns `message_id` and the columns that the performers look at. `watch` holds batches of decisions
    against those before them; `limit_seconds` is how long the function may take, and all performers together (None: the
    setting's). `arguments` go to `dg.asset`.
    """
    if not issubclass(contract, Decision):  # pyright: ignore[reportUnnecessaryIsInstance]  # not everybody runs pyright
        raise TypeError(f"{contract.__name__} is no Decision. Build the contract of a model output on Decision.")

    def decorate(function: Function) -> dg.AssetsDefinition:
        own = dict(arguments)
        step = Step(
            name=own.pop("name", function.__name__),
            function=function,
            contract=contract,
            signature=Signature.of(function, inputs or {}, own.get("deps", ())),
            cascade=cascade,
            watch=watch,
            limit_seconds=limit_seconds,
        )
        kinds = dict.fromkeys([*(performer.kind for performer in cascade.performers), "python"])
        own.setdefault("kinds", set(list(kinds)[:3]))  # Dagster shows no more
        return _asset(step, BATCHES, own)

    return decorate


def _asset(
    step: Step, partitions_def: dg.PartitionsDefinition | None, arguments: dict[str, Any]
) -> dg.AssetsDefinition:
    if step.limit_seconds is not None and not 0 < step.limit_seconds < math.inf:
        raise ValueError(f"limit_seconds of {step.name} is {step.limit_seconds}. Give a number of seconds above 0.")
    inputs = [dg.AssetKey(wanted.asset) for wanted in step.signature.assets.values()]
    more = [dep for dep in arguments.pop("deps", ()) if key_of(dep) not in inputs]
    champions = [dg.AssetKey(f"{family}_champion") for family in (step.cascade.families if step.cascade else ())]
    people = [VERDICTS.key] if step.cascade is not None and step.cascade.has_people else []
    contract = step.contract if step.cascade is None else answering(step.contract)
    metadata = {
        GOVERNED: contract.__name__,
        "dagster/column_schema": column_schema(contract),
        **arguments.pop("metadata", {}),
    }
    tags = {STEP: "governed_asset" if step.cascade is None else "model_output", **arguments.pop("tags", {})}
    if step.cascade is not None:
        metadata["cascade"] = " → ".join(p.name for p in (*step.cascade.performers, step.cascade.safe_state))
        metadata["safe_state"] = step.cascade.safe_state.name
    arguments.setdefault("description", inspect.getdoc(step.function))
    arguments.setdefault("kinds", {"python", "parquet"})
    if step.watch is not None and (policy := step.watch.freshness(step.name)) is not None:
        arguments.setdefault("freshness_policy", policy)

    def body(context: dg.AssetExecutionContext):  # Dagster would read a return annotation as the output type
        yield from run_step(step, context, getattr(context.resources, HOME))

    vars(body)[_MADE_FROM] = step
    return dg.asset(
        name=step.name,
        deps=[*inputs, *champions, *more, *people],
        partitions_def=partitions_def,
        check_specs=[
            *check_specs(step.name, contract, is_partitioned=partitions_def is not None),
            *watch_specs(step.name, step.watch),
        ],
        required_resource_keys={HOME},
        output_required=step.output_required,
        metadata=metadata,
        tags=tags,
        **arguments,
    )(body)


def step_of(asset: dg.AssetsDefinition) -> Step | None:
    """The step that one of the two decorators made an asset from; None for any other asset."""
    function = asset.op.compute_fn if asset.is_executable else None
    return vars(function.decorated_fn).get(_MADE_FROM) if isinstance(function, DecoratedOpFunction) else None


def column_schema(contract: type[Contract]) -> dg.TableSchema:
    """The contract's columns as Dagster's UI shows them: type, nullability, uniqueness, rules, description."""
    types = arrow_schema(contract)
    return dg.TableSchema(
        [
            dg.TableColumn(
                name,
                type=str(types.field(name).type),
                description=column.description,
                constraints=dg.TableColumnConstraints(
                    nullable=column.nullable,
                    unique=column.unique,
                    other=[str(check.error or check.name) for check in column.checks],
                ),
            )
            for name, column in columns(contract).items()
        ]
    )

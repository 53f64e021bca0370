"""What a step reads: the current versions of its inputs, and the numbers of those versions so that publishing can
compare them.

The annotation of a parameter says in which form it comes:

    feedback: pd.DataFrame                     the asset `feedback` of the same batch; of decisions, the decided rows
    feedback: pyarrow.Table                    the same as Arrow
    feedback: duckdb.DuckDBPyRelation          the same as a DuckDB relation
    arrivals: Arrivals                         what came in with the batch
    warehouse: duckdb.DuckDBPyConnection       current rows of all batches, read-only: a view for each asset that the
                                               step takes, names in `deps`, or is itself
    batch: Batch                               the key of the batch
    home: Home                                 the stores themselves, for steps that train or register
    run: Run                                   Dagster's run: its id, its tags, and where progress is told
"""

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import duckdb
import pandas as pd
import pyarrow
import pyarrow.compute
import sqlalchemy as sa

from orchestration_project.core.errors import HaltedInput, MissingInput, Refused
from orchestration_project.stores import manifest
from orchestration_project.stores.ancestry import Ancestry
from orchestration_project.stores.arrivals import Arrivals
from orchestration_project.stores.arrivals import read as read_arrivals
from orchestration_project.stores.batches import get as get_batch
from orchestration_project.stores.batches import open_by_key
from orchestration_project.stores.halts import Halt, open_halts
from orchestration_project.stores.home import Home
from orchestration_project.stores.warehouse import by_asset


class Batch(str):
    """The key of the batch that a step works on."""

    __slots__ = ()


@dataclass(frozen=True)
class Run:
    """Dagster's run that a step belongs to. `log` puts a line into the run's log in the UI."""

    id: str
    tags: Mapping[str, str]
    log: Callable[[str], None]


ASSET_FORMS = (pd.DataFrame, pyarrow.Table, duckdb.DuckDBPyRelation)
OTHER_FORMS = (Arrivals, duckdb.DuckDBPyConnection, Home, Batch, Run)


@dataclass(frozen=True)
class AssetInput:
    """A parameter that takes the rows of an asset, in one of the forms."""

    asset: str
    form: type


@dataclass(frozen=True)
class Signature:
    """What the parameters of a step's function ask for; `reads` are the assets that it may read by SQL."""

    assets: Mapping[str, AssetInput]
    arrivals: tuple[str, ...] = ()
    warehouses: tuple[str, ...] = ()
    homes: tuple[str, ...] = ()
    batches: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    reads: frozenset[str] = frozenset()

    @classmethod
    def of(cls, function: Callable[..., Any], named: Mapping[str, str], deps: Iterable[Any] = ()) -> "Signature":
        """Read a function's parameters; TypeError for one whose annotation says nothing.

        A parameter takes the asset of its own name, or the one that `named` gives for it. `deps` are assets as
        `dg.asset` takes them.
        """
        assets: dict[str, AssetInput] = {}
        others: dict[type, list[str]] = {form: [] for form in OTHER_FORMS}
        for name, parameter in inspect.signature(function).parameters.items():
            form = parameter.annotation
            if form in ASSET_FORMS:
                assets[name] = AssetInput(named.get(name, name), form)
            elif form in others:
                others[form].append(name)
            else:
                known = ", ".join(known.__name__ for known in (*ASSET_FORMS, *OTHER_FORMS))
                found = "not annotated" if form is inspect.Parameter.empty else f"annotated {form!r}"
                raise TypeError(
                    f"Parameter '{name}' of {function.__name__} is {found}. Annotate it with one of: {known}."
                )
        reads = {key_of(dep).to_user_string() for dep in deps}
        reads |= {wanted.asset for wanted in assets.values()}
        return cls(assets, *(tuple(others[form]) for form in OTHER_FORMS), reads=frozenset(reads))


def key_of(dep: Any) -> dg.AssetKey:
    """Key of an asset that is named as `dg.asset` allows it in `deps`."""
    return (dep if isinstance(dep, dg.AssetDep) else dg.AssetDep(dep)).asset_key


@dataclass
class Inputs:
    """Arguments of a step's function, and what they were read from."""

    arguments: dict[str, Any] = field(default_factory=lambda: dict[str, Any]())
    versions: dict[str, int] = field(default_factory=lambda: dict[str, int]())
    arrivals: Arrivals | None = None


def load(
    home: Home, signature: Signature, partition: str, own: tuple[str, pyarrow.Schema], run: Run | None = None
) -> Inputs:
    """Read everything a step asks for.

    Raises Refused for a batch that was discarded, HaltedInput when an input's partition has an open halt, MissingInput
    when an input was never published, StaleInput when two inputs come from different versions of one asset, NoArrivals
    when a new batch finds nothing to take in. `own` is the name and schema of the step's output, so that its
    view exists before its first row.
    """
    inputs = Inputs({name: home for name in signature.homes} | {name: run for name in signature.runs})
    inputs.arguments |= {name: Batch(partition) for name in signature.batches}
    with home.ledger.read() as connection:
        refuse_discarded(connection, partition)
    for name in signature.arrivals:
        open_by_key(home, partition)
        inputs.arrivals = inputs.arguments[name] = read_arrivals(home, partition)
    with home.ledger.read() as connection:
        refuse_halted(connection, partition, {wanted.asset for wanted in signature.assets.values()})
        found = {name: _current(connection, wanted.asset, partition) for name, wanted in signature.assets.items()}
        if partition:
            own_inputs = [version for version in found.values() if version.partition == partition]
            Ancestry(connection, partition).require_fitting(own_inputs)
        everything = manifest.all_current(connection) if signature.warehouses else []
    for name, version in found.items():
        inputs.versions[version.asset] = version.version
        rows = decided_rows(home.warehouse.read(version.path))
        inputs.arguments[name] = _formed(rows, signature.assets[name].form)
    for name in signature.warehouses:
        seen = signature.reads | {own[0]}
        files = by_asset((version.asset, version.path) for version in everything if version.asset in seen)
        inputs.arguments[name] = home.warehouse.connect(files, empty={own[0]: own[1]})
    return inputs


def read_input(home: Home, asset: str, partition: str, form: Any) -> Inputs:
    """One asset's current rows as the argument of its name, in the form asked for (pandas where it says nothing).

    HaltedInput or MissingInput as in `load`.
    """
    wanted = AssetInput(asset, form if form in ASSET_FORMS else pd.DataFrame)
    return load(home, Signature({asset: wanted}), partition, ("", pyarrow.schema([])))


def refuse_discarded(connection: sa.Connection, partition: str) -> None:
    """Raise Refused for a batch that was given up: nothing is computed for it any more."""
    found = get_batch(connection, partition)
    if found is not None and found.state == "discarded":
        raise Refused(f"Batch {partition} was discarded: {found.cause}. Send its messages again.")


def refuse_halted(connection: sa.Connection, partition: str, inputs: Collection[str]) -> None:
    """Raise HaltedInput for the first open halt, in the partition or without one, of an input or of anything that the
    inputs were computed from.
    """
    halts = [halt for halt in open_halts(connection) if halt.partition in (partition, manifest.UNPARTITIONED)]
    upstream = manifest.computed_from(connection, inputs, partition) if halts else ()
    for halt in halts:
        if halt.asset in upstream:
            raise _halted(halt)


def _halted(halt: Halt) -> HaltedInput:
    return HaltedInput(
        f"{halt.told}: {halt.reason} Mend the cause and materialise {halt.asset} again; nothing downstream runs before."
    )


def decided_rows(table: pyarrow.Table) -> pyarrow.Table:
    """The rows that downstream steps see: of a table of decisions those that are decided, of any other table all."""
    if {"state", "decided_by"} <= set(table.column_names):
        return table.filter(pyarrow.compute.field("state") == "decided")
    return table


def _current(connection: sa.Connection, name: str, partition: str) -> manifest.Version:
    found = manifest.current(connection, name, partition)
    found = found or manifest.current(connection, name, manifest.UNPARTITIONED)
    if found is None:
        for halt in open_halts(connection, partition):
            raise _halted(halt)  # it is why the input was never made
        where = f"in batch {partition}" if partition else "yet"
        raise MissingInput(f"{name} has no published version {where}. Materialise {name} first.")
    return found


def _formed(table: pyarrow.Table, form: type) -> Any:
    if form is pyarrow.Table:
        return table
    if form is duckdb.DuckDBPyRelation:
        return duckdb.connect().from_arrow(table)
    return table.to_pandas()

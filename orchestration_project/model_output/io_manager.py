"""How an ordinary `@dg.asset` reads and writes the warehouse: its inputs come from the manifest, its frame becomes a
version.

Such an asset has no contract, so nothing gates it; everything else holds (halted inputs are refused, versions are
immutable and audited, and name the versions that they were computed from).
"""

from collections import defaultdict
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow
import sqlalchemy as sa

from orchestration_project.core.errors import Conflict
from orchestration_project.governance import audit
from orchestration_project.model_output.inputs import read_input, refuse_halted
from orchestration_project.stores import manifest
from orchestration_project.stores.home import Home


class WarehouseIOManager(dg.IOManager):
    """Reads an input in the form its annotation names; writes a pandas frame or an Arrow table.

    It remembers which versions each step of a run was given: a step whose inputs another run published meanwhile does
    not publish.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        # (run, step) → (input, partition) → version
        self._read: defaultdict[tuple[str, str], dict[tuple[str, str], int]] = defaultdict(dict)

    def load_input(self, context: dg.InputContext) -> Any:
        """The current rows of the input's partition; HaltedInput or MissingInput as in a governed step."""
        asset = context.asset_key.to_user_string()
        partition = context.asset_partition_key if context.has_asset_partitions else manifest.UNPARTITIONED
        inputs = read_input(self._home, asset, partition, context.dagster_type.typing_type)
        if context.has_input_name:  # else it is read outside of a run
            step = context.step_context
            self._read[step.run_id, step.step.key][asset, partition] = inputs.versions[asset]
        return inputs.arguments[asset]

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Publish a frame as the asset's version.

        TypeError for anything else; Conflict when an input is no longer the version that was read, which a new attempt
        mends. Another run's version of the asset itself is replaced: it was computed from the same.
        """
        asset = context.asset_key.to_user_string()
        if not isinstance(obj, pd.DataFrame | pyarrow.Table):
            raise TypeError(f"{asset} returned {type(obj).__name__}. Return a pandas frame or an Arrow table.")
        table = obj if isinstance(obj, pyarrow.Table) else pyarrow.Table.from_pandas(obj, preserve_index=False)
        partition = context.asset_partition_key if context.has_asset_partitions else manifest.UNPARTITIONED
        file = self._home.warehouse.write(asset, partition, context.run_id, table)
        with self._home.ledger.write() as connection:
            inputs = self._unchanged_inputs(connection, context, asset, partition)
            refuse_halted(connection, partition, inputs)
            before = manifest.current(connection, asset, partition)
            version = manifest.publish(
                connection,
                asset=asset,
                partition=partition,
                run_id=context.run_id,
                file=file,
                replaces=before.version if before else 0,
                inputs=inputs,
            )
            detail = {**version.facts(), "rows": file.rows, "gated": False}
            audit.append(connection, "published", f"{asset}/{partition}", detail)
        context.add_output_metadata({"dagster/row_count": file.rows, "file": file.path})

    def _unchanged_inputs(
        self, connection: sa.Connection, context: dg.OutputContext, asset: str, partition: str
    ) -> dict[str, int]:
        """The versions that the step was given of inputs in its own partition or without one; Conflict when any input,
        wherever it lies, has another by now.
        """
        read = self._read[context.run_id, context.step_key]
        for (name, where), version in read.items():
            if _version(connection, name, where) != version:
                raise Conflict(
                    f"{name}, an input of {asset}, was published by another run meanwhile. Materialise {asset} again."
                )
        return {
            name: version for (name, _), version in read.items() if _version(connection, name, partition) == version
        }


def _version(connection: sa.Connection, asset: str, partition: str) -> int | None:
    found = manifest.current(connection, asset, partition)
    found = found or manifest.current(connection, asset, manifest.UNPARTITIONED)
    return found.version if found else None

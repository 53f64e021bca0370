"""How an ordinary `@dg.asset` reads and writes the warehouse: its inputs come from the manifest, its frame becomes a
version.

Such an asset has no contract, so nothing gates it; everything else holds (halted inputs are refused, versions are
immutable and audited).
"""

from typing import Any

import dagster as dg
import pandas as pd
import pyarrow

from orchestration_project.core.errors import Conflict
from orchestration_project.governance import audit
from orchestration_project.model_output.inputs import read_input
from orchestration_project.stores import manifest
from orchestration_project.stores.home import Home

REPEATS = 20


class WarehouseIOManager(dg.IOManager):
    """Reads an input in the form its annotation names; writes a pandas frame or an Arrow table."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def load_input(self, context: dg.InputContext) -> Any:
        """The current rows of the input's partition; HaltedInput or MissingInput as in a governed step."""
        partition = context.asset_partition_key if context.has_asset_partitions else manifest.UNPARTITIONED
        form = context.dagster_type.typing_type
        return read_input(self._home, context.asset_key.to_user_string(), partition, form)

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Publish a frame as the asset's version; TypeError for anything else."""
        asset = context.asset_key.to_user_string()
        if not isinstance(obj, pd.DataFrame | pyarrow.Table):
            raise TypeError(f"{asset} returned {type(obj).__name__}. Return a pandas frame or an Arrow table.")
        table = obj if isinstance(obj, pyarrow.Table) else pyarrow.Table.from_pandas(obj, preserve_index=False)
        partition = context.asset_partition_key if context.has_asset_partitions else manifest.UNPARTITIONED
        file = self._home.warehouse.write(asset, partition, context.run_id, table)
        for _ in range(REPEATS):
            with self._home.ledger.read() as connection:
                before = manifest.current(connection, asset, partition)
            try:
                with self._home.ledger.write() as connection:
                    version = manifest.publish(
                        connection,
                        asset=asset,
                        partition=partition,
                        run_id=context.run_id,
                        file=file,
                        replaces=before.version if before else 0,
                        inputs={},
                    )
                    detail = {"rows": file.rows, "version": version.version, "file_sha256": file.sha256, "gated": False}
                    audit.append(connection, "published", f"{asset}/{partition}", detail)
            except Conflict:
                continue
            context.add_output_metadata({"dagster/row_count": file.rows, "file": file.path})
            return
        raise Conflict(f"{asset} was published by other runs {REPEATS} times in a row. Start it again when they ended.")

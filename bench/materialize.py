"""Runs of assets in this process, for measurements that need no server."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from orchestration_project.stores.home import Home


def materialize(
    home: Home, *assets: dg.AssetsDefinition, batch: str | None = None, tags: Mapping[str, Any] | None = None
) -> None:
    """Run assets as Dagster does it, on an instance of their own."""
    with dg.DagsterInstance.ephemeral() as instance:
        if batch is not None:
            instance.add_dynamic_partitions("batch", [batch])
        dg.materialize(list(assets), partition_key=batch, instance=instance, resources={"home": home}, tags=tags)

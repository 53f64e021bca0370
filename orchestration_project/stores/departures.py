"""Messages that leave a batch: replayed or sent again in another, or given up. No version that holds one stays in use."""

from collections.abc import Collection

import sqlalchemy as sa

from orchestration_project.stores import batches, manifest, run_requests
from orchestration_project.stores.ancestry import Ancestry
from orchestration_project.stores.home import Home


def leave(
    connection: sa.Connection, home: Home, batch: str, message_ids: Collection[str], *, asset: str, because_of: str
) -> list[str]:
    """Take out of use each version of a batch that holds one of these messages, and what was computed from it; returns
    their assets.

    A passing gate publishes no message that it refuses, so there are such versions only behind a halt. What is left of
    the batch runs again then. Where nothing is left, `asset`, which takes messages in, is halted no more, and the batch
    is done (see `batches.end_if_empty`). In the caller's transaction, after the messages left.
    """
    leaving = set(message_ids)
    holders = [
        version.asset
        for version in manifest.all_current(connection, batch)
        if leaving and not leaving.isdisjoint(home.warehouse.message_ids(version.path))
    ]
    withdrawn = manifest.withdraw(connection, batch, Ancestry(connection, batch).below(holders))
    is_over = batches.end_if_empty(connection, batch, asset=asset, because_of=because_of)
    if withdrawn and not is_over:
        batches.set_state(connection, batch, "working")
        run_requests.request(connection, batch=batch, cause="rest")
    return withdrawn

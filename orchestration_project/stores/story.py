"""The whole story of one message: what came in, what each asset made of it, what was alerted."""

from typing import Any

import pyarrow.compute
import sqlalchemy as sa

from orchestration_project.core.errors import UnknownName, did_you_mean
from orchestration_project.stores import claims, manifest, outbox, quarantine
from orchestration_project.stores.halts import halted_since
from orchestration_project.stores.home import Home
from orchestration_project.stores.manifest import Version
from orchestration_project.stores.schema import CLAIMS

DECISION_FIELDS = ("label", "confidence", "accepted", "decided_by", "performer", "version", "reason")


def story_of(home: Home, message_id: str) -> dict[str, Any]:
    """A message's story: message, source (the asset that has it), decisions, records (rows of other assets), halted (the
    halts behind which one of these is still read), quarantined, alerts (titles).

    UnknownName, with the nearest known id, when no message has this id.
    """
    with home.ledger.read() as connection:
        batch = claims.batch_of(connection, message_id)
        if batch is None:
            known = connection.execute(sa.select(CLAIMS.c.message_id).limit(10_000)).scalars()
            raise UnknownName(f"No message has the id '{message_id}'.{did_you_mean(message_id, known)}")
        current = manifest.all_current(connection, batch)
        source = manifest.first_published(connection, batch)
        halted = halted_since(connection, batch)
        refused = quarantine.refusals_of(connection, message_id)
        notices = [
            notice for notice in outbox.recorded(connection) if message_id in notice["facts"].get("message_ids", ())
        ]
    message: dict[str, Any] = {"message_id": message_id}
    decisions: list[dict[str, Any]] = []
    records: list[dict[str, Any]] = []
    told: set[str] = set()
    for version in current:
        for row in _rows_of(home, version, message_id):
            told.add(version.asset)
            if {"decided_by", "performer"} <= row.keys():
                fields = {name: row[name] for name in DECISION_FIELDS}
                decisions.append({"asset": version.asset, **fields, "batch": batch, "run_id": version.run_id})
            elif version.asset == source:
                message = row
            else:
                records.append({"asset": version.asset, **row})
    return {
        "message": {**message, "batch": batch},
        "source": source,
        "decisions": decisions,
        "records": records,
        "halted": [vars(halt) for halt in halted if halt.asset in told],
        "quarantined": [{"asset": asset, "batch": found, "reason": reason} for asset, found, reason in refused],
        "alerts": [notice["title"] for notice in notices],
    }


def _rows_of(home: Home, version: Version, message_id: str) -> list[dict[str, Any]]:
    table = home.warehouse.read(version.path)
    if "message_id" not in table.column_names:
        return []
    return table.filter(pyarrow.compute.field("message_id") == message_id).to_pylist()

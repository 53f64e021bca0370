"""What the audit log keeps of how a batch was published: who was asked, with which version and threshold."""

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from orchestration_project.stores.schema import AUDIT, HALTS, MANIFEST


def published_details(
    connection: sa.Connection, batch: str, asset: str | None = None, actions: Sequence[str] = ("published",)
) -> list[dict[str, Any]]:
    """The details of the entries on a batch's assets, or on one of them, the newest first. What was pruned is missing."""
    if asset is None:
        assets = sa.union(*(sa.select(table.c.asset).where(table.c.partition == batch) for table in (MANIFEST, HALTS)))
        subjects = [f"{name}/{batch}" for name in connection.execute(assets).scalars()]
    else:
        subjects = [f"{asset}/{batch}"]
    query = sa.select(AUDIT.c.detail).where(AUDIT.c.subject.in_(subjects), AUDIT.c.action.in_(actions))
    found = connection.execute(query.order_by(AUDIT.c.sequence.desc())).scalars()
    return [json.loads(detail) for detail in found]

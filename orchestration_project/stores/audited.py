"""What the audit log keeps of what was done: of a batch, who was asked, with which version and threshold."""

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from orchestration_project.stores.schema import AUDIT, HALTS, MANIFEST


def details_of(
    connection: sa.Connection, *conditions: sa.ColumnElement[bool], newest_first: bool = False
) -> list[dict[str, Any]]:
    """The details of the entries that meet all conditions, in their order. What was pruned is missing."""
    order = AUDIT.c.sequence.desc() if newest_first else AUDIT.c.sequence
    found = connection.execute(sa.select(AUDIT.c.detail).where(*conditions).order_by(order)).scalars()
    return [json.loads(detail) for detail in found]


def published_details(
    connection: sa.Connection, batch: str, asset: str | None = None, actions: Sequence[str] = ("published",)
) -> list[dict[str, Any]]:
    """The details of the entries on a batch's assets, or on one of them, the newest first. What was pruned is missing."""
    if asset is None:
        assets = sa.union(*(sa.select(table.c.asset).where(table.c.partition == batch) for table in (MANIFEST, HALTS)))
        subjects = [f"{name}/{batch}" for name in connection.execute(assets).scalars()]
    else:
        subjects = [f"{asset}/{batch}"]
    its = (AUDIT.c.subject.in_(subjects), AUDIT.c.action.in_(actions))
    return details_of(connection, *its, newest_first=True)

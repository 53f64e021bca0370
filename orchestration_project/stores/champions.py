"""The model version in use of each family with the threshold it accepts from, and which were in use before it.

A revision puts a version in use, or has the one in use accept from another threshold. A version that is put back accepts
from the threshold that it had last.
"""

from dataclasses import replace
from datetime import datetime
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from orchestration_project.core.errors import NoChampion
from orchestration_project.stores import model_versions
from orchestration_project.stores.ledger import now
from orchestration_project.stores.model_versions import ModelVersion
from orchestration_project.stores.schema import CHAMPIONS, MODEL_VERSIONS

_SAME = sa.and_(*(CHAMPIONS.c[name] == MODEL_VERSIONS.c[name] for name in ("family", "version", "sha256")))


def champion(connection: sa.Connection, family: str) -> ModelVersion | None:
    """The family's version in use; None when none was promoted yet. Its threshold is the one it accepts from now, which
    may be another than the recorded one that it was trained to.
    """
    return next((found for found in in_use(connection) if found.family == family), None)


def in_use(connection: sa.Connection) -> list[ModelVersion]:
    """The version in use of every family, by name, each with the threshold it accepts from now."""
    latest = sa.select(CHAMPIONS.c.family, sa.func.max(CHAMPIONS.c.revision)).group_by(CHAMPIONS.c.family)
    chosen = sa.tuple_(CHAMPIONS.c.family, CHAMPIONS.c.revision).in_(latest)
    return _revisions(connection, chosen, CHAMPIONS.c.family)


def since(connection: sa.Connection, family: str) -> datetime | None:
    """When the family's version in use was put there, or its threshold was set, whichever was later; None when there is
    none.
    """
    return connection.execute(
        sa.select(sa.func.max(CHAMPIONS.c.promoted_at)).where(CHAMPIONS.c.family == family)
    ).scalar()


def history(connection: sa.Connection, family: str) -> list[ModelVersion]:
    """Every version that was put in use, the newest promotion first, with the threshold it accepted from last; one that
    was put back stands twice.
    """
    found = _revisions(connection, CHAMPIONS.c.family == family, CHAMPIONS.c.revision.desc())
    return [next(same) for _, same in groupby(found, key=lambda one: (one.version, one.sha256))]


def require_champion(connection: sa.Connection, family: str) -> ModelVersion:
    """The family's version in use, or NoChampion with the command that makes one."""
    found = champion(connection, family)
    if found is None:
        raise NoChampion(f"The model '{family}' has no version in use; run: orchestrate train")
    return found


def promote(connection: sa.Connection, new: ModelVersion, reason: str = "") -> dict[str, Any]:
    """Put a version in use, in the caller's transaction; earlier ones stay recorded. Returns what it wrote."""
    model_versions.record(connection, new)
    its = CHAMPIONS.c
    of_it = sa.and_(*(its[name] == getattr(new, name) for name in ("family", "version", "sha256")))
    last = connection.execute(
        sa.select(its.threshold).where(of_it).order_by(its.revision.desc()).limit(1)
    ).one_or_none()
    return revise(connection, new, new.threshold if last is None else last[0], reason)


def revise(connection: sa.Connection, version: ModelVersion, threshold: float | None, reason: str) -> dict[str, Any]:
    """Have a recorded version be in use and accept from this threshold on, in the caller's transaction. Returns what it
    wrote.
    """
    its = CHAMPIONS.c
    latest = sa.select(sa.func.coalesce(sa.func.max(its.revision), 0)).where(its.family == version.family)
    values: dict[str, Any] = {"family": version.family, "revision": connection.execute(latest).scalar_one() + 1}
    values |= {"version": version.version, "sha256": version.sha256, "promoted_at": now(), "reason": reason}
    values["threshold"] = threshold
    connection.execute(sa.insert(CHAMPIONS).values(**values))
    return values


def _revisions(
    connection: sa.Connection, chosen: "sa.ColumnElement[bool]", order: "sa.ColumnElement[Any]"
) -> list[ModelVersion]:
    query = sa.select(*model_versions.COLUMNS, CHAMPIONS.c.threshold.label("accepts_from")).join(CHAMPIONS, _SAME)
    rows = connection.execute(query.where(chosen).order_by(order))
    return [replace(model_versions.from_row(row), threshold=row.accepts_from) for row in rows]

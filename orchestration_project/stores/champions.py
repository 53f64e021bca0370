"""The model version in use of each family, and which were in use before it."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from orchestration_project.core.errors import NoChampion
from orchestration_project.stores import model_versions
from orchestration_project.stores.ledger import now
from orchestration_project.stores.model_versions import ModelVersion
from orchestration_project.stores.schema import CHAMPIONS, MODEL_VERSIONS

_SAME = sa.and_(*(CHAMPIONS.c[name] == MODEL_VERSIONS.c[name] for name in ("family", "version", "sha256")))


def champion(connection: sa.Connection, family: str) -> ModelVersion | None:
    """The family's version in use; None when none was promoted yet."""
    return next((found for found in in_use(connection) if found.family == family), None)


def in_use(connection: sa.Connection) -> list[ModelVersion]:
    """The version in use of every family, by name."""
    latest = sa.select(CHAMPIONS.c.family, sa.func.max(CHAMPIONS.c.revision)).group_by(CHAMPIONS.c.family)
    query = sa.select(*model_versions.COLUMNS).join(CHAMPIONS, _SAME)
    query = query.where(sa.tuple_(CHAMPIONS.c.family, CHAMPIONS.c.revision).in_(latest)).order_by(CHAMPIONS.c.family)
    return [model_versions.from_row(row) for row in connection.execute(query)]


def since(connection: sa.Connection, family: str) -> datetime | None:
    """When the family's version in use was put there; None when there is none."""
    return connection.execute(
        sa.select(sa.func.max(CHAMPIONS.c.promoted_at)).where(CHAMPIONS.c.family == family)
    ).scalar()


def history(connection: sa.Connection, family: str) -> list[ModelVersion]:
    """Every version that was put in use, the newest promotion first; one that was put back stands twice."""
    query = sa.select(*model_versions.COLUMNS).join(CHAMPIONS, _SAME).where(CHAMPIONS.c.family == family)
    query = query.order_by(CHAMPIONS.c.revision.desc())
    return [model_versions.from_row(row) for row in connection.execute(query)]


def require_champion(connection: sa.Connection, family: str) -> ModelVersion:
    """The family's version in use, or NoChampion with the command that makes one."""
    found = champion(connection, family)
    if found is None:
        raise NoChampion(f"The model '{family}' has no version in use; run: orchestrate train")
    return found


def promote(connection: sa.Connection, new: ModelVersion, reason: str = "") -> dict[str, Any]:
    """Put a version in use, in the caller's transaction; earlier ones stay recorded. Returns what it wrote."""
    model_versions.record(connection, new)
    latest = sa.select(sa.func.coalesce(sa.func.max(CHAMPIONS.c.revision), 0)).where(CHAMPIONS.c.family == new.family)
    revision = connection.execute(latest).scalar_one() + 1
    values: dict[str, Any] = {"family": new.family, "version": new.version, "sha256": new.sha256}
    values |= {"revision": revision, "promoted_at": now(), "reason": reason}
    connection.execute(sa.insert(CHAMPIONS).values(**values))
    return values

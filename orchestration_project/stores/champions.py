"""The model version in use of each family, as the hot path needs it: no registry is imported to load a model."""

import json
from dataclasses import dataclass
from typing import Any, Self

import sqlalchemy as sa

from orchestration_project.core.errors import NoChampion
from orchestration_project.stores.ledger import now
from orchestration_project.stores.schema import CHAMPIONS


@dataclass(frozen=True)
class Champion:
    """The version in use of one family.

    `threshold` is the confidence from which an answer is accepted (None: nothing is); `path` of the artifact is
    relative to the home; `rules` says how right each rule of the family was on the labels.
    """

    family: str
    version: str
    path: str
    sha256: str
    threshold: float | None
    labels: tuple[str, ...]
    metrics: dict[str, Any]
    rules: dict[str, Any]

    def to_json(self) -> str:
        """The record as JSON text."""
        return json.dumps(vars(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The record that `to_json` wrote."""
        fields: dict[str, Any] = json.loads(text)
        labels = tuple(fields.pop("labels"))
        return cls(**fields, labels=labels)


def champion(connection: sa.Connection, family: str) -> Champion | None:
    """The family's version in use; None when none was promoted yet."""
    return next((found for found in in_use(connection) if found.family == family), None)


def in_use(connection: sa.Connection) -> list[Champion]:
    """The version in use of every family, by name."""
    table = CHAMPIONS.c
    latest = sa.select(table.family, sa.func.max(table.revision)).group_by(table.family)
    query = sa.select(
        table.family, table.version, table.path, table.sha256, table.threshold, table.labels, table.metrics, table.rules
    )
    query = query.where(sa.tuple_(table.family, table.revision).in_(latest)).order_by(table.family)
    return [Champion(*row[:5], tuple(row[5]), *row[6:]) for row in connection.execute(query)]


def require_champion(connection: sa.Connection, family: str) -> Champion:
    """The family's version in use, or NoChampion with the command that makes one."""
    found = champion(connection, family)
    if found is None:
        raise NoChampion(f"The model '{family}' has no version in use; run: orchestrate train")
    return found


def promote(connection: sa.Connection, new: Champion) -> None:
    """Put a version in use, in the caller's transaction; earlier ones stay recorded."""
    latest = sa.select(sa.func.coalesce(sa.func.max(CHAMPIONS.c.revision), 0)).where(CHAMPIONS.c.family == new.family)
    revision = connection.execute(latest).scalar_one() + 1
    values = {**vars(new), "labels": list(new.labels), "revision": revision, "promoted_at": now()}
    connection.execute(sa.insert(CHAMPIONS).values(**values))

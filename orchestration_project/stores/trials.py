"""Versions of models on trial: asked in shadow beside the version in use, one of a family at a time."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from orchestration_project.stores import model_versions
from orchestration_project.stores.ledger import now
from orchestration_project.stores.model_versions import ModelVersion
from orchestration_project.stores.schema import MODEL_VERSIONS, TRIALS

_C = TRIALS.c


@dataclass(frozen=True)
class Trial:
    """A version on trial; `trained_by` is who ordered its training, empty where a schedule or a sensor did, and
    `even_if_worse` that a person wants it in use whatever is measured.
    """

    version: ModelVersion
    trained_by: str
    started_at: datetime
    even_if_worse: bool = False

    def is_of(self, version: ModelVersion) -> bool:
        """Whether it is this version, from this file."""
        return (self.version.name, self.version.sha256) == (version.name, version.sha256)

    def facts(self) -> dict[str, Any]:
        """What the audit log keeps of it."""
        its = {name: getattr(self.version, name) for name in ("family", "version", "sha256")}
        own = {"trained_by": self.trained_by, "even_if_worse": self.even_if_worse}
        return {**its, **own, "started_at": self.started_at.isoformat()}


def of_family(connection: sa.Connection, family: str) -> Trial | None:
    """The version of a family that is on trial; None when none is."""
    same = sa.and_(*(_C[name] == MODEL_VERSIONS.c[name] for name in ("family", "version", "sha256")))
    query = sa.select(*model_versions.COLUMNS, _C.trained_by, _C.started_at, _C.even_if_worse).join(TRIALS, same)
    row = connection.execute(query.where(_C.family == family)).one_or_none()
    return (
        None if row is None else Trial(model_versions.from_row(row), row.trained_by, row.started_at, row.even_if_worse)
    )


def start(connection: sa.Connection, version: ModelVersion, trained_by: str, *, even_if_worse: bool = False) -> Trial:
    """Put a recorded version on trial in the place of another of its family, in the caller's transaction."""
    end(connection, version.family)
    trial = Trial(version, trained_by, now(), even_if_worse)
    values = {**trial.facts(), "started_at": trial.started_at}
    connection.execute(sa.insert(TRIALS).values(**values))
    return trial


def end(connection: sa.Connection, family: str) -> None:
    """No version of the family is on trial any more."""
    connection.execute(sa.delete(TRIALS).where(_C.family == family))

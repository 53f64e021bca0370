"""Every version of a model that was trained and evaluated, as the hot path and the command line need it: the model
registry, whose import takes seconds, is not asked.
"""

import hashlib
import json
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Self

import sqlalchemy as sa

from orchestration_project.core.errors import UnknownName, did_you_mean
from orchestration_project.stores.ledger import insert_new, now
from orchestration_project.stores.schema import MODEL_VERSIONS

SHORTEST_PREFIX = 4
"""Fewest characters of a version's digest that may stand for it."""


@dataclass(frozen=True)
class ModelVersion:
    """One version of one family.

    `version` is the digest of all that made it; `path` of the artifact is relative to the home, `sha256` its digest.
    `threshold` is the confidence from which an answer is accepted (None: nothing is). `rules` says how right each rule
    of the family was on the labels. `number` counts in the registry, `label_digest` is of the labels it learnt,
    `run_id` of Dagster's run that trained it; they are empty for versions that an older ledger recorded.
    """

    family: str
    version: str
    path: str
    sha256: str
    threshold: float | None
    labels: tuple[str, ...]
    metrics: dict[str, Any]
    rules: dict[str, Any]
    number: int | None = None
    label_digest: str = ""
    code_version: str = ""
    libraries: dict[str, str] = field(default_factory=lambda: dict[str, str]())
    run_id: str = ""

    @property
    def name(self) -> str:
        """What a switch calls it."""
        return f"{self.family}/{self.version}"

    def to_json(self) -> str:
        """The record as JSON text."""
        return json.dumps(vars(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The record that `to_json` wrote."""
        values: dict[str, Any] = json.loads(text)
        labels = tuple(values.pop("labels"))
        return cls(**values, labels=labels)


COLUMNS = tuple(MODEL_VERSIONS.c[entry.name] for entry in fields(ModelVersion))


def from_row(row: "sa.Row[Any]") -> ModelVersion:
    """The version in a row of `COLUMNS`."""
    values: dict[str, Any] = dict(zip((column.name for column in COLUMNS), row, strict=False))
    labels = tuple(values.pop("labels"))
    return ModelVersion(**values, labels=labels)


def record(connection: sa.Connection, version: ModelVersion) -> dict[str, Any]:
    """Keep a version in the caller's transaction; one that is known already stays as it was recorded. Returns the facts
    of what is kept.
    """
    values = {**vars(version), "labels": list(version.labels), "recorded_at": now()}
    insert_new(connection, MODEL_VERSIONS, [values])
    its = (MODEL_VERSIONS.c[name] == values[name] for name in ("family", "version", "sha256"))
    row = connection.execute(sa.select(*COLUMNS, MODEL_VERSIONS.c.recorded_at).where(*its)).one()
    return facts(from_row(row), row[-1])


def facts(version: ModelVersion, recorded_at: datetime) -> dict[str, Any]:
    """What the audit log keeps of a version as it was recorded; `record_sha256` is of all that was."""
    whole = json.dumps(vars(version), sort_keys=True, separators=(",", ":"))
    return {
        "family": version.family,
        "version": version.version,
        "sha256": version.sha256,
        "path": version.path,
        "threshold": version.threshold,
        "recorded_at": recorded_at.isoformat(),
        "record_sha256": hashlib.sha256(whole.encode()).hexdigest(),
    }


def recorded(connection: sa.Connection, family: str) -> list[tuple[ModelVersion, datetime]]:
    """Every version of a family with the moment it was recorded, the newest first; an unknown family has none."""
    query = sa.select(*COLUMNS, MODEL_VERSIONS.c.recorded_at).where(MODEL_VERSIONS.c.family == family)
    rows = connection.execute(query.order_by(MODEL_VERSIONS.c.recorded_at.desc(), MODEL_VERSIONS.c.version))
    return [(from_row(row), row[-1]) for row in rows]


def find(connection: sa.Connection, family: str, version: str) -> ModelVersion:
    """The version of a family with this digest, or the only one whose digest begins so (4 characters or more).

    UnknownName, with the versions there are, for none and for several.
    """
    known = [found for found, _ in recorded(connection, family)]
    exact = [found for found in known if found.version == version]
    if exact:  # of several files of one version the newest
        return exact[0]
    begun = [found for found in known if found.version.startswith(version) and len(version) >= SHORTEST_PREFIX]
    if len({found.version for found in begun}) == 1:
        return begun[0]
    names = {found.version for found in known}
    raise UnknownName(f"The model '{family}' has no one version '{version}'.{did_you_mean(version, names)}")

"""The models that learnt what a message said. Their files are not changed: they are to be retrained."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from orchestration_project.core.errors import FileRefused
from orchestration_project.governance.erased_files import is_labelled
from orchestration_project.governance.erasure_traces import Traces
from orchestration_project.stores import cascades, champions, families, labels, model_versions, verdicts
from orchestration_project.stores.schema import MODEL_VERSIONS, VERDICTS


@dataclass(frozen=True)
class Learnt:
    """A version of a model that learnt it; `is_in_use` says whether it decides now."""

    family: str
    version: str
    is_in_use: bool


Named = tuple[str, str]
"""Family and version."""


def versions_that_learnt(connection: sa.Connection, imports: Collection[int], shipped: Collection[str]) -> set[Named]:
    """Every version that was trained while one of these label imports counted, or the labels that one of these families
    ships with.
    """
    found: set[Named] = set()
    known = connection.execute(sa.select(MODEL_VERSIONS.c.family).distinct().order_by(MODEL_VERSIONS.c.family))
    for family in known.scalars().all():
        entries = labels.imports(connection, family)
        for version, recorded_at in model_versions.recorded(connection, family):
            counted = labels.counting([entry for entry in entries if entry.imported_at <= recorded_at])
            is_replaced = bool(counted) and counted[0].replaces
            learnt = any(entry.import_id in imports for entry in counted)
            if learnt or (family in shipped and not is_replaced):
                found.add((family, version.version))
    return found


def versions_that_learnt_verdicts(connection: sa.Connection, message_id: str) -> set[Named]:
    """Every version that was trained after somebody had decided on the message, of the models that are asked there."""
    since: dict[str, datetime] = {}
    for verdict in verdicts.select(connection, VERDICTS.c.message_id == message_id):
        known = cascades.get(connection, verdict.asset)
        for performer in known.asked if known else ():
            since.setdefault(performer, verdict.decided_at)  # the oldest first
    query = sa.select(MODEL_VERSIONS.c.family, MODEL_VERSIONS.c.version, MODEL_VERSIONS.c.recorded_at)
    return {
        (family, version)
        for family, version, recorded_at in connection.execute(query)
        if (decided_at := since.get(families.performer_of(family))) is not None and recorded_at > decided_at
    }


def with_use(connection: sa.Connection, named: Collection[Named]) -> list[Learnt]:
    """The same, by name, with whether each is in use."""
    used = {family: champions.champion(connection, family) for family, _ in named}
    return [
        Learnt(family, version, (champion := used[family]) is not None and champion.version == version)
        for family, version in sorted(named)
    ]


def shipped_with(traces: Traces, unreached: list[str]) -> dict[str, str]:
    """Family → the file that it ships with, of those that have the message among its labels: no verb may change it.
    `unreached` hears of one that cannot be read.
    """
    found: dict[str, str] = {}
    says_it = is_labelled(traces)
    for family in families.families():
        try:
            rows = labels.shipped(family)
        except FileRefused as refusal:
            unreached.append(f"The labels that {family.name} ships with may have it, and cannot be read: {refusal}")
            continue
        if any(says_it(one, text) for one, text in zip(rows[labels.MESSAGE_ID], rows[labels.TEXT], strict=True)):
            found[family.name] = family.labels_file
    return found

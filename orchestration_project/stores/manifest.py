"""Which version of each asset's partition is current, and what it was computed from."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from orchestration_project.core.errors import Conflict
from orchestration_project.stores.ledger import now
from orchestration_project.stores.schema import MANIFEST

if TYPE_CHECKING:
    from orchestration_project.stores.warehouse import StoredFile

UNPARTITIONED = ""
"""Partition of an asset that has none."""


_SHADOW = "_shadow"


def shadow_of(asset: str) -> str:
    """The table of what performers in shadow answered beside an asset's decisions."""
    return f"{asset}{_SHADOW}"


@dataclass(frozen=True)
class Version:
    """One published version of an asset's partition."""

    asset: str
    partition: str
    version: int
    run_id: str
    path: str
    sha256: str
    rows: int
    inputs: Mapping[str, int]
    published_at: datetime = field(compare=False)

    def facts(self) -> dict[str, Any]:
        """What the audit log keeps of it."""
        return {
            "asset": self.asset,
            "partition": self.partition,
            "version": self.version,
            "run_id": self.run_id,
            "file": self.path,
            "file_sha256": self.sha256,
            "file_rows": self.rows,
            "inputs": dict(self.inputs),
            "published_at": self.published_at.isoformat(),
        }


COLUMNS = tuple(MANIFEST.c[entry.name] for entry in fields(Version))


def current(connection: sa.Connection, asset: str, partition: str) -> Version | None:
    """The version in use; None when nothing was published yet."""
    query = _current().where(MANIFEST.c.asset == asset, MANIFEST.c.partition == partition)
    row = connection.execute(query).one_or_none()
    return None if row is None else Version(*row)


def latest(connection: sa.Connection, asset: str, partition: str) -> Version | None:
    """The version that was published last, in use or not; None when nothing was published yet."""
    query = sa.select(*COLUMNS).where(MANIFEST.c.asset == asset, MANIFEST.c.partition == partition)
    row = connection.execute(query.order_by(MANIFEST.c.version.desc()).limit(1)).one_or_none()
    return None if row is None else Version(*row)


def all_current(connection: sa.Connection, partition: str | None = None) -> list[Version]:
    """Every version in use, of one partition or of all, in the order of publishing."""
    query = _current().order_by(MANIFEST.c.published_at, MANIFEST.c.asset, MANIFEST.c.partition)
    if partition is not None:
        query = query.where(MANIFEST.c.partition == partition)
    return [Version(*row) for row in connection.execute(query)]


def first_published(connection: sa.Connection, partition: str) -> str | None:
    """The asset that was published first in a partition, whatever was published again: of a batch the one that took its
    messages in. None when nothing was published yet.
    """
    query = sa.select(MANIFEST.c.asset).where(MANIFEST.c.partition == partition).order_by(MANIFEST.c.published_at)
    return connection.execute(query.limit(1)).scalar()


def sources(connection: sa.Connection) -> dict[str, str]:
    """Partition → the asset that was published first in it, as `first_published` says of one."""
    query = sa.select(MANIFEST.c.partition, MANIFEST.c.asset).order_by(MANIFEST.c.published_at.desc())
    return {partition: asset for partition, asset in connection.execute(query)}  # the first is the last that is put in


def publish(
    connection: sa.Connection,
    *,
    asset: str,
    partition: str,
    run_id: str,
    file: "StoredFile",
    replaces: int,
    inputs: Mapping[str, int],
) -> Version:
    """Make a file the current version, in the caller's transaction; its number is one more than any had before.

    Compare-and-set: raises Conflict as `require_current` does, and the caller's transaction must end without effect.
    """
    require_current(connection, asset=asset, partition=partition, version=replaces, inputs=inputs)
    last = latest(connection, asset, partition)
    number = last.version + 1 if last else 1
    connection.execute(
        sa.update(MANIFEST)
        .where(MANIFEST.c.asset == asset, MANIFEST.c.partition == partition, MANIFEST.c.is_current)
        .values(is_current=False)
    )
    entry = Version(asset, partition, number, run_id, file.path, file.sha256, file.rows, dict(inputs), now())
    connection.execute(sa.insert(MANIFEST).values(**vars(entry), is_current=True))
    return entry


def use(connection: sa.Connection, version: Version) -> None:
    """Make a version current that was published before, in the caller's transaction."""
    its = (MANIFEST.c.asset == version.asset) & (MANIFEST.c.partition == version.partition)
    is_chosen = MANIFEST.c.version == version.version
    connection.execute(sa.update(MANIFEST).where(its).values(is_current=is_chosen))


def withdraw(connection: sa.Connection, partition: str, assets: Collection[str] | None = None) -> list[str]:
    """Leave no version of a partition current, or of these assets of it, in the caller's transaction; returns the assets
    that had one. The files stay, as those of earlier versions do.
    """
    its = (MANIFEST.c.partition == partition) & MANIFEST.c.is_current
    if assets is not None:
        its &= MANIFEST.c.asset.in_(assets)
    had = list(connection.execute(sa.select(MANIFEST.c.asset).where(its).order_by(MANIFEST.c.asset)).scalars())
    connection.execute(sa.update(MANIFEST).where(its).values(is_current=False))
    return had


def require_current(
    connection: sa.Connection, *, asset: str, partition: str, version: int, inputs: Mapping[str, int]
) -> None:
    """Raise Conflict unless this version of the asset (0: none) and these versions of its inputs in the same partition
    (or unpartitioned) are still current.
    """
    before = current(connection, asset, partition)
    if (before.version if before else 0) != version:
        raise Conflict(f"{asset} of {partition or 'the project'} was published by another run meanwhile.")
    for name, read in inputs.items():
        found = current(connection, name, partition) or current(connection, name, UNPARTITIONED)
        if found is None or found.version != read:
            raise Conflict(f"{name}, an input of {asset}, was published by another run meanwhile.")


def computed_from(connection: sa.Connection, assets: Collection[str], partition: str) -> set[str]:
    """These assets, and all that their current versions in the partition (or unpartitioned) were computed from, step by
    step.
    """
    found: set[str] = set()
    waiting = list(assets)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        version = current(connection, name, partition) or current(connection, name, UNPARTITIONED)
        waiting += version.inputs if version else ()
    return found


def _current() -> "sa.Select[*tuple[Any, ...]]":
    return sa.select(*COLUMNS).where(MANIFEST.c.is_current)

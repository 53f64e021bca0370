"""From which versions a version was computed, step by step, so that what is used together fits together.

Only versions of one batch count: what belongs to none (a champion, a table of documents) moves on by itself.
"""

from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from orchestration_project.core.errors import StaleInput
from orchestration_project.stores import manifest
from orchestration_project.stores.manifest import COLUMNS, Version
from orchestration_project.stores.schema import MANIFEST


class Ancestry:
    """The versions of a batch, and what each was computed from."""

    def __init__(self, connection: sa.Connection, batch: str) -> None:
        self._batch = batch
        query = sa.select(*COLUMNS).where(MANIFEST.c.partition == batch).order_by(MANIFEST.c.version.desc())
        found = [Version(*row) for row in connection.execute(query)]
        self._versions = {(version.asset, version.version): version for version in found}
        self._current = {version.asset: version for version in manifest.all_current(connection, batch)}

    def of(self, version: Version) -> dict[str, int]:
        """The version itself and all that it was computed from: asset → number of its version."""
        found: dict[str, int] = {}
        waiting = [version]
        while waiting:
            one = waiting.pop()
            if one.asset not in found:
                found[one.asset] = one.version
                waiting += [self._versions[above] for above in one.inputs.items() if above in self._versions]
        return found

    def below(self, assets: Iterable[str]) -> set[str]:
        """These assets, and those whose version in use was computed from the one that these have in use."""
        used = {asset: self._current[asset].version for asset in assets if asset in self._current}
        return {asset for asset, version in self._current.items() if used.items() & self.of(version).items()}

    def require_fitting(self, versions: Iterable[Version]) -> None:
        """Raise StaleInput when two versions, which are in use, were computed from different versions of one asset."""
        seen: dict[str, tuple[int, str]] = {}
        for version in versions:
            for name, number in self.of(version).items():
                before = seen.setdefault(name, (number, version.asset))
                if before[0] != number:
                    raise self._stale(name, before, (number, version.asset))

    def fitting(self, kept: Version) -> dict[str, Version | None]:
        """Of each asset whose version in use does not fit to one that is kept, the newest that does: the one that it was
        computed from, or one that was computed from the same; None where there is none.
        """
        wanted = self.of(kept)
        found: dict[str, Version | None] = {}
        for asset, version in self._current.items():
            if not _fits(self.of(version), wanted):
                own = [other for (name, _), other in self._versions.items() if name == asset]
                found[asset] = next((other for other in own if _fits(self.of(other), wanted)), None)
        return found

    def _stale(self, name: str, one: tuple[int, str], other: tuple[int, str]) -> StaleInput:
        current = self._current.get(name)
        if current is not None and one[0] == current.version:
            one, other = other, one
        number, stale = one
        against = f"which is at version {other[0]}" if other[1] == name else f"and {other[1]} from version {other[0]}"
        return StaleInput(
            f"{stale} of batch {self._batch} was computed from version {number} of {name}, {against}. "
            f"Materialise {stale} again first."
        )


def _fits(one: Mapping[str, int], other: Mapping[str, int]) -> bool:
    return all(other.get(name, number) == number for name, number in one.items())

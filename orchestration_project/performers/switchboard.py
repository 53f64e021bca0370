"""Whether a performer may be asked: what people switched is read anew before every call."""

from dataclasses import dataclass

from orchestration_project.core.errors import SwitchedOff
from orchestration_project.performers.performer import Performer, Prepared
from orchestration_project.stores import cascades, champions, switches
from orchestration_project.stores.home import Home
from orchestration_project.stores.switches import Kind, Switch


@dataclass(frozen=True)
class Switchboard:
    """The switches that hold for the cascade of an asset. Each question reads the ledger: 0.2 ms on SQLite."""

    home: Home
    asset: str

    def of_asset(self) -> Switch | None:
        """The asset's own, where it is not on."""
        return self._first({"asset": (self.asset,)})

    def of(self, performer: Performer, ready: Prepared) -> Switch | None:
        """The performer's own, else that of its model's version; None where both are on."""
        versions = tuple(f"{family}/{ready.version}" for family in performer.families)
        return self._first({"performer": (performer.name,), "version": versions})

    def of_unready(self, performer: Performer) -> Switch | None:
        """The same of a performer that cannot be made ready: its version is the one that is recorded as in use."""
        with self.home.ledger.read() as connection:
            used = [champions.champion(connection, family) for family in performer.families]
        return self._first({"performer": (performer.name,), "version": tuple(one.name for one in used if one)})

    def known_labels(self) -> frozenset[str]:
        """What the cascade could answer when the asset was published last."""
        with self.home.ledger.read() as connection:
            known = cascades.get(connection, self.asset)
        return frozenset(known.labels) if known else frozenset()

    def is_in_shadow(self, performer: Performer, ready: Prepared) -> bool:
        """Whether its answers are only recorded."""
        found = self.of(performer, ready)
        return found is not None and found.state == "shadow"

    def refusal(self, performer: Performer, ready: Prepared, *, in_shadow: bool = False) -> SwitchedOff | None:
        """Why the performer is not asked; None where it may be. One in shadow may be asked in shadow only."""
        asset = self.of_asset()
        if asset is not None and asset.state == "safe_state":
            return SwitchedOff(asset.told())
        found = self.of(performer, ready)
        if found is None or (in_shadow and found.state == "shadow"):
            return None
        return SwitchedOff(found.told())

    def _first(self, names: dict[Kind, tuple[str, ...]]) -> Switch | None:
        with self.home.ledger.read() as connection:
            found = switches.taken_out(connection, names)
        return min(found, key=lambda switch: list(names).index(switch.kind), default=None)

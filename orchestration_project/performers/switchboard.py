"""Whether a performer may be asked: what people switched is read anew before every call."""

from dataclasses import dataclass

from orchestration_project.core.errors import SwitchedOff
from orchestration_project.performers.performer import Performer, Prepared
from orchestration_project.stores import cascades, champions, switches
from orchestration_project.stores.home import Home
from orchestration_project.stores.switches import Kind, Switch


@dataclass(frozen=True)
class Switchboard:
    """The switches that hold for the cascade of an asset (empty: of any). Each question reads the ledger once: 0.2 ms on
    SQLite.
    """

    home: Home
    asset: str

    def of_asset(self) -> Switch | None:
        """The asset's own, where it is not on."""
        return next(iter(self._taken_out({"asset": (self.asset,)})), None)

    def is_in_shadow(self, performer: Performer, ready: Prepared) -> bool:
        """Whether its answers are only recorded."""
        found = self._taken_out(_own(performer, ready))
        return bool(found) and found[0].state == "shadow"

    def refusal(self, performer: Performer, ready: Prepared, *, in_shadow: bool = False) -> SwitchedOff | None:
        """Why the performer is not asked: its asset is sent to the safe state, or it is out itself, or the version of its
        model; None where it may be. One in shadow may be asked in shadow only.
        """
        found = self._taken_out({"asset": (self.asset,), **_own(performer, ready)})
        for switch in found:
            is_asked_all_the_same = switch.state == "people" or (in_shadow and switch.state == "shadow")
            if not is_asked_all_the_same:
                return SwitchedOff(switch.told())
        return None

    def version_in_use(self, performer: Performer) -> str:
        """The version that is recorded as in use of a performer that cannot be made ready; empty where there is none."""
        with self.home.ledger.read() as connection:
            used = [champions.champion(connection, family) for family in performer.families]
        return next((one.version for one in used if one), "")

    def known_labels(self, performer: Performer) -> frozenset[str]:
        """What the cascade could answer that the performer stands in, when its asset was published last."""
        with self.home.ledger.read() as connection:
            known = cascades.every(connection)
        its = (one.labels for one in known if performer.name in one.performers and self.asset in ("", one.asset))
        return frozenset[str]().union(*its)

    def _taken_out(self, names: dict[Kind, tuple[str, ...]]) -> list[Switch]:
        """All of these that are not on, in their order."""
        with self.home.ledger.read() as connection:
            found = switches.taken_out(connection, names)
        return sorted(found, key=lambda switch: list(names).index(switch.kind))


def _own(performer: Performer, ready: Prepared) -> dict[Kind, tuple[str, ...]]:
    """What a performer can be taken out by: its name, or that of its model's version."""
    versions = tuple(f"{family}/{ready.version}" for family in performer.families)
    return {"performer": (performer.name,), "version": versions}

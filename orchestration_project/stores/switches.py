"""What was taken out of work, and put back: the last word on a performer, a version of a model, an asset.

A performer is on, in shadow (it is asked, and its answer only recorded), or off. A version of a model is on or off. An
asset is on, or sent to people, or to its safe state. What no row names is on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from orchestration_project.stores.schema import SWITCHES

Kind = Literal["performer", "version", "asset"]
State = Literal["on", "shadow", "off", "people", "safe_state"]

STATES: Mapping[Kind, tuple[State, ...]] = {
    "performer": ("on", "shadow", "off"),
    "version": ("on", "off"),
    "asset": ("on", "people", "safe_state"),
}
"""Kind → the states that it may have."""

IN_WORDS: Mapping[State, str] = {
    "on": "on",
    "shadow": "in shadow",
    "off": "off",
    "people": "sent to people",
    "safe_state": "sent to its safe state",
}

TOLD = rf" is (?:{'|'.join(IN_WORDS.values())}) since \d{{4}}-"
"""Pattern by which a reason is known to tell of a switch, as `Switch.told` does."""

_C = SWITCHES.c


@dataclass(frozen=True)
class Switch:
    """The last word on one performer, version (named FAMILY/VERSION) or asset: its state, who said so, why and when.

    `successor` is the version in use in its place; None: there is none. `is_drill`: a drill said so, which puts back what
    was before.
    """

    kind: Kind
    name: str
    state: State
    successor: str | None
    person: str
    reason: str
    switched_at: datetime
    is_drill: bool = False

    def facts(self) -> dict[str, Any]:
        """What the audit log keeps of it."""
        return {**vars(self), "switched_at": self.switched_at.isoformat()}

    def told(self) -> str:
        """The same in words, such as `sentiment model is off since 2026-11-30T12:03+00:00, by anna: it is wrong`."""
        what = f"version {self.name}" if self.kind == "version" else self.name
        since = self.switched_at.isoformat(timespec="minutes")
        who = f"{self.person}, for a drill" if self.is_drill else self.person
        return f"{what} is {IN_WORDS[self.state]} since {since}, by {who}: {self.reason}"


def get(connection: sa.Connection, kind: Kind, name: str) -> Switch | None:
    """The last word on it; None when it never was switched."""
    return next(iter(_select(connection, _C.kind == kind, _C.name == name)), None)


def taken_out(connection: sa.Connection, names: Mapping[Kind, tuple[str, ...]] | None = None) -> list[Switch]:
    """All that is not on, the latest first; with `names`, of these only."""
    conditions = [_C.state != "on"]
    if names is not None:
        conditions.append(sa.or_(*(sa.and_(_C.kind == kind, _C.name.in_(own)) for kind, own in names.items())))
    return _select(connection, *conditions)


def put(connection: sa.Connection, switch: Switch) -> None:
    """Make it the last word, in the caller's transaction."""
    connection.execute(sa.delete(SWITCHES).where(_C.kind == switch.kind, _C.name == switch.name))
    connection.execute(sa.insert(SWITCHES).values(**vars(switch)))


def _select(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> list[Switch]:
    query = sa.select(SWITCHES).where(*conditions).order_by(_C.switched_at.desc(), _C.kind, _C.name)
    return [Switch(**row) for row in connection.execute(query).mappings()]

"""Who takes a performer, a version of a model or an asset out of work, and puts it back: each is one ledger transaction
with its audit entry and a notice to whoever runs the project.

It takes the role operator. Running batches heed it too: a performer reads its switch before every call.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import get_args

import sqlalchemy as sa

from orchestration_project.core.errors import Refused, UnknownName, did_you_mean
from orchestration_project.governance import audit, people
from orchestration_project.stores import cascades, model_versions, outbox, switches, trials
from orchestration_project.stores.cascades import KnownCascade
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.outbox import Notice
from orchestration_project.stores.switches import IN_WORDS, STATES, Kind, State, Switch


@dataclass(frozen=True)
class Turn:
    """What is to be switched, and to which state. A version is named FAMILY/VERSION; `successor` is the one in use in its
    place. `is_drill`: for a drill, which puts back what was before.
    """

    kind: Kind
    name: str
    state: State
    successor: str | None = None
    is_drill: bool = False


def turn(home: Home, order: Turn, reason: str) -> Switch:
    """Switch what the order names, as whoever acts; returns the new state with it. UnknownName for what does not exist,
    Refused for a state that it cannot have or has already.
    """
    person = people.require(home.settings, "operator")
    with home.ledger.write() as connection:
        return turn_in(connection, order, reason, person.name)


def turn_in(
    connection: sa.Connection, order: Turn, reason: str, person: str, *, switched_at: datetime | None = None
) -> Switch:
    """The same in the caller's transaction, for whoever was found entitled: a person, or the policy. `switched_at` is
    since when it counts (None: from now on).
    """
    is_back = order.state == "on" and switches.get(connection, order.kind, order.name) is not None
    name = order.name if is_back else _known(connection, order)  # also of what was renamed since
    heir = heir_of(connection, order)
    before = switches.get(connection, order.kind, name)
    was = before.state if before else "on"
    is_same = was == order.state and (before is None or before.successor == heir)
    if is_same and not (before and before.is_drill):  # a person's word counts behind a drill's
        told = before.told() if before else f"{name} is on, and never was switched"
        raise Refused(f"{told}. Nothing was changed; see: orchestrate switch list")
    since = switched_at or now()
    switch = Switch(order.kind, name, order.state, heir, person, reason, since, order.is_drill)
    switches.put(connection, switch)
    detail = {"was": was, "switch": switch.facts()}
    trial = trials.of_family(connection, name.partition("/")[0]) if order.kind == "version" else None
    if trial is not None and order.state == "off" and trial.version.name == name:
        trials.end(connection, trial.version.family)
        detail |= {"trial_ended": trial.facts()}
    audit.append(connection, "switched", f"{order.kind} {name}", detail, person)
    outbox.record(connection, asset=outbox.OF_A_RUN, partition="", notices=[_notice(switch, was)])
    return switch


def heir_of(connection: sa.Connection, order: Turn) -> str | None:
    """The full digest of the version that is in use in the place of the one that is switched off; None where the order
    names none.
    """
    if order.successor is None:
        return None
    if (order.kind, order.state) != ("version", "off"):
        raise Refused("A successor is given only to a version that is switched off. Leave it out.")
    family, _, own = _version(connection, order.name).partition("/")
    heir = model_versions.find(connection, family, order.successor).version
    if heir == own:
        raise Refused(f"{family} {own} cannot supersede itself. Name another: orchestrate model list {family}")
    return heir


def _known(connection: sa.Connection, order: Turn) -> str:
    """The full name of what the order names, which exists and may have that state."""
    if order.kind not in get_args(Kind):
        raise UnknownName(f"Nothing of the kind '{order.kind}' is switched.{did_you_mean(order.kind, STATES)}")
    if order.state not in STATES[order.kind]:
        states = ", ".join(STATES[order.kind])
        raise Refused(f"A switch of the kind {order.kind} cannot be '{order.state}'. Choose one of: {states}.")
    if order.kind == "version":
        return _version(connection, order.name)
    known = cascades.every(connection)
    if order.kind == "asset":
        cascade = next((found for found in known if found.asset == order.name), None)
        _require(order.name, [found.asset for found in known], "model output")
        if order.state == "people" and cascade is not None and not cascade.has_people:
            raise Refused(f"The cascade of {order.name} has no people: {_in_order(cascade)}. Put Person() behind them.")
        return order.name
    return _performer(known, order)


def _performer(known: list[KnownCascade], order: Turn) -> str:
    asked = {name for cascade in known for name in cascade.asked}
    if order.name not in asked:
        for cascade in known:
            if order.name in cascade.performers:
                raise Refused(
                    f"{order.name} is no performer that can be switched: it stands at the end of {cascade.asset}, "
                    f"{_in_order(cascade)}. Switch the asset, or a performer before it."
                )
    _require(order.name, asked, "performer")
    return order.name


def _version(connection: sa.Connection, name: str) -> str:
    family, slash, version = name.partition("/")
    if not slash:
        raise UnknownName(f"'{name}' names no version. Write FAMILY/VERSION. See: orchestrate model list")
    return f"{family}/{model_versions.find(connection, family, version).version}"


def _require(name: str, known: Iterable[str], what: str) -> None:
    if name not in known:
        raise UnknownName(f"No {what} '{name}' has decided anything yet.{did_you_mean(name, known)}")


def _in_order(cascade: KnownCascade) -> str:
    return " → ".join(cascade.performers)


def _notice(switch: Switch, was: State) -> Notice:
    what = f"version {switch.name}" if switch.kind == "version" else switch.name
    lines = [
        f"Why: {switch.reason}",
        f"Who: {switch.person}{', for a drill' * switch.is_drill}",
        f"Before: {IN_WORDS[was]}",
    ]
    lines += [f"In its place: {switch.successor}"] if switch.successor else []
    lines += ["What follows: nothing more is decided by it from now on, also in batches under way"] * (
        switch.state in ("off", "shadow")
    )
    lines += [f'Back: orchestrate switch {switch.kind} "{switch.name}" on --reason TEXT'] * (switch.state != "on")
    key = f"switch/{switch.kind}/{switch.name}/{now().isoformat()}"
    return Notice(
        key, f"{what} is {IN_WORDS[switch.state]}", "\n".join(f"- {line}" for line in lines), {"switch": switch.facts()}
    )

"""Performers that the policy takes out by itself: into shadow, so that what they would answer is still seen, while their
rows go to the next performer, to people or to the safe state.

Only a person switches one on again; what happened before that moment is then no ground any more.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median

import sqlalchemy as sa

from orchestration_project.governance.live_errors import Standing, live_errors
from orchestration_project.governance.policy import ACTOR, Disengage, read_policy
from orchestration_project.governance.switch_orders import Turn, turn_in
from orchestration_project.stores import breakers, cascades, champions, switches
from orchestration_project.stores.audited import published_details
from orchestration_project.stores.families import family_of
from orchestration_project.stores.halts import open_halts
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.schema import MANIFEST
from orchestration_project.stores.switches import Switch

LOOKED_THROUGH = 4
"""Of the last batches so many times as many as count: in some nobody was asked."""

EVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Ground:
    """Why a performer is to decide no more for the time being."""

    performer: str
    why: str


def disengage(home: Home) -> list[Switch]:
    """Send into shadow every performer that the policy says so of; returns what was switched, each with its ground."""
    policy = read_policy(home.settings.policy).disengage
    done: list[Switch] = []
    for ground in grounds(home, policy):
        with home.ledger.write() as connection:
            before = switches.get(connection, "performer", ground.performer)
            if before is None or before.state == "on":  # the first ground counts, and a person may have been faster
                done.append(turn_in(connection, Turn("performer", ground.performer, "shadow"), ground.why, ACTOR))
    return done


def grounds(home: Home, policy: Disengage) -> Iterator[Ground]:
    """What speaks against each performer that is on."""
    with home.ledger.read() as connection:
        known = cascades.every(connection)
        asked = {name for cascade in known for name in cascade.asked}
        words = {name: switches.get(connection, "performer", name) for name in sorted(asked)}
    back = {
        name: word.switched_at if word else None for name, word in words.items() if word is None or word.state == "on"
    }
    for look in (_live_error, _open_circuit, _drift, _latency):
        yield from look(home, policy, back)


def _live_error(home: Home, policy: Disengage, back: Mapping[str, datetime | None]) -> Iterator[Ground]:
    if policy.on_live_error == "nothing":
        return
    with home.ledger.read() as connection:
        used = {
            champion.family: champions.since(connection, champion.family) for champion in champions.in_use(connection)
        }
    found: dict[datetime | None, list[Standing]] = {}
    for performer, switched in back.items():
        promoted = used.get(family_of(performer) or "")
        own = max(filter(None, (switched, promoted)), default=None)  # another version is another model
        for since in dict.fromkeys((own, switched)):  # where it has too few checks, those of its forerunners count too
            if since not in found:
                found[since] = live_errors(home, after=since, still_accepted=True)
            told = [one for one in found[since] if (one.performer, one.day, one.is_thin) == (performer, None, False)]
            for one in told:
                if one.found.low > one.stated:
                    yield Ground(performer, f"{one.asset}: {one.told()}")
            if told:
                break


def _open_circuit(home: Home, policy: Disengage, back: Mapping[str, datetime | None]) -> Iterator[Ground]:
    limit = timedelta(minutes=policy.breaker_open_minutes)
    if not limit:
        return
    with home.ledger.read() as connection:
        found = breakers.not_closed(connection)
    for circuit in found:
        if circuit.performer in back and circuit.opened_at is not None:
            since = max(filter(None, (circuit.opened_at, back[circuit.performer])))
            if now() - since > limit:
                told = circuit.opened_at.isoformat(timespec="minutes")
                yield Ground(circuit.performer, f"its circuit is open since {told}")


def _drift(home: Home, policy: Disengage, back: Mapping[str, datetime | None]) -> Iterator[Ground]:
    if policy.on_drift == "nothing":
        return
    with home.ledger.read() as connection:
        known = {cascade.asset: cascade for cascade in cascades.every(connection)}
        halts = [halt for halt in open_halts(connection) if halt.asset in known and halt.is_anomaly]
    for halt in halts:
        for performer in known[halt.asset].asked:
            if performer in back and halt.opened_at > (back[performer] or EVER):
                yield Ground(performer, f"{halt.told}. {halt.reason}")


def _latency(home: Home, policy: Disengage, back: Mapping[str, datetime | None]) -> Iterator[Ground]:
    if not policy.latency_seconds:
        return
    with home.ledger.read() as connection:
        for cascade in cascades.every(connection):
            calls = _calls(connection, cascade.asset, policy.latency_batches, back)
            for performer, seconds in calls.items():
                if len(seconds) == policy.latency_batches and median(seconds) > policy.latency_seconds:
                    told = f"{median(seconds):.3g} s a call in the last {len(seconds)} batches"
                    yield Ground(performer, f"{cascade.asset}: {told}, over the limit of {policy.latency_seconds:g} s")


def _calls(
    connection: sa.Connection, asset: str, number: int, back: Mapping[str, datetime | None]
) -> dict[str, list[float]]:
    """Performer → seconds of one of its calls, on average, in each of the asset's last batches in which it was asked."""
    query = sa.select(MANIFEST.c.partition, MANIFEST.c.published_at).where(
        MANIFEST.c.asset == asset, MANIFEST.c.is_current
    )
    found: dict[str, list[float]] = {}
    latest = connection.execute(query.order_by(MANIFEST.c.published_at.desc()).limit(number * LOOKED_THROUGH)).all()
    for batch, published_at in latest:
        for work in next(iter(published_details(connection, batch, asset)), {}).get("performers", ()):
            name, since = work["performer"], back.get(work["performer"])
            is_call = work["calls"] and not work.get("in_shadow") and (since is None or published_at > since)
            if name in back and is_call and len(own := found.setdefault(name, [])) < number:
                own.append(work["seconds"] / work["calls"])
    return found

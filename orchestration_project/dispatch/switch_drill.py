"""A fire drill of a switch, on the project as it is: how long after a performer is switched off its last call begins, and
who answers then.

The newest batch that it decided on is decided again and again, and published by nobody, while the performer is switched
off; then it is switched back. Whatever else runs meanwhile goes on without it for that long.
"""

import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from orchestration_project.core.errors import OrchestrationError, Refused, UnknownName, did_you_mean
from orchestration_project.dispatch.loaded_steps import newest_rows, steps_of
from orchestration_project.governance import audit, people
from orchestration_project.governance.switch_orders import Turn, turn, turn_in
from orchestration_project.model_output.step import Step
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.performer import Performer, Prepared
from orchestration_project.performers.person import PERSON
from orchestration_project.stores import switches
from orchestration_project.stores.home import Home, current_home
from orchestration_project.stores.switches import Switch

EVER = datetime(1970, 1, 1, tzinfo=UTC)
"""Since when a performer is on that nobody switched before a drill: what speaks against it counts on."""

LIMIT_SECONDS = 1.0
"""How long after the switch a call may begin."""

WARM_SECONDS = 60.0
"""How long the first call of the performer is waited for."""


@dataclass(frozen=True)
class SwitchDrill:
    """What became of a drill. `last_call_seconds` is how long after the switch the last call began (0: none did) while the
    performer was off, `safe_seconds` when the first batch was decided without it, and `answered` by whom.
    """

    performer: str
    model_output: str
    batch: str
    rows: int
    calls_before: int
    last_call_seconds: float
    safe_seconds: float
    answered: dict[str, int]

    @property
    def is_in_time(self) -> bool:
        """Whether no call began later than it may."""
        return self.last_call_seconds <= LIMIT_SECONDS


class Watched(Performer):
    """A performer whose calls are noted by the moment at which they begin."""

    def __init__(self, performer: Performer, begun: list[float]) -> None:
        self._performer, self._begun = performer, begun
        self.name, self.kind, self.families = performer.name, performer.kind, performer.families
        self.limit_seconds, self.chunk_rows = performer.limit_seconds, performer.chunk_rows

    def prepare(self, home: Home) -> Prepared:
        ready = self._performer.prepare(home)

        def answer(rows: pd.DataFrame) -> pd.DataFrame:
            self._begun.append(time.monotonic())
            return ready.answer(rows)

        return replace(ready, answer=answer)


def drill_switch(home: Home, step: Step, name: str, reason: str) -> SwitchDrill:
    """Switch a performer of a model output off and back while its newest batch is decided; audited.

    Refused where it is out already.
    """
    person = people.require(home.settings, "operator")
    with home.ledger.read() as connection:
        known = switches.get(connection, "performer", name)
    if known is not None and known.state != "on":
        raise Refused(f"{known.told()}. A drill takes one that is on. Switch it on first.")
    batch, rows = newest_rows(home, step)
    begun: list[float] = []
    decided: list[tuple[float, dict[str, int]]] = []
    stop = threading.Event()
    thread = threading.Thread(target=_decide_again, args=(home, step, name, rows, begun, decided, stop), daemon=True)
    thread.start()
    try:
        _wait(lambda: bool(begun), thread, WARM_SECONDS, f"{name} was not asked about batch {batch}")
        off = turn(home, Turn("performer", name, "off", is_drill=True), reason)
        try:
            switched, calls_before = time.monotonic(), len(begun)
            _wait(lambda: any(name not in by for at, by in decided if at > switched), thread, WARM_SECONDS, "no answer")
            back_at = time.monotonic()
        finally:
            _put_back(home, known, off, reason)
    finally:
        stop.set()
        thread.join()
    safe_at, answered = next((at, by) for at, by in decided if at > switched and name not in by)
    late = [at - switched for at in begun if switched < at < back_at]
    found = SwitchDrill(
        name,
        step.name,
        batch,
        len(rows),
        calls_before,
        last_call_seconds=round(max(late, default=0.0), 4),
        safe_seconds=round(safe_at - switched, 4),
        answered=answered,
    )
    with home.ledger.write() as connection:
        audit.append(connection, "drilled", f"performer {name}", {**asdict(found), "reason": reason}, person.name)
    return found


def _put_back(home: Home, before: Switch | None, drilled: Switch, reason: str) -> None:
    """What was before the drill, also since when; what somebody else said meanwhile stays."""
    since = before.switched_at if before else EVER
    with home.ledger.write() as connection:
        if switches.get(connection, drilled.kind, drilled.name) == drilled:
            back = Turn(drilled.kind, drilled.name, "on", is_drill=True)
            turn_in(connection, back, reason, drilled.person, switched_at=since)


def _decide_again(
    home: Home,
    step: Step,
    name: str,
    rows: pd.DataFrame,
    begun: list[float],
    decided: list[tuple[float, dict[str, int]]],
    stop: threading.Event,
) -> None:
    assert step.cascade is not None
    own = step.cascade.performers
    watched = [Watched(one, begun) if one.name == name else one for one in own if one.kind != PERSON]
    cascade = Cascade(*watched, safe_state=step.cascade.safe_state)
    while not stop.is_set():
        found = cascade.decide(rows, home, asset=step.name)
        calls = {work.performer: work.calls for work in found.work if not work.in_shadow}
        by = found.decided_by()
        decided.append((time.monotonic(), by if not calls.get(name) else {**by, name: by.get(name, 0)}))


def _wait(is_so: Callable[[], bool], thread: threading.Thread, seconds: float, otherwise: str) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        if not thread.is_alive() or time.monotonic() > until:
            raise Refused(f"The drill has no outcome: {otherwise}. Everything is as it was. Look: orchestrate status")
        time.sleep(0.001)


def main(location: str, answer: str, name: str, reason: str) -> None:
    """Drill in the home that the environment names; write the outcome, or why there is none, as JSON."""
    home = current_home()
    try:
        steps = steps_of(location, None)
        asking = [step for step in steps if step.cascade and name in {one.name for one in step.cascade.performers}]
        if not asking:
            known = {
                one.name for step in steps if step.cascade for one in step.cascade.performers if one.kind != PERSON
            }
            raise UnknownName(f"No model output asks a performer '{name}'.{did_you_mean(name, known)}")
        found = [drill_switch(home, step, name, reason) for step in asking]
        content: dict[str, object] = {"drills": [{**asdict(one), "is_in_time": one.is_in_time} for one in found]}
    except OrchestrationError as error:
        content = {"refused": str(error)}
    Path(answer).write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])

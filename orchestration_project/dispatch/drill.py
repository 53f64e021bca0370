"""A fire drill: what each model output does when one of its performers fails, tried on a copy of the home.

Its cascade decides on the newest batch that it decided before, once for each performer and fault. What must hold then,
whatever fails: every row is answered once and keeps its contract, no faulty answer is kept, and a call ends in time.
"""

import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from math import ceil

import pandas as pd
import sqlalchemy as sa

from orchestration_project.core.contracts import check
from orchestration_project.dispatch.loaded_steps import answer_with, newest_rows, steps_of
from orchestration_project.model_output.step import Step
from orchestration_project.performers.asking import Work
from orchestration_project.performers.cascade import Cascade, Decisions
from orchestration_project.performers.decision import answering
from orchestration_project.performers.faulty import FAULTS, Faulty, Plan
from orchestration_project.performers.performer import Performer
from orchestration_project.performers.person import PERSON
from orchestration_project.performers.turns import CHUNK_ROWS
from orchestration_project.stores import breakers
from orchestration_project.stores.home import Home, current_home
from orchestration_project.stores.schema import SWITCHES

LIMIT_SECONDS = 2.0
"""Time limit of a faulty performer, so that a drill of calls that hang is over soon."""

SLOW_SECONDS = 0.5
"""How long a slow call takes longer, which is in time."""

LATE_SECONDS = 1.0
"""How far over its limit a call may end."""

ANSWERS_ALL_THE_SAME = ("slow",)
"""Faults whose answers are right, if late."""


@dataclass
class Drill:
    """What became of a batch under one fault of one performer; `broken` are the promises that did not hold."""

    model_output: str
    batch: str
    performer: str
    fault: str
    calls: int
    retries: int
    failure: str | None
    answered: dict[str, int]
    accepted: int
    not_accepted: int
    safe_state: int
    circuit: str
    broken: list[str] = field(default_factory=lambda: list[str]())


def drill(home: Home, step: Step) -> Iterator[Drill]:
    """Try every fault of every performer; writes into the home, which must be a copy."""
    assert step.cascade is not None
    with home.ledger.write() as connection:
        connection.execute(sa.delete(SWITCHES))  # each performer is drilled
    batch, rows = newest_rows(home, step)
    asked = [one for one in step.cascade.performers if one.kind != PERSON]  # nobody waits for people in a drill
    for performer in asked:
        for fault in FAULTS:
            faulty = Faulty(performer, Plan(fault, seconds=SLOW_SECONDS), limit_seconds=LIMIT_SECONDS)
            performers = [faulty if one is performer else one for one in asked]
            _close_circuits(home, performers)
            decisions = Cascade(*performers, safe_state=step.cascade.safe_state).decide(rows, home)
            faulty.release()
            yield _judged(home, step, batch, rows, faulty, decisions)


def _close_circuits(home: Home, performers: list[Performer]) -> None:
    with home.ledger.write() as connection:
        for performer in performers:
            breakers.record_success(connection, performer.name, is_probe=True)


def _judged(home: Home, step: Step, batch: str, rows: pd.DataFrame, faulty: Faulty, decisions: Decisions) -> Drill:
    frame = decisions.frame
    work = next((work for work in decisions.work if work.performer == faulty.name), Work(faulty.name, ""))
    by_safe_state = frame["decided_by"] == "safe_state"
    with home.ledger.read() as connection:
        breaker = breakers.get(connection, faulty.name)
    counted = f"{breaker.failures} of {home.settings.breaker_failures}" if breaker else ""
    return Drill(
        step.name,
        batch,
        faulty.name,
        faulty.plan.fault,
        calls=work.calls,
        retries=work.calls - 1 if work.calls and work.failure else 0,
        failure=work.failure,
        answered=decisions.decided_by(),
        accepted=int(frame["accepted"].sum()),
        not_accepted=int((~frame["accepted"] & ~by_safe_state).sum()),
        safe_state=int(by_safe_state.sum()),
        circuit=f"{breaker.state}, {counted}" if breaker else "closed",
        broken=broken_promises(step, rows, faulty, decisions, work),
    )


def broken_promises(step: Step, rows: pd.DataFrame, faulty: Faulty, decisions: Decisions, work: Work) -> list[str]:
    """Which promises did not hold for a batch that was decided while a performer was faulty, in words."""
    frame = decisions.frame
    checked = check(answering(step.contract, decisions.labels), frame)
    kept = 0 if faulty.plan.fault in ANSWERS_ALL_THE_SAME else int((frame["performer"] == faulty.name).sum())
    calls_in_turn = 1 if work.failure else ceil(len(rows) / (faulty.chunk_rows or CHUNK_ROWS))
    promises = {
        "rows were lost or doubled": frame["message_id"].tolist() != rows["message_id"].tolist(),
        "rows have no answer": bool(frame["label"].isna().any()),
        "rows break the contract": bool(checked.drift or checked.refused),
        f"{kept} faulty answers were kept": kept > 0,
        f"calls took {work.seconds:.1f} s": work.seconds > calls_in_turn * LIMIT_SECONDS + LATE_SECONDS,
    }
    return [what for what, is_broken in promises.items() if is_broken]


def main(location: str, answer: str, name: str | None = None) -> None:
    """Drill in the home that the environment names, a copy; write the outcome, or why there is none, as JSON."""
    home = current_home()
    answer_with(
        answer,
        lambda: {"drills": [asdict(one) for step in steps_of(location, name) for one in drill(home, step)]},
    )


if __name__ == "__main__":
    main(*sys.argv[1:])

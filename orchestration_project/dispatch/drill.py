"""A fire drill: what each model output does when one of its performers fails, tried on a copy of the home.

Its cascade decides on the newest batch that it decided before, once for each performer and fault. What must hold then,
whatever fails: every row is answered once and keeps its contract, no faulty answer is kept, and a call ends in time.
"""

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from math import ceil
from pathlib import Path

import pandas as pd
import sqlalchemy as sa
from dagster._core.definitions.reconstruct import ReconstructableRepository

from orchestration_project.core.contracts import arrow_schema, check
from orchestration_project.core.errors import OrchestrationError, Refused, UnknownName, did_you_mean
from orchestration_project.model_output.decorators import step_of
from orchestration_project.model_output.inputs import load
from orchestration_project.model_output.step import Result, Step
from orchestration_project.performers.asking import Work
from orchestration_project.performers.cascade import Cascade, Decisions
from orchestration_project.performers.decision import answering
from orchestration_project.performers.faulty import FAULTS, Faulty, Plan
from orchestration_project.performers.performer import Performer
from orchestration_project.performers.person import PERSON
from orchestration_project.performers.turns import CHUNK_ROWS
from orchestration_project.stores import breakers, champions, manifest
from orchestration_project.stores.home import Home, current_home
from orchestration_project.stores.schema import METADATA, SWITCHES

LIMIT_SECONDS = 2.0
"""Time limit of a faulty performer, so that a drill of calls that hang is over soon."""

SLOW_SECONDS = 0.5
"""How long a slow call takes longer, which is in time."""

LATE_SECONDS = 1.0
"""How far over its limit a call may end."""

ANSWERS_ALL_THE_SAME = ("slow",)
"""Faults whose answers are right, if late."""

COPIED_ROWS = 10_000


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


def copy_of(home: Home, root: Path) -> Home:
    """A home with the ledger of another, on SQLite, its secret, the current files of its assets and its models in use."""
    copy = Home(replace(home.settings, home=root, ledger_url=""))
    copy.prepare()
    with home.ledger.read() as source, copy.ledger.write() as target:
        for table in METADATA.sorted_tables:
            target.execute(sa.delete(table))
            found = source.execute(sa.select(table).execution_options(yield_per=COPIED_ROWS))
            for rows in found.mappings().partitions():
                target.execute(sa.insert(table), [dict(row) for row in rows])
        files = [(home.warehouse.root, copy.warehouse.root, version.path) for version in manifest.all_current(source)]
        files += [(home.root, copy.root, version.path) for version in champions.in_use(source)]
    for old, new, path in files:
        if (old / path).is_file():  # one that is gone is refused by whoever wants to read it
            (new / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(old / path, new / path)
    if (home.root / "secret").is_file():  # by which a verdict is known to be of what a message still says
        shutil.copy(home.root / "secret", copy.root / "secret")
    return copy


def steps_of(location: str, name: str | None) -> list[Step]:
    """The model outputs of a code location, or the one of that name."""
    repository = ReconstructableRepository.for_module(location, "defs").get_definition()
    found = [step_of(asset) for asset in repository.assets_defs_by_key.values()]
    steps = {step.name: step for step in found if step is not None and step.cascade is not None}
    if name is not None and name not in steps:
        raise UnknownName(f"There is no model output '{name}'.{did_you_mean(name, steps)}")
    return [step for key, step in sorted(steps.items()) if name in (None, key)]


def drill(home: Home, step: Step) -> Iterator[Drill]:
    """Try every fault of every performer; writes into the home, which must be a copy."""
    assert step.cascade is not None
    with home.ledger.write() as connection:
        connection.execute(sa.delete(SWITCHES))  # each performer is drilled
    batch, rows = newest_rows(home, step)
    for performer in step.cascade.performers:
        if performer.kind == PERSON:
            continue
        for fault in FAULTS:
            faulty = Faulty(performer, Plan(fault, seconds=SLOW_SECONDS), limit_seconds=LIMIT_SECONDS)
            performers = [faulty if one is performer else one for one in step.cascade.performers]
            _close_circuits(home, performers)
            decisions = Cascade(*performers, safe_state=step.cascade.safe_state).decide(rows, home)
            faulty.release()
            yield _judged(home, step, batch, rows, faulty, decisions)


def newest_rows(home: Home, step: Step) -> tuple[str, pd.DataFrame]:
    """The newest batch that the step decided on, and what its performers are shown of it."""
    with home.ledger.read() as connection:
        versions = manifest.all_current(connection)
    for version in reversed(versions):
        if version.asset == step.name and version.rows:
            inputs = load(home, step.signature, version.partition, (step.name, arrow_schema(step.contract)))
            result = step.function(**inputs.arguments)
            frame = result.frame if isinstance(result, Result) else result
            return version.partition, frame.reset_index(drop=True)
    raise Refused(f"{step.name} has decided on no row yet. Send messages first, or run: orchestrate demo")


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
    try:
        found = [asdict(one) for step in steps_of(location, name) for one in drill(home, step)]
        content: dict[str, object] = {"drills": found}
    except OrchestrationError as error:
        content = {"refused": str(error)}
    Path(answer).write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])

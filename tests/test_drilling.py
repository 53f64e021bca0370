"""The fire drill: on a copy, what each model output does while a performer fails, and which promises it would notice."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import note_workflow
import pandas as pd
import pytest
from live_project import SMALL_WORKFLOW, Project
from scripted_cascades import SAFE, decide, messages, scripted
from shop_workflow import Mood, order, send
from shop_workflow import run as run_shop

from orchestration_project.dispatch.drill import LIMIT_SECONDS, broken_promises, drill
from orchestration_project.model_output import model_output
from orchestration_project.model_output.decorators import step_of
from orchestration_project.performers.asking import ATTEMPTS, Work
from orchestration_project.performers.cascade import Cascade, Decisions
from orchestration_project.performers.faulty import FAULTS, Faulty, Plan
from orchestration_project.performers.person import Person
from orchestration_project.performers.scripted import same_answer
from orchestration_project.stores.home import Home

STRICT = """
class Mood(Decision):
    label: str = pa.Field(isin=["angry", "calm"])
"""
"""A contract that forgets what the safe state answers."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("drill") / "home", {"PYTHONPATH": str(SMALL_WORKFLOW)})
    project.orchestrate("send", "so angry")
    newest = project.root / "newest.jsonl"
    newest.write_text('{"text": "all is calm"}\n{"text": "is it?"}\n{"text": "angry again"}\n')
    project.orchestrate("send", str(newest))
    yield project
    project.kill()


def test_each_fault_is_tried_on_the_newest_batch_of_a_copy_and_the_home_stays_as_it_is(project: Project) -> None:
    before = project.digests()
    drills: list[dict[str, Any]] = project.orchestrate("drill", "faults", "--json")
    assert project.digests() == before
    assert [(one["model_output"], one["performer"], one["fault"]) for one in drills] == [
        ("mood", "words", fault) for fault in FAULTS
    ]
    for one in drills:
        is_right = one["fault"] == "slow"
        assert one["answered"] == ({"words": 3} if is_right else {"safe label unknown": 3})
        assert (one["accepted"], one["not_accepted"], one["safe_state"]) == ((2, 1, 0) if is_right else (0, 0, 3))
        assert one["calls"] == (ATTEMPTS if one["fault"] == "transient" else 1)
        assert one["circuit"] == ("closed, 1 of 3" if one["fault"] in ("transient", "hang") else "closed")
        assert one["broken"] == []
    assert Counter(one["retries"] for one in drills) == {0: len(FAULTS) - 1, ATTEMPTS - 1: 1}


def test_people_are_not_drilled_and_leave_no_row_waiting(home: Home) -> None:
    reader = scripted("reader", same_answer("red", 0.2))

    @model_output(Cascade(reader, Person(), safe_state=SAFE), contract=Mood)
    def mood(order: pd.DataFrame) -> pd.DataFrame:
        """How the writer feels."""
        return order[["message_id", "note"]]

    send(home, "m1,one,1", "m2,two,2")
    assert run_shop(home, order, mood).success
    step = step_of(mood)
    assert step is not None
    drills = list(drill(home, step))
    assert [(one.performer, one.fault) for one in drills] == [("reader", fault) for fault in FAULTS]
    for one in drills:
        assert one.answered == ({"reader": 2} if one.fault == "slow" else {"safe label unknown": 2}), one.fault
        assert (one.accepted, one.broken) == (0, []), one.fault


def test_a_broken_promise_is_named_and_gives_exit_status_1(project: Project, tmp_path: Path) -> None:
    workflow = shutil.copytree(SMALL_WORKFLOW, tmp_path / "workflow")
    notes = workflow / "assets" / "notes.py"
    notes.write_text(notes.read_text().replace("class Mood(Decision):\n", STRICT))
    strict = Project(project.root, {"PYTHONPATH": str(workflow)})
    told = strict.orchestrate("drill", "faults", "--model-output", "mood", status=1)
    assert "✗ mood, words, permanent: rows break the contract." in told
    assert "mood, words, slow" not in told


def test_what_cannot_be_drilled_is_refused(project: Project, tmp_path: Path) -> None:
    told = project.orchestrate("drill", "faults", "--model-output", "moods", status=1)
    assert told.endswith("✗ There is no model output 'moods'. Did you mean 'mood'?\n")
    empty = Project(tmp_path / "home", project.variables)
    assert "mood has decided on no row yet." in empty.orchestrate("drill", "faults", status=1)


@pytest.mark.parametrize(
    ("spoil", "seconds", "broken"),
    [
        (lambda frame: frame, 0.0, []),
        (lambda frame: frame.head(2), 0.0, ["rows were lost or doubled"]),
        (
            lambda frame: pd.concat([frame, frame.head(1)]),
            0.0,
            ["rows were lost or doubled", "rows break the contract"],
        ),
        (
            lambda frame: frame.assign(label=pd.Series([None, "calm", "calm"])),
            0.0,
            ["rows have no answer", "rows break the contract"],
        ),
        (lambda frame: frame.assign(performer="first"), 0.0, ["3 faulty answers were kept"]),
        (lambda frame: frame, LIMIT_SECONDS + 1.5, ["calls took 3.5 s"]),
    ],
)
def test_every_promise_that_is_broken_is_noticed(
    home: Home, spoil: Callable[[pd.DataFrame], pd.DataFrame], seconds: float, broken: list[str]
) -> None:
    step = step_of(note_workflow.mood)
    assert step is not None
    faulty = Faulty(scripted("first", same_answer("red", 0.9)), Plan("permanent"))
    found = decide(Cascade(faulty, safe_state=SAFE), home)
    work = Work("first", "1", seconds=seconds, failure="ValueError")
    spoilt = Decisions(spoil(found.frame), labels=found.labels | {"calm"})
    assert broken_promises(step, messages(), faulty, spoilt, work) == broken


def test_only_a_governed_asset_was_made_from_a_step() -> None:
    steps = [step_of(asset) for asset in (note_workflow.note, note_workflow.mood, note_workflow.catalogue)]
    assert [step and step.name for step in steps] == ["note", "mood", None]

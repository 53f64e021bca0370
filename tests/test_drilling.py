"""The fire drill: on a copy, what each model output does while a performer fails, and which promises it would notice."""

import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import note_workflow
import pandas as pd
import pytest
import sqlalchemy as sa
from live_project import SMALL_WORKFLOW, Project
from scripted_cascades import SAFE, decide, messages, scripted

from orchestration_project.dispatch.drill import LIMIT_SECONDS, broken_promises, copy_of
from orchestration_project.model_output.decorators import step_of
from orchestration_project.performers.asking import ATTEMPTS, Work
from orchestration_project.performers.cascade import Cascade, Decisions
from orchestration_project.performers.faulty import FAULTS, Faulty, Plan
from orchestration_project.performers.scripted import same_answer
from orchestration_project.stores.files import file_digest
from orchestration_project.stores.home import Home
from orchestration_project.stores.schema import METADATA

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


def digests(root: Path) -> dict[str, str]:
    """Digest of every file of a home, with all in its database that SQLite had written beside it."""
    with closing(sqlite3.connect(root / "ledger.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    files = [path for path in root.rglob("*") if path.is_file() and not path.name.endswith(("-wal", "-shm"))]
    return {str(path.relative_to(root)): file_digest(path) for path in files}


def test_each_fault_is_tried_on_the_newest_batch_of_a_copy_and_the_home_stays_as_it_is(project: Project) -> None:
    before = digests(project.root)
    drills: list[dict[str, Any]] = project.orchestrate("drill", "faults", "--json")
    assert digests(project.root) == before
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


def test_a_copy_has_every_row_of_the_ledger_whatever_its_database(any_home: Home, tmp_path: Path) -> None:
    note_workflow.promote(any_home)
    note_workflow.send(any_home, "one", "two")
    copy = copy_of(any_home, tmp_path / "copy")
    with any_home.ledger.read() as ours, copy.ledger.read() as theirs:
        for table in METADATA.sorted_tables:
            assert ours.execute(sa.select(table)).all() == theirs.execute(sa.select(table)).all(), table.name
        assert sum(len(ours.execute(sa.select(table)).all()) for table in METADATA.sorted_tables) > 5
    assert copy.ledger_url.startswith("sqlite:///")
    copy.ledger.close()


def test_only_a_governed_asset_was_made_from_a_step() -> None:
    steps = [step_of(asset) for asset in (note_workflow.note, note_workflow.mood, note_workflow.catalogue)]
    assert [step and step.name for step in steps] == ["note", "mood", None]

"""A file of real messages that nobody here wrote is accounted for, each message in one state."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_project import Project
from workflow_steps import FEELINGS, MATTERS, use_model

MESSAGES = 6_328


@pytest.fixture
def file() -> Path:
    folder = os.environ.get("ORCHESTRATE_EVAL_DATA")
    if folder is None:
        pytest.skip("ORCHESTRATE_EVAL_DATA is not set. Set it to a folder with airline_feedback.jsonl.")
    return Path(folder) / "airline_feedback.jsonl"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    project = Project(tmp_path / "home")
    project.home.prepare()
    use_model(project.home, "sentiment", FEELINGS)
    use_model(project.home, "issue", MATTERS)
    yield project
    project.kill()


def test_every_message_is_in_one_state_and_sent_again_a_duplicate(project: Project, file: Path) -> None:
    counts = project.orchestrate("send", str(file), "--json")
    (batch,) = counts.pop("batches")
    assert sum(counts.values()) == counts["done"] == MESSAGES
    assert len(project.rows("feedback", batch)) == len(project.rows("sentiment", batch)) == MESSAGES
    again = project.orchestrate("send", str(file), "--json")
    assert again.pop("batches") != [batch]
    assert sum(again.values()) == again["duplicates"] == MESSAGES
    assert project.status() == {"done": MESSAGES, "duplicates": MESSAGES}

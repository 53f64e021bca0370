"""However a run is started (the UI, Dagster's command line, the sensor, `send`), the same messages give the same rows,
decided by the models; and a backfill works on many batches.

Each way has an empty home, with the same secret and the same small models; servers and processes are real.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
import sqlalchemy as sa
from live_project import FAST, SMALL_WORKFLOW, Project, wait_until
from live_ui import BACKFILL_STATE, LOCATION, Ui
from workflow_steps import FEELINGS, MATTERS, use_model

from orchestration_project.stores.schema import AUDIT

ASSETS = ("feedback", "sentiment", "issue", "route", "summary", "alert")
BATCH = "by-hand"
BATCHES = 10
"""Of a backfill; Dagster works on two at once."""

MESSAGES = [
    {"received_at": f"2026-03-0{1 + number // 8}T{8 + number % 8:02}:00:00Z", "account": f"c{number}", "text": text}
    for number, text in enumerate(
        text for texts in (*FEELINGS.values(), *MATTERS.values()) for text in texts if text != FEELINGS["neutral"][0]
    )
]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with a secret and models in use, and nothing else; each way starts on a copy."""
    project = Project(tmp_path_factory.mktemp("start") / "home")
    project.home.prepare()
    assert project.home.secret
    use_model(project.home, "sentiment", FEELINGS)
    use_model(project.home, "issue", MATTERS)
    project.home.ledger.close()
    yield project.root


@pytest.fixture
def project(start: Path, tmp_path: Path) -> Iterator[Ui]:
    shutil.copytree(start, tmp_path / "home")
    project = Ui(tmp_path / "home", FAST)
    yield project
    project.kill()


def messages_file(project: Project) -> Path:
    file = project.root.with_name("messages.jsonl")
    file.write_text("".join(f"{json.dumps(message)}\n" for message in MESSAGES))
    return file


def outcome(project: Project) -> dict[str, pd.DataFrame]:
    """Every row of the workflow, in order."""
    return {asset: project.rows(asset) for asset in ASSETS}


def asked(project: Project) -> dict[str, int]:
    """Performer → rows it was asked about, by the audit log."""
    with project.home.ledger.read() as connection:
        query = sa.select(AUDIT.c.detail).where(AUDIT.c.action == "published").order_by(AUDIT.c.sequence)
        details = [json.loads(detail) for detail in connection.execute(query).scalars()]
    return {work["performer"]: work["asked"] for detail in details for work in detail.get("performers", ())}


@pytest.fixture(scope="module")
def expected(start: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    """What `send` gives, where no project runs."""
    root = tmp_path_factory.mktemp("send") / "home"
    shutil.copytree(start, root)
    project = Project(root)
    counts = project.orchestrate("send", str(messages_file(project)), "--json")
    assert counts["done"] == len(MESSAGES)
    rows = outcome(project)
    assert set(rows["sentiment"]["decided_by"]) == {"model"}
    unhappy = int((rows["sentiment"]["label"] == "negative").sum())
    assert len(rows["issue"]) == len(rows["route"]) == unhappy > 10
    assert asked(project) == {
        "sentiment model": len(MESSAGES),
        "issue rules": unhappy,
        "issue model": int((rows["issue"]["performer"] != "issue rules").sum()),
    }
    return rows


def assert_same(project: Project, expected: dict[str, pd.DataFrame]) -> None:
    assert project.status() == {"done": len(MESSAGES)}
    for asset, rows in outcome(project).items():
        pd.testing.assert_frame_equal(rows, expected[asset], obj=asset)
    assert asked(project)["sentiment model"] == len(MESSAGES)
    assert asked(project)["issue model"] == int((expected["issue"]["performer"] != "issue rules").sum())


def test_the_sensor_gives_the_rows_of_send(project: Ui, expected: dict[str, pd.DataFrame]) -> None:
    project.start_daemon()
    project.put("messages", MESSAGES)
    wait_until(lambda: project.status() == {"done": len(MESSAGES)}, "the batch")
    assert_same(project, expected)


def test_dagsters_command_line_gives_the_rows_of_send(project: Ui, expected: dict[str, pd.DataFrame]) -> None:
    project.orchestrate("send", "--no-wait", str(messages_file(project)))
    with dg.DagsterInstance.from_config(str(project.home.dagster)) as instance:
        instance.add_dynamic_partitions("batch", [BATCH])
    command = ["asset", "materialize", "-m", LOCATION, "--select", "group:feedback", "--partition", BATCH]
    assert project.start("dagster", *command).wait() == 0, project.output()
    assert_same(project, expected)


def test_the_ui_gives_the_rows_of_send(project: Ui, expected: dict[str, pd.DataFrame]) -> None:
    project.start_ui("feedback_arrived")
    project.orchestrate("send", "--no-wait", str(messages_file(project)))
    project.add_key(BATCH)
    project.materialize(ASSETS, BATCH)
    wait_until(lambda: project.status() == {"done": len(MESSAGES)}, "the batch")
    assert_same(project, expected)


def test_a_backfill_works_on_more_batches_than_runs_at_once(tmp_path: Path) -> None:
    variables = {**FAST, "PYTHONPATH": str(SMALL_WORKFLOW), "ORCHESTRATE_BATCH_ROWS": "4"}
    project = Ui(tmp_path / "home", variables)
    try:
        project.start_ui("notes_arrived")
        texts = [f"{'angry' if number % 4 == 0 else 'calm'} {number}" for number in range(4 * BATCHES)]
        file = tmp_path / "notes.jsonl"
        file.write_text("".join(f"{json.dumps({'text': text})}\n" for text in texts))
        project.orchestrate("send", "--no-wait", str(file))
        keys = [f"batch-{number}" for number in range(BATCHES)]
        for key in keys:
            project.add_key(key)
        assets = ("note", "mood", "complaint")
        backfill = project.backfill(assets, keys)
        state = lambda: project.ask(BACKFILL_STATE, id=backfill)["status"]  # noqa: E731
        wait_until(lambda: not state().startswith(("REQUESTED", "IN_PROGRESS")), "the backfill")
        assert state() == "COMPLETED_SUCCESS"
        assert project.status() == {"done": 4 * BATCHES}
        for key in keys:
            assert len(project.rows("note", key)) == len(project.rows("mood", key)) == 4
            assert len(project.rows("complaint", key)) == 1
        assert sorted(project.rows("note")["text"]) == sorted(texts)
    finally:
        project.kill()

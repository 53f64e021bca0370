"""The sensor that has documents read: by content, at rest, one run at a time, and again after a failure, bounded."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData

from orchestration_project.dispatch.document_sensor import CONTENT_TAG, Memory, documents_sensor
from orchestration_project.stores import halts
from orchestration_project.stores.document_files import look
from orchestration_project.stores.home import Home, current_home
from orchestration_project.stores.manifest import UNPARTITIONED

Status = dg.DagsterRunStatus


@dg.asset
def handbook() -> None:
    """What the job of these tests makes."""


definitions = dg.Definitions([handbook], jobs=[dg.define_asset_job("read", "*")]).get_repository_def()
job = definitions.get_job("read")
AT_ONCE = documents_sensor("changed", job, retry_seconds=0)
LATER = documents_sensor("changed", job, retry_seconds=3600)


class Ticks:
    """A sensor's ticks, one after another, with the cursor between them as the daemon keeps it."""

    def __init__(self, instance: dg.DagsterInstance, folder: Path) -> None:
        self.instance = instance
        self.folder = folder
        self.cursor: str | None = None
        self.asked: list[dg.RunRequest] = []
        self.said = ""
        self.changed = 1000

    def tick(self, sensor: dg.SensorDefinition = AT_ONCE) -> bool:
        """Evaluate the sensor once, as the code server does; whether it asks for a run."""
        with dg.SensorEvaluationContext(
            instance_ref=self.instance.get_ref(),
            last_tick_completion_time=None,
            last_run_key=None,
            cursor=self.cursor,
            repository_name=None,
            repository_def=definitions,
            instance=self.instance,
        ) as context:
            found: SensorExecutionData = sensor.evaluate_tick(context)
        self.cursor, self.said = found.cursor, found.skip_message or ""
        self.asked += found.run_requests or ()
        return bool(found.run_requests)

    def run(self, status: Status = Status.SUCCESS) -> dg.DagsterRun:
        """The run that was asked for last, as Dagster stores it, in some state of its life."""
        run = self.instance.create_run_for_job(job, tags=self.asked[-1].tags, status=Status.STARTED)
        if status == Status.FAILURE:
            self.instance.report_run_failed(run)
        elif status == Status.CANCELED:
            self.instance.report_run_canceled(run)
        elif status == Status.SUCCESS:
            success = dg.DagsterEvent(event_type_value="PIPELINE_SUCCESS", job_name=job.name)
            self.instance.report_dagster_event(success, run.run_id)
        found = self.instance.get_run_by_id(run.run_id)
        assert found is not None and found.status == status
        return found

    def write(self, **files: str) -> None:
        """Write documents, and let all come to rest."""
        for name, content in files.items():
            (self.folder / f"{name}.md").write_text(content)
        self.rest()

    def rest(self) -> None:
        """Let everything have been changed long ago, at another time than before."""
        self.changed += 1
        for path in (*self.folder.iterdir(), self.folder):
            os.utime(path, (self.changed, self.changed))


@pytest.fixture(scope="module")
def shared_instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """In files, for a sensor gets a reference to them."""
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as instance:
        yield instance


@pytest.fixture
def ticks(named_home: Home, tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Ticks:
    """A folder with one document at rest, and no tick yet."""
    folder = tmp_path / "knowledge"
    folder.mkdir()
    monkeypatch.setenv("ORCHESTRATE_KNOWLEDGE", str(folder))
    ticks = Ticks(instance, folder)
    ticks.write(a="one")
    return ticks


@pytest.fixture
def read_once(ticks: Ticks) -> Ticks:
    """The same, read once."""
    assert ticks.tick()
    ticks.run()
    return ticks


def test_the_first_tick_has_the_documents_read(ticks: Ticks) -> None:
    assert ticks.tick()
    (request,) = ticks.asked
    assert request.run_key == request.tags[CONTENT_TAG]


@pytest.mark.parametrize("change", ["added", "changed", "removed", "renamed", "not readable"])
def test_every_change_of_the_content_asks_for_one_run(ticks: Ticks, change: str) -> None:
    ticks.write(b="two")
    assert ticks.tick()
    ticks.run()
    assert not ticks.tick()
    file = ticks.folder / "a.md"
    if change == "removed":
        file.unlink()
    elif change == "renamed":
        file.rename(ticks.folder / "c.md")
    elif change == "not readable":
        (ticks.folder / "c.pdf").write_bytes(b"%PDF")
    else:
        (ticks.folder / ("c.md" if change == "added" else "a.md")).write_text("new words")
    ticks.rest()
    assert ticks.tick()
    ticks.run()
    assert not ticks.tick()
    assert "Nothing changed" in ticks.said


def test_touched_copied_and_rewritten_alike_is_no_change(read_once: Ticks) -> None:
    file = read_once.folder / "a.md"
    os.utime(file, (2000, 2000))
    assert not read_once.tick()
    file.unlink()
    read_once.write(a="one")
    assert not read_once.tick()


def test_a_content_that_comes_back_is_read_again(read_once: Ticks) -> None:
    for content in ("two", "one", "two"):
        read_once.write(a=content)
        assert read_once.tick()
        read_once.run()
    assert len({request.run_key for request in read_once.asked}) == 4


def test_a_file_that_is_unchanged_is_not_opened_again(read_once: Ticks) -> None:
    """It has other words now, and all that the folder tells of it is the same."""
    file = read_once.folder / "a.md"
    file.write_text("two")
    os.utime(file, (read_once.changed, read_once.changed))
    assert not read_once.tick()


def test_what_is_not_at_rest_is_waited_for(ticks: Ticks) -> None:
    with (ticks.folder / "b.md").open("w") as file:
        file.write("half")
        file.flush()
        assert not ticks.tick()
        assert ticks.said.startswith("The folder was changed just now")
        ticks.rest()
        assert not ticks.tick()
        assert "b.md was changed just now, or is being written" in ticks.said
    assert ticks.tick()


def test_many_changes_at_once_are_one_run(read_once: Ticks) -> None:
    read_once.write(**{f"d{number}": str(number) for number in range(30)})
    assert read_once.tick()
    read_once.run()
    assert not read_once.tick()


def test_what_changes_during_a_run_is_read_by_one_run_after_it(ticks: Ticks) -> None:
    assert ticks.tick()
    run = ticks.run(Status.STARTED)
    for content in ("two", "three"):
        ticks.write(b=content)
        assert not ticks.tick()
        assert run.run_id in ticks.said
    ticks.instance.report_run_canceled(run)
    assert ticks.tick()
    ticks.run()
    assert not ticks.tick()


@pytest.mark.parametrize("state", ["away", "empty", "a file"])
def test_a_folder_that_is_away_or_empty_is_named_and_starts_nothing(read_once: Ticks, state: str) -> None:
    read_once.folder.rename(read_once.folder.with_name("elsewhere"))
    if state == "empty":
        read_once.folder.mkdir()
    elif state == "a file":
        read_once.folder.write_text("")
    assert not read_once.tick()
    assert str(read_once.folder) in read_once.said
    assert "ORCHESTRATE_KNOWLEDGE" in read_once.said
    if state == "empty":
        read_once.folder.rmdir()
    elif state == "a file":
        read_once.folder.unlink()
    read_once.folder.with_name("elsewhere").rename(read_once.folder)
    assert not read_once.tick()
    assert "Nothing changed" in read_once.said


def test_a_run_that_failed_is_tried_again_as_often_as_the_setting_says(ticks: Ticks) -> None:
    for _ in range(3):
        assert ticks.tick()
        ticks.run(Status.FAILURE)
    assert not ticks.tick()
    assert "3 runs failed" in ticks.said
    ticks.write(a="two")
    assert ticks.tick()


def test_the_next_attempt_waits(ticks: Ticks) -> None:
    assert ticks.tick(LATER)
    ticks.run(Status.FAILURE)
    assert not ticks.tick(LATER)
    assert "The next attempt is due at" in ticks.said
    assert ticks.tick(AT_ONCE)


def test_a_run_that_a_person_stopped_is_not_tried_again(ticks: Ticks) -> None:
    assert ticks.tick()
    ticks.run(Status.CANCELED)
    assert not ticks.tick()


def test_a_run_that_its_gate_halted_is_not_tried_again(ticks: Ticks) -> None:
    assert ticks.tick()
    run = ticks.run(Status.FAILURE)
    home = current_home()
    with home.ledger.write() as connection:
        halts.record_halt(
            connection, asset="handbook", partition=UNPARTITIONED, run_id=run.run_id, reason="All refused."
        )
    assert not ticks.tick()
    home.ledger.close()


def test_the_memory_survives_its_cursor_and_forgets_what_is_gone(ticks: Ticks) -> None:
    memory = Memory().seen(look(ticks.folder).files).asking("content", 2)
    assert json.loads(memory.written())["files"].keys() == {"a.md"}
    again = Memory.read(memory.written())
    assert (again.content, again.attempt, again.tag) == ("content", 2, memory.tag)
    assert again.seen([]).files == {}

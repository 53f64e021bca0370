"""What Dagster loads: one location under one name for every command, and assets that say what they are."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from assets import triggers
from orchestration_project.core.settings import PROJECT
from orchestration_project.definitions import defs
from orchestration_project.dispatch.executor import ledger_executor
from orchestration_project.dispatch.order_jobs import order_jobs
from orchestration_project.model_output.decorators import GOVERNED, STEP
from orchestration_project.model_output.partitions import BATCHES

BY_BATCH = ("feedback", "sentiment", "issue", "route", "summary", "alert")
OF_A_FAMILY = ("labels", "challenger", "evaluation", "champion")
ONCE = tuple(f"{family}_{part}" for family in ("sentiment", "issue") for part in OF_A_FAMILY)


@pytest.fixture(scope="module")
def loaded() -> dg.Definitions:
    return defs()


@pytest.fixture(scope="module")
def graph(loaded: dg.Definitions) -> AssetGraph:
    return loaded.resolve_asset_graph()


def run(*command: str, folder: Path = PROJECT, **variables: str) -> "subprocess.CompletedProcess[str]":
    """A command of the environment, as a user types it, without what the test's own environment names."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("ORCHESTRATE_", "DAGSTER_"))}
    program = Path(sys.executable).with_name(command[0])
    return subprocess.run(
        [str(program), *command[1:]],
        cwd=folder,
        env={**outside, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_workspace_and_pyproject_name_the_same_location() -> None:
    (workspace,) = yaml.safe_load((PROJECT / "workspace.yaml").read_text())["load_from"]
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["dg"]["project"]
    assert workspace["python_module"] == {
        "module_name": project["code_location_target_module"],
        "location_name": project["code_location_name"],
    }


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("dagster", "definitions", "validate", "-w", "workspace.yaml"), "successful"),
        (("dg", "check", "defs"), "loaded successfully"),
        (("dg", "list", "defs"), "feedback_arrived"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, tuple) else "",
)
def test_commands_of_dagster_load_the_project(tmp_path: Path, command: tuple[str, ...], said: str) -> None:
    ended = run(*command, ORCHESTRATE_HOME=str(tmp_path), DAGSTER_HOME=str(tmp_path))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert said in ended.stdout + ended.stderr


def test_materialising_without_a_dagster_home_fails_and_names_make(tmp_path: Path) -> None:
    module = ("-m", "orchestration_project.definitions")
    command = ("dagster", "asset", "materialize", "--select", "sentiment_labels", *module)
    ended = run(*command, folder=tmp_path, ORCHESTRATE_HOME=str(tmp_path / "home"))
    assert ended.returncode != 0
    assert "DAGSTER_HOME is not set" in ended.stdout + ended.stderr
    assert "Run `make` once in the project" in ended.stdout + ended.stderr
    assert not (tmp_path / "home" / "warehouse").exists()


def test_every_asset_of_the_workflow_is_there_and_in_its_partitions(graph: AssetGraph) -> None:
    for name in BY_BATCH:
        assert graph.get(dg.AssetKey(name)).partitions_def == BATCHES, name
    for name in ONCE:
        assert graph.get(dg.AssetKey(name)).partitions_def is None, name


def test_the_lineage_reads_like_the_workflow(graph: AssetGraph) -> None:
    parents = {name: {key.to_user_string() for key in graph.get(dg.AssetKey(name)).parent_keys} for name in BY_BATCH}
    assert parents == {
        "feedback": set(),
        "sentiment": {"feedback", "sentiment_champion", "verdicts"},
        "issue": {"feedback", "sentiment", "issue_champion", "verdicts"},
        "route": {"feedback", "issue"},
        "summary": {"feedback", "route"},
        "alert": {"feedback", "summary", "route"},
    }


def test_every_asset_says_what_it_is(graph: AssetGraph) -> None:
    for node in graph.asset_nodes:
        name = node.key.to_user_string()
        assert node.description, name
        assert node.kinds, name
        if not node.is_executable:  # what happens outside of Dagster: people, the audit log
            continue
        assert node.group_name in ("feedback", "knowledge", "models", "operations"), name
        assert node.owners, name
        assert node.metadata.get(GOVERNED), name
        is_decision = name in ("sentiment", "issue")
        assert node.tags[STEP] == ("model_output" if is_decision else "governed_asset"), name
        assert ("personal_data" in node.tags) == (name in ("feedback", "summary", "alert")), name
        columns = node.metadata["dagster/column_schema"].columns
        assert all(column.description for column in columns), name


def test_every_asset_has_a_gate_that_blocks_in_its_partitions(graph: AssetGraph) -> None:
    for node in graph.asset_nodes:
        if not node.is_executable:
            continue
        gate = graph.get_check_spec(dg.AssetCheckKey(node.key, "gate"))
        assert gate.blocking, node.key
        assert gate.partitions_def == node.partitions_def, node.key


def test_every_way_to_start_a_run_goes_through_the_ledgers_executor(loaded: dg.Definitions) -> None:
    repository = loaded.get_repository_def()
    jobs = repository.get_all_jobs()
    assert {job.name for job in jobs} >= {"__ASSET_JOB", "workflow", "train", "train_sentiment", "train_issue"}
    assert {job.executor_def.name for job in jobs} == {ledger_executor.name}


def test_every_trigger_states_its_default_and_its_time_zone(loaded: dg.Definitions) -> None:
    repository = loaded.get_repository_def()
    sensors = {sensor.name: sensor.default_status for sensor in repository.sensor_defs}
    running = (
        "feedback_arrived",
        "documents_changed",
        "run_changed",
        "quarantine_changed",
        "checks_changed",
        "enough_learnt",
        "limits_kept",
        "feedback_stopped",
        "upstream_changed",
    )
    assert sensors == dict.fromkeys(running, dg.DefaultSensorStatus.RUNNING)
    schedules = {schedule.name: schedule for schedule in repository.schedule_defs}
    assert {name: schedule.cron_schedule for name, schedule in schedules.items()} == {
        "daily_digest": "0 7 * * *",
        "nightly_training": "0 2 * * *",
        "weekly_thresholds": "0 3 * * 1",
    }
    for schedule in schedules.values():
        assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
        assert schedule.execution_timezone == "UTC"
        assert schedule.description


def test_the_page_of_triggers_names_what_there_is_and_what_it_starts(loaded: dg.Definitions) -> None:
    repository = loaded.get_repository_def()
    lines = [line for line in str(triggers.__doc__).splitlines() if line.startswith("| ")][1:]
    listed = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    with_name = {name: starts for name, starts, _, _ in listed if name.isidentifier()}
    sensors = {sensor.name: sensor for sensor in repository.sensor_defs}
    schedules = {schedule.name: schedule for schedule in repository.schedule_defs}
    assert set(with_name) == {*sensors, *schedules}
    jobs = {job.name for job in repository.get_all_jobs()}
    for name, schedule in schedules.items():
        assert with_name[name] == schedule.job_name
    for name in ("documents_changed", "quarantine_changed", "checks_changed"):
        assert [with_name[name]] == [target.job_name for target in sensors[name].targets]
    assert {starts for _, starts, _, _ in listed if starts in jobs} >= {"workflow", "read_documents", "list_what_waits"}
    for name, _, when, at_first in listed:
        assert when, name
        is_running = at_first == "running"
        assert is_running == name.isidentifier(), "what is seen under Automation is running or stopped there"
        assert is_running or at_first.startswith("on, in "), name


def test_the_page_of_triggers_names_every_order(loaded: dg.Definitions) -> None:
    by_hand = str(triggers.__doc__).partition("By hand")[2]
    assert by_hand
    for job in order_jobs():
        assert f"`{job.name}`" in by_hand
        assert loaded.resolve_job_def(job.name).description


@pytest.mark.parametrize(
    "trigger",
    [
        "a file lies in the inbox",
        "a message was posted",
        "a document of ORCHESTRATE_KNOWLEDGE was added, changed or removed",
        "a threshold in a run",
        "a threshold across batches",
        "07:00, in ORCHESTRATE_TIME_ZONE",
        "what they are made from changed, and passed its gate",
        "a run of a batch failed",
    ],
)
def test_the_page_of_triggers_has_every_kind(trigger: str) -> None:
    assert trigger in str(triggers.__doc__)


def test_every_trigger_is_explained(loaded: dg.Definitions) -> None:
    explained = (PROJECT / "docs" / "triggers.md").read_text()
    repository = loaded.get_repository_def()
    for found in (*repository.sensor_defs, *repository.schedule_defs):
        assert f"`{found.name}`" in explained, found.name
    for job in order_jobs():
        assert f"`{job.name}`" in explained, job.name

"""The drill of a switch: on the project as it is, the time until nobody asks a performer, and everything as it was."""

import json
from collections.abc import Iterator

import pytest
from live_project import SMALL_WORKFLOW, Project

from orchestration_project.dispatch.switch_drill import SwitchDrill
from orchestration_project.governance import audit
from orchestration_project.governance.audit import Entry
from orchestration_project.stores import manifest, switches

REASON = ("--reason", "rehearsal")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("drill") / "home", {"PYTHONPATH": str(SMALL_WORKFLOW)})
    project.orchestrate("send", "so angry")
    yield project
    project.kill()


def audited(project: Project) -> list[Entry]:
    with project.home.ledger.read() as connection:
        return list(audit.entries(connection, print))


def entries(project: Project, action: str) -> list[dict[str, object]]:
    return [json.loads(one.detail) for one in audited(project) if one.action == action]


def test_it_measures_puts_back_and_records(project: Project) -> None:
    with project.home.ledger.read() as connection:
        before = manifest.all_current(connection)
    (found,) = project.orchestrate("drill", "switch-off", "words", *REASON, "--json")
    assert (found["performer"], found["model_output"], found["rows"]) == ("words", "mood", 1)
    assert found["calls_before"] >= 1
    assert found["answered"] == {"safe label unknown": 1}
    assert found["last_call_seconds"] <= found["safe_seconds"], "none began once a batch was decided without it"
    with project.home.ledger.read() as connection:
        assert switches.taken_out(connection) == []
        assert manifest.all_current(connection) == before, "nothing was published"
    (drilled,) = entries(project, "drilled")
    assert (drilled["safe_seconds"], drilled["reason"]) == (found["safe_seconds"], "rehearsal")
    (entry,) = [one for one in audited(project) if one.action == "drilled"]
    said = [(one.actor, json.loads(one.detail)["switch"]) for one in audited(project) if one.action == "switched"]
    assert [(actor, one["state"], one["is_drill"], one["reason"]) for actor, one in said] == [
        (entry.actor, "off", True, "rehearsal"),
        (entry.actor, "on", True, "rehearsal"),
    ]


def test_a_performer_that_there_is_not_is_refused(project: Project) -> None:
    told = project.orchestrate("drill", "switch-off", "wrods", *REASON, status=1)
    assert "No model output asks a performer 'wrods'. Did you mean 'words'?" in " ".join(told.split())


def test_a_performer_that_is_out_already_stays_so(project: Project) -> None:
    project.orchestrate("switch", "performer", "words", "shadow", *REASON)
    told = project.orchestrate("drill", "switch-off", "words", *REASON, status=1)
    assert "A drill takes one that is on." in " ".join(told.split())
    with project.home.ledger.read() as connection:
        assert [found.state for found in switches.taken_out(connection)] == ["shadow"]
    project.orchestrate("switch", "performer", "words", "on", *REASON)


@pytest.mark.parametrize(("seconds", "expected"), [(0.0, True), (1.0, True), (1.001, False)])
def test_a_call_that_begins_later_than_a_second_is_too_late(seconds: float, expected: bool) -> None:
    assert SwitchDrill("words", "mood", "b1", 1, 1, seconds, seconds, {}).is_in_time is expected

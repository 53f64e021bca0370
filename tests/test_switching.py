"""The verbs that switch, and that whoever looks is told what is not on."""

import json
from dataclasses import replace

import pytest
from note_workflow import CHAMPION
from reviewed_notes import SURE, Desk
from switched import WHY, switch
from typer.testing import CliRunner, Result

from orchestration_project.cli import modelling
from orchestration_project.cli.main import app
from orchestration_project.core.errors import Refused
from orchestration_project.governance.promotion import Verdict, record_verdict
from orchestration_project.stores import switches
from orchestration_project.stores.home import Home
from orchestration_project.stores.model_versions import ModelVersion

REASON = ["--reason", WHY]


@pytest.fixture
def home(named_home: Home) -> Home:
    Desk(named_home, {"a": SURE}).publish()
    with named_home.ledger.write() as connection:
        record_verdict(connection, CHAMPION, Verdict(True, "the first"))
    return named_home


def modelled(version: str) -> ModelVersion:
    return replace(CHAMPION, version=version)


def ask(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def taken_out(home: Home) -> list[tuple[str, str, str, str | None]]:
    with home.ledger.read() as connection:
        return [(found.kind, found.name, found.state, found.successor) for found in switches.taken_out(connection)]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["performer", "reader", "off"], ("performer", "reader", "off", None)),
        (["performer", "reader", "shadow"], ("performer", "reader", "shadow", None)),
        (["version", "mood", CHAMPION.version, "off"], ("version", CHAMPION.name, "off", None)),
        (["asset", "mood", "people"], ("asset", "mood", "people", None)),
        (["asset", "mood", "safe_state"], ("asset", "mood", "safe_state", None)),
    ],
)
def test_each_is_switched_and_back(home: Home, arguments: list[str], expected: tuple[str, ...]) -> None:
    result = ask("switch", *arguments, *REASON)
    assert result.exit_code == 0, result.exception
    assert WHY in result.stdout
    assert taken_out(home) == [expected]
    assert ask("switch", *arguments[:-1], "on", *REASON).exit_code == 0
    assert taken_out(home) == []


@pytest.mark.parametrize(
    "arguments", [["performer", "reader", "of"], ["asset", "mood", "off"], ["version", "mood", "1", "shadow"]]
)
def test_state_that_there_is_not_is_wrong_usage(home: Home, arguments: list[str]) -> None:
    assert ask("switch", *arguments, *REASON).exit_code == 2
    assert taken_out(home) == []


def test_a_switch_takes_a_reason(home: Home) -> None:
    assert ask("switch", "performer", "reader", "off").exit_code == 2
    assert "The reason is empty." in str(ask("switch", "performer", "reader", "off", "--reason", " ").exception)
    assert taken_out(home) == []


def test_what_is_not_on_is_listed_and_stands_in_the_status(home: Home) -> None:
    assert ask("switch", "list").stdout == "Everything is on.\n"
    told = switch(home, "performer", "reader", "off").told()
    (listed,) = json.loads(ask("switch", "list", "--json").stdout)
    assert (listed["name"], listed["state"], listed["person"], listed["reason"]) == ("reader", "off", "anna", WHY)
    assert "reader" in ask("switch", "list").stdout
    assert told in " ".join(ask("status").stderr.split())
    assert json.loads(ask("status", "--json").stdout)["switches"] == [listed]


def test_a_version_that_supersedes_another_is_put_in_use_first(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with home.ledger.write() as connection:
        record_verdict(connection, newer := modelled("beef"), Verdict(False, "worse"))
    asked: list[tuple[str, str, str]] = []
    monkeypatch.setattr(modelling, "put_in_use", lambda _, *order: asked.append(order))
    arguments = ["version", "mood", CHAMPION.version, "off", "--superseded-by", "beef", *REASON]
    assert ask("switch", *arguments).exit_code == 0
    assert asked == [("mood", newer.version, WHY)]
    assert taken_out(home) == [("version", CHAMPION.name, "off", newer.version)]


def test_where_the_successor_is_refused_nothing_changes(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with home.ledger.write() as connection:
        record_verdict(connection, modelled("beef"), Verdict(False, "worse"))

    def refuse(*_: object) -> None:
        raise Refused("mood beef is not put in use: worse.")

    monkeypatch.setattr(modelling, "put_in_use", refuse)
    arguments = ["version", "mood", CHAMPION.version, "off", "--superseded-by", "beef", *REASON]
    assert "worse" in str(ask("switch", *arguments).exception)
    assert taken_out(home) == []

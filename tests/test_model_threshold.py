"""The verb `model threshold`: from which confidence on the version in use accepts."""

import json

import pytest
from learning_home import in_use
from typer.testing import CliRunner, Result

from orchestration_project.cli.main import app
from orchestration_project.core.errors import Refused, UnknownName
from orchestration_project.stores import families
from orchestration_project.stores.families import Family
from orchestration_project.stores.home import Home

PEOPLE = '[people.anna]\nusers = ["*"]\nroles = ["approver"]\n'


@pytest.fixture
def home(named_home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    (named_home.root / "people.toml").write_text(PEOPLE)
    monkeypatch.setenv("ORCHESTRATE_PEOPLE", str(named_home.root / "people.toml"))
    monkeypatch.setattr(families, "families", lambda: [Family("mood", "moods.csv", "mood")])
    monkeypatch.setattr(families, "require_family", lambda name: Family(name, "moods.csv", "mood"))
    in_use(named_home)
    return named_home


def ask(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["model", *arguments])


def test_version_in_use_accepts_from_another_confidence_and_the_list_says_so(home: Home) -> None:
    found = ask("threshold", "mood", "0.95", "--reason", "two wrong alerts")
    assert found.stdout == "mood/1 accepts from 0.95 on, before from 0.5.\n"
    (version,) = json.loads(ask("list", "--json").stdout)
    assert (version["in_use"], version["threshold"]) == (True, 0.95)


def test_what_cannot_be_accepted_from_is_refused(home: Home) -> None:
    assert "its training proved the stated error from 0.5 on" in str(
        ask("threshold", "mood", "0.3", "--reason", "why").exception
    )
    assert isinstance(ask("threshold", "mood", "0.9", "--reason", " ").exception, Refused)
    assert ask("threshold", "mood", "7", "--reason", "why").exit_code == 2
    assert ask("threshold", "mood", "0.9").exit_code == 2


def test_unknown_model_is_named() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'sentiment'"):
        raise ask("threshold", "sentimnt", "0.9", "--reason", "why").exception or AssertionError("nothing was refused")

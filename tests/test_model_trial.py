"""The verb `model trial`: what the version on trial has shown."""

import json

import pytest
from learning_home import CHALLENGER, decided, in_use, on_trial, say
from typer.testing import CliRunner, Result

from orchestration_project.cli.main import app
from orchestration_project.stores import families
from orchestration_project.stores.families import Family
from orchestration_project.stores.home import Home


@pytest.fixture
def home(named_home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setattr(families, "require_family", lambda name: Family(name, "moods.csv", "mood"))
    in_use(named_home)
    return named_home


def ask(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["model", "trial", "mood", *arguments])


def test_where_none_is_on_trial_it_says_so(home: Home) -> None:
    assert "No version of 'mood' is on trial." in str(ask().exception)


def test_it_shows_answers_agreement_and_what_people_decided(home: Home) -> None:
    on_trial(home, trained_by="anna")
    decided(home, "b1", {"a": ("calm", "calm"), "b": ("calm", "angry")})
    found = ask()
    assert "Its file none is gone, and it answers no more." in found.stderr
    text = found.stdout
    assert "mood challenger, on trial since" in text
    assert "2 of 200 answers in shadow. Approval: nobody." in text
    assert "1 of 2" in text
    assert "People have decided on none of these rows." in text
    say(home, "b1", "b", "angry")
    assert "On 1 rows that people decided" in ask().stdout
    found = json.loads(ask("--json").stdout)
    assert (found["version"], found["trained_by"], found["answers"], found["decided"]) == (
        CHALLENGER.version,
        "anna",
        2,
        1,
    )

"""The verb `forget`."""

import json

import dagster as dg
import letters_home
import pytest
from letters_home import ID, TEXT
from typer.testing import CliRunner

from orchestration_project.cli.main import app
from orchestration_project.core.errors import Refused, UnknownName
from orchestration_project.stores.home import Home


@pytest.fixture
def published(named_home: Home) -> Home:
    """A home with the letter, which nobody need decide, in a batch that was published, and a model that learnt it."""
    with dg.DagsterInstance.ephemeral() as instance:
        rows = [(ID, f"{TEXT}, a word", letters_home.ACCOUNT, 1), *letters_home.others()]
        letters_home.receive(named_home, "a.csv", letters_home.csv(rows))
        letters_home.work(named_home, instance)
    letters_home.learn(named_home)
    return named_home


def forget(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["forget", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_it_prints_what_went_where_what_was_not_reached_and_what_to_train(published: Home) -> None:
    told = forget(ID, "--why", "the customer asked")
    for line in ("versions of assets", "archived files", "label imports", "mood", "abcd1234"):
        assert line in told
    assert "Next: orchestrate train --model mood" in told
    assert "Not reached: What was exported, and backups of the home, are not known here." in told
    assert not any(trace in told for trace in letters_home.TRACES)
    assert letters_home.places_that_tell(published.root) == []
    again = forget(ID, "--why", "to be sure")
    assert f"had message {ID} erased already, at " in again and "Nothing more was found." in again
    assert "Next: orchestrate train --model mood" in again


def test_programs_get_it_as_json(published: Home) -> None:
    told = json.loads(forget(ID, "--why", "the customer asked", "--json"))
    assert told["is_new"] and told["places"]["label imports"] == 1
    assert told["models"] == [{"family": "mood", "version": "abcd1234", "is_in_use": True}]
    assert told["commands"] == ["orchestrate train --model mood"]


def test_bad_input_is_refused_in_a_sentence(published: Home) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'letter-77'"):
        forget("leter-77", "--why", "asked")
    with pytest.raises(Refused, match="The reason is empty"):
        forget(ID, "--why", "  ")


def test_an_appeal_after_it_is_refused(published: Home) -> None:
    forget(ID, "--why", "the customer asked")
    result = CliRunner().invoke(app, ["appeal", ID, "--asset", "mood", "--why", "it is wrong"])
    assert isinstance(result.exception, Refused)
    assert "What it said is gone, so nobody can judge it: what was decided stands." in str(result.exception)

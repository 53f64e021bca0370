"""The verb that accepts a column: a batch that halted for it goes on, and the file of the checkout says why."""

import json
from pathlib import Path

import pytest
from shop_workflow import audited, open_halts, order, rows, run, send
from typer.testing import CliRunner, Result

from orchestration_project.cli.main import app
from orchestration_project.core.errors import OrchestrationError
from orchestration_project.core.settings import Settings
from orchestration_project.stores.home import Home


@pytest.fixture
def home(named_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home with a good batch, and one that halts for the column `colour`."""
    monkeypatch.setenv("ORCHESTRATE_ACCEPTED_COLUMNS", str(tmp_path / "accepted.csv"))
    home = Home(Settings.from_environment())
    send(home, "a,hello,1")
    assert run(home, order, batch="good").success
    send(home, "b,hello,1,red", columns="message_id,note,pieces,colour")
    assert not run(home, order, batch="bad").success
    return home


def ask(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["contract", *arguments])


def test_column_that_is_left_out_halts_no_more(home: Home) -> None:
    result = ask("accept", "order", "colour", "--ignore", "--reason", "of no use")
    assert result.exit_code == 0, result.exception
    assert 'Next: orchestrate halt retry bad --reason "of no use"' in result.stdout
    assert run(home, order, batch="bad").success
    assert open_halts(home) == []
    assert ("column accepted", "order") in audited(home)
    assert json.loads(ask("list", "--json").stdout) == [{"asset": "order", "column": "colour", "name": None}]


def test_column_is_taken_in_under_the_contracts_name(home: Home) -> None:
    send(home, "c,2,hello", columns="message_id,pieces,remark")
    assert not run(home, order, batch="renamed").success
    assert ask("accept", "order", "remark", "--as", "note", "--reason", "another shop").exit_code == 0
    assert run(home, order, batch="renamed").success
    assert rows(home, "order", "renamed")["note"].tolist() == ["hello"]


def test_halted_check_names_the_command(home: Home) -> None:
    result = run(home, order, batch="bad")
    (gate,) = [one for one in result.get_asset_check_evaluations() if one.check_name == "gate"]
    said = str(gate.metadata["what to do"].value)
    assert said.startswith("orchestrate contract accept order colour --as NAME (or --ignore), with --reason TEXT; then")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["order", "color", "--ignore"], "No file that came in has a column 'color'. Did you mean 'colour'?"),
        (["order", "colour", "--as", "notes"], "order has no column 'notes'. Did you mean 'note'?"),
        (["order", "colour"], "Say either --as NAME or --ignore."),
        (["order", "colour", "--as", "note", "--ignore"], "Say either --as NAME or --ignore."),
    ],
)
def test_what_cannot_be_accepted_is_refused_and_nothing_is_written(
    home: Home, arguments: list[str], words: str
) -> None:
    result = ask("accept", *arguments, "--reason", "why")
    assert isinstance(result.exception, OrchestrationError)
    assert words in str(result.exception)
    assert not home.settings.accepted_columns.exists()

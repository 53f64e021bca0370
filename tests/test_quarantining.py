"""The verbs about refused rows: what they print and refuse, and which command they name next."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from shop_workflow import counts, order, quarantined, run, send
from typer.testing import CliRunner, Result

from orchestration_project.cli.main import app
from orchestration_project.cli.work import hold_running_lock
from orchestration_project.core.errors import OrchestrationError
from orchestration_project.stores.home import Home


@pytest.fixture
def home(named_home: Home) -> Home:
    """A home with a batch `b1` of which two of three orders are refused; a project that runs does the work."""
    send(named_home, "a,hello,1", "b,damn,2", "c,dear,0")
    assert run(named_home, order).success
    return named_home


@pytest.fixture
def running(home: Home) -> Any:
    lock = hold_running_lock(home)
    yield
    lock.release()


def ask(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["quarantine", *map(str, arguments)])


def say(*arguments: str | Path) -> str:
    result = ask(*arguments)
    assert result.exit_code == 0, result.exception or result.output
    return result.stdout


def refusal(*arguments: str | Path) -> str:
    result = ask(*arguments)
    assert isinstance(result.exception, OrchestrationError), result.output
    return str(result.exception)


def test_list_shows_each_row_and_counts_the_rules(home: Home) -> None:
    rows = json.loads(say("list", "--json"))
    assert [(row["message_id"], row["reason"], row["line"]) for row in rows] == [
        ("b", "note_polite", 3),
        ("c", "pieces_greater_than", 4),
    ]
    shown = say("list", "--rule", "note_polite")
    assert "orders.csv:3" in shown and "pieces_greater_than" not in shown
    assert say("list", "--batch", "b2") == "No refused row waits.\n"


def test_show_tells_what_came_in_and_what_became_of_it(home: Home) -> None:
    row = json.loads(say("list", "--json"))[0]["row_id"]
    found = json.loads(say("show", str(row), "--json"))
    assert (found["raw"], found["state"]) == ({"message_id": "b", "note": "damn", "pieces": "2"}, "open")
    assert "damn" in say("show", str(row))
    assert "No refused row has the number 99." in refusal("show", "99")


@pytest.mark.usefixtures("running")
def test_export_correct_fix_and_replay(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "refused.csv"
    assert f"Next: orchestrate quarantine fix {file} --reason TEXT" in say("export", file)
    table = pd.read_csv(file, dtype="str")
    table.loc[0, "note"], table.loc[1, "pieces"] = "dear, with comma", "3"
    table.to_csv(file, index=False)
    assert say("fix", file, "--reason", "looked up").startswith("2 rows are corrected.")
    batch = say("replay", "--all", "--reason", "corrected").removeprefix("Replayed in ").strip().rstrip(".")
    assert run(home, order, batch=batch).success
    assert quarantined(home) == []
    assert counts(home) == {"working": 3}
    assert "No refused row is meant by that." in refusal("export", file)


def test_rename_moves_a_column(home: Home) -> None:
    assert say("fix", "--rename", "pieces=note", "--rule", "pieces_greater_than", "--reason", "swapped").startswith(
        "1 row"
    )
    assert json.loads(say("list", "--json"))[1]["correction"] == {"note": "0", "pieces": None}


def test_discard_gives_rows_up(home: Home) -> None:
    assert say("discard", "--rule", "note_polite", "--reason", "spam") == "1 rows are discarded.\n"
    assert counts(home) == {"working": 1, "quarantined": 1, "discarded": 1}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["replay", "--reason", "x"], "Say which rows: their numbers, --rule, --batch, --asset, or --all."),
        (["discard", "--reason", "x"], "Say which rows: their numbers, --rule, --batch, --asset, or --all."),
        (["discard", "--all", "--reason", " "], "The reason is empty."),
        (["fix", "--reason", "x"], "Give either a FILE of corrections or --rename OLD=NEW."),
        (["fix", "--rename", "note", "--reason", "x"], "--rename is 'note'. Write OLD=NEW"),
        (["fix", "nowhere.csv", "--reason", "x"], "nowhere.csv cannot be read as CSV"),
    ],
)
def test_order_that_cannot_be_meant_is_refused_and_changes_nothing(
    home: Home, arguments: list[str], words: str
) -> None:
    assert words in refusal(*arguments)
    assert len(quarantined(home)) == 2

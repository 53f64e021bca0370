"""The verbs about batches and halts: what they print, and what they order."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from shop_workflow import open_halts, order, run, send
from typer.testing import CliRunner, Result

from orchestration_project.cli.main import app
from orchestration_project.cli.work import hold_running_lock
from orchestration_project.core.errors import OrchestrationError
from orchestration_project.stores.halts import record_halt
from orchestration_project.stores.home import Home


@pytest.fixture
def home(named_home: Home) -> Iterator[Home]:
    """A home with a good batch `good` and a halted one, `bad`; a project that runs does the work."""
    send(named_home, "a,hello,1")
    assert run(named_home, order, batch="good").success
    send(named_home, "b,hello,1,red", columns="message_id,note,pieces,colour")
    assert not run(named_home, order, batch="bad").success
    lock = hold_running_lock(named_home)
    yield named_home
    lock.release()


def ask(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def say(*arguments: str) -> str:
    result = ask(*arguments)
    assert result.exit_code == 0, result.exception or result.output
    return result.stdout


def refusal(*arguments: str) -> str:
    result = ask(*arguments)
    assert isinstance(result.exception, OrchestrationError), result.output
    return str(result.exception)


def test_batches_are_listed_newest_first_by_state(home: Home) -> None:
    found = json.loads(say("batch", "list", "--json"))
    assert [(batch["batch"], batch["state"]) for batch in found] == [("bad", "halted"), ("good", "working")]
    assert [batch["batch"] for batch in json.loads(say("batch", "list", "--state", "halted", "--json"))] == ["bad"]
    assert say("batch", "list", "--state", "done") == "No batch is done.\n"
    assert "No batch can be 'don'. Did you mean 'done'?" in refusal("batch", "list", "--state", "don")


def test_batch_shows_its_files_messages_and_versions(home: Home) -> None:
    found = json.loads(say("batch", "show", "good", "--json"))
    assert [(entry["file"], entry["rows"]) for entry in found["files"]] == [("orders.csv", 1)]
    assert found["messages"] == {"working": 1}
    assert [(entry["asset"], entry["version"]) for entry in found["versions"]] == [("order", 1)]
    assert "orders.csv" in say("batch", "show", "good")


def test_batch_that_a_gate_holds_is_halted_in_its_list_and_on_its_page(home: Home) -> None:
    assert json.loads(say("batch", "show", "bad", "--json"))["state"] == "halted"
    assert "│ state      │ halted" in say("batch", "show", "bad")
    say("batch", "discard", "bad", "--reason", "a test")
    assert json.loads(say("batch", "show", "bad", "--json"))["state"] == "discarded"


def test_version_that_is_read_behind_a_halt_is_marked_with_the_halted_run(home: Home) -> None:
    (version,) = json.loads(say("batch", "show", "good", "--json"))["versions"]
    assert version["halted_since"] is None
    with home.ledger.write() as connection:
        record_halt(connection, asset="order", partition="good", run_id="later", reason="All rows were refused.")
    (version,) = json.loads(say("batch", "show", "good", "--json"))["versions"]
    assert version["halted_since"] == "later"
    shown = say("batch", "show", "good").splitlines()
    assert [line.split()[-2] for line in shown if line.startswith("│ order ")] == ["later"]
    assert json.loads(say("batch", "show", "bad", "--json"))["versions"] == []


def test_halt_shows_its_reason_and_is_retried(home: Home) -> None:
    (found,) = json.loads(say("halt", "list", "--json"))
    assert (found["asset"], found["partition"]) == ("order", "bad")
    assert "unknown column 'colour'" in say("halt", "list")
    assert json.loads(say("halt", "show", "bad", "--json"))["version_that_stands"] is None
    assert "requested; the running project does it" in say("halt", "retry", "bad", "--reason", "mended")
    assert [entry["key"] for entry in json.loads(say("batch", "show", "bad", "--json"))["runs"]] == ["bad/retry/1"]
    assert "Batch good is not halted." in refusal("halt", "show", "good")


def test_halt_without_a_good_version_is_discarded_with_its_batch(home: Home) -> None:
    assert "Batch bad is discarded: nothing good" in say("halt", "discard", "bad", "--reason", "sent by mistake")
    assert open_halts(home) == []
    assert say("halt", "list") == "Nothing is halted.\n"


def test_batch_is_retried_and_discarded(home: Home) -> None:
    assert "A run of batch good is requested" in say("batch", "retry", "good", "--reason", "once more")
    assert say("batch", "discard", "good", "--reason", "a test") == "Batch good is discarded.\n"
    assert "Batch good was discarded: a test." in refusal("batch", "retry", "good", "--reason", "again")

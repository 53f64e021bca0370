"""The verbs `deliveries list`, `deliveries show` and `deliveries retry`."""

import json
from typing import Any

import pytest
import sqlalchemy as sa
from receivers import Receiver, receiving
from typer.testing import CliRunner, Result

from orchestration_project.cli.main import app
from orchestration_project.cli.work import run_unless_project_does
from orchestration_project.core.errors import OrchestrationError
from orchestration_project.stores import deliveries, outbox
from orchestration_project.stores.home import Home, prepared_home
from orchestration_project.stores.outbox import Notice
from orchestration_project.stores.schema import AUDIT, DELIVERIES


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["deliveries", *arguments])


def listed(*arguments: str) -> list[dict[str, Any]]:
    return json.loads(run("list", "--json", *arguments).output)


def record(*keys: str) -> None:
    home = prepared_home()
    with home.ledger.write() as connection:
        notices = [Notice(key, key.capitalize(), "") for key in keys]
        outbox.record(connection, asset="alert", partition="b", notices=notices)
    deliveries.plan(home.ledger, outbox.targets_of(home))


@pytest.fixture
def receiver(named_home: Home, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A receiver that the setting names."""
    with receiving() as found:
        monkeypatch.setenv("ORCHESTRATE_NOTIFY", found.url.replace("//", "//me:hunter2@"))
        yield found


def test_list_says_what_is_set_when_nothing_is_there(named_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No target is set." in run("list").output
    monkeypatch.setenv("ORCHESTRATE_NOTIFY", "json://a.example")
    assert "No notice was recorded for a target so far." in run("list").output
    assert "Nothing waits" in run("list", "--open").output
    assert listed() == []


def test_list_shows_the_newest_first_and_no_secret(receiver: Receiver) -> None:
    record("fire", "flood")
    shown = run("list").output
    assert shown.index("Flood") < shown.index("Fire")
    assert "waiting" in shown
    assert f"json://127.0.0.1:{receiver.port}#" in shown
    assert "hunter2" not in shown
    assert [one["key"] for one in listed()] == ["flood", "fire"]
    assert [one["key"] for one in listed("--most", "1")] == ["flood"]


def test_list_open_leaves_out_what_has_arrived(receiver: Receiver) -> None:
    record("fire")
    assert run("retry", "--reason", "now").exit_code == 0
    record("flood")
    assert [(one["key"], one["state"]) for one in listed()] == [("flood", "waiting"), ("fire", "delivered")]
    assert [one["key"] for one in listed("--open")] == ["flood"]


def test_show_tells_every_attempt_with_its_outcome_and_error(receiver: Receiver) -> None:
    receiver.answers.append(503)
    record("fire")
    assert "No attempt was made so far." in run("show", "1").output
    assert run("retry", "--reason", "now").exit_code == 1
    assert run("retry", "--reason", "again").exit_code == 0
    found = json.loads(run("show", "1", "--json").output)
    assert (found["title"], found["state"]) == ("Fire", "delivered")
    assert [(one["outcome"], one["error"] is None) for one in found["attempts"]] == [
        ("failed", False),
        ("delivered", True),
    ]
    assert all(one["began_at"] <= one["ended_at"] for one in found["attempts"])
    shown = run("show", "1").output
    assert "HTTP status 503" in shown
    assert "hunter2" not in shown


def test_show_of_a_number_that_there_is_not_is_refused(named_home: Home) -> None:
    assert str(run("show", "9").exception) == "There is no delivery 9. See: orchestrate deliveries list"


def test_retry_delivers_what_failed_and_is_audited(receiver: Receiver, named_home: Home) -> None:
    record("fire", "flood")
    with named_home.ledger.write() as connection:
        connection.execute(sa.update(DELIVERIES).values(state="failed", attempts=350, next_attempt_at=None))
    ended = run("retry", "--reason", "It is up again")
    assert (ended.exit_code, receiver.titles) == (0, ["Fire", "Flood"])
    assert "2 of 2 arrived." in ended.output
    with named_home.ledger.read() as connection:
        details = connection.execute(sa.select(AUDIT.c.detail)).scalars().all()
    assert len(details) == 2
    assert all('"reason":"It is up again"' in detail for detail in details)
    assert "Nothing waits" in run("retry", "--reason", "again").output


def test_retry_of_one_leaves_the_others_alone(receiver: Receiver, named_home: Home) -> None:
    record("fire", "flood")
    with named_home.ledger.write() as connection:
        connection.execute(sa.update(DELIVERIES).values(state="failed", next_attempt_at=None))
    ended = run("retry", "2", "--reason", "only this", "--json")
    assert json.loads(ended.output) == {"retried": [2], "open": []}
    assert receiver.titles == ["Flood"]


def test_retry_that_does_not_arrive_says_why_and_exits_with_1(receiver: Receiver) -> None:
    receiver.answers.append(503)
    record("fire")
    ended = run("retry", "--reason", "now")
    assert ended.exit_code == 1
    assert "HTTP status 503" in ended.output
    assert "0 of 1 arrived." in ended.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("--reason", " "), "The reason is empty."), (("9", "--reason", "x"), "There is no delivery 9.")],
)
def test_retry_refuses(receiver: Receiver, arguments: tuple[str, ...], said: str) -> None:
    ended = run("retry", *arguments)
    assert isinstance(ended.exception, OrchestrationError)
    assert said in str(ended.exception)


def test_retry_without_a_target_or_a_reason_is_refused(named_home: Home) -> None:
    assert "names no target" in str(run("retry", "--reason", "x").exception)
    assert run("retry").exit_code == 2


def test_status_tells_what_waits_and_what_failed_without_a_secret(receiver: Receiver, named_home: Home) -> None:
    receiver.answers.append(503)
    record("fire")
    assert run("retry", "--reason", "now").exit_code == 1
    told = CliRunner().invoke(app, ["status"]).stderr
    assert "1 notice waits for json://127.0.0.1" in told
    assert "HTTP status 503" in told
    assert "hunter2" not in told
    with named_home.ledger.write() as connection:
        connection.execute(sa.update(DELIVERIES).values(state="failed", next_attempt_at=None))
    assert "1 notice never arrived at json://127.0.0.1" in CliRunner().invoke(app, ["status"]).stderr


def test_where_no_project_runs_the_command_line_delivers(receiver: Receiver) -> None:
    record("fire")
    run_unless_project_does(prepared_home())
    assert receiver.titles == ["Fire"]

"""The command line: what it prints, what it refuses, and how it says so."""

import errno
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from orchestration_project.cli import main as command_line
from orchestration_project.cli.main import app, verbs
from orchestration_project.core.errors import OrchestrationError, Refused, UnknownName
from orchestration_project.core.settings import Settings
from orchestration_project.stores import batches, ledger, manifest
from orchestration_project.stores.halts import record_halt
from orchestration_project.stores.home import Home, prepared_home
from orchestration_project.stores.ledger import insert_new
from orchestration_project.stores.schema import CLAIMS

HEAVY = ("alembic", "dagster", "duckdb", "matplotlib", "mlflow", "pandas", "pyarrow", "sklearn", "sqlalchemy")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("ORCHESTRATE_HOME", str(tmp_path / "home"))
    return prepared_home()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def refusal(result: Result) -> OrchestrationError:
    """The error that `main` turns into one sentence and exit status 1."""
    assert isinstance(result.exception, OrchestrationError), result.output
    return result.exception


def test_help_groups_the_verbs() -> None:
    shown = run("--help").output
    assert shown.index("Run") < shown.index("send") < shown.index("Look") < shown.index("explain")
    assert shown.index("explain") < shown.index("╭─ Models") < shown.index("│ labels")


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_has_an_example(verb: str) -> None:
    assert f"Example: orchestrate {verb}" in run(*verb.split(), "--help").output
    assert f"orchestrate {verb}" in run("--help").output.split("Examples:")[1]


def test_help_imports_nothing_heavy() -> None:
    code = f"import orchestration_project.cli.main, sys; print([m for m in {HEAVY} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"


def test_wrong_usage_exits_with_2(home: Home) -> None:
    assert run("explain").exit_code == 2
    assert run("status", "--nonsense").exit_code == 2


def test_a_refusal_is_one_sentence_and_exits_with_1(home: Home) -> None:
    command = [sys.executable, "-m", "orchestration_project.cli.main", "explain", "F9999"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "✗ No message has the id 'F9999'.\n"


def ended(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str]:
    """Run the command line as its process does; returns the exit status and what stands on standard error."""
    monkeypatch.setattr(sys, "argv", ["orchestrate", *arguments])
    with pytest.raises(SystemExit) as found:
        command_line.main()
    return found.value.code, capsys.readouterr().err


def test_a_damaged_ledger_is_one_sentence_and_exits_with_1(home: Home) -> None:
    (home.root / "ledger.db").write_bytes(b"no database" * 1000)
    command = [sys.executable, "-m", "orchestration_project.cli.main", "status"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        f"✗ The ledger {home.root / 'ledger.db'} is damaged, or no ledger: file is not a database. Put a copy of it "
        "back, and try again.\n"
    )


def test_a_locked_ledger_is_one_sentence_and_what_was_sent_is_kept(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with home.ledger.read():
        pass
    monkeypatch.setattr(ledger, "BUSY_TIMEOUT_SECONDS", 0)
    other = sqlite3.connect(home.root / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    status, told = ended(monkeypatch, capsys, "send", "late again", "--no-wait")
    other.close()
    assert (status, told.count("\n")) == (1, 1)
    assert f"The ledger {home.root / 'ledger.db'} is locked" in told
    assert "do not send it again" in told
    assert len(list(home.received.iterdir())) == 1


@pytest.mark.parametrize(
    ("number", "filename", "told"),
    [
        (errno.ENOSPC, "/data/x", "/data/x: No space left on device. Free space there, and try again."),
        (errno.ENOSPC, None, "No space left on device. Free space where the home lies (see: orchestrate where)"),
        (errno.EDQUOT, "/data/x", "/data/x: Disk quota exceeded. Free space there, and try again."),
        (
            errno.EROFS,
            "/data/x",
            "/data/x: Read-only file system. Name a place that this user may write, and try again.",
        ),
        (errno.EACCES, "/data/x", "/data/x: Permission denied. Let this user read and write it, and try again."),
    ],
)
def test_a_disk_that_cannot_be_written_is_one_sentence_and_exits_with_1(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
    filename: str | None,
    told: str,
) -> None:
    def fail() -> None:
        raise OSError(number, os.strerror(number), filename)

    monkeypatch.setattr(command_line, "app", fail)
    status, shown = ended(monkeypatch, capsys)
    assert (status, shown.count("\n")) == (1, 1)
    assert shown.startswith(f"✗ {told}")


def test_a_full_disk_under_the_result_is_one_sentence(home: Home) -> None:
    command = [sys.executable, "-m", "orchestration_project.cli.main", "where"]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("✗ No space left on device. Free space where the home lies")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(("number", "filename"), [(errno.EIO, "/data/x"), (errno.EACCES, None)])
def test_an_error_of_the_system_that_no_sentence_explains_stays_a_traceback(
    monkeypatch: pytest.MonkeyPatch, number: int, filename: str | None
) -> None:
    def fail() -> None:
        raise OSError(number, os.strerror(number), filename)

    monkeypatch.setattr(command_line, "app", fail)
    with pytest.raises(OSError, match=os.strerror(number)):
        command_line.main()


def test_a_setting_out_of_range_is_named_with_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATE_QUARANTINE_SHARE", "7")
    assert str(refusal(run("status"))) == "ORCHESTRATE_QUARANTINE_SHARE is '7'. Set a number from 0 to 1."


def test_status_of_an_empty_home_counts_nothing(home: Home) -> None:
    assert json.loads(run("status", "--json").output) == dict.fromkeys(batches.STATES, 0)


def test_alerts_of_an_empty_home_are_none(home: Home) -> None:
    assert json.loads(run("alerts", "--json").output) == []
    assert "No alert" in run("alerts").output


def test_where_names_every_place(home: Home) -> None:
    shown = json.loads(run("where", "--json").output)
    assert shown.keys() >= {"ledger", "warehouse", "dagster_home", "inbox"}
    assert Path(shown["inbox"]).is_dir()
    assert (Path(shown["dagster_home"]) / "dagster.yaml").is_file()


def test_send_refuses_a_file_that_is_not_there(home: Home) -> None:
    assert "There is no file nowhere.csv." in str(refusal(run("send", "nowhere.csv")))
    assert "There is no file b" in str(refusal(run("send", __file__, "b")))


def test_send_refuses_an_empty_message(home: Home) -> None:
    assert "The message is empty." in str(refusal(run("send", "  ")))


def test_a_file_that_cannot_be_read_leaves_nothing_behind(home: Home, tmp_path: Path) -> None:
    binary = tmp_path / "messages.csv"
    binary.write_bytes(b"\x00\x01" * 500)
    assert isinstance(refusal(run("send", str(binary))), Refused)
    assert list(home.received.iterdir()) == []
    assert json.loads(run("status", "--json").output)["waiting"] == 0


def test_send_without_waiting_leaves_the_messages_waiting(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "messages.jsonl"
    file.write_text('{"text": "late again"}\n{"text": "thanks"}\n')
    sent = run("send", str(file), "A text that is no file", "--no-wait")
    assert "There is no file" in str(refusal(sent))
    sent = run("send", str(file), "--no-wait", "--json")
    assert sent.exit_code == 0
    assert json.loads(sent.stdout)["waiting"] == 2


def test_explain_offers_the_nearest_known_message(home: Home) -> None:
    with home.ledger.write() as connection:
        insert_new(connection, CLAIMS, [{"message_id": "F0123", "batch": "b"}])
    error = refusal(run("explain", "F012"))
    assert isinstance(error, UnknownName)
    assert "Did you mean 'F0123'?" in str(error)


@pytest.fixture
def home_with_a_table(home: Home) -> Home:
    import pyarrow

    file = home.warehouse.write("topic", "b1", "run-1", pyarrow.table({"label": ["late", "late", "rude"]}))
    with home.ledger.write() as connection:
        manifest.publish(connection, asset="topic", partition="b1", run_id="run-1", file=file, replaces=0, inputs={})
    return home


def test_sql_answers_from_the_asset_tables(home_with_a_table: Home) -> None:
    query = "SELECT batch, label, count(*) AS n FROM topic GROUP BY ALL ORDER BY n DESC"
    expected = [{"batch": "b1", "label": "late", "n": 2}, {"batch": "b1", "label": "rude", "n": 1}]
    assert json.loads(run("sql", query, "--json").output) == expected
    assert "topic" in run("sql").output


def publish(home: Home, asset: str, **row: object) -> None:
    import pyarrow

    file = home.warehouse.write(asset, "b1", "run-1", pyarrow.Table.from_pylist([row]))
    with home.ledger.write() as connection:
        manifest.publish(connection, asset=asset, partition="b1", run_id="run-1", file=file, replaces=0, inputs={})


def halt(home: Home, asset: str, partition: str = "b1") -> None:
    with home.ledger.write() as connection:
        record_halt(connection, asset=asset, partition=partition, run_id="run-2", reason="All rows were refused.")


def test_sql_names_what_it_read_behind_a_halt(home_with_a_table: Home) -> None:
    publish(home_with_a_table, "order", pieces=1)
    halt(home_with_a_table, "order")
    halt(home_with_a_table, "topic", "never published")
    unmarked = run("sql", "SELECT label FROM topic ORDER BY label", "--json")
    assert (unmarked.exit_code, unmarked.stderr) == (0, "")
    marked = run("sql", 'SELECT label, pieces FROM topic JOIN "order" USING (batch) LIMIT 1', "--json")
    assert json.loads(marked.stdout) == [{"label": "late", "pieces": 1}]
    assert marked.stderr == (
        "✗ order of batch b1 is halted since run run-2. The table holds its last good version. "
        "See: orchestrate halt list\n"
    )
    assert run("sql").stderr == "", "a list of tables reads none"


def test_explain_marks_the_rows_that_are_read_behind_a_halt(home: Home) -> None:
    decision = {"label": "glad", "confidence": 0.9, "accepted": True, "decided_by": "rules", "performer": "reader"}
    with home.ledger.write() as connection:
        insert_new(connection, CLAIMS, [{"message_id": "m1", "batch": "b1"}])
    publish(home, "note", message_id="m1", text="Thanks")
    publish(home, "mood", message_id="m1", **decision, version="1", reason="a word")
    publish(home, "route", message_id="m1", team="Post")
    assert "halted" not in run("explain", "m1").stdout
    marked: list[str] = []
    for asset in ("note", "mood", "route"):
        halt(home, asset)
        marked.append(asset)
        shown = run("explain", "m1").stdout
        assert shown.count("halted since run run-2") == len(marked)
        assert [entry["asset"] for entry in json.loads(run("explain", "m1", "--json").stdout)["halted"]] == marked


@pytest.mark.parametrize(
    "query",
    [
        "DROP VIEW topic",
        "SELECT 1; SELECT 2",
        "COPY topic TO '/tmp/topic.csv'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '../ledger.db'",
        "SELECT * FROM nowhere",
        "SET enable_external_access = true",
        "ATTACH '/tmp/other.duckdb'",
    ],
)
def test_sql_refuses_all_but_one_question_about_the_tables(home_with_a_table: Home, query: str) -> None:
    assert isinstance(refusal(run("sql", query)), Refused)


def test_a_taken_port_is_refused_by_number(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv("ORCHESTRATE_PORT", str(port))
        assert str(refusal(run("up"))).startswith(f"Port {port} is taken.")


def test_settings_are_those_of_the_environment(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATE_BATCH_ROWS", "12")
    assert Settings.from_environment().batch_rows == 12

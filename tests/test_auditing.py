"""The verbs `audit verify`, `audit list`, `audit export` and `audit prune`."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner, Result

from orchestration_project.cli.dagster_commands import instance_of
from orchestration_project.cli.main import app
from orchestration_project.core.errors import OrchestrationError
from orchestration_project.dispatch.audit_heads import AUDIT_LOG
from orchestration_project.governance import audit
from orchestration_project.governance.audit_export import read_lines
from orchestration_project.stores.home import Home
from orchestration_project.stores.schema import AUDIT, AUDIT_HEAD


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["audit", *arguments])


def refusal(*arguments: str) -> str:
    error = run(*arguments).exception
    assert isinstance(error, OrchestrationError)
    return str(error)


@pytest.fixture
def logged(named_home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home with three entries."""
    monkeypatch.setenv("DAGSTER_HOME", str(named_home.dagster))  # the verb sets it: put back afterwards
    with named_home.ledger.write() as connection:
        audit.append(connection, "published", "note/b1", {"asset": "note"}, "anna")
        audit.append(connection, "promoted", "mood/0a1b2c", {"reason": "better [bold]"}, "ben")
        audit.append(connection, "set aside", "b2", {"cause": "why"}, "anna")
    return named_home


def head_of(home: Home) -> str:
    with home.ledger.read() as connection:
        end = audit.head(connection)
    assert end is not None
    return f"{end.sequence}:{end.digest}"


def test_verify_says_what_holds_and_the_head(logged: Home) -> None:
    shown = run("verify")
    assert shown.exit_code == 0
    assert f"Entries 1 to 3 hold, and 0 files. The head is {head_of(logged)}" in shown.output
    assert json.loads(run("verify", "--json").stdout) == {
        "findings": [],
        "first": 1,
        "head": head_of(logged),
        "files": 0,
    }


def test_verify_of_an_empty_home_holds(named_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(named_home.dagster))
    assert run("verify").exit_code == 0


def test_verify_names_each_finding_and_exits_with_1(logged: Home) -> None:
    with logged.ledger.write() as connection:
        connection.execute(sa.update(AUDIT).where(AUDIT.c.sequence < 3).values(actor="eve"))
    shown = run("verify")
    assert shown.exit_code == 1
    for told in ("Entry 1 was changed.", "Entry 2 was changed.", "2 findings in entries 1 to 3."):
        assert told in shown.output
    shown = run("verify", "--json")
    assert (shown.exit_code, json.loads(shown.stdout)["findings"]) == (
        1,
        ["Entry 1 was changed.", "Entry 2 was changed."],
    )


def cut_tail(home: Home) -> None:
    with home.ledger.write() as connection:
        connection.execute(sa.delete(AUDIT).where(AUDIT.c.sequence == 3))
        digest = connection.execute(sa.select(AUDIT.c.digest).where(AUDIT.c.sequence == 2)).scalar_one()
        connection.execute(sa.update(AUDIT_HEAD).values(sequence=2, digest=digest))


def test_verify_reads_heads_from_the_event_log_the_file_and_the_command_line(
    logged: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, digest = head_of(logged).split(":")
    kept: dict[str, Any] = {"sequence": int(number), "digest": digest, "at": "2026-03-01", "run_id": "r"}
    head = head_of(logged)
    cut_tail(logged)
    assert run("verify").exit_code == 0  # nobody kept the head
    assert "kept in --head" in run("verify", "--head", head).output
    file = tmp_path / "heads.jsonl"
    file.write_text(json.dumps(kept) + "\n")
    monkeypatch.setenv("ORCHESTRATE_AUDIT_HEADS", str(file))
    shown = run("verify", "--json")
    assert (shown.exit_code, len(json.loads(shown.stdout)["findings"])) == (1, 1)
    monkeypatch.delenv("ORCHESTRATE_AUDIT_HEADS")
    with instance_of(logged) as instance:
        instance.report_runless_asset_event(dg.AssetObservation(AUDIT_LOG.key, metadata=kept))
    shown = run("verify", "--json")
    assert shown.exit_code == 1
    assert "kept in Dagster's event log" in json.loads(shown.stdout)["findings"][0]


@pytest.mark.parametrize("text", ["3", "3:abc", f"x:{'a' * 64}", f"-1:{'a' * 64}", f"3:{'G' * 64}"])
def test_head_that_is_none_is_refused(logged: Home, text: str) -> None:
    assert refusal("verify", "--head", text) == (
        f"--head is '{text}'. Give SEQUENCE:DIGEST as orchestrate audit verify prints it."
    )


def listed(*arguments: str) -> list[int]:
    return [entry["sequence"] for entry in json.loads(run("list", "--json", *arguments).stdout)]


def test_list_shows_the_newest_first(logged: Home) -> None:
    assert listed() == [3, 2, 1]
    assert listed("--limit", "2") == [3, 2]
    shown = run("list").output
    assert shown.index("set aside") < shown.index("promoted") < shown.index("published")
    assert "better [bold]" in shown


def test_list_takes_every_filter(logged: Home) -> None:
    assert listed("--person", "anna") == [3, 1]
    assert listed("--action", "promoted") == listed("--version", "0a1b") == listed("--asset", "mood") == [2]
    assert listed("--asset", "note") == [1]
    assert listed("--since", "2020-01-01") == listed("--until", "2999-01-01T00:00:00Z") == [3, 2, 1]
    assert listed("--since", "2999-01-01") == listed("--until", "2020-01-01") == []
    assert "No entry is like that." in run("list", "--person", "nobody").output
    assert refusal("list", "--since", "yesterday").startswith("--since is 'yesterday'. Give a date such as")


def test_export_of_all_can_be_verified_and_a_part_says_that_it_cannot(logged: Home, tmp_path: Path) -> None:
    out = tmp_path / "audit.jsonl"
    shown = run("export", "--out", str(out))
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert shown.stdout.startswith("3 entries are in ")
    verified = run("verify", "--file", str(out), "--head", head_of(logged))
    assert (verified.exit_code, verified.stdout) == (0, f"Entries 1 to 3 hold. The head is {head_of(logged)}\n")
    out.write_text(out.read_text().replace("anna", "eve"))
    assert run("verify", "--file", str(out)).exit_code == 1
    part = run("export", "--out", str(out), "--person", "anna")
    assert [entry.sequence for entry in read_lines(out)] == [1, 3]
    assert "their chain cannot be verified" in part.stderr.replace("\n", " ")


def test_prune_says_what_it_moved(logged: Home) -> None:
    assert run("prune").output == "No entry is older than 730 days.\n"
    with logged.ledger.write() as connection:
        entries = list(audit.entries(connection, print))
        connection.execute(sa.delete(AUDIT))
        old = entries[0]._replace(at="2020-03-01T10:00:00+00:00")
        chained = [old._replace(digest=audit.digest_of(old))]
        for entry in entries[1:]:
            linked = entry._replace(previous=chained[-1].digest)
            chained.append(linked._replace(digest=audit.digest_of(linked)))
        connection.execute(sa.insert(AUDIT), [entry._asdict() for entry in chained])
        connection.execute(sa.update(AUDIT_HEAD).values(digest=chained[-1].digest))
    file = "audit/000000000001-000000000001.jsonl"
    assert run("prune", "--dry-run").output == f"Entries 1 to 1, until 2020-03-01, would be moved into {file}\n"
    assert listed() == [3, 2, 1]
    assert run("prune").output == f"Entries 1 to 1, until 2020-03-01, were moved into {file}\n"
    assert listed() == [4, 3, 2]
    assert "Entries 1 to 4 hold" in run("verify").output

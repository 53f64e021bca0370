"""docs/replace-the-workflow.md runs as it stands: another workflow in `assets/`, on the layer as it is."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from orchestration_project.core.settings import PROJECT

PAGE = (PROJECT / "docs" / "replace-the-workflow.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page's files, whose `assets` is found before the checkout's."""
    folder = tmp_path_factory.mktemp("replaced")
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    for package in ("assets", "assets/invoices"):
        (folder / package / "__init__.py").touch()
    return folder


def orchestrate(project: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "ORCHESTRATE_HOME": str(project / "home"), "PYTHONPATH": str(project)}
    command = [sys.executable, "-m", "orchestration_project.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=project, env=environment, check=False)


@pytest.fixture(scope="module")
def sent(project: Path) -> dict[str, int]:
    """What became of the page's file."""
    ended = orchestrate(project, "send", "invoices.csv", "--json")
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_the_page_holds_the_files_it_speaks_of() -> None:
    assert set(FILES) == {
        "assets/invoices/invoice.py",
        "assets/invoices/payment_rules.csv",
        "assets/invoices/payment.py",
        "assets/invoices/plain_payment.py",
        "assets/triggers.py",
        "invoices.csv",
    }


def test_the_replaced_workflow_runs_gates_and_explains(project: Path, sent: dict[str, int]) -> None:
    assert (sent["done"], sent["quarantined"]) == (3, 1)

    queries = re.findall(r'^orchestrate sql "(.*)"$', PAGE, flags=re.MULTILINE)
    rows = json.loads(orchestrate(project, "sql", queries[0], "--json").stdout)
    assert [(row["message_id"], row["label"], row["accepted"]) for row in rows] == [
        ("I-1", "pay", True),
        ("I-2", "pay", True),
        ("I-3", "ask", False),
    ]
    assert {row["performer"] for row in rows} == {"clerk"}
    assert "payment rules: pay without a measured confidence" in rows[1]["reason"]

    story = json.loads(orchestrate(project, "explain", "I-3", "--json").stdout)
    assert story["message"]["supplier"] == "Castles Inc"
    labels = {decision["asset"]: decision["label"] for decision in story["decisions"]}
    assert labels == {"payment": "ask", "plain_payment": "ask"}
    refused = json.loads(orchestrate(project, "explain", "I-4", "--json").stdout)
    assert [refusal["reason"] for refusal in refused["quarantined"]] == ["amount_greater_than"]


@pytest.mark.usefixtures("sent")
def test_the_plain_asset_has_the_rows_of_the_model_output(project: Path) -> None:
    decided = json.loads(orchestrate(project, "sql", "SELECT * FROM payment ORDER BY ALL", "--json").stdout)
    plain = json.loads(orchestrate(project, "sql", "SELECT * FROM plain_payment ORDER BY ALL", "--json").stdout)
    assert len(decided) == 3
    assert plain == decided


def test_a_file_that_drifted_halts_the_replaced_workflow(project: Path) -> None:
    (project / "drifted.csv").write_text("number,supplier,amount,iban\nI-9,Somebody,10,DE00\n")
    sent = orchestrate(project, "send", "drifted.csv", "--json")
    assert sent.returncode == 1
    assert json.loads(sent.stdout)["halted"] == 1
    assert "unknown column 'iban'" in sent.stderr

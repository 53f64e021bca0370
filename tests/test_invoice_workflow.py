"""The layer knows nothing of feedback: another workflow in the place of `assets/` runs, is gated and explained."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ORCHESTRATE = Path(sys.executable).with_name("orchestrate")

RULES = """\
rule,supplier,label
power,Northern Power|City Grid,energy
rent,!Paper & Co,premises
"""

WORKFLOW = '''\
"""Invoices: what each is for, and whether it is paid at once."""

from pathlib import Path

import dagster as dg
import pandas as pd
import pandera.pandas as pa

from orchestration_project.core.contracts import Contract
from orchestration_project.model_output import governed_asset, model_output
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.decision import Decision
from orchestration_project.performers.rules import Rules
from orchestration_project.performers.safe_label import SafeLabel
from orchestration_project.performers.scripted import Scripted
from orchestration_project.stores.arrivals import Arrivals

def small_is_supplies(rows: pd.DataFrame) -> pd.DataFrame:
    label = pd.Series("supplies", rows.index).where(rows["amount"] < 100)
    return pd.DataFrame({"label": label, "confidence": 0.9, "reason": "small"}, index=rows.index)

RULES = Rules(Path(__file__).with_name("purpose.csv"), on=("supplier",))
CLERK = Scripted("clerk", small_is_supplies, labels=["supplies"])
CASCADE = Cascade(RULES, CLERK, safe_state=SafeLabel("unknown"))

class Invoice(Contract):
    message_id: str = pa.Field(unique=True)
    supplier: str
    amount: float = pa.Field(gt=0)

@governed_asset(contract=Invoice)
def invoice(arrivals: Arrivals) -> pd.DataFrame:
    return arrivals.rows.assign(amount=pd.to_numeric(arrivals.rows["amount"]).astype("float64"))

@model_output(CASCADE, contract=Decision)
def purpose(invoice: pd.DataFrame) -> pd.DataFrame:
    return invoice

workflow = dg.define_asset_job("workflow", selection="*")
'''

INVOICES = """\
message_id,supplier,amount
I1,Northern Power,900
I2,Paper & Co,12.50
I3,Paper & Co,480
I4,Blue House,70
I5,Blue House,-3
"""


class Project:
    """The product in the checkout, with a workflow of its own before it on the path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "assets").mkdir()
        (folder / "assets" / "__init__.py").write_text("")
        (folder / "assets" / "invoices.py").write_text(WORKFLOW)
        (folder / "assets" / "purpose.csv").write_text(RULES)
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("ORCHESTRATE_", "DAGSTER"))
        }
        home = folder / "home"
        own = {"PYTHONPATH": str(folder), "ORCHESTRATE_HOME": str(home), "DAGSTER_HOME": str(home / "dagster")}
        self.environment = inherited | own

    def orchestrate(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [str(ORCHESTRATE), *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False, timeout=120
        )

    def asks(self, *arguments: str, status: int = 0) -> Any:
        """What a verb says with --json."""
        ended = self.orchestrate(*arguments, "--json")
        assert ended.returncode == status, ended.stderr + self.log()
        return json.loads(ended.stdout)

    def log(self) -> str:
        return "\n".join(path.read_text() for path in (self.folder / "home" / "logs").glob("*.log"))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("invoices"))


@pytest.fixture(scope="module")
def counts(project: Project) -> dict[str, Any]:
    """Where the six invoices are after one `orchestrate send` of two files, of which the second halts."""
    (project.folder / "invoices.csv").write_text(INVOICES)
    (project.folder / "drifted.csv").write_text("message_id,supplier,amount,colour\nI6,Blue House,5,red\n")
    return project.asks("send", "invoices.csv", "drifted.csv", status=1)


def test_the_workflow_is_about_forty_lines():
    lines = [line for line in WORKFLOW.splitlines() if line.strip()]
    assert len(lines) <= 40
    assert "feedback" not in WORKFLOW
    assert "sentiment" not in WORKFLOW


def test_send_runs_the_workflow_quarantines_the_bad_row_and_halts_the_bad_file(counts: dict[str, Any]):
    assert len(counts["batches"]) == 2
    states = {state: number for state, number in counts.items() if number and state != "batches"}
    assert states == {"done": 4, "quarantined": 1, "halted": 1}


def test_a_file_of_bad_rows_alone_is_a_trouble_that_the_exit_status_and_the_reason_tell(project: Project):
    (project.folder / "bad.csv").write_text("message_id,supplier,amount\nI8,Blue House,-1\nI9,Blue House,0\n")
    ended = project.orchestrate("send", "bad.csv", "--json")
    assert (ended.returncode, json.loads(ended.stdout)["quarantined"]) == (1, 2)
    assert "is halted. All 2 rows were refused" in " ".join(ended.stderr.split())
    (project.folder / "good.csv").write_text("message_id,supplier,amount\nI8,Blue House,1\nI9,Blue House,2\n")
    assert project.asks("send", "good.csv")["done"] == 2  # corrected, they take the place of what was refused


def test_rules_script_and_safe_state_decide_as_in_the_cascade(project: Project, counts: dict[str, Any]):
    query = "SELECT message_id, label, accepted, decided_by, performer FROM purpose WHERE message_id < 'I6' ORDER BY message_id"
    assert [tuple(row.values()) for row in project.asks("sql", query)] == [
        ("I1", "energy", False, "rules", "purpose rules"),  # no rule was measured, so none is accepted
        ("I2", "supplies", True, "model", "clerk"),
        ("I3", "unknown", False, "safe_state", "safe label unknown"),
        ("I4", "supplies", True, "model", "clerk"),
    ]


def test_explain_tells_the_story_of_an_invoice(project: Project, counts: dict[str, Any]):
    story = project.asks("explain", "I2")
    batch = story["message"].pop("batch")
    assert story["message"] == {"message_id": "I2", "supplier": "Paper & Co", "amount": 12.5}
    (decision,) = story["decisions"]
    assert (decision["asset"], decision["batch"], decision["label"]) == ("purpose", batch, "supplies")
    assert (decision["confidence"], decision["accepted"]) == (0.9, True)
    assert decision["reason"] == "purpose rules: no rule matches; small"
    assert story["alerts"] == []


def test_explain_says_why_an_invoice_was_refused(project: Project, counts: dict[str, Any]):
    (refusal,) = project.asks("explain", "I5")["quarantined"]
    assert (refusal["asset"], refusal["reason"]) == ("invoice", "amount_greater_than")


def test_status_says_why_a_file_is_halted(project: Project, counts: dict[str, Any]):
    status = project.orchestrate("status")
    assert status.returncode == 0
    assert "is halted since run" in " ".join(status.stderr.split())
    assert "The columns drifted: unknown column 'colour'." in " ".join(status.stderr.split())

"""Another label set of the issue model: a person has to order it, and the tables of the workflow have to fit it."""

from pathlib import Path

import pandas as pd
import pytest
from workflow_steps import MATTERS, use_model

from assets.feedback import route_table
from assets.models.champion import choose_champion
from assets.models.evaluation import Evaluation
from assets.models.workflow_models import check_tables
from orchestration_project.core.errors import TableRefused
from orchestration_project.governance.promotion import Order
from orchestration_project.model_output import Run
from orchestration_project.stores import champions, labels
from orchestration_project.stores.home import Home
from orchestration_project.stores.model_versions import ModelVersion

FLIGHTS = {
    "Late Flight": ["two hours late at the gate", "delayed again", "still on the runway", "late late late"],
    "Lost Luggage": ["where is my bag", "luggage lost", "no suitcase at the belt", "bags are gone"],
}
HEADER = "rule,issue,decided_by,text,team,priority,respond_within_hours"
NO_LABELS = pd.DataFrame({"message_id": [], "text": [], "label": [], "is_holdout": []})


@pytest.fixture
def candidate(home: Home) -> ModelVersion:
    """A version of the issue model that an airline's labels trained; in use is one that answers what ships."""
    made = use_model(home, "issue", FLIGHTS, version="flights", path="registry/issue/flights.joblib")
    (home.artifacts / "issue" / "small.joblib").rename(home.root / made.path)
    use_model(home, "issue", MATTERS)
    return made


def replace_labels(home: Home) -> None:
    """Record that the shipped labels count no more."""
    path, digest = "labels/issue/flights.parquet", "0" * 64
    with home.ledger.write() as connection:
        named = {"family": "issue", "source": "flights.csv", "path": path, "sha256": digest, "reason": None}
        labels.record(connection, **named, rows=8, replaces=True)


def table_of_routes(folder: Path, monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    table = folder / "route.csv"
    table.write_text("\n".join([HEADER, *lines, "default,,,,Care,3,24"]), encoding="utf-8")
    monkeypatch.setattr(route_table, "TABLE", table)


def chosen(home: Home, candidate: ModelVersion, order: Order) -> tuple[bool, str]:
    """Whether a training that made this candidate puts it in use, and why."""
    evaluation = pd.DataFrame([{"label": "all", "f1": 0.8}], columns=list(Evaluation.to_schema().columns))
    run = Run("run-1", order.to_tags(), print)
    [row] = choose_champion(candidate, evaluation, NO_LABELS, home, run, check_tables).to_dict("records")
    return row["is_new"], row["reason"]


def test_where_the_shipped_labels_are_in_use_another_set_needs_an_order_with_a_reason(
    home: Home, candidate: ModelVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table_of_routes(tmp_path, monkeypatch, "late,Late Flight,,,Operations,2,8")
    is_new, reason = chosen(home, candidate, Order())
    assert (is_new, "orchestrate labels import FILE --model issue --replace" in reason) == (False, True)
    replace_labels(home)
    is_new, reason = chosen(home, candidate, Order())
    assert (is_new, "orchestrate train --model issue --new-labels REASON" in reason) == (False, True)
    is_new, reason = chosen(home, candidate, Order(new_labels=True, reason="we fly"))
    assert (is_new, "Late Flight, Lost Luggage" in reason, reason.endswith("we fly")) == (True, True, True)


def test_a_promotion_is_refused_while_the_route_table_names_an_issue_that_nobody_would_answer(
    home: Home, candidate: ModelVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_labels(home)
    order = Order(new_labels=True, reason="we fly")
    table_of_routes(tmp_path, monkeypatch, "late,Late Flights,,,Operations,2,8", "parcel,delivery,,,Logistics,2,8")
    with pytest.raises(TableRefused) as refused:
        chosen(home, candidate, order)
    assert str(refused.value).splitlines()[1:] == [
        "rule 'late', issue 'Late Flights': there is no label 'Late Flights'. Did you mean 'Late Flight'?"
    ], "delivery is an answer of the rules"
    with home.ledger.read() as connection:
        assert champions.require_champion(connection, "issue").labels == tuple(sorted(MATTERS))

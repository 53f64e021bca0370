"""The contract of a decision: a label is one that its cascade may answer, and any other is refused by name."""

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from scripted_cascades import messages
from shop_workflow import Mood, checks, mood_asset, open_halts, order, quarantined, rows, run, send

from orchestration_project.core.contracts import arrow_schema, check, columns, rules
from orchestration_project.model_output import model_output
from orchestration_project.performers.cascade import Cascade, Decisions
from orchestration_project.performers.decision import answering
from orchestration_project.performers.safe_label import SafeLabel
from orchestration_project.performers.scripted import Scripted, same_answer
from orchestration_project.stores.home import Home


class Careless(Cascade):
    """A cascade whose decisions somebody changes behind its back."""

    def __init__(self, labels: list[str], *performers: Scripted) -> None:
        super().__init__(*performers, safe_state=SafeLabel("unknown"))
        self.written = labels

    def decide(self, rows: pd.DataFrame, home: Home, stored: pd.DataFrame | None = None, **more: Any) -> Decisions:
        decisions = super().decide(rows, home, stored, **more)
        return replace(decisions, frame=decisions.frame.assign(label=pd.Series(self.written, dtype="str")))


def reader(*labels: str) -> Scripted:
    return Scripted("reader", same_answer(labels[0], 0.9), labels=labels)


def decisions(home: Home, labels: list[Any]) -> pd.DataFrame:
    """Decisions that break no rule but perhaps the one of the labels."""
    frame = Cascade(reader("glad"), safe_state=SafeLabel("unknown")).decide(messages(len(labels)), home).frame
    label = pd.Series(labels, dtype="str")
    return frame.assign(label=label, state=label.notna().map({True: "decided", False: "pending"}).astype("str"))


def test_a_label_that_nobody_may_answer_is_refused_by_the_rule_label_known(home: Home) -> None:
    checked = check(answering(Mood, frozenset({"glad", "cross"})), decisions(home, ["glad", "furious", None, "cross"]))
    assert checked.drift == ()
    assert [(found.position, found.rule, found.value) for found in checked.refusals] == [(1, "label_known", "furious")]


@pytest.mark.parametrize("labels", [frozenset[str](), frozenset({"glad"})])
def test_the_rule_is_one_more_of_the_same_contract(labels: frozenset[str]) -> None:
    own = answering(Mood, labels)
    added = [rule for rule in rules(own) if rule not in rules(Mood)]
    assert [(rule.name, rule.column, rule.meaning) for rule in added] == [
        ("label_known", "label", "label is one that the cascade may answer")
    ]
    assert (own.__name__, own.__doc__, arrow_schema(own)) == (Mood.__name__, Mood.__doc__, arrow_schema(Mood))
    assert list(columns(own)) == list(columns(Mood))
    assert len(rules(Mood)) == len(rules(own)) - 1, "the plain contract knows no labels"


def test_a_row_with_a_label_that_the_cascade_cannot_answer_is_quarantined(home: Home) -> None:
    cascade = Careless(["glad", "furious", "unknown"], reader("glad", "cross"))

    @model_output(cascade, contract=Mood)
    def mood(order: pd.DataFrame) -> pd.DataFrame:
        """How the writer feels."""
        return order[["message_id", "note"]]

    send(home, "a,x,1", "b,x,1", "c,x,1")
    result = run(home, order, mood)
    assert result.success
    assert rows(home, "mood")["label"].tolist() == ["glad", "unknown"], "the safe state's label counts too"
    assert quarantined(home) == [("b", "label_known")]
    found = checks(result, "mood")
    assert (found["label_known"], found["gate"], found["decided_has_label"]) == (False, True, True)


def test_labels_that_nobody_may_answer_halt_the_batch_by_the_rule_of_their_name(home: Home) -> None:
    @model_output(Careless(["furious", "furious"], reader("glad")), contract=Mood)
    def mood(order: pd.DataFrame) -> pd.DataFrame:
        """How the writer feels."""
        return order[["message_id", "note"]]

    send(home, "a,x,1", "b,x,1")
    assert not run(home, order, mood).success
    assert open_halts(home) == [("mood", "b1", "All 2 rows were refused by the rule label_known.")]


def test_answers_of_the_cascade_itself_pass(home: Home) -> None:
    mood, _ = mood_asset(same_answer("glad", 0.9))
    send(home, "a,x,1")
    result = run(home, order, mood)
    assert result.success
    assert checks(result, "mood")["label_known"]


def test_after_another_label_set_came_in_use_an_old_batch_is_asked_again_and_carries_no_old_label(home: Home) -> None:
    def in_use(*labels: str) -> Any:
        @model_output(Cascade(reader(*labels), safe_state=SafeLabel("unknown")), contract=Mood)
        def mood(order: pd.DataFrame) -> pd.DataFrame:
            """How the writer feels."""
            return order[["message_id", "note"]]

        return mood

    send(home, "a,x,1", "b,x,1")
    assert run(home, order, in_use("glad", "cross")).success
    assert run(home, in_use("merry", "cross")).success
    assert rows(home, "mood")["label"].tolist() == ["merry", "merry"]
    assert quarantined(home) == []

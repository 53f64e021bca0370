"""Route: the decision table as it ships, what it takes for danger, and that a table which contradicts itself is
refused when its step loads it and before a model is promoted.
"""

import json
from pathlib import Path

import pandas as pd
import pytest
from workflow_steps import MATTERS, failure, put, routed, rows_of, run, use_model

from assets.feedback import route_table
from assets.feedback.feedback import Feedback
from assets.feedback.issue import Issue
from assets.feedback.route import check_labels, route
from assets.feedback.route_table import read_table
from orchestration_project.core.errors import TableRefused
from orchestration_project.stores.families import require_family
from orchestration_project.stores.home import Home

LABELS = require_family("issue").path
FEEDBACK = LABELS.parent / "inbox" / "feedback.jsonl"
URGENT = "1"

WON = {
    "reaction": ("quality", "Her lips swelled up and we are in A&E"),
    "injury": ("damaged", "The jar was broken and my son cut his hand"),
    "unsafe-food": ("quality", "There is mould on the bread mix"),
    "allergen": ("wrong_item", "Peanut butter again. I'm allergic."),
    "allergy-setting": ("account", "The app forgets my allergies"),
    "legal": ("billing", "You will hear from my bank: chargeback."),
    "takeover": ("account", "Somebody is in my account"),
    "fraud": ("billing", "I never authorised this payment"),
    "money": ("billing", "Charged twice"),
    "parcel": ("delivery", "No parcel"),
    "breakage": ("damaged", "Two mugs in pieces"),
    "mix-up": ("wrong_item", "Not what I ordered"),
    "leaving": ("cancellation", "Stop this"),
    "access": ("account", "The app is stuck"),
    "product": ("quality", "Stale tea"),
    "care": ("service", "Nobody answers"),
    "no-idea": ("unknown", "Hm"),
    "default": ("gardening", "Hm"),
}
"""Rule → an issue and a text that it wins."""


def decide(*rows: tuple[str, str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["issue", "text"])
    return read_table().apply(frame.assign(decided_by="model"))


# The table as it ships


def test_every_rule_has_a_message_that_it_wins() -> None:
    assert list(WON) == [row.rule for row in read_table().rows]
    assert decide(*WON.values())["rule"].tolist() == list(WON)


def test_every_label_that_may_be_answered_has_a_team_of_its_own() -> None:
    found = decide(*((issue, "Hm") for issue in [*MATTERS, "unknown"]))
    assert "default" not in found["rule"].tolist()
    check_labels(list(MATTERS))


@pytest.mark.parametrize(
    "text",
    [
        "not allergic, I just can't stand vanilla",
        "My new boss is called Sue. Sue filmed the unboxing",
        "My lawyer brain noticed the small print",
        "nobody should need a lawyer to unsubscribe",
        "To add insult to injury the second box was late as well",
        "My laptop was stolen and I want to change my password",
        "Parcel stolen from the porch",
        "I go into hospital for a hip in April, can I pause?",
        "There's a barcode moulded into the wax",
        "The blood orange candle has no scent",
        "I can't drink regular because of my blood pressure",
        "The coffee tastes burnt",
        "It was a painful cut in quality",
        "You did that, not me. I need it off",
        "What I can't swallow is the tone",
        "I'm not disputing that the coffee was lovely",
        "One tap login is broken, hacksaw included",
        "The napkins bled red dye onto the tablecloth",
    ],
)
def test_harmless_words_are_no_danger(text: str) -> None:
    found = decide(*((issue, text) for issue in [*MATTERS, "unknown"]))
    assert URGENT not in found["priority"].tolist()


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("An ALLERGIC REACTION, we had to use the EpiPen", "reaction"),
        ("he can’t breathe", "reaction"),
        ("my daughter was taken to hospital", "reaction"),
        ("burnt my hand on the teapot, hot water over everything", "injury"),
        ("she was badly injured", "injury"),
        ("glass in the granola", "unsafe-food"),
        ("my solicitor will write to you", "legal"),
        ("Then I will sue.", "legal"),
        ("my account has been hacked", "takeover"),
        ("someone else is logged in to my account", "takeover"),
    ],
)
def test_danger_is_urgent_whatever_the_issue_was_taken_for(text: str, rule: str) -> None:
    found = decide(*((issue, text) for issue in [*MATTERS, "unknown"]))
    assert set(found["rule"]) == {rule}
    assert set(found["priority"]) == {URGENT}


def test_the_shipped_messages_of_danger_are_urgent_and_hardly_another() -> None:
    messages = [json.loads(line) for line in FEEDBACK.read_text(encoding="utf-8").splitlines()]
    asked = [(issue, message) for issue in MATTERS for message in messages]
    found = decide(*((issue, message["text"]) for issue, message in asked))
    urgent = {
        message["message_id"]
        for (_, message), priority in zip(asked, found["priority"], strict=True)
        if priority == URGENT
    }
    assert urgent >= {"F0062", "F0157", "F0215", "F0256"}
    assert "F0047" not in urgent
    assert len(urgent) <= 6


def test_few_labelled_complaints_are_urgent() -> None:
    labelled = pd.read_csv(LABELS, dtype="str", keep_default_na=False)
    unhappy = labelled[labelled["sentiment"] == "negative"]
    found = decide(*zip(unhappy["issue"], unhappy["text"], strict=True))
    assert 0.005 <= (found["priority"] == URGENT).mean() <= 0.02


# The asset


def put_decided(home: Home, issues: dict[str, str]) -> None:
    """Publish a batch's feedback and its decided issues, given as text → issue."""
    moment = pd.Timestamp("2026-03-02T10:00Z")
    rows = routed({"message_id": f"m{n}", "received_at": moment, "text": text} for n, text in enumerate(issues))
    rows["label"] = pd.Series(list(issues.values()), dtype="str")
    put(home, "feedback", "b", rows.assign(channel="email", account=None, metadata="{}"), Feedback)
    decision = {"confidence": 0.9, "state": "decided", "performer": "issue model", "version": "1", "reason": ""}
    put(home, "issue", "b", rows.assign(**decision, degraded=False, message_digest="0"), Issue)


def test_each_message_gets_its_team_priority_time_and_rule(home: Home) -> None:
    use_model(home, "issue", MATTERS)
    put_decided(home, {"No parcel": "delivery", "cut my hand": "damaged", "Hm": "unknown"})
    result = run(home, route, batch="b")
    assert result.success, failure(result)
    rows = rows_of(home, "route", "b").set_index("message_id")
    columns = ["issue", "team", "priority", "respond_within_hours", "rule"]
    assert rows.loc["m0", columns].tolist() == ["delivery", "Logistics", 2, 8, "parcel"]
    assert rows.loc["m1", columns].tolist() == ["damaged", "Safety", 1, 1, "injury"]
    assert rows.loc["m2", columns].tolist() == ["unknown", "Triage", 2, 4, "no-idea"]
    assert "text" not in rows


def test_a_batch_without_unhappy_messages_has_an_empty_route(home: Home) -> None:
    use_model(home, "issue", MATTERS)
    put_decided(home, {})
    assert run(home, route, batch="b").success
    assert len(rows_of(home, "route", "b")) == 0


HEADER = "rule,issue,decided_by,text,team,priority,respond_within_hours"
WRONG = {
    "never matches": (["one,billing,,,A,1,1", "two,billing,model,,A,1,1", "default,,,,A,1,1"], "'two' can never match"),
    "no default": (["one,billing,,,A,1,1"], "has no default"),
    "unknown label": (["one,biling,,,A,1,1", "default,,,,A,1,1"], "Did you mean 'billing'?"),
    "no regular expression": (["one,,,~(,A,1,1", "default,,,,A,1,1"], "regular expression"),
    "no priority": (["default,,,,A,high,1"], "rule 'default', priority is 'high'. Write a whole number from 1"),
    "no such priority": (["default,,,,A,9,1"], "priority is '9'"),
    "no hours": (["default,,,,A,1,0.0"], "respond_within_hours is '0.0'"),
    "no team": (["default,,,,,1,1"], "team is ''"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_table_that_contradicts_itself_is_refused_when_the_step_loads_it(
    wrong: str, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, reason = WRONG[wrong]
    table = tmp_path / "route.csv"
    table.write_text("\n".join([HEADER, *lines]), encoding="utf-8")
    monkeypatch.setattr(route_table, "TABLE", table)
    use_model(home, "issue", MATTERS)
    put_decided(home, {"No parcel": "delivery", "Hm": "unknown"})
    result = run(home, route, batch="b")
    assert not result.success
    assert reason in failure(result)
    with pytest.raises(AssertionError, match="never published"):
        rows_of(home, "route", "b")


def test_before_a_promotion_every_cell_to_change_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "route.csv"
    lines = ["one,parcel|delivery,,,A,1,1", "two,!refund,,,A,1,1", "default,,,,A,1,1"]
    table.write_text("\n".join([HEADER, *lines]), encoding="utf-8")
    monkeypatch.setattr(route_table, "TABLE", table)
    with pytest.raises(TableRefused) as refused:
        check_labels(list(MATTERS))
    assert "rule 'one', issue 'parcel|delivery': there is no label 'parcel'" in str(refused.value)
    assert "rule 'two', issue '!refund': there is no label 'refund'" in str(refused.value)


def test_a_challenger_that_lost_a_label_is_refused_unless_the_rules_still_answer_it() -> None:
    check_labels([label for label in MATTERS if label != "billing"])
    with pytest.raises(TableRefused, match="gardening"):
        read_table().check_labels("issue", {"gardening"})

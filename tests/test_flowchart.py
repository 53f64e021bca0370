"""The flowchart of a message's story: its nodes and edges, and that whatever a message says stays inside its label."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestration_project.cli.flowchart import MOST_CHARACTERS, Chart, escaped, flowchart, shortened

LABEL = r'"(?:[A-Za-z0-9 .,:/()%-]|[^\x00-\x7f]|#\d{1,3};|U\+[0-9A-F]{4,6}|<br/>)*"'
"""Of ASCII, what means nothing to Mermaid; anything else is a number, and `<br/>` and `U+` are ours."""

FORMS = (
    r"graph TD",
    rf"    n\d+(?:\[{LABEL}\]|\(\[{LABEL}\]\)|\[\[{LABEL}\]\]|\{{\{{{LABEL}\}}\}})",
    rf"    n\d+ (?:-->|-\.->)(?:\|{LABEL}\|)? n\d+",
)
"""Every line of a chart has one of these forms; Mermaid 11 parses what is made of them."""

MOMENT = datetime(2026, 3, 1, 10, tzinfo=UTC)

NASTY = (
    'say "no" [now] {or} (never) <b>bold</b> & #quot; `code`',
    "first\nsecond\r\n\tthird\u2028fourth",
    "graph TD; end; n0 --> n1; %% comment",
    "\u202eright to left\u202c שלום مرحبا",
    "1. a list",
    "- a list",
    "https://example.com/?a=b#c",
    "|pipe| --> \\ back ``` ~~~ *bold* _low_",
    "\x00\x1b[2J\x7f\ue000\U0001f600",
    "",
)


def parses(chart: str) -> bool:
    lines = chart.split("\n")
    nodes = re.findall(r"^    (n\d+)[\[({]", chart, flags=re.MULTILINE)
    ends = {name for edge in re.findall(r"^    (n\d+) -.*(n\d+)$", chart, flags=re.MULTILINE) for name in edge}
    has_form = all(any(re.fullmatch(form, line) for form in FORMS) for line in lines)
    return lines[0] == "graph TD" and has_form and len(nodes) == len(set(nodes)) and ends <= set(nodes)


def labels(chart: str) -> list[str]:
    """What the nodes show, as Mermaid reads it."""
    found = re.findall(r'^    n\d+[\[({]+"(.*)"', chart, flags=re.MULTILINE)
    return [re.sub(r"#(\d+);", lambda number: chr(int(number[1])), label) for label in found]


def story(text: str = "It is late", **more: Any) -> dict[str, Any]:
    decision = {"asset": "mood", "label": "cross", "confidence": 0.9, "accepted": True, "decided_by": "model"}
    decision |= {"performer": "reader", "version": "v1", "reason": ""}
    answer = {"performer": "reader", "outcome": "accepted", "version": "v1", "label": "cross", "confidence": 0.9}
    answer |= {"threshold": 0.7, "why": "for late"}
    place = {"file": "day.csv", "file_sha256": "0" * 64, "line": 7, "registered_at": MOMENT, "batch": "b1"}
    place |= {"outcome": "published", "successor": None, "reason": None, "row": {}}
    return {
        "message": {"message_id": "m1", "text": text, "batch": "b1"},
        "source": "note",
        "state": "done",
        "batch": {"batch": "b1"},
        "came_in": [place],
        "decisions": [decision],
        "model_outputs": [{"asset": "mood", "asked": [answer], "reviews": []}],
        "records": [{"asset": "route", "message_id": "m1", "team": "Post", "rule": "late ones"}],
        "mentions": [],
        "quarantined": [],
        "notices": [],
        "withheld": None,
        "versions": [
            {"asset": "note", "version": 1, "inputs": {}},
            {"asset": "mood", "version": 1, "inputs": {"note": 1}},
            {"asset": "route", "version": 2, "inputs": {"note": 1, "mood": 1}},
        ],
        **more,
    }


def test_chart_leads_from_the_file_to_what_was_made_of_the_message() -> None:
    assert (
        flowchart(story())
        == """\
graph TD
    n0["m1<br/>note<br/>It is late<br/>done, batch b1"]
    n1["day.csv, line 7<br/>2026-03-01 10:00:00 UTC"]
    n2["mood<br/>cross 0.900<br/>reader v1"]
    n3["route<br/>team: Post"]
    n1 -->|"taken in with batch b1"| n0
    n0 -->|"accepted from 0.700: for late"| n2
    n0 -->|"version 1"| n3
    n2 -->|"rule late ones"| n3"""
    )


def test_people_alerts_and_deliveries_are_nodes_of_their_own() -> None:
    verdict = {"verdict_id": 3, "person": "anna", "label": "glad", "note": None, "is_current": True}
    review = {"review_id": 5, "state": "decided", "why": None, "why_here": "nobody was sure", "verdicts": [verdict]}
    sent = {"target": "json://a#1", "state": "delivered", "attempts": 2, "delivered_at": MOMENT}
    waits = {"target": "mail#2", "state": "waiting", "attempts": 1, "next_attempt_at": None, "last_error": "down"}
    notice = {"title": "Late parcels", "asset": "mood", "recorded_at": MOMENT, "delivered_at": MOMENT}
    told = story(notices=[{**notice, "deliveries": [sent, waits]}])
    told["model_outputs"][0]["reviews"] = [review]
    chart = flowchart(told)
    assert parses(chart)
    assert {"review 5: decided<br/>anna: glad", "Late parcels", "json://a#1", "mail#2"} <= set(labels(chart))
    assert '-->|"nobody was sure"|' in chart
    assert '-.->|"verdict 3"| n2' in chart
    assert "delivered 2026-03-01 10:00:00 UTC, after 2 attempts" in chart
    assert "waits, after 1 attempt: down" in chart


def test_refused_message_leads_to_the_quarantine() -> None:
    refusal = {"asset": "note", "batch": "b1", "reason": "text_not_blank"}
    empty: dict[str, Any] = {name: [] for name in ("decisions", "model_outputs", "records", "versions")}
    chart = flowchart(story(message={"message_id": "m1", "batch": "b1"}, quarantined=[refusal], **empty))
    assert parses(chart)
    assert labels(chart)[-1] == "quarantine<br/>at note"
    assert '-->|"text#95;not#95;blank"|' in chart


def test_message_that_waits_shows_the_words_that_came_in() -> None:
    told = story(message={"message_id": "m1", "batch": None}, source=None, state="waiting", batch=None)
    told["came_in"][0] |= {"batch": None, "outcome": "waiting", "row": {"message_id": "m1", "text": "It is late"}}
    chart = flowchart({**told, "decisions": [], "model_outputs": [], "records": [], "versions": []})
    assert parses(chart)
    assert labels(chart)[0] == "m1<br/>It is late<br/>waiting"


def test_words_are_redacted_before_they_are_shortened_and_ids_stay() -> None:
    card = "4111 1111 1111 1111"
    told = story(f"{'x' * 50} {card} jane@example.com")
    told["message"]["message_id"] = "00123456789"
    chart = flowchart(told)
    assert "4111" not in chart
    assert labels(chart)[0].startswith(f"00123456789<br/>note<br/>{'x' * 50} [card]")


@pytest.mark.parametrize("text", NASTY)
def test_whatever_a_message_says_stays_in_its_label(text: str) -> None:
    told = story(text, quarantined=[{"asset": text, "batch": "b1", "reason": text}])
    told["records"][0] |= {"team": text, "rule": text}
    assert parses(flowchart(told))


@given(st.text())
@example("".join(NASTY))
def test_label_shows_its_text_again_and_breaks_no_line(text: str) -> None:
    chart = Chart()
    chart.edge(chart.node(text), chart.node(text, shape="alert"), text)
    assert parses(str(chart))
    assert len(shortened(text)) <= MOST_CHARACTERS
    shown = re.sub(r"#(\d+);", lambda number: chr(int(number[1])), escaped(text))
    assert shown == "".join(one if one.isprintable() else f"U+{ord(one):04X}" for one in text)


@pytest.mark.parametrize("text", ["\u202e", "\u2066", "\x1b", "\x9b", "\n", "\u2028"])
def test_what_turns_a_line_round_or_commands_a_terminal_is_named_and_not_shown(text: str) -> None:
    assert escaped(text) == f"U+{ord(text):04X}"

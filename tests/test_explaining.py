"""The verb explain: a story as text that is read at 100 columns, as JSON, as a flowchart."""

import json
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
from note_workflow import promote, run_next, send
from switched import switch
from test_flowchart import MOMENT, parses, story
from typer.testing import CliRunner, Result

from orchestration_project.cli.main import app
from orchestration_project.cli.telling import WIDTH, answer_told, delivery_told, lines_of, outcome_told
from orchestration_project.core.errors import UnknownName
from orchestration_project.stores import arrivals
from orchestration_project.stores.home import Home


def explain(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["explain", *arguments])


def text(**more: Any) -> str:
    return "\n".join(lines_of(whole(**more)))


def whole(**more: Any) -> dict[str, Any]:
    found = story(batch={"batch": "b1", "opened_at": MOMENT, "state": "done", "cause": None, "runs": []})
    for version in found["versions"]:
        version |= {"run_id": "r1", "published_at": MOMENT}
    for output in found["model_outputs"]:
        output |= {"besides": [], "shadow": []}
    return {**found, "unread_files": 0, "halted": [], **more}


@pytest.fixture
def worked(named_home: Home, instance: dg.DagsterInstance) -> Home:
    """A home in which two notes were decided."""
    promote(named_home)
    send(named_home, "angry", "calm")
    result = run_next(named_home, instance)
    assert result is not None
    assert result.success
    return named_home


@pytest.mark.usefixtures("worked")
def test_text_tells_file_run_performers_and_versions() -> None:
    shown = explain("id of angry").stdout
    assert shown.startswith("id of angry is done\n\nWhat came in\n  message.jsonl, line 1, ")
    assert "    taken in with batch " in shown
    assert "    arrival/1 running" in shown or "    arrival/1 succeeded by run " in shown
    assert "\n  row of note\n" in shown
    assert "\nmood: angry, by mood rules " in shown
    assert "\n  1. mood rules " in shown
    assert "\n     angry without a measured confidence\n" in shown
    assert "\n  2. safe label unknown: not asked\n" in shown


@pytest.mark.usefixtures("worked")
def test_json_is_the_same_by_either_option_and_mermaid_parses() -> None:
    by_form, by_flag = explain("id of angry", "--format", "json").stdout, explain("id of angry", "--json").stdout
    assert json.loads(by_form) == json.loads(by_flag)
    assert json.loads(by_form)["came_in"][0]["outcome"] == "published"
    chart = explain("id of angry", "--format", "mermaid").stdout
    assert parses(chart.removesuffix("\n"))
    assert explain("id of angry", "--format", "picture").exit_code == 2


def test_switched_off_performer_says_since_when_by_whom_and_why(named_home: Home, instance: dg.DagsterInstance) -> None:
    promote(named_home)
    switch(named_home, "performer", "mood rules", "off", reason="it sees anger everywhere")
    send(named_home, "angry")
    assert run_next(named_home, instance)
    shown = " ".join(explain("id of angry").stdout.split())
    assert "1. mood rules: switched off mood rules is off since " in shown
    assert ", by anna: it sees anger everywhere 2. safe label unknown" in shown
    assert "unknown, kept, not accepted" in shown


def test_answers_in_shadow_are_told(named_home: Home, instance: dg.DagsterInstance) -> None:
    promote(named_home)
    switch(named_home, "performer", "mood rules", "shadow")
    send(named_home, "angry")
    assert run_next(named_home, instance)
    shown = explain("id of angry").stdout
    assert "\n  in shadow, mood rules " in shown
    assert ": angry, would not have been accepted\n" in shown


def test_message_that_waits_has_its_story_and_an_unknown_one_is_refused(named_home: Home) -> None:
    arrivals.register(named_home, arrivals.receive_message(named_home, {"message_id": "m1", "text": "late again"}))
    shown = explain("m1").stdout
    assert shown.startswith("m1 is waiting\n")
    assert "    waits for its batch; sha256 " in shown
    assert "  text        late again\n" in shown
    assert isinstance(explain("m2").exception, UnknownName)


def test_no_line_is_wider_than_a_hundred_columns_unless_a_word_is() -> None:
    words = "it is late and nobody answers " * 30
    told = whole(message={"message_id": "m1", "text": words, "batch": "b1"})
    told["records"][0]["team"] = words
    told["model_outputs"][0]["asked"][0]["why"] = words
    lines = [*lines_of(told)]
    assert max(map(len, lines)) <= WIDTH
    assert " ".join(words.split()) in " ".join(" ".join(lines).split())


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"outcome": "accepted"}, "late 0.910, accepted from 0.700"),
        ({"outcome": "accepted", "threshold": None}, "late 0.910, accepted"),
        ({"outcome": "kept"}, "late 0.910, kept, not accepted (accepts from 0.700 on)"),
        ({"outcome": "proposed", "confidence": None, "threshold": None}, "late, proposed"),
        ({"outcome": "not asked", "label": None}, "not asked"),
        ({"outcome": "failed", "label": None}, "failed"),
    ],
)
def test_answer_tells_label_confidence_and_threshold(answer: dict[str, Any], told: str) -> None:
    assert answer_told({"label": "late", "confidence": 0.91, "threshold": 0.7, **answer}) == told


@pytest.mark.parametrize(
    ("delivery", "told"),
    [
        ({"state": "delivered", "attempts": 1}, "delivered 2026-03-01 10:00:00 UTC, after 1 attempt"),
        ({"state": "failed", "attempts": 350}, "never arrived, after 350 attempts: down"),
        ({"state": "waiting", "attempts": 0}, "waits, after 0 attempts, the next from 2026-03-01 11:00:00 UTC: down"),
    ],
)
def test_delivery_tells_when_or_how_often_and_why_not(delivery: dict[str, Any], told: str) -> None:
    more = {"delivered_at": MOMENT, "next_attempt_at": MOMENT + timedelta(hours=1), "last_error": "down"}
    assert delivery_told({**more, **delivery}) == told


def test_place_tells_where_the_message_went_on_and_why_it_was_refused() -> None:
    place = {"batch": "b1", "successor": "b2", "outcome": "replayed", "reason": "text_not_blank"}
    assert outcome_told(place) == "refused in batch b1, and replayed in b2: text_not_blank"


def test_review_names_who_decided_and_how_and_when() -> None:
    verdict = {"verdict_id": 1, "person": "anna", "label": "glad", "note": "she smiles", "is_current": True}
    review = {"review_id": 5, "state": "decided", "why": None, "why_here": "nobody was sure", "opened_at": MOMENT}
    review |= {
        "respond_by": MOMENT,
        "closed_at": MOMENT,
        "proposed": {},
        "verdicts": [{**verdict, "decided_at": MOMENT}],
    }
    told = whole()
    told["model_outputs"][0]["reviews"] = [
        review,
        {**review, "state": "overdue", "proposed": {"default": "safe_state"}},
    ]
    shown = "\n".join(lines_of(told))
    assert "  review 5, 2026-03-01 10:00:00 UTC: nobody was sure; decided\n" in shown
    assert "    anna: glad, 2026-03-01 10:00:00 UTC\n      she smiles\n" in shown
    assert "nobody decided by 2026-03-01 10:00:00 UTC, so the safe state answers" in " ".join(shown.split())


def test_row_that_waits_says_so_with_what_is_proposed() -> None:
    told = whole()
    told["model_outputs"][0]["asked"][0]["outcome"] = "proposed"
    assert "\nmood: waits for a person; proposed is cross 0.900, by reader v1\n" in "\n".join(lines_of(told))


def test_what_is_kept_back_says_until_when() -> None:
    shown = text(withheld={"reviews": [7], "assets": ["mood", "route"]})
    assert "Kept back\n  What mood, route say, and what was alerted: " in shown
    assert "(review 7)" in shown


def test_alert_tells_where_it_was_delivered() -> None:
    delivery = {"target": "mail#2", "state": "delivered", "attempts": 2, "delivered_at": MOMENT}
    notice = {"title": "A fire", "asset": "alert", "batch": "b1", "recorded_at": MOMENT, "delivered_at": None}
    shown = text(notices=[{**notice, "deliveries": [delivery]}])
    assert "Alert: A fire\n  recorded 2026-03-01 10:00:00 UTC by alert of batch b1\n" in shown
    assert "  this home's notices: not told yet\n  mail#2: delivered 2026-03-01 10:00:00 UTC, after 2 attempts" in shown

"""The main job, as a new user runs it: train, send the samples, read the alerts, ask why. Again, it changes nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def orchestrate(home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "orchestration_project.cli.main", *arguments]
    environment = {**os.environ, "ORCHESTRATE_HOME": str(home), "COLUMNS": "140"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "home"
    ended = orchestrate(folder, "demo")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Where to look next" in ended.stdout
    return folder


@pytest.fixture(scope="module")
def alerts(home: Path) -> list[dict[str, Any]]:
    """What the first demo raised."""
    found = asked(home, "alerts")
    assert isinstance(found, list)
    return found


def asked(home: Path, *arguments: str) -> "list[dict[str, object]] | dict[str, object]":
    ended = orchestrate(home, *arguments, "--json")
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_every_sample_message_is_done_or_waits_for_a_person(home: Path) -> None:
    counts = asked(home, "status")
    assert isinstance(counts, dict)
    assert (counts.pop("done"), counts.pop("pending")) == (350, 50), "of both model outputs as many wait as may"
    assert set(counts.values()) == {0}


def test_what_cannot_wait_went_on_and_is_looked_at_meanwhile(home: Path) -> None:
    reviews = asked(home, "review", "list", "--cause", "urgent")
    assert isinstance(reviews, list) and reviews
    for review in reviews:
        story = asked(home, "explain", str(review["message_id"]))
        assert isinstance(story, dict)
        assert {decision["accepted"] for decision in story["decisions"] if decision["asset"] == review["asset"]} == {  # type: ignore[union-attr,index]
            False
        }


def test_the_real_spike_raises_an_alert(alerts: list[dict[str, Any]]) -> None:
    surges = [alert["facts"] for alert in alerts if alert["facts"]["window_hours"]]
    assert {(surge["issue"], surge["day"]) for surge in surges} >= {("delivery", "2026-03-13")}
    for surge in surges:
        assert surge["issue"] == "delivery"  # the only spike that was written into the sample
        assert surge["volume"] >= 12
        assert surge["change"] >= 1.5
        assert len(surge["quotes"]) == 3
        assert {quote["message_id"] for quote in surge["quotes"]} <= set(surge["message_ids"])


@pytest.mark.parametrize("message_id", ["F0062", "F0157", "F0215", "F0256"])
def test_a_message_of_danger_is_an_alert_of_its_own(alerts: list[dict[str, Any]], message_id: str) -> None:
    assert f"message/{message_id}" in [alert["key"] for alert in alerts]


def test_a_message_tells_its_whole_story(home: Path) -> None:
    story = asked(home, "explain", "F0062")
    assert isinstance(story, dict)
    assert story["message"]["text"].startswith("URGENT.")  # type: ignore[index]
    decisions = story["decisions"]
    assert [decision["asset"] for decision in decisions] == ["sentiment", "issue"]  # type: ignore[union-attr,index]
    fields = {"asset", "label", "confidence", "accepted", "decided_by", "performer", "version", "reason"}
    assert all(decision.keys() == fields | {"batch", "run_id"} for decision in decisions)  # type: ignore[union-attr]
    assert len(story["alerts"]) == 1  # type: ignore[arg-type]


def test_whatever_fails_every_message_is_answered_once(home: Path) -> None:
    drills = asked(home, "drill", "faults")
    assert isinstance(drills, list)
    assert list(dict.fromkeys((one["model_output"], one["performer"]) for one in drills)) == [
        ("issue", "issue rules"),
        ("issue", "issue model"),
        ("sentiment", "sentiment model"),
    ]
    assert {one["fault"]: one["broken"] for one in drills if one["broken"]} == {}


def test_a_second_demo_changes_nothing(home: Path) -> None:
    count = "SELECT count(*) AS n, max(batch) AS batch FROM feedback"
    before = asked(home, "sql", count)
    files = sorted(path for path in home.rglob("*.parquet"))
    ended = orchestrate(home, "demo")
    assert ended.returncode == 0
    assert asked(home, "sql", count) == before
    assert sorted(path for path in home.rglob("*.parquet")) == files


def test_one_more_message_sets_off_the_whole_workflow(home: Path) -> None:
    sent = asked(home, "send", "My parcel never arrived and nobody answers, I am furious")
    assert isinstance(sent, dict)
    assert sent["done"] == 1
    (batch,) = sent["batches"]  # type: ignore[misc]
    rows = asked(home, "sql", f"SELECT team, priority FROM route WHERE batch = '{batch}'")
    assert rows == [{"team": "Logistics", "priority": 2}]


def test_the_same_message_again_is_a_duplicate(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "again.jsonl"
    file.write_text('{"message_id": "F0001", "text": "again"}\n{"message_id": "X1", "text": "hello"}\n')
    sent = asked(home, "send", str(file))
    assert isinstance(sent, dict)
    assert (sent["duplicates"], sent["done"]) == (1, 1)


def test_evaluation_stands_in_the_ledger_of_every_model(home: Path) -> None:
    rows = asked(home, "sql", "SELECT accuracy, f1, ece FROM issue_evaluation WHERE label = 'all'")
    (overall,) = rows
    assert 0.7 < overall["accuracy"] < 1  # type: ignore[operator,index]
    assert 0 <= overall["ece"] < 0.1  # type: ignore[operator,index]

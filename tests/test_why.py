"""Why a model answered so, when somebody asks: its words are found anew, for the very text and version that decided."""

import json
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner
from workflow_steps import FEELINGS, failure, rows_of, run, send, use_model

from assets.feedback.feedback import feedback
from assets.feedback.sentiment import sentiment
from orchestration_project.cli.main import app
from orchestration_project.performers import model
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.model import Model
from orchestration_project.performers.safe_label import SafeLabel
from orchestration_project.performers.why import reason_of
from orchestration_project.stores.home import Home

MESSAGE: dict[str, Any] = {
    "message_id": "m1",
    "text": "awful late rude",
    "metadata": "{}",
    "at": pd.Timestamp.now("UTC"),
    "by": None,
}
ACCEPTED = {"decided_by": "model", "accepted": True, "performer": "sentiment model", "reason": ""}


def decided(home: Home, on: str = "text", **fields: Any) -> dict[str, Any]:
    """What a small sentiment model decides on the message."""
    use_model(home, "sentiment", FEELINGS, **fields)
    rows = pd.DataFrame([MESSAGE])[["message_id", "text", "metadata"]].rename(columns={"text": on})
    return (
        Cascade(Model("sentiment", on=on), safe_state=SafeLabel("unknown")).decide(rows, home).frame.iloc[0].to_dict()
    )


def model_files_are_read_anew() -> None:
    """Forget what this process has loaded, as another process has not loaded it."""
    model._loaded.cache_clear()  # pyright: ignore[reportPrivateUsage]


def test_words_of_an_accepted_answer_are_those_that_an_unsure_one_keeps(home: Home) -> None:
    kept = decided(home, threshold=None, version="unsure")["reason"]
    decision = decided(home)
    assert (decision["accepted"], decision["reason"]) == (True, "")
    found = reason_of(home, decision, MESSAGE)
    assert found.startswith("for ")
    assert f"({found})" in kept


def test_words_stand_behind_what_the_performers_before_said(home: Home) -> None:
    decision = {**decided(home), "reason": "issue rules: no rule matches"}
    assert reason_of(home, decision, MESSAGE).startswith("issue rules: no rule matches; for ")


def test_the_text_that_the_model_was_shown_is_found_whatever_its_column_is_called(home: Home) -> None:
    message = {"note": "lovely", "body": MESSAGE["text"]}
    assert reason_of(home, decided(home, on="body"), message) == reason_of(home, decided(home), MESSAGE)


def test_an_earlier_version_is_asked_for_its_own_words(home: Home) -> None:
    decision = decided(home)
    before = reason_of(home, decision, MESSAGE)
    small = home.artifacts / "sentiment" / "small.joblib"
    kept = small.read_bytes()
    texts = {"good": ["awful late rude", "late"], "bad": ["lovely", "tea"]}
    use_model(home, "sentiment", texts, version="later", path="registry/sentiment/later.joblib")
    small.rename(small.with_name("later.joblib"))
    small.write_bytes(kept)
    model_files_are_read_anew()
    assert reason_of(home, decision, MESSAGE) == before


def test_no_words_are_made_up_for_another_text(home: Home) -> None:
    told = reason_of(home, decided(home), {**MESSAGE, "text": "What a lovely tea"})
    assert told == "its words are not known: no text of the message as it is now gives this answer"
    assert reason_of(home, decided(home), {}) == told


def test_a_version_whose_file_is_lost_says_so(home: Home) -> None:
    decision = decided(home)
    champion = use_model(home, "sentiment", FEELINGS)
    (home.root / champion.path).unlink()
    model_files_are_read_anew()
    told = reason_of(home, decision, MESSAGE)
    assert told.startswith("its words are not known: The model file ")
    assert told.endswith("is missing. Restore it or run: orchestrate train")


def test_a_version_that_nobody_recorded_says_so(home: Home) -> None:
    told = reason_of(home, {**decided(home), "version": "ffff0000"}, MESSAGE)
    assert told.startswith("its words are not known: The model 'sentiment' has no one version 'ffff0000'.")


@pytest.mark.parametrize(
    "other",
    [
        {"accepted": False, "reason": "sentiment model: negative 0.40, below 0.50 (for late)"},
        {"decided_by": "rules", "performer": "issue rules", "reason": "rule parcel"},
        {"decided_by": "safe_state", "accepted": False, "reason": "compound score -0.57"},
        {"performer": "reader"},  # a scripted model
    ],
)
def test_what_no_model_accepted_keeps_its_reason(home: Home, other: dict[str, Any]) -> None:
    decision = {**ACCEPTED, "version": "v1", "label": "negative", "confidence": 0.9, **other}
    assert reason_of(home, decision, MESSAGE) == decision["reason"]


def test_explain_gives_the_words_and_the_stored_row_stays_as_it_is(named_home: Home) -> None:
    use_model(named_home, "sentiment", FEELINGS)
    batch = send(named_home, [{"message_id": "m1", "text": MESSAGE["text"], "received_at": "2026-03-01T10:00:00Z"}])
    result = run(named_home, feedback, sentiment, batch=batch)
    assert result.success, failure(result)
    [stored] = rows_of(named_home, "sentiment", batch).to_dict("records")
    assert (stored["accepted"], stored["reason"]) == (True, "")
    told = CliRunner().invoke(app, ["explain", "m1", "--json"])
    [decision] = json.loads(told.stdout)["decisions"]
    assert decision["reason"] == reason_of(named_home, stored, MESSAGE) != ""
    words = decision["reason"].removeprefix("for ").split(", ")[0]
    assert words in CliRunner().invoke(app, ["explain", "m1"]).stdout

"""Sentiment: the model decides, the word list answers only when the model cannot."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from workflow_steps import FEELINGS, failure, rows_of, run, send, use_model

from assets.feedback.feedback import feedback
from assets.feedback.lexicon import MOST_CHARACTERS, Lexicon, answer
from assets.feedback.sentiment import CASCADE, sentiment
from orchestration_project.core.errors import PerformerFailed
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.performer import hold_to_contract
from orchestration_project.performers.scripted import Scripted
from orchestration_project.stores.home import Home

SENTIMENTS = {"negative", "neutral", "positive"}


def read(*texts: str) -> list[str]:
    return answer(pd.DataFrame({"text": texts}))["label"].tolist()


# The word list


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("I hate this awful broken box", "negative"),
        ("What a lovely, wonderful tea!", "positive"),
        ("The box has six sides.", "neutral"),
        ("not good", "negative"),
        ("😭", "negative"),
        ("", "neutral"),
        ("La caja llegó rota", "neutral"),  # it knows English only
    ],
)
def test_the_word_list_reads_the_tone_of_english(text: str, label: str) -> None:
    assert read(text) == [label]


def test_the_word_list_claims_no_confidence_and_gives_its_score_as_reason() -> None:
    [row] = answer(pd.DataFrame({"text": ["I hate it"]}, index=[7])).to_dict("records")
    assert pd.isna(row["confidence"])
    assert row["reason"] == "compound score -0.57"


def test_the_word_list_reads_the_beginning_of_a_very_long_text() -> None:
    assert read("good " * 1_000 + "awful terrible horrible " * 50_000) == ["positive"]
    assert len("good " * 1_000) == MOST_CHARACTERS


def test_no_rows_give_no_answers(home: Home) -> None:
    prepared = Lexicon().prepare(home)
    nothing = pd.DataFrame({"message_id": [], "text": []}, dtype="str")
    assert len(hold_to_contract(Lexicon(), prepared, nothing, prepared.answer(nothing))) == 0


@settings(deadline=None)
@given(st.lists(st.text(max_size=200), min_size=1, max_size=5))
def test_any_text_has_a_tone(texts: list[str]) -> None:
    rows = pd.DataFrame({"text": pd.Series(texts, dtype="str")})
    answers = answer(rows)
    assert answers.index.equals(rows.index)
    assert set(answers["label"]) <= SENTIMENTS


# The cascade


def decided(home: Home, *texts: str) -> pd.DataFrame:
    batch = send(home, [{"message_id": f"m{number}", "text": text} for number, text in enumerate(texts)])
    result = run(home, feedback, sentiment, batch=batch)
    assert result.success, failure(result)
    return rows_of(home, "sentiment", batch).set_index("message_id")


def test_every_message_is_decided_by_the_champion(home: Home) -> None:
    champion = use_model(home, "sentiment", FEELINGS)
    rows = decided(home, "awful late rude broken", "lovely wonderful tea", "when does it ship")
    assert rows["label"].tolist() == ["negative", "positive", "neutral"]
    assert set(rows["decided_by"]) == {"model"}
    assert set(rows["version"]) == {champion.version}
    assert (rows["accepted"] == (rows["confidence"] >= 0.5)).all()


def test_a_champion_without_threshold_accepts_nothing_and_still_answers(home: Home) -> None:
    use_model(home, "sentiment", FEELINGS, threshold=None)
    rows = decided(home, "awful late rude broken", "lovely wonderful tea")
    assert rows["label"].tolist() == ["negative", "positive"]
    assert not rows["accepted"].any()
    assert rows["reason"].str.contains("no threshold is set").all()


def test_without_a_champion_the_step_says_what_to_run_and_publishes_nothing(home: Home) -> None:
    batch = send(home, [{"text": "No box."}])
    result = run(home, feedback, sentiment, batch=batch)
    assert "in use; run: orchestrate train" in failure(result)
    with pytest.raises(AssertionError, match="never published"):
        rows_of(home, "sentiment", batch)


def test_a_model_file_that_is_not_the_recorded_one_is_refused(home: Home) -> None:
    champion = use_model(home, "sentiment", FEELINGS, sha256="0" * 64)
    batch = send(home, [{"text": "No box."}])
    assert "was not opened" in failure(run(home, feedback, sentiment, batch=batch))
    (home.root / champion.path).unlink()
    assert "is missing" in failure(run(home, feedback, sentiment, batch=batch))


def test_the_word_list_answers_when_the_model_fails(home: Home) -> None:
    def fails(rows: pd.DataFrame) -> pd.DataFrame:
        raise PerformerFailed("sentiment model lost its mind.")

    cascade = Cascade(Scripted("sentiment model", fails, labels=SENTIMENTS), safe_state=CASCADE.safe_state)
    rows = pd.DataFrame({"message_id": ["m1", "m2"], "text": ["I hate it", "I love it"]})
    frame = cascade.decide(rows, home).frame
    assert frame["label"].tolist() == ["negative", "positive"]
    assert set(frame["decided_by"]) == {"safe_state"}
    assert frame["degraded"].all()
    assert not frame["accepted"].any()
    assert frame["reason"].str.contains("lost its mind.*compound score").all()

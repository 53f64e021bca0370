"""Issue: unhappy messages only; keyword rules that earned their trust on the labels decide first, then the model."""

from typing import Any

import pandas as pd
import pytest
from workflow_steps import FEELINGS, MATTERS, failure, rows_of, run, send, use_model

from assets.feedback.feedback import feedback
from assets.feedback.issue import CASCADE, RULES, issue
from assets.feedback.sentiment import sentiment
from assets.models.family import labels_of
from orchestration_project.core.errors import PerformerFailed
from orchestration_project.core.settings import Settings
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.scripted import Scripted
from orchestration_project.stores.families import require_family
from orchestration_project.stores.home import Home

TARGET_ERROR = 0.05

WON = {
    "stop-the-box": ("How do I cancel this?", "cancellation"),
    "cannot-log-in": ("I can’t log in since the update", "account"),
    "points": ("my points are gone", "account"),
    "nobody-answers": ("Three mails and no reply", "service"),
    "charged": ("You charged me twice", "billing"),
    "wrong-thing": ("Wrong size, not what I ordered", "wrong_item"),
    "arrived-broken": ("All three jars arrived broken", "damaged"),
    "taste": ("The coffee is stale", "quality"),
    "parcel": ("my parcel is lost", "delivery"),
}
"""Rule → a text that it wins, and its label."""


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """What a new home learns."""
    home = Home(Settings(home=tmp_path_factory.mktemp("labels")))
    return labels_of(home, require_family("issue"))


@pytest.fixture(scope="module")
def measured(labels: pd.DataFrame) -> dict[str, Any]:
    seen = labels[~labels["is_holdout"]]
    return RULES.measure(seen, seen["label"], TARGET_ERROR)


# The rules


def test_every_rule_has_a_text_that_it_wins() -> None:
    assert list(WON) == [row.rule for row in RULES.read().rows]
    found = RULES.read().apply(pd.DataFrame({"text": [text for text, _ in WON.values()]}))
    assert found["rule"].tolist() == list(WON)
    assert found["label"].tolist() == [label for _, label in WON.values()]


@pytest.mark.parametrize(
    "text",
    [
        "Our train was cancelled, so I was late for the box",
        "The courier signed in the wrong box for me, funny",
        "The logging museum in my town sells your tea",
        "What a tasteful candle",
        "They were brokenhearted at work",
        "pausing to say hello",
        "",
    ],
)
def test_words_that_only_look_alike_win_nothing(text: str) -> None:
    [rule] = RULES.read().apply(pd.DataFrame({"text": [text]}))["rule"].tolist()
    assert pd.isna(rule)


def test_the_rules_are_right_on_the_labels_and_some_decide_alone(measured: dict[str, Any]) -> None:
    for name, found in measured["rules"].items():
        assert found["asked"] >= 20, name
        assert found["right"] >= 0.95 * found["asked"], name
    assert measured["threshold"] is not None
    accepted = [rule for rule in measured["rules"].values() if rule["confidence"] >= measured["threshold"]]
    assert sum(rule["asked"] for rule in accepted) >= 500


def test_the_rules_are_as_right_on_labels_they_were_not_measured_on(labels: pd.DataFrame) -> None:
    held = labels[labels["is_holdout"]]
    found = RULES.read().apply(held)
    hits = found["rule"].notna()
    assert hits.sum() >= 100
    assert (found["label"] == held["label"])[hits].mean() >= 0.93


def test_a_rule_that_is_often_wrong_decides_nothing_alone(labels: pd.DataFrame) -> None:
    wrong = RULES.measure(labels, labels["label"].where(labels["label"] != "billing", "delivery"), TARGET_ERROR)
    assert wrong["rules"]["charged"]["confidence"] < 0.1
    assert wrong["threshold"] > 0.1


# The asset


def decided(home: Home, *texts: str) -> pd.DataFrame:
    use_model(home, "sentiment", FEELINGS)
    batch = send(home, [{"message_id": f"m{number}", "text": text} for number, text in enumerate(texts)])
    result = run(home, feedback, sentiment, issue, batch=batch)
    assert result.success, failure(result)
    return rows_of(home, "issue", batch).set_index("message_id")


def test_only_unhappy_messages_are_looked_at(home: Home, measured: dict[str, Any]) -> None:
    use_model(home, "issue", MATTERS, rules=measured)
    rows = decided(home, "awful, my parcel is lost", "lovely wonderful tea", "awful late courier", "when does it ship")
    assert rows.index.tolist() == ["m0", "m2"]


def test_a_trusted_rule_decides_before_the_model_and_the_model_what_no_rule_matches(
    home: Home, measured: dict[str, Any]
) -> None:
    use_model(home, "issue", MATTERS, rules=measured, threshold=0.1)
    rows = decided(home, "awful, my parcel is lost", "awful late courier at the depot again")
    assert rows["decided_by"].tolist() == ["rules", "model"]
    assert rows["label"].tolist() == ["delivery", "delivery"]
    assert rows["accepted"].all()
    assert rows.loc["m0", "confidence"] == measured["rules"]["parcel"]["confidence"]
    assert rows.loc["m0", "reason"] == "rule parcel"


def test_rules_that_changed_since_they_were_measured_are_believed_nothing(home: Home, measured: dict[str, Any]) -> None:
    use_model(home, "issue", MATTERS, rules={**measured, "digest": "of an older table"}, threshold=0.1)
    [row] = decided(home, "awful, my parcel is lost").to_dict("records")
    assert row["decided_by"] == "model"
    assert "issue rules: delivery without a measured confidence" in row["reason"]


def test_what_nobody_is_sure_of_keeps_the_surest_answer(home: Home) -> None:
    use_model(home, "issue", MATTERS, threshold=None)
    [row] = decided(home, "awful late courier at the depot again").to_dict("records")
    assert (row["label"], row["accepted"], row["decided_by"]) == ("delivery", False, "model")


def test_no_unhappy_message_gives_no_row(home: Home) -> None:
    use_model(home, "issue", MATTERS)
    assert len(decided(home, "lovely wonderful tea")) == 0


def test_without_a_champion_the_step_says_what_to_run(home: Home) -> None:
    use_model(home, "sentiment", FEELINGS)
    batch = send(home, [{"text": "awful late courier"}])
    assert "in use; run: orchestrate train" in failure(run(home, feedback, sentiment, issue, batch=batch))


def test_unknown_is_said_only_when_nobody_could_answer(home: Home) -> None:
    def fails(rows: pd.DataFrame) -> pd.DataFrame:
        raise PerformerFailed("issue model lost its mind.")

    use_model(home, "issue", MATTERS)
    cascade = Cascade(RULES, Scripted("issue model", fails, labels=MATTERS), safe_state=CASCADE.safe_state)
    rows = pd.DataFrame({"message_id": ["m1", "m2"], "text": ["my parcel is lost", "awful late courier"]})
    frame = cascade.decide(rows, home).frame
    assert frame["label"].tolist() == ["delivery", "unknown"]
    assert frame["decided_by"].tolist() == ["rules", "safe_state"]
    assert not frame["accepted"].any()

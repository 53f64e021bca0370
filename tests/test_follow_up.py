"""Which sentiments' messages go on to issue is a setting, and one that would let nothing go on is refused by name."""

from dataclasses import replace

import pytest
from switched import switch
from workflow_steps import FEELINGS, MATTERS, failure, rows_of, run, send, use_model

from assets.feedback.feedback import feedback
from assets.feedback.issue import follow_up_labels, issue
from assets.feedback.sentiment import sentiment
from orchestration_project.core.errors import NoChampion, SettingRefused
from orchestration_project.stores.home import Home
from orchestration_project.stores.switches import Kind

SHORT = {"neg": FEELINGS["negative"], "neu": FEELINGS["neutral"], "pos": FEELINGS["positive"]}
"""The same feelings under a team's own names."""


def following(home: Home, *names: str) -> Home:
    """The home with the setting that names these labels."""
    return Home(replace(home.settings, follow_up_labels=names))


def refusal(home: Home) -> str:
    with pytest.raises(SettingRefused) as refused:
        follow_up_labels(home)
    return str(refused.value)


def test_negative_goes_on_unless_the_setting_says_otherwise(home: Home) -> None:
    use_model(home, "sentiment", FEELINGS)
    assert follow_up_labels(home) == ("negative",)
    assert follow_up_labels(following(home, "negative", "neutral")) == ("negative", "neutral")


def test_messages_of_the_labels_that_are_named_go_on_and_no_others(home: Home) -> None:
    use_model(home, "sentiment", FEELINGS)
    use_model(home, "issue", MATTERS)
    texts = {"m0": "awful late courier", "m1": "lovely wonderful tea", "m2": "when does the box ship"}
    batch = send(home, [{"message_id": message_id, "text": text} for message_id, text in texts.items()])
    gone_on: list[list[str]] = []
    for names in (("negative",), ("neutral", "positive")):
        result = run(following(home, *names), feedback, sentiment, issue, batch=batch)
        assert result.success, failure(result)
        gone_on.append(rows_of(home, "issue", batch)["message_id"].tolist())
    assert gone_on == [["m0"], ["m1", "m2"]]


@pytest.mark.parametrize(
    ("kind", "name"), [("version", "sentiment/small"), ("performer", "sentiment model")], ids=["version", "performer"]
)
def test_a_model_that_is_switched_off_and_whose_file_is_lost_stops_nothing(home: Home, kind: Kind, name: str) -> None:
    lost = use_model(home, "sentiment", FEELINGS)
    use_model(home, "issue", MATTERS)
    batch = send(home, [{"message_id": "m0", "text": "awful late courier, terrible"}])
    (home.root / lost.path).unlink()
    assert "small.joblib is missing" in failure(run(home, feedback, sentiment, issue, batch=batch))
    told = switch(home, kind, name, "off").told()
    result = run(home, feedback, sentiment, issue, batch=batch)
    assert result.success, failure(result)
    (row,) = rows_of(home, "sentiment", batch).to_dict("records")
    assert row["state"] == "pending" or row["decided_by"] == "safe_state", row
    assert told in row["reason"]
    assert set(follow_up_labels(home)) == {"negative"}


def test_a_name_that_sentiment_cannot_answer_is_refused_with_the_nearest(home: Home) -> None:
    use_model(home, "sentiment", FEELINGS)
    assert refusal(following(home, "negative", "negativ")) == (
        "ORCHESTRATE_FOLLOW_UP_LABELS is 'negative,negativ'. No sentiment is called 'negativ'. Did you mean 'negative'?"
    )


def test_a_new_label_set_of_which_no_label_is_named_stops_the_step_instead_of_letting_nothing_go_on(home: Home) -> None:
    use_model(home, "sentiment", SHORT)
    use_model(home, "issue", MATTERS)
    said = (
        "ORCHESTRATE_FOLLOW_UP_LABELS is 'negative'. The sentiment model in use answers none of these; "
        "set labels of it. There are: neg, neu, pos."
    )
    assert refusal(home) == said
    batch = send(home, [{"message_id": "m0", "text": "awful late courier"}])
    result = run(home, feedback, sentiment, issue, batch=batch)
    assert failure(result) == said
    assert rows_of(home, "sentiment", batch)["label"].tolist() == ["neg"]


def test_labels_of_the_model_and_of_its_safe_state_may_be_named_together(home: Home) -> None:
    use_model(home, "sentiment", SHORT)
    assert follow_up_labels(following(home, "neg", "negative")) == ("neg", "negative")


def test_without_a_model_it_says_what_to_run(home: Home) -> None:
    with pytest.raises(NoChampion, match="run: orchestrate train"):
        follow_up_labels(home)

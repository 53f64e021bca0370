"""The verbs about reviews: what they print, what they order, and what they refuse."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pandas as pd
import pytest
from reviewed_notes import (
    ASSET,
    BATCH,
    SURE,
    UNSURE,
    Desk,
    acting,
    all_verdicts,
    everything,
    let_time_pass,
    open_check,
    requests,
    review_of,
    set_review,
    states,
    with_batch,
    with_checks,
)
from shop_workflow import Mood, Order
from typer.testing import CliRunner, Result
from workflow_steps import put

from orchestration_project.cli.main import app
from orchestration_project.cli.work import hold_running_lock
from orchestration_project.core.errors import NotEntitled, OrchestrationError
from orchestration_project.governance import batch_orders
from orchestration_project.governance.overdue_reviews import expire
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now

NOTES = {"late": "my parcel is late", "sure": "thank you", "waits": "where is my parcel, it is late", "other": "hm"}


class Shop:
    """A home in which reviews wait, and who acts in it."""

    def __init__(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home, self._patch = home, monkeypatch
        monkeypatch.setenv("ORCHESTRATE_PEOPLE", str(acting(home, "anna").settings.people))
        self.acts("anna")
        with_batch(home, *NOTES)
        orders = pd.DataFrame({"message_id": list(NOTES), "note": list(NOTES.values()), "pieces": 1})
        put(home, "order", BATCH, orders, Order)
        answers = {"late": ("calm", 0.2), "sure": SURE, "waits": UNSURE, "other": (None, None)}
        self.desk = Desk(home, answers)
        self.publish()

    def acts(self, name: str) -> None:
        self._patch.setenv("ORCHESTRATE_PERSON", name)

    def publish(self) -> None:
        self.desk.publish()
        assert self.desk.stored is not None
        put(self.home, ASSET, BATCH, self.desk.stored, Mood)

    def number(self, message_id: str) -> str:
        return str(review_of(self.home, message_id).review_id)


@pytest.fixture
def shop(named_home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """A shop whose running project does the work."""
    lock = hold_running_lock(named_home)
    yield Shop(named_home, monkeypatch)
    lock.release()


def ask(*arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments])


def say(*arguments: str) -> str:
    result = ask(*arguments)
    assert result.exit_code == 0, result.exception or result.output
    return result.stdout


def told(*arguments: str) -> Any:
    return json.loads(say(*arguments, "--json"))


def refusal(*arguments: str) -> str:
    result = ask(*arguments)
    assert isinstance(result.exception, OrchestrationError), result.output
    return str(result.exception)


def test_next_shows_what_is_needed_to_decide_and_takes_it_in_hand(shop: Shop) -> None:
    set_review(shop.home, int(shop.number("waits")), respond_by=now() + timedelta(hours=1))
    ask("review", "decide", shop.number("late"), "angry", "--note", "he shouts")
    found = told("review", "next")
    shown = ("message_id", "cause", "why_here", "state", "claimed_by")
    assert [found[name] for name in shown] == ["waits", "unsure", "nobody was sure", "open", "anna"]
    assert (found["message"]["note"], found["proposal"]["label"]) == (NOTES["waits"], "calm")
    assert found["labels"] == ["angry", "calm", "merry", "unknown"]
    assert [(one["message_id"], one["label"]) for one in found["similar"]] == [("late", "angry")]
    text = say("review", "next", "--asset", "mood")
    for part in (NOTES["waits"], "nobody was sure", "0.30", "reader: calm 0.30, below 0.50", NOTES["late"], "anna"):
        assert part in text
    assert f"Decide: orchestrate review decide {shop.number('waits')} LABEL" in text
    shop.acts("ben")
    assert told("review", "next")["message_id"] == "other"
    assert say("review", "next") == say("review", "next"), "it is his already"


def test_review_without_an_answer_shows_none(shop: Shop) -> None:
    assert told("review", "show", shop.number("other"))["proposal"]["label"] is None
    text = say("review", "show", shop.number("other"))
    assert "nan" not in text and "proposed" not in text


def test_nothing_waits_for_who_has_other_skills(shop: Shop) -> None:
    shop.acts("carl")
    assert say("review", "next") == "No review waits for you.\n"
    assert told("review", "next") is None
    assert "takes the skill mood" in refusal("review", "next", "--asset", "mood")
    assert "Did you mean 'mood'?" in refusal("review", "next", "--asset", "moon")


def test_list_has_the_most_pressing_first_and_counts_by_cause(shop: Shop) -> None:
    set_review(shop.home, int(shop.number("other")), respond_by=now() + timedelta(minutes=1))
    assert [one["message_id"] for one in told("review", "list")] == ["other", "late", "waits"]
    text = say("review", "list")
    assert "nan" not in text
    assert [line.split()[-2] for line in text.splitlines() if "nobody was sure" in line][-1] == "3"


def test_list_is_of_an_asset_a_state_and_a_cause(shop: Shop) -> None:
    ask("review", "decide", shop.number("late"), "angry")
    assert [one["message_id"] for one in told("review", "list", "--state", "decided")] == ["late"]
    assert len(told("review", "list", "--state", "all", "--asset", "mood")) == 3
    assert told("review", "list", "--cause", "appeal") == []
    assert say("review", "list", "--state", "closed") == "There is no such review.\n"
    assert "No review can be 'opn'. Did you mean 'open'?" in refusal("review", "list", "--state", "opn")
    assert "Did you mean 'appeal'?" in refusal("review", "list", "--cause", "apeal")
    assert "Did you mean 'mood'?" in refusal("review", "list", "--asset", "moon")


def test_long_list_says_how_many_more_there_are(shop: Shop) -> None:
    desk = Desk(shop.home, {f"m{number}": UNSURE for number in range(22)}, batch="b2")
    desk.publish()
    for number in range(18):
        open_check(desk, f"m{number}")
    result = ask("review", "list")
    assert "3 more. See all of them with --json" in result.stderr
    assert len(told("review", "list")) == 43


def test_decide_records_the_verdict_and_the_running_project_does_the_rest(shop: Shop) -> None:
    assert say("review", "decide", shop.number("late"), "angry", "--note", "he shouts").startswith(
        "late: mood is angry."
    )
    (verdict,) = all_verdicts(shop.home)
    assert (verdict.label, verdict.person, verdict.note) == ("angry", "anna", "he shouts")
    assert [key for key, *_ in requests(shop.home)] == ["b1/verdict-mood/1"]
    shown = say("review", "show", shop.number("late"))
    assert "he shouts" in shown and "Decide:" not in shown
    assert told("review", "show", shop.number("late"))["verdicts"][0]["note"] == "he shouts"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("decide", "77", "angry"), "There is no review 77."),
        (("show", "77"), "There is no review 77."),
        (("decide", "1", "angy"), "mood has no label 'angy'. Did you mean 'angry'?"),
        (("escalate", "1", "--reason", " "), "The reason is empty."),
        (("reopen", "1", "--reason", "a doubt"), "Review 1 is open and has no verdict that could be wrong."),
        (("assign", "1", "ben"), "This takes the role lead"),
    ],
)
def test_what_cannot_be_ordered_is_refused_and_changes_nothing(
    shop: Shop, arguments: tuple[str, ...], sentence: str
) -> None:
    before = everything(shop.home)
    assert sentence in refusal("review", *arguments)
    assert everything(shop.home) == before


def test_review_is_skipped_assigned_escalated_decided_and_reopened(shop: Shop) -> None:
    late = shop.number("late")
    assert say("review", "skip", late) == f"Review {late} is left to others.\n"
    assert told("review", "next")["message_id"] == "waits"
    assert say("review", "escalate", late, "--reason", "a legal case") == f"Review {late} waits for a lead.\n"
    shop.acts("lea")
    assert say("review", "assign", late, "lea") == f"Review {late} waits for lea.\n"
    assert told("review", "next")["message_id"] == "late"
    say("review", "decide", late, "angry")
    assert "lea decided review 1 first" in refusal("review", "decide", late, "calm")
    assert say("review", "reopen", late, "--reason", "a doubt") == f"Review {late} is open again.\n"
    assert states(shop.home, "late") == [("late", "unsure", "open")]


def test_overdue_review_can_be_decided(shop: Shop) -> None:
    let_time_pass(shop.home, int(shop.number("late")))
    expire(shop.home)
    assert "Decide:" in say("review", "show", shop.number("late"))
    say("review", "decide", shop.number("late"), "merry")
    assert states(shop.home, "late") == [("late", "unsure", "decided")]


def test_check_is_blind_in_next_show_and_list(shop: Shop) -> None:
    check = str(open_check(shop.desk, "sure"))
    set_review(shop.home, int(check), respond_by=now() + timedelta(minutes=1))
    answers = ("0.9", "reader", "scripted-1")
    for verb in (("next",), ("show", check), ("list", "--cause", "check")):
        found = told("review", *verb)
        found = found[0] if isinstance(found, list) else found
        assert (found["cause"], found["proposal"]) == ("check", {})
        text = say("review", *verb)
        rows = [line for line in text.splitlines() if not line.startswith("Labels:")]
        assert not any(answer in line for line in rows for answer in (*answers, "calm"))
    say("review", "decide", check, "angry")
    assert told("review", "show", check)["proposal"]["label"] == "calm"


def test_live_error_is_told_of_each_performer_and_day_or_called_too_thin(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = str(open_check(shop.desk, "sure"))
    assert "too thin: 0 checks of 30" in say("review", "live-error")
    say("review", "decide", check, "angry")
    monkeypatch.setenv("ORCHESTRATE_POLICY", str(with_checks(shop.home, "fewest = 1").settings.policy))
    text = say("review", "live-error", "--asset", "mood")
    assert text.count("live error 100.0 % (2.5 to 100.0 %) of 1 checks; stated at most 5 %") == 3
    found = told("review", "live-error")
    today = now().date().isoformat()
    assert [(one["asset"], one["performer"], one["day"]) for one in found] == [
        ("mood", None, None),
        ("mood", "reader", None),
        ("mood", "reader", today),
    ]
    assert (found[0]["error"], found[0]["checks"], found[0]["errors"], found[0]["is_thin"]) == (1.0, 1, 1, False)
    assert "Did you mean 'mood'?" in refusal("review", "live-error", "--asset", "moon")


def test_live_error_of_a_home_without_people_says_so(named_home: Home) -> None:
    assert say("review", "live-error").startswith("Nothing is checked")
    assert told("review", "live-error") == []


def test_appeal_waits_for_a_person_and_is_tracked_to_its_end(shop: Shop) -> None:
    assert say("appeal", "sure", "--why", "she is cross").endswith(" waits for a person.\n")
    (found,) = told("review", "list", "--cause", "appeal")
    assert (found["message_id"], found["why"], found["proposal"]["label"]) == ("sure", "she is cross", "calm")
    assert "she is cross" in say("review", "show", str(found["review_id"]))
    assert f"Review {found['review_id']} of sure waits already" in refusal("appeal", "sure", "--why", "again")
    say("review", "decide", str(found["review_id"]), "angry")
    (found,) = told("review", "list", "--cause", "appeal", "--state", "all")
    assert found["state"] == "decided"
    shop.publish()
    assert (shop.desk.row("sure")["label"], shop.desk.row("sure")["performer"]) == ("angry", "anna")


def test_anybody_may_appeal_and_only_reviewers_decide(shop: Shop) -> None:
    shop.acts("olga")
    say("appeal", "sure", "--why", "she is cross")
    assert isinstance(ask("review", "decide", shop.number("sure"), "angry").exception, NotEntitled)
    assert all_verdicts(shop.home) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("suree", "--why", "x"), "Did you mean 'sure'?"),
        (("sure", "--why", " "), "The reason is empty."),
        (("sure", "--why", "x", "--asset", "moon"), "moon decided nothing on sure. Did you mean 'mood'?"),
        (("late", "--why", "x"), "Review 1 of late waits already."),
    ],
)
def test_appeal_that_cannot_be_is_refused(shop: Shop, arguments: tuple[str, ...], sentence: str) -> None:
    before = everything(shop.home)
    assert sentence in refusal("appeal", *arguments)
    assert everything(shop.home) == before


def test_appeal_says_which_asset_where_several_decided(shop: Shop) -> None:
    assert shop.desk.stored is not None
    put(shop.home, "topic", BATCH, shop.desk.stored, Mood)
    assert "sure was decided on by mood, topic. Say which: --asset NAME" in refusal("appeal", "sure", "--why", "x")
    assert "No model output 'topic' has decided anything yet." in refusal(
        "appeal", "sure", "--why", "x", "--asset", "topic"
    )
    say("appeal", "sure", "--why", "x", "--asset", "mood")


def test_status_counts_who_waits_and_the_numbers_add_up(shop: Shop) -> None:
    assert told("status")["pending"] == 3
    assert sum(number for number in told("status").values() if isinstance(number, int)) == len(NOTES)
    assert "1 done, 3 pending" in say("status")
    assert "Reviews that wait for people: 3. See: orchestrate review next" in say("status")


def test_reviews_of_a_batch_that_was_given_up_are_closed(shop: Shop) -> None:
    assert told("review", "next")["message_id"] == "late"
    batch_orders.discard_batch(acting(shop.home, "olga"), BATCH, "sent by mistake")
    assert {state for *_, state in states(shop.home)} == {"closed"}
    assert say("review", "next") == "No review waits for you.\n"

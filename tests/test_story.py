"""The story of one message, put together from what its batch published, refused and told, on both databases."""

import json
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow
import pytest
from reviewed_notes import (
    LABELS,
    SAFE,
    SURE,
    UNSURE,
    Desk,
    acting,
    appeal,
    decide,
    let_time_pass,
    number,
    open_check,
    with_batch,
    with_policy,
)
from shop_workflow import mood_asset, order, parcel, run, send

from orchestration_project.core.errors import UnknownName
from orchestration_project.governance import audit
from orchestration_project.governance.overdue_reviews import expire
from orchestration_project.governance.review_orders import reopen
from orchestration_project.model_output import BATCHES
from orchestration_project.performers.performer import Performer
from orchestration_project.performers.scripted import Scripted, same_answer
from orchestration_project.stores import batches, cascades, claims, deliveries, halts, manifest, outbox, quarantine
from orchestration_project.stores.cascades import KnownCascade
from orchestration_project.stores.home import Home
from orchestration_project.stores.outbox import Notice
from orchestration_project.stores.quarantine import RefusedRow
from orchestration_project.stores.story import story_of, whole_story

DECISION = {"label": "cross", "confidence": 0.9, "accepted": True, "decided_by": "model", "performer": "reader"}
DECISION |= {"version": "v1", "reason": "loud"}


def claim(home: Home, *ids: str, batch: str = "b1") -> None:
    with home.ledger.write() as connection:
        claims.claim_messages(connection, home, batch, list(ids), asset="feedback")


def publish(home: Home, asset: str, *rows: dict[str, Any], batch: str = "b1", **inputs: int) -> None:
    file = home.warehouse.write(asset, batch, f"run of {asset}", pyarrow.Table.from_pylist(list(rows)))
    with home.ledger.write() as connection:
        before = manifest.current(connection, asset, batch)
        replaces = before.version if before else 0
        named: dict[str, Any] = {"asset": asset, "partition": batch, "run_id": f"run of {asset}", "file": file}
        manifest.publish(connection, **named, replaces=replaces, inputs=inputs)


def tell(home: Home, *notices: Notice) -> None:
    with home.ledger.write() as connection:
        outbox.record(connection, asset="alert", partition="b1", notices=notices)


def test_story_tells_what_came_in_who_decided_what_was_made_of_it_and_what_was_alerted(any_home: Home) -> None:
    claim(any_home, "m1", "m2")
    publish(any_home, "note", {"message_id": "m1", "text": "Fire!"}, {"message_id": "m2", "text": "Thanks"})
    decided = {"message_id": "m1", **DECISION, "digest": "d"}, {"message_id": "m2", **DECISION, "label": "glad"}
    publish(any_home, "mood", *decided, note=1)
    publish(any_home, "route", {"message_id": "m1", "team": "Fire brigade"}, note=1, mood=1)
    publish(any_home, "summary", {"issue": "fire", "volume": 1}, route=1)
    tell(
        any_home,
        Notice("fire", "A fire", "", {"message_ids": ["m0", "m1"]}),
        Notice("flood", "A flood", "", {"message_ids": ["m10", "m2"]}),
        Notice("digest", "What came in", "", {"volume": 2}),
    )
    assert story_of(any_home, "m1") == {
        "message": {"message_id": "m1", "text": "Fire!", "batch": "b1"},
        "source": "note",
        "decisions": [{"asset": "mood", **DECISION, "batch": "b1", "run_id": "run of mood"}],
        "records": [{"asset": "route", "message_id": "m1", "team": "Fire brigade"}],
        "halted": [],
        "quarantined": [],
        "alerts": ["A fire"],
    }
    story = story_of(any_home, "m2")
    assert ([each["label"] for each in story["decisions"]], story["records"]) == (["glad"], [])
    assert (story["message"]["text"], story["alerts"]) == ("Thanks", ["A flood"])


def test_decisions_and_records_come_in_the_order_of_publishing(any_home: Home) -> None:
    claim(any_home, "m1")
    publish(any_home, "note", {"message_id": "m1"})
    publish(any_home, "zeal", {"message_id": "m1", **DECISION}, note=1)
    publish(any_home, "anger", {"message_id": "m1", **DECISION}, zeal=1)
    assert [decision["asset"] for decision in story_of(any_home, "m1")["decisions"]] == ["zeal", "anger"]


def test_story_is_of_the_current_versions_and_of_the_messages_own_batch(any_home: Home) -> None:
    claim(any_home, "m1")
    claim(any_home, "m2", batch="b2")
    publish(any_home, "note", {"message_id": "m1", "text": "old"})
    publish(any_home, "note", {"message_id": "m1", "text": "new"})
    publish(any_home, "note", {"message_id": "m2", "text": "other"}, {"message_id": "m1", "text": "no"}, batch="b2")
    publish(any_home, "index", {"message_id": "m1", "text": "no"}, batch=manifest.UNPARTITIONED)
    assert story_of(any_home, "m1")["message"] == {"message_id": "m1", "text": "new", "batch": "b1"}
    assert story_of(any_home, "m2")["message"]["text"] == "other"
    assert story_of(any_home, "m1")["records"] == []


def test_halts_are_told_of_the_assets_that_the_message_has_rows_of(any_home: Home) -> None:
    claim(any_home, "m1", "m2")
    publish(any_home, "note", {"message_id": "m1"}, {"message_id": "m2"})
    publish(any_home, "route", {"message_id": "m1"}, note=1)
    with any_home.ledger.write() as connection:
        for asset, batch in (("route", "b1"), ("never_published", "b1"), ("note", "b2")):
            halts.record_halt(connection, asset=asset, partition=batch, run_id="later", reason="Too heavy.")
    (halted,) = story_of(any_home, "m1")["halted"]
    assert (halted["asset"], halted["partition"], halted["run_id"]) == ("route", "b1", "later")
    assert story_of(any_home, "m2")["halted"] == []


def test_message_that_was_refused_is_known_by_its_id_and_tells_why(any_home: Home) -> None:
    claim(any_home, "m1", "m2")
    publish(any_home, "note", {"message_id": "m2", "text": "fine"})
    with any_home.ledger.write() as connection:
        rows = [RefusedRow("m1", 0, "text_not_blank, unparsable: no JSON")]
        quarantine.replace_refused(connection, asset="note", partition="b1", run_id="r", path="p", rows=rows)
    assert story_of(any_home, "m1") == {
        "message": {"message_id": "m1", "batch": "b1"},
        "source": "note",
        "decisions": [],
        "records": [],
        "halted": [],
        "quarantined": [{"asset": "note", "batch": "b1", "reason": "text_not_blank, unparsable: no JSON"}],
        "alerts": [],
    }


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ([], "No message has the id 'F012'."),
        (["F0123", "Z9"], "No message has the id 'F012'. Did you mean 'F0123'?"),
        (["a", "b"], "No message has the id 'F012'. There are: a, b."),
    ],
)
def test_unknown_message_is_refused_with_what_is_near(any_home: Home, known: list[str], said: str) -> None:
    claim(any_home, *known)
    with pytest.raises(UnknownName) as refusal:
        story_of(any_home, "F012")
    assert str(refusal.value) == said


def test_story_of_a_real_run_holds_the_rows_of_governed_and_plain_assets(home: Home) -> None:
    @dg.asset(partitions_def=BATCHES)
    def gift(order: pd.DataFrame) -> pd.DataFrame:
        """What goes into the parcel for nothing, made by an asset without a contract."""
        return order[["message_id"]].assign(gift="tea")

    mood, _ = mood_asset(same_answer("glad", 0.9))
    send(home, "m1,thank you,2", "m2,more please,1")
    assert run(home, order, mood, parcel, gift).success
    for again in ((), (order,)):  # also when what came in was published after all that was made of it
        assert not again or run(home, *again).success
        story = story_of(home, "m1")
        assert story["message"] == {"message_id": "m1", "note": "thank you", "pieces": 2, "batch": "b1"}
        assert [(decision["asset"], decision["label"]) for decision in story["decisions"]] == [("mood", "glad")]
        made = {record.pop("asset"): record for record in story["records"]}
        assert made == {
            "parcel": {"message_id": "m1", "kilograms": 1.0},
            "gift": {"message_id": "m1", "gift": "tea"},
        }


def whole(home: Home, message_id: str = "m1") -> dict[str, Any]:
    return whole_story(home, message_id)


def output(home: Home, message_id: str = "m1", asset: str = "mood") -> dict[str, Any]:
    (found,) = [one for one in whole(home, message_id)["model_outputs"] if one["asset"] == asset]
    return found


def asked(found: dict[str, Any]) -> list[tuple[Any, ...]]:
    """(performer, outcome, label, version) of each."""
    return [(one["performer"], one["outcome"], one["label"], one["version"]) for one in found["asked"]]


def desk(home: Home, answer: tuple[str | None, float | None], *more: Performer) -> Desk:
    """The asset mood of one message, decided and published as a step does it."""
    with_batch(home, "m1")
    found = Desk(home, {"m1": answer}, *more)
    put(found)
    return found


def put(desk: Desk) -> None:
    """Decide, and publish the rows too."""
    decisions = desk.publish()
    with desk.home.ledger.write() as connection:
        names = (*(one.name for one in desk.cascade.performers), desk.cascade.safe_state.name)
        cascades.record(connection, KnownCascade("mood", names, LABELS, True))
        audit.append(connection, "published", "mood/b1", {"performers": [vars(work) for work in decisions.work]})
    with desk.home.ledger.read() as connection:
        is_known = manifest.current(connection, "note", "b1") is not None
    if not is_known:
        publish(desk.home, "note", {"message_id": "m1", "text": "text of m1"})
    publish(desk.home, "mood", *decisions.frame.to_dict("records"), note=1)


def test_whole_story_has_what_the_short_one_has(home: Home) -> None:
    desk(home, SURE)
    short, long = story_of(home, "m1"), whole(home)
    assert {name: long[name] for name in short} == short
    assert (long["state"], long["batch"]["batch"], long["withheld"]) == ("done", "b1", None)
    assert [(one["asset"], one["version"], one["inputs"]) for one in long["versions"]] == [
        ("note", 1, {}),
        ("mood", 1, {"note": 1}),
    ]


def test_every_performer_is_told_with_version_and_threshold(home: Home) -> None:
    desk(home, ("calm", 0.3), Scripted("second", lambda rows: answered(rows, "merry", 0.9), labels=LABELS))
    found = output(home)
    reader, second, safe = found["asked"]
    assert (reader["outcome"], reader["label"], reader["confidence"]) == ("not accepted", "calm", 0.3)
    assert (second["outcome"], second["label"], second["confidence"]) == ("accepted", "merry", 0.9)
    assert reader["version"] == second["version"] != ""
    assert 0.3 < reader["threshold"] <= 0.9
    assert (safe["performer"], safe["outcome"]) == (SAFE.name, "not asked")


def test_row_that_waits_is_proposed_and_its_review_says_why(home: Home) -> None:
    desk(home, UNSURE)
    found = output(home)
    assert [one[:3] for one in asked(found)] == [("reader", "proposed", "calm"), (SAFE.name, "not asked", None)]
    (review,) = found["reviews"]
    assert (review["state"], review["cause"], review["why_here"]) == ("open", "unsure", "nobody was sure")
    assert (review["proposed"]["label"], review["verdicts"]) == ("calm", [])
    assert whole(home)["state"] == "pending"


def test_verdict_names_the_person_and_the_answer_before_it_is_kept(home: Home) -> None:
    waiting = desk(home, UNSURE)
    decide(home, "m1", "merry")
    put(waiting)
    story = whole(home)
    (decision,) = story["decisions"]
    assert (decision["label"], decision["performer"]) == ("merry", "anna")
    found = output(home)
    assert [one[:3] for one in asked(found)] == [("reader", "proposed", "calm"), (SAFE.name, "not asked", None)]
    (verdict,) = found["reviews"][0]["verdicts"]
    assert (verdict["person"], verdict["label"], verdict["is_current"]) == ("anna", "merry", True)


def test_reopened_review_leaves_the_message_where_its_verdict_put_it(home: Home) -> None:
    waiting = desk(home, UNSURE)
    decide(home, "m1", "merry")
    put(waiting)
    with home.ledger.write() as connection:
        batches.set_state(connection, "b1", "done")
    reopen(acting(home, "ben"), number(home, "m1"), "a doubt")
    story = whole(home)
    assert [review["state"] for review in story["model_outputs"][0]["reviews"]] == ["open"]
    assert (story["state"], story["decisions"][0]["label"]) == ("done", "merry"), "the verdict stands until then"


def test_overdue_review_tells_the_default_that_it_took(home: Home) -> None:
    late = desk(with_policy(home, 'when_overdue = "safe_state"'), UNSURE)
    let_time_pass(home, number(home, "m1"))
    expire(late.home)
    put(late)
    found = output(home)
    assert found["reviews"][0]["proposed"]["default"] == "safe_state"
    assert found["besides"][0].startswith("no verdict by ")
    assert [one[1] for one in asked(found)][-1] == "kept"


def test_appeal_tells_why_and_keeps_the_answer_in_sight(home: Home) -> None:
    answered_surely = desk(home, SURE)
    appeal(answered_surely, "m1", "it is a joke")
    found = output(home)
    assert found["reviews"][0]["why"] == "it is a joke"
    assert asked(found)[0][1:3] == ("accepted", "calm")


def test_open_blind_check_keeps_the_answer_back_and_all_that_was_made_of_it(home: Home) -> None:
    checked = desk(home, SURE)
    publish(home, "route", {"message_id": "m1", "team": "The calm ones"}, mood=1)
    publish(home, "summary", {"mood": "calm", "message_ids": json.dumps(["m1"])}, route=1)
    publish(home, "reply", {"message_id": "m1", "text": "Thanks"}, note=1)
    publish(home, "mood_shadow", {"message_id": "m1", "performer": "other", "version": "1", "label": "calm"})
    tell(home, Notice("calm", "Somebody is calm", "", {"message_ids": ["m1"]}))
    review = open_check(checked, "m1")
    hidden = whole(home)
    assert "calm" not in json.dumps(hidden, default=str)
    assert hidden["withheld"] == {"reviews": [review], "assets": ["mood", "route", "summary"]}
    assert [record["asset"] for record in hidden["records"]] == ["reply"]
    assert hidden["decisions"][0].keys() == story_of(home, "m1")["decisions"][0].keys()
    decide(home, "m1", "calm")
    told = whole(home)
    assert (told["withheld"], told["decisions"][0]["label"], told["alerts"]) == (None, "calm", ["Somebody is calm"])
    assert [row["asset"] for row in told["mentions"]] == ["summary"]


def test_answers_in_shadow_stand_beside_the_decision_and_are_no_record(home: Home) -> None:
    desk(home, SURE)
    answer = {
        "performer": "other",
        "version": "1",
        "label": "merry",
        "confidence": 0.8,
        "accepted": True,
        "decided": "calm",
    }
    publish(home, "mood_shadow", {"message_id": "m1", **answer})
    assert output(home)["shadow"] == [answer]
    assert whole(home)["records"] == []


def test_rows_that_speak_of_a_message_among_others_are_told(any_home: Home) -> None:
    claim(any_home, "m1", "m2")
    publish(any_home, "note", {"message_id": "m1", "text": "a"}, {"message_id": "m2", "text": "b"})
    publish(
        any_home, "listed", {"issue": "fire", "message_ids": ["m1", "m2"]}, {"issue": "flood", "message_ids": ["m2"]}
    )
    publish(any_home, "written", {"issue": "fire", "message_ids": '["m1"]'})
    assert whole(any_home)["mentions"] == [{"asset": "listed", "issue": "fire"}, {"asset": "written", "issue": "fire"}]


def test_notice_tells_of_each_target_how_it_stands_with_its_delivery(any_home: Home) -> None:
    claim(any_home, "m1")
    tell(any_home, Notice("fire", "A fire", "", {"message_ids": ["m1"]}), Notice("flood", "A flood", ""))
    deliveries.plan(any_home.ledger, ["pager", "mail"])
    with any_home.ledger.write() as connection:
        attempt = deliveries.begin(connection, "pager")
        assert attempt is not None
        deliveries.end(connection, attempt, None)
    (notice,) = whole(any_home)["notices"]
    assert (notice["key"], notice["title"], notice["delivered_at"]) == ("fire", "A fire", None)
    found = {one["target"]: (one["state"], one["attempts"]) for one in notice["deliveries"]}
    assert found == {"pager": ("delivered", 1), "mail": ("waiting", 0)}


def test_runs_of_the_batch_are_told(home: Home) -> None:
    send(home, "m1,thank you,2")
    batch = batches.open_next(home)
    (asked_for,) = whole(home)["batch"]["runs"]
    assert (asked_for["key"], asked_for["state"]) == (f"{batch}/arrival/1", "requested")


def test_message_that_nobody_claims_has_a_story_as_long_as_it_is_known(home: Home) -> None:
    send(home, "m1,thank you,2")
    story = whole(home)
    assert (story["state"], story["batch"], story["source"], story["decisions"]) == ("waiting", None, None, [])
    assert [place["outcome"] for place in story["came_in"]] == ["waiting"]
    with pytest.raises(UnknownName):
        whole(home, "m2")


def answered(rows: pd.DataFrame, label: str, confidence: float) -> pd.DataFrame:
    return pd.DataFrame({"label": label, "confidence": confidence, "reason": ""}, index=rows.index)

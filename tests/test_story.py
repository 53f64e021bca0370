"""The story of one message, put together from what its batch published, refused and told, on both databases."""

from typing import Any

import dagster as dg
import pandas as pd
import pyarrow
import pytest
from shop_workflow import mood_asset, order, parcel, run, send

from orchestration_project.core.errors import UnknownName
from orchestration_project.model_output import BATCHES
from orchestration_project.performers.scripted import same_answer
from orchestration_project.stores import claims, halts, manifest, outbox, quarantine
from orchestration_project.stores.home import Home
from orchestration_project.stores.outbox import Notice
from orchestration_project.stores.quarantine import RefusedRow
from orchestration_project.stores.story import story_of

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

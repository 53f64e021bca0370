"""Notices to people: recorded once, delivered at least once, on both databases."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any

import pytest

from orchestration_project.core.errors import Conflict
from orchestration_project.stores import deliveries, outbox
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import Ledger, now
from orchestration_project.stores.outbox import Notice

FIRE = Notice("fire/1", "Fire", "- In the kitchen", {"volume": 3, "message_ids": ["m1", "ü"], "change": None})


def record(ledger: Ledger, *notices: Notice, asset: str = "alert", partition: str = "b1") -> None:
    with ledger.write() as connection:
        outbox.record(connection, asset=asset, partition=partition, notices=notices)


def recorded(ledger: Ledger) -> list[dict[str, Any]]:
    with ledger.read() as connection:
        return outbox.recorded(connection)


def keys(ledger: Ledger) -> list[str]:
    return [notice["key"] for notice in recorded(ledger)]


def files(home: Home) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(home.notices.iterdir())}


def test_recorded_notice_says_all_of_it_and_waits(ledger: Ledger) -> None:
    before = now()
    record(ledger, FIRE)
    (notice,) = recorded(ledger)
    assert before <= notice.pop("recorded_at") <= now()
    named = {"asset": "alert", "batch": "b1", "delivered_at": None}
    assert notice == {"key": "fire/1", "title": "Fire", "body": "- In the kitchen", "facts": FIRE.facts, **named}


def test_addresses_and_numbers_of_a_notice_are_redacted_as_it_is_recorded_and_its_key_and_ids_stay(
    any_home: Home,
) -> None:
    ids = ["570306133677760513", "a1@mail.example.com"]
    quotes = [
        {"message_id": ids[0], "text": "Call 415-555-2671"},
        {"message_id": ids[1], "text": "I am jane@example.com"},
    ]
    body = "\n\n".join(f"> {quote['text']}\n>\n> — {quote['message_id']}" for quote in quotes)
    notice = Notice(f"message/{ids[0]}", f"Of jane@example.com: {ids[0]}", body, {"message_ids": ids, "quotes": quotes})
    record(any_home.ledger, notice)
    (kept,) = recorded(any_home.ledger)
    assert (kept["key"], kept["title"]) == (notice.key, f"Of [e-mail]: {ids[0]}")
    assert kept["body"] == f"> Call [phone]\n>\n> — {ids[0]}\n\n> I am [e-mail]\n>\n> — {ids[1]}"
    assert kept["facts"]["message_ids"] == ids
    assert [quote["text"] for quote in kept["facts"]["quotes"]] == ["Call [phone]", "I am [e-mail]"]
    told: list[str] = []
    outbox.deliver(any_home, told.append)
    assert told == [kept["title"]]
    assert files(any_home) == {"000001.md": f"# {kept['title']}\n\n{kept['body']}\n"}


def test_same_key_of_the_same_asset_and_batch_stays_as_it_was(ledger: Ledger) -> None:
    record(ledger, FIRE)
    record(ledger, Notice("fire/1", "Another title", "Another body"), Notice("flood", "Flood", ""))
    assert [(notice["key"], notice["title"]) for notice in recorded(ledger)] == [("fire/1", "Fire"), ("flood", "Flood")]


def test_notices_about_runs_are_no_notices_of_an_asset_and_are_delivered_like_them(any_home: Home) -> None:
    record(any_home.ledger, FIRE)
    record(any_home.ledger, Notice("run/1", "A run failed", ""), asset=outbox.OF_A_RUN)
    assert keys(any_home.ledger) == ["fire/1"]
    told: list[str] = []
    assert outbox.deliver(any_home, told.append) == 2
    assert told == ["Fire", "A run failed"]


def test_what_targets_wait_for_is_planned_and_not_sent(any_home: Home) -> None:
    home = Home(replace(any_home.settings, notify=("json://me:hunter2@a.example", "slack://T1JJ3T3L2/A1BRTD4JD/T")))
    (named, _) = outbox.targets_of(home)
    assert named.startswith("json://a.example#")
    record(home.ledger, FIRE)
    assert outbox.deliver(home, list[str]().append) == 1
    with home.ledger.read() as connection:
        found = {(one.target, one.state, one.attempts) for one in deliveries.recorded(connection)}
    assert found == {(target, "waiting", 0) for target in outbox.targets_of(home)}
    home.ledger.close()


@pytest.mark.parametrize(("asset", "partition"), [("alert", "b2"), ("digest", "b1"), ("digest", "")])
def test_key_that_another_asset_or_batch_recorded_is_a_conflict_without_effect(
    ledger: Ledger, asset: str, partition: str
) -> None:
    record(ledger, FIRE)
    with pytest.raises(Conflict, match="'fire/1' was recorded by another run"):
        record(ledger, Notice("flood", "Flood", ""), FIRE, asset=asset, partition=partition)
    assert keys(ledger) == ["fire/1"]


def test_of_two_that_record_one_key_at_once_one_does_and_the_other_meets_a_conflict(ledger: Ledger) -> None:
    barrier = Barrier(2)

    def write(partition: str) -> str:
        barrier.wait()
        try:
            record(ledger, FIRE, partition=partition)
        except Conflict:
            return "conflict"
        return partition

    with ThreadPoolExecutor(2) as pool:
        ended = set(pool.map(write, ["b1", "b2"]))
    (notice,) = recorded(ledger)
    assert ended == {"conflict", notice["batch"]}


def test_delivery_tells_writes_a_file_each_and_is_recorded(any_home: Home) -> None:
    record(any_home.ledger, FIRE, Notice("flood", "Flood – 水", "In the\n\ncellar"))
    told: list[str] = []
    assert outbox.deliver(any_home, told.append) == 2
    assert told == ["Fire", "Flood – 水"]
    assert files(any_home) == {
        "000001.md": "# Fire\n\n- In the kitchen\n",
        "000002.md": "# Flood – 水\n\nIn the\n\ncellar\n",
    }
    for notice in recorded(any_home.ledger):
        assert notice["recorded_at"] <= notice["delivered_at"] <= now()


def test_what_was_delivered_is_not_told_again(any_home: Home) -> None:
    told: list[str] = []
    assert outbox.deliver(any_home, told.append) == 0
    record(any_home.ledger, FIRE)
    assert outbox.deliver(any_home, told.append) == 1
    delivered_at = recorded(any_home.ledger)[0]["delivered_at"]
    assert outbox.deliver(any_home, told.append) == 0
    assert told == ["Fire"]
    assert recorded(any_home.ledger)[0]["delivered_at"] == delivered_at


def test_crash_between_telling_and_recording_tells_again_and_leaves_one_file(any_home: Home) -> None:
    record(any_home.ledger, FIRE, Notice("flood", "Flood", ""))
    told: list[str] = []

    def crash_at_the_second(title: str) -> None:
        told.append(title)
        if title == "Flood":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outbox.deliver(any_home, crash_at_the_second)
    assert [notice["delivered_at"] is not None for notice in recorded(any_home.ledger)] == [True, False]
    assert outbox.deliver(any_home, told.append) == 1
    assert told == ["Fire", "Flood", "Flood"]
    assert list(files(any_home)) == ["000001.md", "000002.md"]


def test_two_that_deliver_at_once_leave_every_notice_delivered_and_one_file_each(any_home: Home) -> None:
    record(any_home.ledger, *(Notice(f"key-{number}", f"Title {number}", "") for number in range(8)))
    told: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        counts = list(pool.map(lambda _: outbox.deliver(any_home, told.append), range(2)))
    assert set(told) == {f"Title {number}" for number in range(8)}
    assert sum(counts) == len(told)
    assert len(files(any_home)) == 8
    assert all(notice["delivered_at"] for notice in recorded(any_home.ledger))

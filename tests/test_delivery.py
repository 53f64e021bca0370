"""Sending notices to real receivers: once, in order, with one key, whatever fails on the way, and no secret told."""

import logging
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event

import dagster as dg
import pytest
import sqlalchemy as sa
from live_project import SMALL_WORKFLOW, Project, free_port, wait_until
from receivers import receiving
from sensor_ticks import tick

from orchestration_project.core.settings import Settings
from orchestration_project.dispatch import delivery
from orchestration_project.governance import audit
from orchestration_project.stores import deliveries, outbox
from orchestration_project.stores.deliveries import Delivery
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.outbox import Notice
from orchestration_project.stores.schema import AUDIT, DELIVERIES, DELIVERY_TARGETS

SPAWN = multiprocessing.get_context("spawn")
FIRE = Notice("message/ann@example.org", "Fire", "- Team: *kitchen*\n\n> it burns <here>\n>\n> — F1")
PASSWORD, SAID = "hunter2", "my dog Waldi"


def told_to(home: Home, *urls: str) -> Home:
    """The same home with these targets."""
    return Home(replace(home.settings, notify=urls))


def record(home: Home, *notices: Notice | str) -> None:
    made = [Notice(one, one, "") if isinstance(one, str) else one for one in notices]
    with home.ledger.write() as connection:
        outbox.record(connection, asset="alert", partition="b", notices=made)


def deliver(home: Home) -> list[str]:
    told: list[str] = []
    delivery.deliver(home, told.append)
    return told


def listed(home: Home) -> list[Delivery]:
    with home.ledger.read() as connection:
        return deliveries.recorded(connection)[::-1]


def states(home: Home) -> list[tuple[str, str, int]]:
    return [(one.key, one.state, one.attempts) for one in listed(home)]


def let_time_come(home: Home) -> None:
    with home.ledger.write() as connection:
        waiting = sa.update(DELIVERIES).where(DELIVERIES.c.state == "waiting")
        connection.execute(waiting.values(next_attempt_at=now()))


def let_lease_run_out(home: Home) -> None:
    with home.ledger.write() as connection:
        connection.execute(sa.update(DELIVERY_TARGETS).values(lease_until=now() - timedelta(seconds=1)))


def test_a_notice_is_delivered_once_with_title_text_and_key(any_home: Home) -> None:
    with receiving() as receiver:
        home = told_to(any_home, receiver.url)
        record(home, FIRE)
        for _ in range(3):
            deliver(home)
        (one,) = receiver.requests
    assert (one.title, one.message) == (FIRE.title, FIRE.body)
    assert one.key == delivery.idempotency_key(FIRE.key, home.secret)
    assert states(home) == [(FIRE.key, "delivered", 1)]
    assert list(home.notices.iterdir()), "the file is written all the same"
    home.ledger.close()


def test_the_key_tells_nothing_of_the_notices_own_and_differs_with_it(home: Home) -> None:
    keys = {delivery.idempotency_key(key, secret) for key in (FIRE.key, "flood") for secret in (b"1", b"2")}
    assert len(keys) == 4
    assert all("ann" not in key for key in keys)


@pytest.mark.parametrize("scheme", ["json", "form", "xml"])
def test_every_kind_of_webhook_carries_the_same_key_in_every_attempt(home: Home, scheme: str) -> None:
    with receiving([500, 503]) as receiver:
        home = told_to(home, receiver.url.replace("json", scheme))
        record(home, FIRE)
        for _ in range(3):
            deliver(home)
            let_time_come(home)
    assert [one.key for one in receiver.requests] == [delivery.idempotency_key(FIRE.key, home.secret)] * 3
    assert states(home) == [(FIRE.key, "delivered", 3)]


def test_a_receiver_that_is_down_loses_nothing_and_gets_all_in_order_when_it_is_up(any_home: Home) -> None:
    port = free_port()
    home = told_to(any_home, f"json://127.0.0.1:{port}/notices")
    record(home, "first", "second")
    told = deliver(home)
    assert "failed: no connection, or no answer in time." in told[-1]
    record(home, "third")
    let_time_come(home)
    deliver(home)
    assert states(home) == [("first", "waiting", 2), ("second", "waiting", 0), ("third", "waiting", 0)]
    with receiving(port=port) as receiver:
        let_time_come(home)
        deliver(home)
    assert receiver.titles == ["first", "second", "third"]
    assert len({one.key for one in receiver.requests}) == 3
    home.ledger.close()


@pytest.mark.parametrize("status", [500, 404, 301, 302])
def test_an_answer_that_is_no_success_is_tried_again_and_keeps_its_status(home: Home, status: int) -> None:
    with receiving([status]) as receiver:
        home = told_to(home, receiver.url)
        record(home, "first", "second")
        deliver(home)
        (first, second) = listed(home)
        assert (first.state, first.last_error) == ("waiting", f"it answered with HTTP status {status}")
        assert (second.state, second.attempts) == ("waiting", 0)
        let_time_come(home)
        deliver(home)
    assert receiver.titles == ["first", "second"]
    assert [one.key for one in receiver.requests][:2] == [receiver.requests[0].key] * 2


def test_other_targets_go_on_while_one_is_down(home: Home) -> None:
    with receiving() as receiver:
        home = told_to(home, f"json://127.0.0.1:{free_port()}", receiver.url)
        record(home, "first", "second")
        deliver(home)
    assert receiver.titles == ["first", "second"]
    assert sorted(one.state for one in listed(home)) == ["delivered", "delivered", "waiting", "waiting"]


def test_a_receiver_that_hangs_is_left_in_time_and_other_targets_go_on(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "ATTEMPT_SECONDS", 0.3)
    with receiving() as hanging, receiving() as receiver:
        hanging.hold = Event()
        home = told_to(home, f"{hanging.url}?rto=0.1", f"{hanging.url}?rto=600", receiver.url)
        record(home, "first")
        deliver(home)
        hanging.hold.set()
    errors = {one.last_error for one in listed(home)}
    assert errors == {"no connection, or no answer in time", "no answer within 0.3 seconds", None}
    assert receiver.titles == ["first"]


def test_what_is_too_long_for_a_chat_is_sent_in_parts_and_to_a_webhook_whole(home: Home) -> None:
    words = " ".join(f"word{number}" for number in range(1_500))
    with receiving() as chat, receiving() as webhook:
        home = told_to(home, chat.url.replace("json", "ntfy"), webhook.url)
        record(home, Notice("key", "Title", words))
        deliver(home)
    assert len(chat.accepted) == 2
    assert " ".join(one.message.strip() for one in chat.accepted) == words
    assert [one.message for one in webhook.accepted] == [words]


def test_an_address_that_calls_a_failure_optional_is_not_taken_for_delivered(home: Home) -> None:
    with receiving([500]) as receiver:
        home = told_to(home, f"{receiver.url}?optional=yes")
        record(home, "first")
        deliver(home)
    assert states(home) == [("first", "waiting", 1)]


def _deliver_in_a_process(settings: Settings) -> None:
    deliver(Home(settings))


def test_a_process_killed_between_sending_and_recording_sends_again_with_the_same_key(home: Home) -> None:
    with receiving() as receiver:
        home = told_to(home, receiver.url)
        record(home, "first", "second")
        receiver.hold = Event()
        process = SPAWN.Process(target=_deliver_in_a_process, args=(home.settings,))
        process.start()
        wait_until(lambda: receiver.requests, "the notice to be sent")
        process.kill()
        process.join()
        receiver.hold.set()
        deliver(home)
        assert len(receiver.requests) == 1, "the dead process holds the lease"
        let_lease_run_out(home)
        deliver(home)
    assert receiver.titles == ["first", "first", "second"]
    assert len({one.key for one in receiver.accepted}) == 2, "a receiver that honours the key has each once"
    with home.ledger.read() as connection:
        tried = deliveries.attempts_of(connection, listed(home)[0].delivery_id)
    assert [one["outcome"] for one in tried] == [None, "delivered"]


def test_many_that_deliver_at_once_send_each_notice_once_and_in_order(any_home: Home) -> None:
    titles = [f"notice {number}" for number in range(8)]
    with receiving() as receiver:
        homes = [told_to(any_home, receiver.url) for _ in range(4)]
        record(homes[0], *titles)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(deliver, homes))
        while any(state == "waiting" for _, state, _ in states(homes[0])):
            deliver(homes[0])
    assert receiver.titles == titles
    for home in homes:
        home.ledger.close()


def test_a_short_time_ends_the_sending_and_the_next_goes_on(home: Home) -> None:
    with receiving() as receiver:
        home = told_to(home, receiver.url)
        record(home, "first", "second")
        delivery.deliver(home, list[str]().append, seconds=0)
        assert receiver.titles == ["first"]
        deliver(home)
    assert receiver.titles == ["first", "second"]


def test_a_step_plans_and_sends_nothing_and_the_sensors_tick_sends(
    named_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving() as receiver, dg.DagsterInstance.local_temp(str(named_home.dagster)) as instance:
        monkeypatch.setenv("ORCHESTRATE_NOTIFY", receiver.url)
        record(named_home, FIRE)
        outbox.deliver(told_to(named_home, receiver.url), list[str]().append)
        assert states(named_home) == [(FIRE.key, "waiting", 0)]
        assert receiver.requests == []
        tick(instance)
    assert receiver.titles == ["Fire"]


def test_without_a_target_nothing_is_planned(home: Home) -> None:
    record(home, FIRE)
    assert deliver(home) == ["Fire"]
    assert listed(home) == []
    with home.ledger.read() as connection:
        assert connection.execute(sa.select(DELIVERY_TARGETS)).all() == []


def everything_kept(home: Home) -> str:
    """All of the ledger's files but the notices' own table, and all of the delivery's tables."""
    with home.ledger.read() as connection:
        tables = (DELIVERIES, DELIVERY_TARGETS, AUDIT)
        rows = [str(tuple(row)) for table in tables for row in connection.execute(sa.select(table))]
        found = [deliveries.attempts_of(connection, one.delivery_id) for one in listed(home)]
        return "\n".join([*rows, str(found), *deliveries.troubles(connection, outbox.targets_of(home))])


@pytest.mark.parametrize("answers", [[], [500], None], ids=["taken", "refused", "down"])
def test_no_log_and_no_row_holds_a_secret_or_what_a_message_says(
    home: Home, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], answers: list[int] | None
) -> None:
    caplog.set_level(logging.INFO)
    with receiving(answers or []) as receiver:
        port = free_port() if answers is None else receiver.port
        url = f"json://me:{PASSWORD}@127.0.0.1:{port}/{PASSWORD}?+X-Token={PASSWORD}"
        home = told_to(home, url)
        record(home, Notice("key", "Title", SAID))
        told = deliver(home)
        if states(home) == [("key", "waiting", 1)]:
            delivery.retry(home, None, "try")
    shown = "\n".join([*told, everything_kept(home), caplog.text, *capfd.readouterr(), repr(home)])
    assert f"127.0.0.1:{port}#" in shown
    assert PASSWORD not in shown
    assert SAID not in shown


def test_a_retry_is_audited_with_its_reason(home: Home) -> None:
    with receiving([500]) as receiver:
        home = told_to(home, receiver.url)
        record(home, FIRE)
        deliver(home)
        assert delivery.retry(home, None, "it is up again") == [1]
        deliver(home)
    assert receiver.titles == ["Fire"]
    with home.ledger.read() as connection:
        entry = connection.execute(sa.select(AUDIT.c.action, AUDIT.c.subject, AUDIT.c.detail)).one()
        assert audit.breaks(connection) == []
    assert tuple(entry)[:2] == ("delivery retried", FIRE.key)
    assert '"reason":"it is up again"' in entry.detail


def test_a_running_project_delivers_what_a_run_announces(tmp_path: Path) -> None:
    with receiving([500]) as receiver:
        variables = {"PYTHONPATH": str(SMALL_WORKFLOW), "ORCHESTRATE_NOTIFY": receiver.url}
        project = Project(tmp_path / "home", variables)
        try:
            project.start_daemon()
            project.put("notes", [{"message_id": name, "text": f"angry {name}"} for name in ("one", "two")])
            wait_until(lambda: len(receiver.accepted) == 2, "both notices to arrive")
            wait_until(lambda: {one.state for one in listed(project.home)} == {"delivered"}, "both to be recorded")
        finally:
            project.kill()
    assert len(receiver.requests) == 3
    assert len({one.key for one in receiver.requests}) == 2

"""The sensor that turns arrivals into runs, on a real Dagster instance."""

import json
import sqlite3
from collections.abc import Iterator

import dagster as dg
import pytest
from live_project import wait_until
from sensor_ticks import Status, keys, launch, let_lease_run_out, request_of, send, submitted, tick

from orchestration_project.dispatch.sensor import MOST_SUBMISSIONS
from orchestration_project.stores import batches, ledger, outbox, run_requests
from orchestration_project.stores.home import Home
from orchestration_project.stores.outbox import Notice
from orchestration_project.stores.run_requests import KEY_TAG


@pytest.fixture(scope="module")
def shared_instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """In files, for a sensor gets a reference to them."""
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as instance:
        yield instance


@pytest.fixture
def home(named_home: Home) -> Home:
    return named_home


def test_tick_without_arrivals_says_how_to_send_some(home: Home, instance: dg.DagsterInstance) -> None:
    found = tick(instance)
    assert found.run_requests == []
    assert "orchestrate send" in str(found.skip_message)


def test_tick_opens_a_batch_and_asks_for_its_run(home: Home, instance: dg.DagsterInstance) -> None:
    send(home)
    found = tick(instance)
    (request,) = found.run_requests or ()
    with home.ledger.read() as connection:
        (batch,) = batches.all_keys(connection)
    assert request.run_key == f"{batch}/arrival/1"
    assert request.tags[KEY_TAG] == request.run_key
    assert request.tags["dagster/partition"] == batch
    assert instance.has_dynamic_partition("batch", batch)
    assert request_of(home, request.run_key)["state"] == "submitted"


def test_tick_takes_in_the_files_of_the_inbox_and_passes_over_a_bad_one(
    home: Home, instance: dg.DagsterInstance
) -> None:
    (home.inbox / "bad.jsonl").write_bytes(b"\xff\xfe\x00\x00 no text")
    (home.inbox / "good.jsonl").write_text(json.dumps({"message_id": "1", "text": "hello"}) + "\n")
    wait_until(lambda: tick(instance).run_requests, "the files to settle and be taken in")
    with home.ledger.read() as connection:
        assert batches.count_states(connection)["working"] >= 1
    assert list(home.inbox.iterdir()) == []


def test_next_tick_leaves_a_leased_request_alone(home: Home, instance: dg.DagsterInstance) -> None:
    submitted(home, instance)
    assert tick(instance).run_requests == []


def test_request_whose_submitter_died_is_submitted_again_under_the_same_run_key(
    home: Home, instance: dg.DagsterInstance
) -> None:
    key = submitted(home, instance)
    let_lease_run_out(home, key)
    assert keys(tick(instance)) == [key]


def test_run_that_was_created_and_never_queued_is_submitted_again_under_the_same_run_key(
    home: Home, instance: dg.DagsterInstance
) -> None:
    """Dagster finds the run by its run key and queues that one."""
    key = submitted(home, instance)
    launch(instance, key, Status.NOT_STARTED)
    let_lease_run_out(home, key)
    assert keys(tick(instance)) == [key]


def test_tick_stays_short_and_the_next_one_goes_on(home: Home, instance: dg.DagsterInstance) -> None:
    with home.ledger.write() as connection:
        for number in range(MOST_SUBMISSIONS + 1):
            run_requests.request(connection, batch=f"batch {number}", cause="arrival")
    assert len(keys(tick(instance))) == MOST_SUBMISSIONS
    assert len(keys(tick(instance))) == 1


def test_tick_delivers_notices_that_wait(home: Home, instance: dg.DagsterInstance) -> None:
    with home.ledger.write() as connection:
        outbox.record(connection, asset="alert", partition="b", notices=[Notice("k", "Title", "Body")])
    tick(instance)
    assert [file.read_text() for file in home.notices.glob("*.md")] == ["# Title\n\nBody\n"]


def test_tick_that_meets_a_locked_ledger_says_so_once_and_the_next_one_goes_on(
    home: Home, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "BUSY_TIMEOUT_SECONDS", 0)
    send(home)
    other = sqlite3.connect(home.root / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    found = tick(instance)
    other.close()
    assert found.run_requests == []
    assert f"The ledger {home.root / 'ledger.db'} is locked" in str(found.skip_message)
    assert len(keys(tick(instance))) == 1


def test_tick_that_meets_a_damaged_ledger_says_so(home: Home, instance: dg.DagsterInstance) -> None:
    (home.root / "ledger.db").write_bytes(b"no database" * 1000)
    assert "file is not a database" in str(tick(instance).skip_message)

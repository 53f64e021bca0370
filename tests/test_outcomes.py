"""What follows from how a run ended: done, tried again, or set aside."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from orchestration_project.governance import audit
from orchestration_project.governance.outcomes import STOPPED, Failure, finish
from orchestration_project.stores import arrivals, batches, halts, manifest, run_requests
from orchestration_project.stores.home import Home
from orchestration_project.stores.schema import AUDIT, RUN_REQUESTS
from orchestration_project.stores.warehouse import StoredFile

GOVERNED = ("feedback", "issue")
LOST = Failure("the power went")
REFUSED = Failure("no model is in use", is_final=True)


@pytest.fixture
def batch(any_home: Home) -> str:
    """A batch of one message, its run requested."""
    arrivals.register(any_home, arrivals.receive_message(any_home, {"text": "hello"}))
    batch = batches.open_next(any_home)
    assert batch is not None
    return batch


def run(home: Home, batch: str, failure: Failure | None, run_id: str = "run") -> None:
    """Take the next requested run of the batch through its life."""
    with home.ledger.write() as connection:
        found = run_requests.lease_next(connection, 60)
        assert found is not None
        assert found.batch == batch
        run_requests.begin(connection, key=found.key, batch=batch, run_id=run_id, silent_seconds=60)
    finish(home, found.key, batch, failure, run_id=run_id, required=GOVERNED)


def run_by_hand(home: Home, batch: str, failure: Failure | None, run_id: str) -> None:
    with home.ledger.write() as connection:
        key = run_requests.begin(connection, key=None, batch=batch, run_id=run_id, silent_seconds=60)
    finish(home, key, batch, failure, run_id=run_id, required=GOVERNED)


def publish(home: Home, batch: str, *assets: str) -> None:
    with home.ledger.write() as connection:
        for asset in assets:
            file = StoredFile("path", "sha", 1)
            manifest.publish(connection, asset=asset, partition=batch, run_id="run", file=file, replaces=0, inputs={})


def halt(home: Home, batch: str) -> None:
    with home.ledger.write() as connection:
        halts.record_halt(connection, asset="feedback", partition=batch, run_id="run", reason="drift")


def state(home: Home, batch: str) -> tuple[str, str | None, list[str]]:
    """Where the batch stands, why, and which requests are open."""
    with home.ledger.read() as connection:
        found = batches.get(connection, batch)
        assert found is not None
        asked = [request.key.removeprefix(f"{batch}/") for request in run_requests.open_requests(connection, batch)]
    return found.state, found.cause, asked


def test_batch_is_done_when_every_governed_asset_is_published(any_home: Home, batch: str) -> None:
    publish(any_home, batch, *GOVERNED, "not governed")
    run(any_home, batch, None)
    assert state(any_home, batch) == ("done", None, [])


def test_whole_run_has_done_all_there_is_to_do(any_home: Home, batch: str) -> None:
    with any_home.ledger.write() as connection:
        found = run_requests.lease_next(connection, 60)
    assert found is not None
    finish(any_home, found.key, batch, None, required=None)
    assert state(any_home, batch) == ("done", None, [])


def test_what_a_partial_run_left_is_asked_for(any_home: Home, batch: str) -> None:
    publish(any_home, batch, "feedback")
    publish(any_home, "other batch", "issue")
    run(any_home, batch, None)
    assert state(any_home, batch) == ("working", None, ["rest/1"])
    publish(any_home, batch, "issue")
    run(any_home, batch, None, "run2")
    assert state(any_home, batch) == ("done", None, [])


def test_rest_is_not_asked_for_while_a_run_of_the_batch_is_to_come_or_a_halt_is_open(
    any_home: Home, batch: str
) -> None:
    run_by_hand(any_home, batch, None, "run2")
    assert state(any_home, batch) == ("working", None, ["arrival/1"])
    halt(any_home, batch)
    run(any_home, batch, None)
    assert state(any_home, batch) == ("working", None, [])


def test_halt_that_was_mended_by_hand_lets_the_batch_go_on(any_home: Home, batch: str) -> None:
    halt(any_home, batch)
    run(any_home, batch, Failure("feedback is halted"))
    with any_home.ledger.write() as connection:
        halts.close_halts(connection, asset="feedback", partition=batch, closed_by="run2")
    publish(any_home, batch, "feedback")
    run_by_hand(any_home, batch, None, "run2")
    assert state(any_home, batch) == ("working", None, ["rest/1"])


def test_run_that_another_one_replaced_ends_nothing(any_home: Home, batch: str) -> None:
    with any_home.ledger.write() as connection:
        found = run_requests.lease_next(connection, 60)
        assert found is not None
        run_requests.begin(connection, key=found.key, batch=batch, run_id="live", silent_seconds=60)
    finish(any_home, found.key, batch, LOST, run_id="refused")
    finish(any_home, found.key, batch, LOST)
    assert state(any_home, batch) == ("working", None, [found.key.removeprefix(f"{batch}/")])
    finish(any_home, found.key, batch, None, run_id="live", required=None)
    assert state(any_home, batch) == ("done", None, [])


def test_failed_run_is_tried_again_until_there_were_three(any_home: Home, batch: str) -> None:
    run(any_home, batch, LOST)
    assert state(any_home, batch) == ("working", None, ["arrival/2"])
    run(any_home, batch, LOST)
    assert state(any_home, batch) == ("working", None, ["arrival/3"])
    run(any_home, batch, LOST)
    assert state(any_home, batch) == ("set_aside", "3 runs failed; the last: the power went", [])


@pytest.mark.parametrize("attempts", [1, 2, 12])
def test_number_of_attempts_is_a_setting(any_home: Home, batch: str, attempts: int) -> None:
    home = Home(replace(any_home.settings, attempts=attempts))
    for number in range(attempts):
        assert state(home, batch) == ("working", None, [f"arrival/{number + 1}"])
        run(home, batch, LOST, run_id=str(number))
    assert state(home, batch)[0] == "set_aside"
    home.ledger.close()


def test_success_after_a_failure_is_a_success(any_home: Home, batch: str) -> None:
    run(any_home, batch, LOST)
    publish(any_home, batch, *GOVERNED)
    run(any_home, batch, None)
    assert state(any_home, batch) == ("done", None, [])


def test_refusal_sets_the_batch_aside_at_once_and_is_audited(any_home: Home, batch: str) -> None:
    run(any_home, batch, REFUSED)
    assert state(any_home, batch) == ("set_aside", "no model is in use", [])
    with any_home.ledger.read() as connection:
        entry = connection.execute(sa.select(AUDIT.c.action, AUDIT.c.subject, AUDIT.c.detail)).one()
        assert audit.breaks(connection) == []
    assert tuple(entry) == ("set aside", batch, '{"cause":"no model is in use"}')


def test_promotion_resumes_what_was_refused(any_home: Home, batch: str) -> None:
    run(any_home, batch, REFUSED)
    for _ in range(2):  # the second time a model goes back in use that was in use before
        with any_home.ledger.write() as connection:
            assert batches.resume_refused(connection, cause="promotion-v1") == [batch]
            assert batches.resume_refused(connection, cause="promotion-v1") == []
        found, cause, asked = state(any_home, batch)
        assert (found, cause, len(asked)) == ("working", None, 1)
        run(any_home, batch, REFUSED)
        assert state(any_home, batch) == ("set_aside", "no model is in use", [])


def test_resumed_batch_has_its_attempts(any_home: Home, batch: str) -> None:
    run(any_home, batch, REFUSED)
    with any_home.ledger.write() as connection:
        batches.resume_refused(connection, cause="promotion-v1")
    for number in range(3):
        assert state(any_home, batch) == ("working", None, [f"promotion-v1/{number + 1}"])
        run(any_home, batch, LOST)
    assert state(any_home, batch)[0] == "set_aside"


def test_promotion_does_not_resume_what_a_person_stopped(any_home: Home, batch: str) -> None:
    run(any_home, batch, STOPPED)
    assert state(any_home, batch) == ("set_aside", "a person stopped the run", [])
    with any_home.ledger.write() as connection:
        assert batches.resume_refused(connection, "promotion-2") == []


def test_promotion_does_not_resume_what_failed(any_home: Home, batch: str) -> None:
    for _ in range(3):
        run(any_home, batch, LOST)
    with any_home.ledger.write() as connection:
        assert batches.resume_refused(connection, cause="promotion-v1") == []


@pytest.mark.parametrize("failure", [LOST, REFUSED])
def test_halt_is_an_answer_and_nothing_is_tried_again(any_home: Home, batch: str, failure: Failure) -> None:
    halt(any_home, batch)
    run(any_home, batch, failure)
    assert state(any_home, batch) == ("working", None, [])
    with any_home.ledger.read() as connection:
        assert run_requests.last_state(connection, batch) == "halted"
        assert batches.all_ended(connection, [batch])
        assert batches.count_states(connection)["halted"] == 1


def test_halt_of_another_batch_is_not_its_own(any_home: Home, batch: str) -> None:
    halt(any_home, "other batch")
    run(any_home, batch, LOST)
    assert state(any_home, batch)[2] == ["arrival/2"]


def test_end_counts_once_however_often_it_is_told(any_home: Home, batch: str) -> None:
    with any_home.ledger.write() as connection:
        found = run_requests.lease_next(connection, 60)
    assert found is not None
    for _ in range(5):
        finish(any_home, found.key, batch, LOST, required=GOVERNED)
    assert state(any_home, batch) == ("working", None, ["arrival/2"])
    publish(any_home, batch, *GOVERNED)
    finish(any_home, found.key, batch, None, required=GOVERNED)
    assert state(any_home, batch) == ("working", None, ["arrival/2"]), "the run that was given up says nothing"


@pytest.mark.parametrize("failure", [LOST, REFUSED])
def test_batch_that_is_done_stays_done_when_a_later_run_ends_badly(
    any_home: Home, batch: str, failure: Failure
) -> None:
    publish(any_home, batch, *GOVERNED)
    run(any_home, batch, None)
    run_by_hand(any_home, batch, failure, "run2")
    assert state(any_home, batch) == ("done", None, [])


def test_batch_that_was_set_aside_is_done_when_a_later_run_succeeds(any_home: Home, batch: str) -> None:
    run(any_home, batch, REFUSED)
    publish(any_home, batch, *GOVERNED)
    run_by_hand(any_home, batch, None, "run2")
    assert state(any_home, batch) == ("done", None, [])


def test_discarded_batch_stays_discarded(any_home: Home, batch: str) -> None:
    with any_home.ledger.write() as connection:
        batches.set_state(connection, batch, "discarded")
    publish(any_home, batch, *GOVERNED)
    run(any_home, batch, None)
    run_by_hand(any_home, batch, LOST, "run2")
    assert state(any_home, batch) == ("discarded", None, [])


def test_failed_run_by_hand_is_tried_again_like_any_other(any_home: Home, batch: str) -> None:
    run(any_home, batch, LOST)
    run_by_hand(any_home, batch, LOST, "abcdefgh")
    assert state(any_home, batch)[2] == ["arrival/2", "by-hand-abcdefgh/2"]
    for _ in range(3):
        run(any_home, batch, LOST)
    assert state(any_home, batch)[0] == "set_aside"


def test_end_of_a_run_without_a_batch_is_recorded(any_home: Home, batch: str) -> None:
    with any_home.ledger.write() as connection:
        key = run_requests.begin(connection, key=None, batch="unknown", run_id="run", silent_seconds=60)
    finish(any_home, key, "unknown", LOST, run_id="run", required=GOVERNED)
    with any_home.ledger.read() as connection:
        query = sa.select(RUN_REQUESTS.c.state, RUN_REQUESTS.c.cause).where(RUN_REQUESTS.c.key == key)
        assert tuple(connection.execute(query).one()) == ("failed", "the power went")
        assert run_requests.open_requests(connection, "unknown") == []

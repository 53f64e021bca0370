"""What whoever runs the project is told: of every run that failed, and of every halt, once each."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from orchestration_project.dispatch import delivery
from orchestration_project.governance.outcomes import STOPPED, Failure, finish
from orchestration_project.stores import arrivals, batches, deliveries, halts, outbox, run_requests
from orchestration_project.stores.home import Home
from orchestration_project.stores.schema import OUTBOX, RUN_REQUESTS

LOST = Failure("issue: the power went")
REFUSED = Failure("no model is in use", is_final=True)


def opened(home: Home) -> str:
    """A batch of one message, its run requested."""
    arrivals.register(home, arrivals.receive_message(home, {"text": "hello"}))
    batch = batches.open_next(home)
    assert batch is not None
    return batch


@pytest.fixture
def batch(any_home: Home) -> str:
    return opened(any_home)


def run(home: Home, batch: str, failure: Failure | None, run_id: str = "run", halted: str | None = None) -> None:
    """Take the next requested run of the batch through its life; it halts an asset, where one is named."""
    with home.ledger.write() as connection:
        found = run_requests.lease_next(connection, 60)
        assert found is not None
        run_requests.begin(connection, key=found.key, batch=batch, run_id=run_id, silent_seconds=60)
        if halted:
            halts.record_halt(
                connection, asset=halted, partition=batch, run_id=run_id, reason="Column text is missing."
            )
    for _ in range(2):  # told twice, it counts once
        finish(home, found.key, batch, failure, run_id=run_id, required=None)


def run_by_hand(home: Home, batch: str, failure: Failure | None, run_id: str) -> None:
    with home.ledger.write() as connection:
        key = run_requests.begin(connection, key=None, batch=batch, run_id=run_id, silent_seconds=60)
    finish(home, key, batch, failure, run_id=run_id, required=None)


def notices(home: Home) -> list[tuple[str, str, str]]:
    with home.ledger.read() as connection:
        query = sa.select(OUTBOX.c.key, OUTBOX.c.title, OUTBOX.c.body).order_by(OUTBOX.c.notice_id)
        return [(key, title, body) for key, title, body in connection.execute(query)]


def test_a_run_that_failed_is_told_with_its_cause_what_follows_and_where_to_look(any_home: Home, batch: str) -> None:
    run(any_home, batch, LOST)
    with any_home.ledger.read() as connection:
        due_at = connection.execute(sa.select(RUN_REQUESTS.c.due_at).where(RUN_REQUESTS.c.attempt == 2)).scalar_one()
    follows = f"- What follows: attempt 2 at {due_at:%H:%M:%S} UTC"
    lines = ["- Why: issue: the power went", follows, "- Run: http://127.0.0.1:3000/runs/run"]
    assert notices(any_home) == [("run/run", f"A run of batch {batch} failed", "\n".join(lines))]


def test_every_run_is_told_once_and_the_last_says_that_the_batch_is_set_aside(any_home: Home, batch: str) -> None:
    for number in range(3):
        run(any_home, batch, LOST, f"run{number}")
    told = notices(any_home)
    assert [key for key, _, _ in told] == ["run/run0", "run/run1", "run/run2"]
    assert "- What follows: attempt 3" in told[1][2]
    assert "- What follows: the batch is set aside" in told[2][2]


def test_a_refusal_is_told(any_home: Home, batch: str) -> None:
    run(any_home, batch, REFUSED)
    ((_, _, body),) = notices(any_home)
    assert body.startswith("- Why: no model is in use\n- What follows: the batch is set aside")


@pytest.mark.parametrize("failure", [None, STOPPED])
def test_a_run_that_succeeded_or_that_a_person_stopped_is_not_told(
    any_home: Home, batch: str, failure: Failure | None
) -> None:
    run(any_home, batch, failure)
    assert notices(any_home) == []


def test_a_halt_is_told_instead_of_a_failure_and_a_run_that_it_stops_later_is_not(any_home: Home, batch: str) -> None:
    run(any_home, batch, Failure("feedback is halted"), halted="feedback")
    body = "- Why: Column text is missing.\n- Run: http://127.0.0.1:3000/runs/run"
    told = [(f"halt/feedback/{batch}/run", f"feedback of batch {batch} is halted", body)]
    assert notices(any_home) == told
    run_by_hand(any_home, batch, REFUSED, "run2")
    assert notices(any_home) == told


def test_a_run_without_a_batch_is_told_and_links_to_the_port_that_is_set(any_home: Home) -> None:
    home = Home(replace(any_home.settings, port=4321))
    run_by_hand(home, "", LOST, "run")
    assert notices(home) == [
        ("run/run", "A run failed", "- Why: issue: the power went\n- Run: http://127.0.0.1:4321/runs/run")
    ]
    home.ledger.close()


def test_a_halt_of_another_asset_without_batches_hides_no_failure(any_home: Home) -> None:
    with any_home.ledger.write() as connection:
        halts.record_halt(connection, asset="issue_labels", partition="", run_id="other", reason="A label is missing.")
    run_by_hand(any_home, "", LOST, "run")
    assert [key for key, _, _ in notices(any_home)] == ["run/run"]


def test_a_run_that_never_began_is_told_by_its_request(any_home: Home, batch: str) -> None:
    with any_home.ledger.write() as connection:
        found = run_requests.lease_next(connection, 60)
    assert found is not None
    finish(any_home, found.key, batch, LOST)
    ((key, _, body),) = notices(any_home)
    assert key == f"run/{found.key}"
    assert "/runs/" not in body


def test_it_is_told_with_the_end_of_the_run_or_not_at_all(home: Home) -> None:
    batch = opened(home)
    with home.ledger.write() as connection:
        full = "BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        connection.exec_driver_sql(f"CREATE TRIGGER full BEFORE INSERT ON outbox {full}")
    with pytest.raises(sa.exc.DBAPIError, match="the disk is full"):
        run(home, batch, LOST)
    assert notices(home) == []
    with home.ledger.read() as connection:
        assert run_requests.last_state(connection, batch) == "running"


def test_it_goes_to_files_and_targets_and_is_no_alert(any_home: Home, batch: str) -> None:
    home = Home(replace(any_home.settings, notify=("json://127.0.0.1:9/",)))
    run(home, batch, LOST)
    told: list[str] = []
    delivery.deliver(home, told.append)
    assert told[0] == f"A run of batch {batch} failed"
    assert len(list(home.notices.iterdir())) == 1
    with home.ledger.read() as connection:
        assert [one.key for one in deliveries.recorded(connection)] == ["run/run"]
        assert outbox.recorded(connection) == []
    home.ledger.close()

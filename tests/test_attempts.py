"""Attempts: what failed is tried again, then set aside with its cause; what was refused waits for what it lacks."""

import signal
import sqlite3

import dagster as dg
import pytest
import sqlalchemy as sa
from note_workflow import batch_of, fail, in_the_way, promote, requests, run, run_next, send

from orchestration_project.governance import audit
from orchestration_project.stores import batches, ledger
from orchestration_project.stores.home import Home
from orchestration_project.stores.schema import AUDIT, RUN_REQUESTS


@pytest.fixture
def home(named_home: Home) -> Home:
    in_the_way.clear()
    return named_home


@pytest.fixture
def promoted(home: Home) -> None:
    promote(home)


def audited(home: Home) -> list[str]:
    with home.ledger.read() as connection:
        assert audit.breaks(connection) == []
        return list(connection.execute(sa.text("SELECT action FROM audit ORDER BY sequence")).scalars())


def test_step_failure_is_tried_again_until_it_succeeds(
    home: Home, instance: dg.DagsterInstance, promoted: None
) -> None:
    in_the_way.extend([fail, fail])
    batch = send(home, "angry")
    for _ in range(2):
        result = run_next(home, instance)
        assert result is not None and not result.success
        assert batch_of(home, batch).state == "working"
    assert run_next(home, instance)
    assert batch_of(home, batch).state == "done"
    assert requests(home) == [("arrival", 1, "failed"), ("arrival", 2, "failed"), ("arrival", 3, "succeeded")]


def test_run_that_finds_the_ledger_locked_is_tried_again(
    home: Home, instance: dg.DagsterInstance, promoted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lock() -> None:
        """Another program begins to write, and has not ended when the step gives up."""
        other = sqlite3.connect(home.root / "ledger.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            with Home(home.settings).ledger.write():
                pass
        finally:
            other.close()

    monkeypatch.setattr(ledger, "BUSY_TIMEOUT_SECONDS", 0.05)
    in_the_way.append(lock)
    batch = send(home, "angry")
    result = run_next(home, instance)
    assert result is not None and not result.success
    cause = "is locked: others kept it for more than 0.05 seconds"
    with home.ledger.read() as connection:
        assert cause in str(connection.execute(sa.select(RUN_REQUESTS.c.cause)).scalars().first())
    assert run_next(home, instance)
    assert batch_of(home, batch).state == "done"
    assert requests(home) == [("arrival", 1, "failed"), ("arrival", 2, "succeeded")]


def test_third_failure_sets_the_batch_aside_with_the_cause(
    home: Home, instance: dg.DagsterInstance, promoted: None
) -> None:
    in_the_way.extend([fail] * 3)
    batch = send(home, "angry")
    while run_next(home, instance):
        pass
    found = batch_of(home, batch)
    assert found.state == "set_aside"
    place = f"tests/note_workflow.py:{fail.__code__.co_firstlineno + 1}"
    assert found.cause == f"3 runs failed; the last: note: ValueError in {place}; the run's log in Dagster has the rest"
    assert requests(home) == [("arrival", attempt, "failed") for attempt in (1, 2, 3)]
    assert audited(home)[-1] == "set aside"
    with home.ledger.read() as connection:
        assert batches.count_states(connection)["set_aside"] == 1


def test_number_of_attempts_is_a_setting(
    home: Home, instance: dg.DagsterInstance, promoted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATE_ATTEMPTS", "1")
    in_the_way.append(fail)
    batch = send(home, "angry")
    assert run_next(home, instance)
    assert batch_of(home, batch).state == "set_aside"
    assert run_next(home, instance) is None


def test_batch_set_aside_is_done_after_a_run_by_hand(home: Home, instance: dg.DagsterInstance, promoted: None) -> None:
    in_the_way.extend([fail] * 3)
    batch = send(home, "angry")
    while run_next(home, instance):
        pass
    assert run(instance, batch).success
    assert batch_of(home, batch).state == "done"


def test_failure_of_one_batch_leaves_another_alone(home: Home, instance: dg.DagsterInstance, promoted: None) -> None:
    in_the_way.extend([fail])
    first, second = send(home, "angry"), send(home, "fine")
    while run_next(home, instance):
        pass
    assert batch_of(home, first).state == batch_of(home, second).state == "done"


def test_interrupted_run_is_tried_again(home: Home, instance: dg.DagsterInstance, promoted: None) -> None:
    in_the_way.append(lambda: signal.raise_signal(signal.SIGINT))
    batch = send(home, "angry")
    assert run_next(home, instance)
    assert requests(home) == [("arrival", 1, "failed"), ("arrival", 2, "requested")]
    with home.ledger.read() as connection:
        cause = connection.execute(sa.select(RUN_REQUESTS.c.cause).where(RUN_REQUESTS.c.attempt == 1)).scalar_one()
    assert cause == "the run was interrupted"
    assert run_next(home, instance)
    assert batch_of(home, batch).state == "done"


def test_refusal_sets_the_batch_aside_at_once_and_promotion_resumes_it(
    home: Home, instance: dg.DagsterInstance
) -> None:
    batch = send(home, "angry")
    result = run_next(home, instance)
    assert result is not None and not result.success
    found = batch_of(home, batch)
    assert found.state == "set_aside"
    assert "orchestrate train" in str(found.cause)
    assert requests(home) == [("arrival", 1, "refused")]
    assert run_next(home, instance) is None
    promote(home)
    assert batch_of(home, batch).state == "working"
    assert run_next(home, instance)
    assert batch_of(home, batch).state == "done"
    assert requests(home) == [("arrival", 1, "refused"), ("promotion-1", 1, "succeeded")]


def test_promotion_leaves_a_batch_whose_runs_failed_set_aside(home: Home, instance: dg.DagsterInstance) -> None:
    in_the_way.extend([fail] * 3)
    batch = send(home, "angry")
    while run_next(home, instance):
        pass
    promote(home)
    assert batch_of(home, batch).state == "set_aside"
    assert run_next(home, instance) is None


def test_text_of_a_foreign_error_reaches_neither_the_request_nor_the_batch_nor_the_audit(
    home: Home, instance: dg.DagsterInstance, promoted: None
) -> None:
    in_the_way.extend([fail] * 3)
    send(home, "angry")
    while run_next(home, instance):
        pass
    with home.ledger.read() as connection:
        causes = list(connection.execute(sa.select(RUN_REQUESTS.c.cause)).scalars())
        causes += [batch.cause for batch in batches.set_aside(connection)]
        causes += connection.execute(sa.select(AUDIT.c.detail).where(AUDIT.c.action == "set aside")).scalars()
    assert len(causes) == 5
    assert all("note: ValueError in " in cause and "on fire" not in cause for cause in causes)

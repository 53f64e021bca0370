"""The heartbeat that tells a working run from a dead one, through real runs in this process."""

from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from live_project import wait_until
from note_workflow import in_the_way, promote, run, run_next, send

from orchestration_project.stores import batches, ledger
from orchestration_project.stores.home import Home, current_home
from orchestration_project.stores.schema import RUN_REQUESTS


@pytest.fixture
def home(named_home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("ORCHESTRATE_HEARTBEAT_SECONDS", "0.05")
    in_the_way.clear()
    return named_home


@pytest.fixture
def promoted(home: Home) -> None:
    promote(home)


def heartbeat(home: Home) -> Any:
    with home.ledger.read() as connection:
        return connection.execute(sa.select(RUN_REQUESTS.c.heartbeat_at)).scalar_one()


def test_running_request_keeps_its_heart_beating(home: Home, instance: dg.DagsterInstance, promoted: None) -> None:
    def wait_for_a_beat() -> None:
        first = heartbeat(home)
        wait_until(lambda: heartbeat(home) > first, "a heartbeat")

    in_the_way.append(wait_for_a_beat)
    send(home, "angry")
    result = run_next(home, instance)
    assert result is not None and result.success


def test_heart_goes_on_beating_after_a_beat_that_failed(
    home: Home, instance: dg.DagsterInstance, promoted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lock_the_ledger_for_a_beat() -> None:
        with home.ledger.write():
            wait_until(lambda: failed, "a beat that fails")
        first = heartbeat(home)
        wait_until(lambda: heartbeat(home) > first, "a heartbeat")

    failed: list[object] = []
    monkeypatch.setattr(ledger, "BUSY_TIMEOUT_SECONDS", 0.05)
    home_of_the_run = current_home().ledger_url
    sa.event.listen(
        sa.Engine,
        "handle_error",
        listener := lambda context: failed.append(context) if str(context.engine.url) == home_of_the_run else None,
    )
    try:
        in_the_way.append(lock_the_ledger_for_a_beat)
        send(home, "angry")
        result = run_next(home, instance)
    finally:
        sa.event.remove(sa.Engine, "handle_error", listener)
    assert result is not None and result.success


def test_run_without_a_batch_also_has_a_heartbeat(home: Home, instance: dg.DagsterInstance) -> None:
    in_the_way.append(lambda: wait_until(lambda: heartbeat(home), "a heartbeat"))
    result = run(instance, None, job="catalogue_job")
    assert result.success
    with home.ledger.read() as connection:
        (request,) = connection.execute(sa.select(RUN_REQUESTS)).mappings().all()
        assert sum(batches.count_states(connection).values()) == 0
    assert (request["run_id"], request["state"], request["batch"]) == (result.run_id, "succeeded", "")

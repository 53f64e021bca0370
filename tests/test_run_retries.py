"""Another attempt after a failed run: how many failed in a row, how long it waits, and what a clock that is set does."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from orchestration_project.stores import run_requests
from orchestration_project.stores.ledger import Ledger, now
from orchestration_project.stores.run_requests import LONGEST_WAIT_SECONDS, wait_seconds
from orchestration_project.stores.schema import RUN_REQUESTS

MINUTE, YEAR = 60.0, 31_536_000.0


def ask(ledger: Ledger, cause: str = "arrival", *, attempt: int = 1, after: float | None = None) -> str:
    due_at = None if after is None else now() + timedelta(seconds=after)
    with ledger.write() as connection:
        return run_requests.request(connection, batch="b1", cause=cause, attempt=attempt, due_at=due_at)


def end(ledger: Ledger, key: str, state: str = "failed") -> None:
    with ledger.write() as connection:
        run_requests.end(connection, key, state, None, run_id=None)


def failures(ledger: Ledger) -> int:
    with ledger.read() as connection:
        return run_requests.failures(connection, "b1")


def leased(ledger: Ledger) -> str | None:
    with ledger.write() as connection:
        found = run_requests.lease_next(connection, MINUTE)
    return found.key if found else None


def begin(ledger: Ledger, key: str, run_id: str = "run1") -> str:
    with ledger.write() as connection:
        return run_requests.begin(connection, key=key, batch="b1", run_id=run_id, silent_seconds=MINUTE)


def pass_time(ledger: Ledger, seconds: float) -> None:
    """Let so many seconds go by; where they are below 0, set the clock back."""
    table = RUN_REQUESTS.c
    with ledger.write() as connection:
        for row in connection.execute(sa.select(RUN_REQUESTS)).mappings().all():
            names = ("requested_at", "due_at", "lease_until", "heartbeat_at")
            moved = {name: row[name] - timedelta(seconds=seconds) for name in names if row[name] is not None}
            connection.execute(sa.update(RUN_REQUESTS).where(table.key == row["key"]).values(**moved))


@pytest.fixture
def back(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the clock of requests back by so many seconds."""

    def set_back(seconds: float) -> None:
        def earlier() -> datetime:
            return now() - timedelta(seconds=seconds)

        monkeypatch.setattr(run_requests, "now", earlier)

    return set_back


def test_failures_are_counted_in_a_row_over_all_causes(ledger: Ledger) -> None:
    end(ledger, ask(ledger))
    end(ledger, ask(ledger, attempt=2, after=0))
    end(ledger, ask(ledger, "verdict", after=0))
    assert failures(ledger) == 3


@pytest.mark.parametrize("state", ["succeeded", "halted", "refused", "stopped"])
def test_what_failed_before_a_run_that_did_not_fail_is_past(ledger: Ledger, state: str) -> None:
    end(ledger, ask(ledger))
    end(ledger, ask(ledger, attempt=2, after=0), state)
    assert failures(ledger) == 0
    end(ledger, ask(ledger, attempt=3, after=0))
    assert failures(ledger) == 1


def test_whoever_asks_anew_has_all_attempts_again(ledger: Ledger) -> None:
    for attempt in (1, 2, 3):
        end(ledger, ask(ledger, attempt=attempt, after=None if attempt == 1 else 0))
    assert failures(ledger) == 3
    end(ledger, ask(ledger, "retry"))
    assert failures(ledger) == 1


def test_failures_are_in_a_row_also_where_the_clock_was_set_back(ledger: Ledger, back: Callable[[float], None]) -> None:
    end(ledger, ask(ledger))
    back(YEAR)
    end(ledger, ask(ledger, attempt=2, after=0), "succeeded")
    assert failures(ledger) == 0


def test_a_request_is_leased_when_it_is_due(ledger: Ledger) -> None:
    key = ask(ledger, after=MINUTE)
    assert leased(ledger) is None
    pass_time(ledger, MINUTE)
    assert leased(ledger) == key


def test_a_request_that_is_not_due_keeps_no_other_waiting(ledger: Ledger) -> None:
    ask(ledger, after=MINUTE)
    other = ask(ledger, "verdict")
    assert leased(ledger) == other


def test_waits_double_up_to_the_longest_and_are_not_all_alike() -> None:
    for failed, about in [(1, 10), (2, 20), (4, 80)]:
        drawn = {wait_seconds(failed, 10) for _ in range(200)}
        assert min(drawn) >= about / 2 and max(drawn) <= about * 1.5
        assert max(drawn) - min(drawn) > about / 2
    assert wait_seconds(60, 10) == LONGEST_WAIT_SECONDS


def test_a_clock_that_is_set_back_keeps_no_attempt_waiting(ledger: Ledger) -> None:
    key = ask(ledger, after=MINUTE)
    pass_time(ledger, -YEAR)
    with ledger.read() as connection:
        assert [found.is_due() for found in run_requests.open_requests(connection)] == [True]
    assert leased(ledger) == key


@pytest.mark.parametrize("seconds", [-YEAR, YEAR])
def test_a_clock_that_is_set_keeps_no_lease(ledger: Ledger, seconds: float) -> None:
    key = ask(ledger)
    assert [leased(ledger), leased(ledger)] == [key, None]
    pass_time(ledger, seconds)
    with ledger.read() as connection:
        assert [found.key for found in run_requests.overdue(connection, MINUTE)] == [key]
    assert [leased(ledger), leased(ledger)] == [key, None]


def test_a_run_that_was_heard_of_in_the_future_is_silent_a_while_after_that_was_seen(ledger: Ledger) -> None:
    begin(ledger, ask(ledger))
    pass_time(ledger, -YEAR)
    with ledger.write() as connection:
        assert run_requests.silent(connection, MINUTE) == []
        assert run_requests.heard_ahead(connection, MINUTE)
        run_requests.hear_now(connection, MINUTE)
        assert not run_requests.heard_ahead(connection, MINUTE)
        assert run_requests.silent(connection, MINUTE) == [], "it may live: it has so long to say so"
    pass_time(ledger, 2 * MINUTE)
    with ledger.read() as connection:
        assert [found.run_id for found in run_requests.silent(connection, MINUTE)] == ["run1"]


def test_a_run_takes_over_from_one_that_was_heard_of_in_the_future(ledger: Ledger) -> None:
    key = begin(ledger, ask(ledger))
    pass_time(ledger, -YEAR)
    assert begin(ledger, key, "run2") == key

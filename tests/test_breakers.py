"""Circuit breakers in the ledger: closed, open, half-open, on both databases; and what a clock that was set does."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from orchestration_project.stores import breakers
from orchestration_project.stores.breakers import Breaker, longest_wait_seconds
from orchestration_project.stores.ledger import Ledger, now
from orchestration_project.stores.schema import BREAKERS

MOST_FAILURES = 3
WAIT = 30.0
LEASE = 330.0
YEAR = 365 * 86_400.0


def fail(ledger: Ledger, times: int = 1, *, is_probe: bool = False, performer: str = "llm") -> Breaker | None:
    """Let a performer be away so many times; what the last one opened."""
    opened = None
    for _ in range(times):
        with ledger.write() as connection:
            opened = breakers.record_failure(
                connection, performer, most_failures=MOST_FAILURES, first_wait_seconds=WAIT, is_probe=is_probe
            )
    return opened


def succeed(ledger: Ledger, *, is_probe: bool = False) -> Breaker | None:
    with ledger.write() as connection:
        return breakers.record_success(connection, "llm", is_probe=is_probe)


def claim(ledger: Ledger) -> bool:
    with ledger.write() as connection:
        return breakers.claim_probe(connection, "llm", first_wait_seconds=WAIT, lease_seconds=LEASE)


def found(ledger: Ledger) -> Breaker | None:
    with ledger.read() as connection:
        return breakers.get(connection, "llm")


def pass_time(ledger: Ledger, seconds: float) -> None:
    """Let so many seconds go by; where they are below 0, set the clock back."""
    breaker = found(ledger)
    assert breaker is not None and breaker.probe_at is not None
    with ledger.write() as connection:
        connection.execute(sa.update(BREAKERS).values(probe_at=breaker.probe_at - timedelta(seconds=seconds)))


def seconds_until_probe(breaker: Breaker | None) -> float:
    assert breaker is not None and breaker.probe_at is not None
    return (breaker.probe_at - now()).total_seconds()


def test_a_circuit_opens_at_the_last_of_so_many_failures_in_a_row(ledger: Ledger) -> None:
    assert fail(ledger, MOST_FAILURES - 1) is None
    assert found(ledger) == Breaker("llm", "closed", MOST_FAILURES - 1, 0)
    opened = fail(ledger)
    assert opened == found(ledger)
    assert opened is not None and (opened.state, opened.failures, opened.openings) == ("open", MOST_FAILURES, 1)
    assert WAIT - 5 < seconds_until_probe(opened) <= WAIT


def test_an_answer_between_failures_counts_anew_and_leaves_nothing_behind(ledger: Ledger) -> None:
    fail(ledger, MOST_FAILURES - 1)
    assert succeed(ledger) is None
    assert found(ledger) is None
    assert fail(ledger, MOST_FAILURES - 1) is None


def test_each_performer_has_a_circuit_of_its_own(ledger: Ledger) -> None:
    fail(ledger, MOST_FAILURES, performer="agent")
    fail(ledger, MOST_FAILURES - 1)
    with ledger.read() as connection:
        assert [breaker.performer for breaker in breakers.not_closed(connection)] == ["agent"]


def test_nobody_probes_before_the_wait_is_over_and_one_does_then(ledger: Ledger) -> None:
    assert not claim(ledger)
    fail(ledger, MOST_FAILURES)
    assert not claim(ledger)
    pass_time(ledger, WAIT)
    assert [claim(ledger) for _ in range(3)] == [True, False, False]
    with ledger.read() as connection:
        assert [breaker.state for breaker in breakers.not_closed(connection)] == ["half_open"]


def test_an_answered_probe_closes(ledger: Ledger) -> None:
    opened = fail(ledger, MOST_FAILURES)
    pass_time(ledger, WAIT)
    claim(ledger)
    closed = succeed(ledger, is_probe=True)
    assert opened is not None and closed is not None
    assert (closed.state, closed.opened_at) == ("half_open", opened.opened_at)
    assert found(ledger) is None


def test_each_failed_probe_doubles_the_wait_up_to_a_limit_and_keeps_since_when(ledger: Ledger) -> None:
    first = fail(ledger, MOST_FAILURES)
    assert first is not None
    waits: list[float] = []
    for _ in range(8):
        pass_time(ledger, longest_wait_seconds(WAIT))
        assert claim(ledger)
        again = fail(ledger, is_probe=True)
        assert again is not None and again.opened_at == first.opened_at
        waits.append(round(seconds_until_probe(again), -1))
    assert waits == [60, 120, 240, 480, 960, 1920, 1920, 1920]


def test_a_prober_that_died_is_followed_by_another_when_its_lease_is_over(ledger: Ledger) -> None:
    fail(ledger, MOST_FAILURES)
    pass_time(ledger, WAIT)
    assert claim(ledger)
    assert LEASE - 5 < seconds_until_probe(found(ledger)) <= LEASE
    pass_time(ledger, LEASE)
    assert [claim(ledger), claim(ledger)] == [True, False]


def test_what_callers_saw_that_began_before_changes_an_open_circuit_no_more(ledger: Ledger) -> None:
    opened = fail(ledger, MOST_FAILURES)
    assert fail(ledger) is None
    assert succeed(ledger) is None
    assert found(ledger) == opened


@pytest.mark.parametrize("is_claimed", [False, True], ids=["open", "half-open"])
@pytest.mark.parametrize("seconds", [-YEAR, -2 * LEASE, YEAR])
def test_a_clock_that_is_set_keeps_no_circuit_open(ledger: Ledger, is_claimed: bool, seconds: float) -> None:
    fail(ledger, MOST_FAILURES)
    if is_claimed:
        pass_time(ledger, WAIT)
        claim(ledger)
    pass_time(ledger, seconds)
    assert [claim(ledger), claim(ledger)] == [True, False]


def test_a_clock_that_is_set_back_a_little_makes_a_wait_longer_by_no_more_than_that(ledger: Ledger) -> None:
    fail(ledger, MOST_FAILURES)
    pass_time(ledger, -WAIT)
    assert not claim(ledger)
    pass_time(ledger, 2 * WAIT)
    assert claim(ledger)

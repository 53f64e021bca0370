"""Deliveries as rows: whose turn it is, one attempt at a time, order, waiting and giving up, on both databases."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Barrier

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration_project.core.errors import Refused, UnknownName
from orchestration_project.stores import deliveries, outbox
from orchestration_project.stores.deliveries import Attempt, Delivery
from orchestration_project.stores.ledger import Ledger, now
from orchestration_project.stores.outbox import Notice
from orchestration_project.stores.schema import DELIVERIES, DELIVERY_TARGETS, OUTBOX

ONE, TWO = "json://a.example#1", "slack#2"
DOWN = "no connection"


def record(ledger: Ledger, *keys: str) -> None:
    with ledger.write() as connection:
        notices = [Notice(key, key.capitalize(), "") for key in keys]
        outbox.record(connection, asset="alert", partition="b", notices=notices)


def planned(ledger: Ledger, *keys: str, targets: tuple[str, ...] = (ONE,)) -> None:
    record(ledger, *keys)
    deliveries.plan(ledger, targets)


def begin(ledger: Ledger, target: str = ONE) -> Attempt | None:
    with ledger.write() as connection:
        return deliveries.begin(connection, target)


def attempt(ledger: Ledger, error: str | None, target: str = ONE) -> str | None:
    """One attempt that ends so; returns the key of its notice, None when none was due."""
    begun = begin(ledger, target)
    if begun is None:
        return None
    with ledger.write() as connection:
        deliveries.end(connection, begun, error)
    return begun.key


def listed(ledger: Ledger, only_open: bool = False) -> list[Delivery]:
    with ledger.read() as connection:
        return deliveries.recorded(connection, only_open=only_open)[::-1]


def states(ledger: Ledger, target: str = ONE) -> list[tuple[str, str, int]]:
    return [(one.key, one.state, one.attempts) for one in listed(ledger) if one.target == target]


def troubles(ledger: Ledger) -> list[str]:
    with ledger.read() as connection:
        return deliveries.troubles(connection, [ONE, TWO])


def let_time_come(ledger: Ledger) -> None:
    with ledger.write() as connection:
        waiting = sa.update(DELIVERIES).where(DELIVERIES.c.state == "waiting")
        connection.execute(waiting.values(next_attempt_at=now()))


def let_lease_run_out(ledger: Ledger) -> None:
    with ledger.write() as connection:
        connection.execute(sa.update(DELIVERY_TARGETS).values(lease_until=now() - timedelta(seconds=1)))


def set_attempts(ledger: Ledger, number: int) -> None:
    with ledger.write() as connection:
        connection.execute(sa.update(DELIVERIES).values(attempts=number))


def test_every_notice_is_a_row_for_every_target_however_often_it_is_planned(ledger: Ledger) -> None:
    for _ in range(2):
        planned(ledger, "fire", "flood", targets=(ONE, TWO))
    assert states(ledger) == states(ledger, TWO) == [("fire", "waiting", 0), ("flood", "waiting", 0)]
    planned(ledger, "storm", targets=(ONE,))
    planned(ledger, targets=(ONE, TWO))
    assert states(ledger, TWO)[-1] == ("storm", "waiting", 0), "it was not planned before"


def test_a_new_target_gets_what_is_recorded_from_then_on(ledger: Ledger) -> None:
    record(ledger, "old")
    with ledger.write() as connection:
        connection.execute(sa.update(OUTBOX).values(delivered_at=now()))
    planned(ledger, "fire")
    planned(ledger, "flood")
    assert [key for key, _, _ in states(ledger)] == ["fire", "flood"]


def test_a_target_of_a_home_where_everything_was_told_gets_only_the_next_notice(ledger: Ledger) -> None:
    record(ledger, "old")
    with ledger.write() as connection:
        connection.execute(sa.update(OUTBOX).values(delivered_at=now()))
    planned(ledger)
    assert states(ledger) == []
    planned(ledger, "fire")
    assert states(ledger) == [("fire", "waiting", 0)]


def test_an_attempt_says_what_to_send_and_success_is_recorded(ledger: Ledger) -> None:
    before = now()
    planned(ledger, "fire")
    begun = begin(ledger)
    assert begun is not None
    assert (begun.key, begun.title, begun.target, begun.number, begun.asset) == ("fire", "Fire", ONE, 1, "alert")
    with ledger.write() as connection:
        assert deliveries.end(connection, begun, None) is None
    (one,) = listed(ledger)
    assert (one.state, one.attempts, one.next_attempt_at, one.last_error, one.batch) == (
        "delivered",
        1,
        None,
        None,
        "b",
    )
    assert one.delivered_at is not None
    with ledger.read() as connection:
        (tried,) = deliveries.attempts_of(connection, one.delivery_id)
        assert deliveries.due(connection, [ONE]) == []
    assert (tried["outcome"], tried["error"]) == ("delivered", None)
    assert before <= tried["began_at"] <= tried["ended_at"] <= now()
    assert begin(ledger) is None


def test_a_failed_attempt_is_made_again_within_its_longest_wait(ledger: Ledger) -> None:
    planned(ledger, "fire")
    for failures in range(1, 5):
        assert attempt(ledger, DOWN) == "fire"
        (one,) = listed(ledger)
        assert (one.state, one.attempts, one.last_error) == ("waiting", failures, DOWN)
        assert one.next_attempt_at is not None
        assert one.next_attempt_at <= now() + timedelta(seconds=deliveries.longest_wait_seconds(failures))
        let_time_come(ledger)
    assert attempt(ledger, None) == "fire"
    with ledger.read() as connection:
        tried = deliveries.attempts_of(connection, listed(ledger)[0].delivery_id)
    assert [one["outcome"] for one in tried] == ["failed"] * 4 + ["delivered"]


def test_while_a_notice_waits_no_later_one_overtakes_it_and_other_targets_go_on(ledger: Ledger) -> None:
    planned(ledger, "fire", "flood", targets=(ONE, TWO))
    assert attempt(ledger, DOWN) == "fire"
    with ledger.write() as connection:
        later = now() + timedelta(hours=1)
        first = sa.update(DELIVERIES).where(DELIVERIES.c.attempts == 1)
        connection.execute(first.values(next_attempt_at=later))
        assert deliveries.due(connection, [ONE, TWO]) == [TWO]
    assert attempt(ledger, None) is None
    assert [attempt(ledger, None, TWO) for _ in range(3)] == ["fire", "flood", None]
    let_time_come(ledger)
    assert [attempt(ledger, None) for _ in range(3)] == ["fire", "flood", None]


def test_of_many_that_begin_at_once_one_holds_the_lease(ledger: Ledger) -> None:
    planned(ledger, "fire", "flood")
    barrier = Barrier(4)

    def try_it(_: int) -> Attempt | None:
        barrier.wait()
        return begin(ledger)

    with ThreadPoolExecutor(4) as pool:
        begun = [one for one in pool.map(try_it, range(4)) if one]
    assert [one.key for one in begun] == ["fire"]
    with ledger.read() as connection:
        assert deliveries.due(connection, [ONE]) == []


def test_the_lease_of_a_dead_process_runs_out_and_its_attempt_keeps_no_outcome(ledger: Ledger) -> None:
    planned(ledger, "fire")
    assert begin(ledger)
    assert begin(ledger) is None
    let_lease_run_out(ledger)
    assert attempt(ledger, None) == "fire"
    with ledger.read() as connection:
        tried = deliveries.attempts_of(connection, listed(ledger)[0].delivery_id)
    assert [one["outcome"] for one in tried] == [None, "delivered"]


def test_a_slow_process_whose_lease_ran_out_may_say_that_it_delivered_and_not_that_it_failed(ledger: Ledger) -> None:
    planned(ledger, "fire", "flood")
    slow = begin(ledger)
    let_lease_run_out(ledger)
    second = begin(ledger)
    assert slow and second and slow.key == second.key == "fire"
    with ledger.write() as connection:
        deliveries.end(connection, slow, DOWN)
    assert begin(ledger) is None, "the second holds the lease"
    with ledger.write() as connection:
        deliveries.end(connection, slow, None)
        deliveries.end(connection, second, DOWN)
    assert states(ledger) == [("fire", "delivered", 2), ("flood", "waiting", 0)], "what has arrived stays so"
    assert attempt(ledger, None) == "flood"


@pytest.mark.parametrize(("before", "state"), [(2, "waiting"), (1, "failed")])
def test_after_the_last_attempt_it_has_failed_and_the_next_notice_goes_on(
    ledger: Ledger, before: int, state: str
) -> None:
    planned(ledger, "fire", "flood")
    set_attempts(ledger, deliveries.MOST_ATTEMPTS - before)
    assert attempt(ledger, DOWN) == "fire"
    assert states(ledger)[0][1] == state
    assert attempt(ledger, None) == ("flood" if state == "failed" else None)


def test_a_notice_whose_sender_died_in_every_attempt_has_failed_too(ledger: Ledger) -> None:
    planned(ledger, "fire")
    set_attempts(ledger, deliveries.MOST_ATTEMPTS - 1)
    assert begin(ledger)
    let_lease_run_out(ledger)
    assert begin(ledger) is None
    (one,) = listed(ledger, only_open=True)
    assert (one.state, one.last_error) == ("failed", deliveries.DIED)


def test_the_attempts_take_days() -> None:
    waits = [deliveries.longest_wait_seconds(failures) / 2 for failures in range(1, deliveries.MOST_ATTEMPTS)]
    assert 6 <= sum(waits) / 86_400 <= 8


@given(st.integers(1, 10_000))
def test_the_longest_wait_grows_to_its_cap(failures: int) -> None:
    wait = deliveries.longest_wait_seconds(failures)
    assert 0 < wait <= deliveries.longest_wait_seconds(failures + 1) <= deliveries.MOST_WAIT_SECONDS


def test_troubles_tell_what_waits_behind_a_failure_and_what_failed(ledger: Ledger) -> None:
    planned(ledger, "fire", "flood")
    assert troubles(ledger) == [], "nothing has failed yet"
    attempt(ledger, DOWN)
    waiting = f"2 notices wait for {ONE}: {DOWN}. See: orchestrate deliveries list --open"
    assert troubles(ledger) == [waiting]
    set_attempts(ledger, deliveries.MOST_ATTEMPTS - 1)
    let_time_come(ledger)
    attempt(ledger, DOWN)
    failed = f"1 notice never arrived at {ONE}: {DOWN}. Run: orchestrate deliveries retry --reason TEXT"
    assert failed in troubles(ledger)
    with ledger.read() as connection:
        assert deliveries.troubles(connection, [TWO]) == [], "the setting names the target no longer"


def test_restarted_are_all_that_are_open_and_they_keep_their_order(ledger: Ledger) -> None:
    planned(ledger, "old", "fire", "flood")
    assert attempt(ledger, None) == "old"
    set_attempts(ledger, deliveries.MOST_ATTEMPTS - 1)
    assert attempt(ledger, DOWN) == "fire"
    with ledger.write() as connection:
        restarted = deliveries.restart(connection, None, [ONE])
    assert [(target, key) for _, target, key in restarted] == [(ONE, "fire"), (ONE, "flood")]
    assert troubles(ledger) == []
    assert [attempt(ledger, None) for _ in range(3)] == ["fire", "flood", None]
    with ledger.write() as connection:
        assert deliveries.restart(connection, None, [ONE]) == []


def test_restarting_what_is_not_there_has_arrived_or_goes_nowhere_is_refused_without_effect(ledger: Ledger) -> None:
    planned(ledger, "fire", "flood")
    attempt(ledger, None)
    first, second = (one.delivery_id for one in listed(ledger))
    set_attempts(ledger, 7)
    cases = [([second, 99], [ONE], UnknownName, "no delivery 99"), ([first], [ONE], Refused, "has arrived at")]
    for ids, targets, kind, said in [*cases, ([second], [TWO], Refused, f"does not name {ONE}")]:
        with pytest.raises(kind, match=said), ledger.write() as connection:
            deliveries.restart(connection, ids, targets)
    assert states(ledger)[1] == ("flood", "waiting", 7)


EVENTS = st.lists(st.sampled_from(["record", "arrive", "fail", "die", "restart"]), max_size=30)


@settings(max_examples=30, deadline=None)
@given(events=EVENTS)
def test_whatever_happens_notices_arrive_in_order_and_none_is_lost(made_ledger: Path, events: list[str]) -> None:
    with TemporaryDirectory() as folder:
        shutil.copyfile(made_ledger, f"{folder}/ledger.db")
        ledger = Ledger(f"sqlite:///{folder}/ledger.db")
        keys: list[str] = []
        arrived: list[str | None] = []
        for event in events:
            let_time_come(ledger)
            if event == "record":
                keys.append(f"key {len(keys)}")
                planned(ledger, keys[-1])
            elif event == "die":
                begin(ledger)
                let_lease_run_out(ledger)
            elif event == "restart":
                with ledger.write() as connection:
                    deliveries.restart(connection, None, [ONE])
            else:
                key = attempt(ledger, DOWN if event == "fail" else None)
                arrived += [key] if event == "arrive" and key else []
        let_time_come(ledger)
        while (key := attempt(ledger, None)) is not None:
            arrived.append(key)
        ledger.close()
        assert arrived == keys

"""Run requests: asked for once, submitted by one, answered by one run, ended once."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import sqlalchemy as sa

from orchestration_project.core.errors import Refused
from orchestration_project.stores import run_requests
from orchestration_project.stores.ledger import Ledger
from orchestration_project.stores.run_requests import RunRequest
from orchestration_project.stores.schema import RUN_REQUESTS

MINUTE = 60.0
ENDINGS = ["succeeded", "halted", "refused", "stopped", "failed"]


def request(ledger: Ledger, batch: str = "b1", cause: str = "arrival", attempt: int = 1) -> str:
    with ledger.write() as connection:
        return run_requests.request(connection, batch=batch, cause=cause, attempt=attempt)


def lease(ledger: Ledger, seconds: float = MINUTE) -> RunRequest | None:
    with ledger.write() as connection:
        return run_requests.lease_next(connection, seconds)


def begin(ledger: Ledger, key: str | None, run_id: str, batch: str = "b1", silent_seconds: float = MINUTE) -> str:
    with ledger.write() as connection:
        return run_requests.begin(connection, key=key, batch=batch, run_id=run_id, silent_seconds=silent_seconds)


def end(ledger: Ledger, key: str, state: str, cause: str | None = None) -> bool:
    with ledger.write() as connection:
        run_id = connection.execute(sa.select(RUN_REQUESTS.c.run_id).where(RUN_REQUESTS.c.key == key)).scalar()
        return run_requests.end(connection, key, state, cause, run_id=run_id)


def states(ledger: Ledger) -> dict[str, tuple[str, str | None]]:
    """Key → state and run of every request."""
    table = RUN_REQUESTS.c
    with ledger.read() as connection:
        rows = connection.execute(sa.select(table.key, table.state, table.run_id)).all()
    return {key: (state, run_id) for key, state, run_id in rows}


def test_asking_twice_is_asking_once(ledger: Ledger) -> None:
    assert request(ledger) == request(ledger) == "b1/arrival/1"
    assert states(ledger) == {"b1/arrival/1": ("requested", None)}


def test_batch_cause_and_attempt_make_a_request(ledger: Ledger) -> None:
    keys = {request(ledger), request(ledger, "b2"), request(ledger, cause="verdict"), request(ledger, attempt=2)}
    assert keys == set(states(ledger)) == {"b1/arrival/1", "b2/arrival/1", "b1/verdict/1", "b1/arrival/2"}


@pytest.mark.parametrize("ending", ENDINGS)
def test_asking_again_after_an_end_asks_for_the_next_attempt(ledger: Ledger, ending: str) -> None:
    end(ledger, request(ledger), ending)
    assert request(ledger) == request(ledger) == "b1/arrival/2"
    end(ledger, "b1/arrival/2", ending)
    assert request(ledger) == "b1/arrival/3"


def test_oldest_request_is_leased_first_and_each_once(ledger: Ledger) -> None:
    keys = [request(ledger, batch) for batch in ("b2", "b1", "b3")]
    leased = [lease(ledger) for _ in range(4)]
    assert [found.key if found else None for found in leased] == [*keys, None]
    assert {state for state, _ in states(ledger).values()} == {"submitted"}


def test_submitters_at_once_lease_each_request_once(ledger: Ledger) -> None:
    keys = {request(ledger, f"b{number}") for number in range(40)}

    def take(_: int) -> list[str]:
        taken: list[str] = []
        while found := lease(ledger):
            taken.append(found.key)
        return taken

    with ThreadPoolExecutor(8) as pool:
        taken = [key for keys_of_one in pool.map(take, range(8)) for key in keys_of_one]
    assert sorted(taken) == sorted(keys)


def test_abandoned_lease_is_given_to_the_next_submitter(ledger: Ledger) -> None:
    key = request(ledger)
    assert lease(ledger, seconds=-1)
    with ledger.read() as connection:
        assert [found.key for found in run_requests.overdue(connection, MINUTE)] == [key]
    found = lease(ledger)
    assert found is not None
    assert (found.key, found.state) == (key, "submitted")
    assert lease(ledger) is None


def test_extended_lease_is_not_abandoned(ledger: Ledger) -> None:
    key = request(ledger)
    lease(ledger, seconds=-1)
    with ledger.write() as connection:
        run_requests.extend_lease(connection, key, MINUTE)
        assert run_requests.overdue(connection, MINUTE) == []
    assert lease(ledger) is None


def test_request_whose_run_began_is_never_leased_again(ledger: Ledger) -> None:
    key = request(ledger)
    lease(ledger, seconds=-1)
    begin(ledger, key, "run1")
    assert lease(ledger) is None
    with ledger.read() as connection:
        assert run_requests.overdue(connection, MINUTE) == []


def test_run_that_begins_is_known_by_its_request(ledger: Ledger) -> None:
    key = request(ledger)
    lease(ledger)
    assert begin(ledger, key, "run1") == key
    assert states(ledger) == {key: ("running", "run1")}


def test_second_run_of_a_double_submission_is_refused(ledger: Ledger) -> None:
    key = request(ledger)
    begin(ledger, key, "run1")
    with pytest.raises(Refused, match=r"Run run1 already answers 'b1/arrival/1' \(running\)"):
        begin(ledger, key, "run2")
    assert states(ledger) == {key: ("running", "run1")}


def test_of_two_runs_that_begin_at_once_one_runs(ledger: Ledger) -> None:
    key = request(ledger)
    barrier = Barrier(4)

    def start(number: int) -> bool:
        barrier.wait()
        try:
            begin(ledger, key, f"run{number}")
        except Refused:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(start, range(4))) == [False, False, False, True]


def test_same_run_may_begin_again(ledger: Ledger) -> None:
    key = request(ledger)
    assert begin(ledger, key, "run1") == begin(ledger, key, "run1") == key


def test_run_takes_over_from_one_that_fell_silent(ledger: Ledger) -> None:
    key = request(ledger)
    begin(ledger, key, "run1")
    assert begin(ledger, key, "run2", silent_seconds=0) == key
    assert states(ledger) == {key: ("running", "run2")}


@pytest.mark.parametrize("ending", ENDINGS)
def test_late_run_of_an_ended_request_is_refused(ledger: Ledger, ending: str) -> None:
    key = request(ledger)
    begin(ledger, key, "run1")
    end(ledger, key, ending)
    with pytest.raises(Refused, match=rf"Run run1 already answers 'b1/arrival/1' \({ending}\)"):
        begin(ledger, key, "run2", silent_seconds=0)


def test_run_of_an_unknown_request_is_refused(ledger: Ledger) -> None:
    with pytest.raises(Refused, match=r"No run was requested as 'b1/arrival/7'.*without the tag orchestrate/request"):
        begin(ledger, "b1/arrival/7", "run1")


def test_run_that_nobody_requested_gets_a_request_of_its_own(ledger: Ledger) -> None:
    first, second = begin(ledger, None, "0123456789"), begin(ledger, None, "abcdefghij")
    assert states(ledger) == {
        first: ("running", "0123456789"),
        second: ("running", "abcdefghij"),
    }
    assert first == "b1/by-hand-01234567/1"
    assert begin(ledger, None, "0123456789") == first, "the same run again"


def test_run_is_silent_when_its_heart_has_not_beaten_for_so_long(ledger: Ledger) -> None:
    key = request(ledger)
    begin(ledger, key, "run1")
    request(ledger, "b2")
    with ledger.write() as connection:
        assert run_requests.silent(connection, MINUTE) == []
        assert [(found.key, found.run_id) for found in run_requests.silent(connection, 0)] == [(key, "run1")]
        before = connection.execute(
            sa.select(RUN_REQUESTS.c.heartbeat_at).where(RUN_REQUESTS.c.key == key)
        ).scalar_one()
        run_requests.beat(connection, key)
        after = connection.execute(sa.select(RUN_REQUESTS.c.heartbeat_at).where(RUN_REQUESTS.c.key == key)).scalar_one()
    assert after > before


def test_beat_of_a_run_that_was_given_up_does_not_bring_it_back(ledger: Ledger) -> None:
    key = request(ledger)
    begin(ledger, key, "run1")
    end(ledger, key, "failed", "gone")
    with ledger.write() as connection:
        run_requests.beat(connection, key)
        assert run_requests.silent(connection, -MINUTE) == []
    assert states(ledger) == {key: ("failed", "run1")}


@pytest.mark.parametrize("ending", ENDINGS)
def test_end_is_recorded_once_and_the_first_counts(ledger: Ledger, ending: str) -> None:
    key = request(ledger)
    assert end(ledger, key, ending, "first")
    assert not end(ledger, key, "succeeded", "second")
    with ledger.read() as connection:
        row = connection.execute(sa.select(RUN_REQUESTS.c.state, RUN_REQUESTS.c.cause)).one()
    assert tuple(row) == (ending, "first")


def test_of_two_that_end_a_run_at_once_one_does(ledger: Ledger) -> None:
    key = request(ledger)
    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(lambda _: end(ledger, key, "failed"), range(4))) == [False, False, False, True]


def test_open_requests_are_those_that_have_not_ended(ledger: Ledger) -> None:
    first, second, third = request(ledger), request(ledger, "b2"), request(ledger, cause="verdict")
    begin(ledger, first, "run1")
    end(ledger, second, "failed")
    with ledger.read() as connection:
        assert [found.key for found in run_requests.open_requests(connection)] == [first, third]
        assert [found.key for found in run_requests.open_requests(connection, "b1")] == [first, third]
        assert run_requests.open_requests(connection, "b2") == []


def test_last_state_is_that_of_the_latest_request(ledger: Ledger) -> None:
    with ledger.read() as connection:
        assert run_requests.last_state(connection, "b1") is None
    end(ledger, request(ledger), "refused")
    request(ledger, cause="promotion")
    request(ledger, "b2")
    with ledger.read() as connection:
        assert run_requests.last_state(connection, "b1") == "requested"


def test_batch_key_with_slashes_is_no_trouble(ledger: Ledger) -> None:
    key = request(ledger, "a/b/c")
    assert key == "a/b/c/arrival/1"
    assert begin(ledger, key, "run1", batch="a/b/c") == key


def test_another_attempt_keeps_the_tags_of_the_last_unless_others_are_given(ledger: Ledger) -> None:
    with ledger.write() as connection:
        for tags, kept in (({"a": "1"}, {"a": "1"}), (None, {"a": "1"}), ({"b": "2"}, {"b": "2"}), (None, {"b": "2"})):
            key = run_requests.request(connection, batch="b1", cause="rescore", tags=tags)
            (found,) = run_requests.open_requests(connection)
            assert (found.tags, found.run_tags()) == (kept, {**kept, run_requests.KEY_TAG: key})
            run_requests.end(connection, key, "failed")

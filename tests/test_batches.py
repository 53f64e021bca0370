"""Batches: which arrivals one takes, whose a message is, and where every message stands, on both databases."""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from orchestration_project.core.errors import NoArrivals
from orchestration_project.stores import batches, claims, halts, quarantine, run_requests
from orchestration_project.stores.batches import STATES, Batch
from orchestration_project.stores.home import Home
from orchestration_project.stores.quarantine import RefusedRow
from orchestration_project.stores.schema import ARRIVALS, BATCHES, CLAIMS, HALTS, QUARANTINE, RUN_REQUESTS

WHOLE_DATABASE = (ARRIVALS, BATCHES, CLAIMS, HALTS, QUARANTINE, RUN_REQUESTS)
PROPERTY = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def come_in(home: Home, *arrivals: int | tuple[int, str], first: int = 0) -> None:
    """Register arrivals of so many rows, one a second, named a0, a1, …; with their columns where these matter."""
    shared, rows = {"file": "f", "file_sha256": "s", "path": "p"}, list[dict[str, Any]]()
    for number, arrival in enumerate(arrivals, start=first):
        count, columns = arrival if isinstance(arrival, tuple) else (arrival, "text")
        at = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=number)
        rows.append({**shared, "arrival_id": f"a{number}", "registered_at": at, "rows": count, "columns": columns})
    with home.ledger.write() as connection:
        connection.execute(sa.insert(ARRIVALS), rows)


def open_all(home: Home, cap: int = 50_000) -> list[str]:
    """Open batches of at most so many rows until nothing waits; their keys."""
    capped = Home(replace(home.settings, batch_rows=cap))
    keys: list[str] = []
    while key := batches.open_next(capped):
        keys.append(key)
    capped.ledger.close()
    return keys


def taken(home: Home) -> list[list[str]]:
    """The arrivals of each batch, oldest batch first; those that wait are in none."""
    query = sa.select(ARRIVALS.c.arrival_id).order_by(ARRIVALS.c.registered_at)
    with home.ledger.read() as connection:
        keys = batches.all_keys(connection)
        return [list(connection.execute(query.where(ARRIVALS.c.batch == key)).scalars()) for key in keys]


def got(home: Home, batch: str) -> Batch | None:
    with home.ledger.read() as connection:
        return batches.get(connection, batch)


def forget_everything(home: Home) -> None:
    with home.ledger.write() as connection:
        for table in WHOLE_DATABASE:
            connection.execute(sa.delete(table))


# Which arrivals a batch takes


def test_opened_batch_holds_what_waited_and_asks_for_its_run(any_home: Home) -> None:
    assert batches.open_next(any_home) is None
    come_in(any_home, 3, 4)
    key = batches.open_next(any_home)
    assert key is not None
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{6}", key)
    assert taken(any_home) == [["a0", "a1"]]
    assert got(any_home, key) == Batch(key, rows=7, duplicates=0, state="working", cause=None)
    with any_home.ledger.read() as connection:
        (request,) = run_requests.open_requests(connection, key)
    assert (request.key, request.state) == (f"{key}/arrival/1", "requested")
    assert batches.open_next(any_home) is None


def test_lone_message_waits_for_nobody_and_under_load_the_next_batch_is_the_backlog(any_home: Home) -> None:
    come_in(any_home, 1)
    batches.open_due(any_home)
    come_in(any_home, 1, first=1)
    batches.open_due(any_home)
    for number in range(2, 6):
        come_in(any_home, 1, first=number)
        batches.open_due(any_home)
    assert taken(any_home) == [["a0"], ["a1"]]
    with any_home.ledger.write() as connection:
        (first, _) = run_requests.open_requests(connection)
        run_requests.end(connection, first.key, "succeeded")
    batches.open_due(any_home)
    assert taken(any_home) == [["a0"], ["a1"], ["a2", "a3", "a4", "a5"]]


IBAN, TEXT_IBAN = "iban", "text, iban"


@pytest.mark.parametrize(
    ("arrivals", "expected"),
    [
        ([4, 6, 1], [["a0", "a1"], ["a2"]]),  # up to the cap, not beyond
        ([4, 7, 1], [["a0"], ["a1", "a2"]]),  # nobody overtakes one that does not fit
        ([25, 1], [["a0"], ["a1"]]),  # a larger one is taken, alone
        ([1, 25, 1], [["a0"], ["a1"], ["a2"]]),
        ([10, 10], [["a0"], ["a1"]]),
        ([1, (1, TEXT_IBAN), 1, (1, IBAN), (1, TEXT_IBAN)], [["a0", "a2"], ["a1", "a4"], ["a3"]]),  # equal columns only
    ],
)
def test_batch_takes_arrivals_in_order_with_equal_columns_up_to_the_cap_and_a_larger_one_alone(
    any_home: Home, arrivals: list[int | tuple[int, str]], expected: list[list[str]]
) -> None:
    come_in(any_home, *arrivals)
    open_all(any_home, cap=10)
    assert taken(any_home) == expected


def test_more_arrivals_than_one_statement_names_are_one_batch(any_home: Home) -> None:
    come_in(any_home, *[1] * 1201)
    open_all(any_home)
    assert [len(batch) for batch in taken(any_home)] == [1201]


@PROPERTY
@given(st.lists(st.tuples(st.integers(1, 15), st.sampled_from(["text", TEXT_IBAN, IBAN])), min_size=1, max_size=12))
def test_every_arrival_is_in_one_batch_in_order_with_equal_columns_within_the_cap(
    any_home: Home, arrivals: list[tuple[int, str]]
) -> None:
    forget_everything(any_home)
    come_in(any_home, *arrivals)
    open_all(any_home, cap=10)
    found = [[int(arrival[1:]) for arrival in batch] for batch in taken(any_home)]
    assert sorted(number for batch in found for number in batch) == list(range(len(arrivals)))
    for batch in found:
        assert len(batch) == 1 or sum(arrivals[number][0] for number in batch) <= 10
        assert len({arrivals[number][1] for number in batch}) == 1
    for columns in {columns for _, columns in arrivals}:
        alike = [number for batch in found for number in batch if arrivals[number][1] == columns]
        assert alike == sorted(alike)
    firsts = [batch[0] for batch in found]
    assert firsts == sorted(firsts), "the oldest that waits is always in the next batch"


def test_of_openers_at_once_each_arrival_is_taken_by_one(any_home: Home) -> None:
    barrier = Barrier(4)
    come_in(any_home, *[10] * 8)

    def open_some(_: int) -> list[str]:
        barrier.wait()
        return open_all(any_home, cap=10)

    with ThreadPoolExecutor(4) as pool:
        keys = {key for opened in pool.map(open_some, range(4)) for key in opened}
    assert len(keys) == 8
    assert sorted(taken(any_home)) == [[f"a{number}"] for number in range(8)]


# A key that somebody typed


def test_typed_key_takes_what_waits_once_and_asks_for_no_run_since_one_is_there(any_home: Home) -> None:
    come_in(any_home, 2)
    batches.open_by_key(any_home, "my own / key")
    come_in(any_home, 3, first=1)
    batches.open_by_key(any_home, "my own / key")
    assert got(any_home, "my own / key") == Batch("my own / key", 2, 0, "working", None)
    with any_home.ledger.read() as connection:
        assert run_requests.open_requests(connection) == []
    assert open_all(any_home) != []


def test_new_key_with_nothing_waiting_is_refused_and_makes_no_batch(any_home: Home) -> None:
    with pytest.raises(NoArrivals, match=r"^Batch 'b1' is new, and no message waits.*orchestrate send --no-wait FILE$"):
        batches.open_by_key(any_home, "b1")
    assert got(any_home, "b1") is None
    assert taken(any_home) == []


# Whose a message is


def claim(home: Home, batch: str, *ids: str) -> set[str]:
    with home.ledger.write() as connection:
        return set(claims.claim_messages(connection, home, batch, list(ids), asset="feedback").held)


def holder(home: Home, message_id: str) -> str | None:
    with home.ledger.read() as connection:
        return claims.batch_of(connection, message_id)


def test_message_belongs_to_the_batch_that_claimed_it_first_and_a_second_run_keeps_it(any_home: Home) -> None:
    assert claim(any_home, "b1", "m1", "m2", "m1") == {"m1", "m2"}
    assert claim(any_home, "b2", "m2", "m3") == {"m3"}
    assert claim(any_home, "b1", "m1", "m3") == {"m1", "m2"}
    assert claim(any_home, "b3") == set()
    assert [holder(any_home, f"m{number}") for number in range(1, 5)] == ["b1", "b1", "b2", None]


# Where every message stands


def opened(home: Home, *rows: int) -> list[str]:
    """Batches of so many rows each, opened one by one: a file without rows would leave room for the next."""
    keys: list[str] = []
    for number, count in enumerate(rows):
        come_in(home, count, first=number)
        keys += open_all(home, cap=1)
    return keys


def put(
    home: Home, batch: str, state: str = "working", duplicates: int = 0, quarantined: int = 0, *, halted: bool = False
) -> None:
    with home.ledger.write() as connection:
        batches.set_state(connection, batch, state)
        batches.set_duplicates(connection, batch, duplicates)
        refused = [RefusedRow(f"{batch}-{number}", number, "bad") for number in range(quarantined)]
        claims.claim_messages(connection, home, batch, [row.message_id or "" for row in refused], asset="feedback")
        named = {"asset": "feedback", "partition": batch, "run_id": "run"}
        quarantine.replace_refused(connection, **named, path="p", rows=refused)
        if halted:
            halts.record_halt(connection, **named, reason="drift")


def counts(home: Home, only: Sequence[str] | None = None) -> dict[str, int]:
    """State → number of messages, where there are any."""
    with home.ledger.read() as connection:
        found = batches.count_states(connection, only)
    assert tuple(found) == STATES
    return {state: number for state, number in found.items() if number}


def test_message_is_in_one_state_whatever_became_of_its_batch(any_home: Home) -> None:
    keys = opened(any_home, 10, 20, 30, 40, 50, 60)
    come_in(any_home, 5, first=6)
    put(any_home, keys[1], "done", duplicates=2, quarantined=3)
    put(any_home, keys[2], "set_aside", duplicates=1)
    put(any_home, keys[3], "discarded", quarantined=4, halted=True)
    put(any_home, keys[4], "working", duplicates=6, quarantined=7, halted=True)
    put(any_home, keys[5], "done", halted=True)
    found = {"waiting": 5, "working": 10, "done": 15, "set_aside": 29, "discarded": 36}
    found |= {"duplicates": 2 + 1 + 6, "quarantined": 3 + 4 + 7, "halted": 37 + 60}
    assert counts(any_home) == found
    assert counts(any_home, only=[keys[4], "unknown"]) == {"duplicates": 6, "quarantined": 7, "halted": 37}
    assert counts(any_home, only=[]) == {}


states = st.sampled_from(["working", "done", "set_aside", "discarded"])
fates = st.tuples(st.integers(0, 9), states, st.integers(0, 9), st.integers(0, 9), st.booleans())


@PROPERTY
@example(found=[(0, "working", 0, 0, False)] * 2, waiting=0, some=set())
@given(st.lists(fates, min_size=1, max_size=5), st.integers(0, 20), st.sets(st.integers(0, 4)))
def test_states_add_up_to_all_that_came_in(
    any_home: Home, found: list[tuple[int, str, int, int, bool]], waiting: int, some: set[int]
) -> None:
    forget_everything(any_home)
    rows = [own + duplicates + quarantined for own, _, duplicates, quarantined, _ in found]
    keys = opened(any_home, *rows)
    for key, (_, state, duplicates, quarantined, halted) in zip(keys, found, strict=True):
        put(any_home, key, state, duplicates, quarantined, halted=halted)
    come_in(any_home, waiting, first=len(rows))
    assert sum(counts(any_home).values()) == sum(rows) + waiting
    chosen = [number for number in some if number < len(rows)]
    assert sum(counts(any_home, [keys[number] for number in chosen]).values()) == sum(rows[number] for number in chosen)


# Whether they are worked on


def answer(home: Home, batch: str, state: str) -> None:
    """End the batch's oldest open request in a state."""
    with home.ledger.write() as connection:
        (request, *_) = run_requests.open_requests(connection, batch)
        assert run_requests.end(connection, request.key, state)


@pytest.mark.parametrize(
    ("state", "halted", "ended"),
    [("working", False, False), ("working", True, True)]
    + [(state, False, True) for state in ("done", "set_aside", "discarded")],
)
def test_batch_has_ended_when_no_run_is_asked_for_and_it_is_answered(
    any_home: Home, state: str, halted: bool, ended: bool
) -> None:
    first, second = opened(any_home, 1, 1)
    put(any_home, first, state, halted=halted)
    with any_home.ledger.read() as connection:
        assert not batches.all_ended(connection, [first]), "its run is still asked for"
    answer(any_home, first, "succeeded")
    with any_home.ledger.read() as connection:
        assert batches.all_ended(connection, [first]) is ended
        assert not batches.all_ended(connection, [first, second])
        assert batches.all_ended(connection, ["unknown"])
        assert batches.all_ended(connection, [])


def test_only_what_was_set_aside_for_a_refusal_is_resumed_oldest_first(any_home: Home) -> None:
    first, failed, done, stopped, last = opened(any_home, 1, 1, 1, 1, 1)
    for key, ended, state in (
        (last, "refused", "set_aside"),
        (first, "refused", "set_aside"),
        (failed, "failed", "set_aside"),
        (done, "refused", "done"),
        (stopped, "halted", "set_aside"),
    ):
        answer(any_home, key, ended)
        put(any_home, key, state)
    with any_home.ledger.write() as connection:
        assert [found.batch for found in batches.set_aside(connection)] == [first, failed, stopped, last]
        assert batches.resume_refused(connection, "promotion-v1") == [first, last]
        kept = [found.batch for found in batches.set_aside(connection)]
    assert kept == [failed, stopped]

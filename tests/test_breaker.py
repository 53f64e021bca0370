"""A performer's circuit, as batches in processes of their own meet it; the audit entries and the notice of it."""

import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa
from scripted_cascades import SAFE, column, decide, messages, scripted

from orchestration_project.core.errors import PerformerUnavailable
from orchestration_project.core.settings import Settings
from orchestration_project.governance import audit
from orchestration_project.performers import turns
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.scripted import Script, same_answer
from orchestration_project.stores import breakers
from orchestration_project.stores.breakers import longest_wait_seconds
from orchestration_project.stores.home import Home
from orchestration_project.stores.schema import AUDIT, BREAKERS, OUTBOX

PROCESSES = 8
THERE = same_answer("red", 0.9)


def away(rows: pd.DataFrame) -> pd.DataFrame:
    raise PerformerUnavailable("busy")


def nonsense(rows: pd.DataFrame) -> pd.DataFrame:
    raise ValueError("cannot read this")


def dies(rows: pd.DataFrame) -> pd.DataFrame:
    os._exit(9)


SCRIPTS: dict[str, Script] = {"there": THERE, "away": away, "nonsense": nonsense, "dies": dies}


def batch(settings: Settings, behaviour: str, until: Path | None = None) -> tuple[int, str]:
    """Decide on a batch in this process: how often the performer was called, and who answered the first row.

    Where a file is named, the performer answers when it is there.
    """

    def script(rows: pd.DataFrame) -> pd.DataFrame:
        while until is not None and not until.exists():
            time.sleep(0.02)
        return SCRIPTS[behaviour](rows)

    home = Home(settings)
    found = decide(Cascade(scripted("first", script), safe_state=SAFE), home)
    home.ledger.close()
    return found.work[0].calls, column(found, "performer")[0]


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["orchestration_project.performers.cascade"])
    with ProcessPoolExecutor(PROCESSES, context) as executor:
        yield executor


def state(home: Home) -> str:
    with home.ledger.read() as connection:
        breaker = breakers.get(connection, "first")
    return breaker.state if breaker else "closed"


def open_circuit(home: Home, *, is_due: bool = True) -> None:
    for _ in range(home.settings.breaker_failures):
        assert batch(home.settings, "away")[1] == SAFE.name
    assert state(home) == "open"
    if is_due:
        let_wait_be_over(home)


def let_wait_be_over(home: Home) -> None:
    wait_seconds = longest_wait_seconds(home.settings.breaker_wait_seconds)
    with home.ledger.read() as connection:
        probe_at = connection.execute(sa.select(BREAKERS.c.probe_at)).scalar_one()
    with home.ledger.write() as connection:
        connection.execute(sa.update(BREAKERS).values(probe_at=probe_at - timedelta(seconds=wait_seconds)))


def audited(home: Home) -> list[tuple[str, dict[str, object]]]:
    """Every entry about a circuit."""
    query = sa.select(AUDIT.c.action, AUDIT.c.detail).where(AUDIT.c.subject == "first").order_by(AUDIT.c.sequence)
    with home.ledger.read() as connection:
        assert audit.breaks(connection) == []
        return [(action, json.loads(detail)) for action, detail in connection.execute(query)]


def notices(home: Home) -> list[str]:
    with home.ledger.read() as connection:
        return list(connection.execute(sa.select(OUTBOX.c.body).where(OUTBOX.c.key.like("circuit/%"))).scalars())


def test_batches_of_several_processes_open_a_circuit_and_no_process_asks_then(
    any_home: Home, processes: ProcessPoolExecutor
) -> None:
    patient = replace(any_home.settings, breaker_wait_seconds=3600)
    first = [processes.submit(batch, patient, "away").result() for _ in range(patient.breaker_failures)]
    assert [calls > 0 for calls, _ in first] == [True] * patient.breaker_failures
    assert state(any_home) == "open"
    later = [processes.submit(batch, patient, "there") for _ in range(PROCESSES)]
    assert [future.result() for future in later] == [(0, SAFE.name)] * PROCESSES


@pytest.mark.parametrize(("behaviour", "becomes"), [("there", "closed"), ("nonsense", "closed"), ("away", "open")])
def test_of_eight_processes_exactly_one_probes_and_what_it_finds_counts_for_all(
    any_home: Home, processes: ProcessPoolExecutor, tmp_path: Path, behaviour: str, becomes: str
) -> None:
    open_circuit(any_home)
    release = tmp_path / "release"
    running: set[Future[tuple[int, str]]] = {
        processes.submit(batch, any_home.settings, behaviour, release) for _ in range(PROCESSES)
    }
    passed_by: list[tuple[int, str]] = []
    while len(running) > 1:
        done, running = wait(running, return_when=FIRST_COMPLETED)
        passed_by += [future.result() for future in done]
    assert passed_by == [(0, SAFE.name)] * (PROCESSES - 1)
    assert state(any_home) == "half_open"
    release.touch()
    calls, answered_by = running.pop().result()
    assert calls > 0
    assert answered_by == ("first" if behaviour == "there" else SAFE.name)
    assert state(any_home) == becomes


def test_a_prober_that_died_is_followed_by_another_when_its_lease_is_over(any_home: Home) -> None:
    open_circuit(any_home)
    context = multiprocessing.get_context("forkserver")
    prober = context.Process(target=batch, args=(any_home.settings, "dies"))
    prober.start()
    prober.join()
    assert (prober.exitcode, state(any_home)) == (9, "half_open")
    assert batch(any_home.settings, "there") == (0, SAFE.name)
    let_wait_be_over(any_home)
    assert batch(any_home.settings, "there") == (1, "first")
    assert state(any_home) == "closed"


def test_a_circuit_is_told_once_and_audited_each_time(any_home: Home) -> None:
    open_circuit(any_home)
    assert len(notices(any_home)) == 1
    assert "Why: away in 3 batches in a row; the last time: PerformerUnavailable" in notices(any_home)[0]
    assert "at most 32 minutes" in notices(any_home)[0]
    batch(any_home.settings, "away")
    let_wait_be_over(any_home)
    batch(any_home.settings, "there")
    entries = audited(any_home)
    assert [action for action, _ in entries] == ["circuit opened", "circuit opened", "circuit closed"]
    assert [detail["openings"] for _, detail in entries] == [1, 2, 2]
    assert len({detail["opened_at"] for _, detail in entries}) == 1
    assert len(notices(any_home)) == 1
    open_circuit(any_home, is_due=False)
    assert len(notices(any_home)) == 2


def test_answers_between_failures_keep_a_circuit_closed(home: Home) -> None:
    for _ in range(home.settings.breaker_failures):
        assert batch(home.settings, "away")[1] == SAFE.name
        assert batch(home.settings, "there")[1] == "first"
    assert state(home) == "closed"


def test_a_performer_that_chokes_on_what_was_sent_is_there(home: Home) -> None:
    for _ in range(2 * home.settings.breaker_failures):
        assert batch(home.settings, "nonsense") == (1, SAFE.name)
    assert state(home) == "closed"
    assert audited(home) == []


def test_a_performer_that_is_away_before_the_end_of_each_batch_is_away(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "CHUNK_ROWS", 2)

    def tired(rows: pd.DataFrame) -> pd.DataFrame:
        return away(rows) if "m2" in set(rows["message_id"]) else THERE(rows)

    for _ in range(home.settings.breaker_failures):
        found = decide(Cascade(scripted("first", tired), safe_state=SAFE), home)
        assert column(found, "performer") == ["first", "first", SAFE.name]
    assert (found.work[0].opened, state(home)) == (True, "open")


def test_a_probe_closes_with_the_first_call_that_is_answered(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    open_circuit(home)
    monkeypatch.setattr(turns, "CHUNK_ROWS", 1)
    states: list[str] = []

    def script(rows: pd.DataFrame) -> pd.DataFrame:
        states.append(state(home))
        return THERE(rows)

    decide(Cascade(scripted("first", script), safe_state=SAFE), home)
    assert states == ["half_open", "closed", "closed"]


def test_rows_that_an_open_circuit_passed_by_say_so_and_since_when(home: Home) -> None:
    open_circuit(home, is_due=False)
    found = decide(Cascade(scripted("first", THERE), safe_state=SAFE), home)
    with home.ledger.read() as connection:
        breaker = breakers.get(connection, "first")
    assert breaker is not None and breaker.opened_at is not None
    since = breaker.opened_at.isoformat(timespec="seconds")
    assert found.work[0].failure == f"first was not asked: circuit open since {since}"
    assert column(found, "degraded") == [True] * 3
    assert all("circuit open since" in reason for reason in column(found, "reason"))


def test_the_end_of_an_assets_time_is_no_fault_of_its_performer(home: Home) -> None:
    hurried = Home(replace(home.settings, asset_seconds=1e-6, breaker_failures=1))
    found = decide(Cascade(scripted("first", THERE), safe_state=SAFE), hurried)
    hurried.ledger.close()
    assert column(found, "performer") == [SAFE.name] * len(messages())
    assert (found.work[0].calls, state(home)) == (0, "closed")

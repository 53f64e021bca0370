"""Asking a performer: its attempts share its time, what is worth another call, and what is told of all that."""

from collections.abc import Callable
from threading import Event, current_thread, main_thread

import pandas as pd
import pytest
from scripted_cascades import failing, failing_first, messages, scripted

from orchestration_project.core.errors import PerformerFailed, PerformerTimeout, PerformerUnavailable
from orchestration_project.performers.asking import ATTEMPTS, Work, ask, reasons, told
from orchestration_project.performers.performer import BrokenContract
from orchestration_project.performers.scripted import Script, same_answer
from orchestration_project.stores.champions import in_use
from orchestration_project.stores.home import Home

LONG = 60.0
THERE = same_answer("red", 0.9)


def asked(home: Home, script: Script, seconds: float = LONG) -> tuple[Work, pd.DataFrame | PerformerFailed]:
    """What asking cost, and the answers or how it failed."""
    performer, work = scripted("first", script), Work("first", "1")
    try:
        return work, ask(performer, performer.prepare(home), messages(), seconds, work)
    except PerformerFailed as failure:
        return work, failure


def test_a_failure_that_passes_costs_a_call_each_time(home: Home) -> None:
    work, answers = asked(home, failing_first(ATTEMPTS - 1, ConnectionResetError("gone"), THERE))
    assert isinstance(answers, pd.DataFrame)
    assert answers["label"].tolist() == ["red"] * 3
    assert (work.calls, work.failed_calls) == (ATTEMPTS, ["ConnectionResetError"] * (ATTEMPTS - 1))


@pytest.mark.parametrize(
    ("error", "calls", "kind"),
    [
        (TimeoutError("slow"), ATTEMPTS, PerformerUnavailable),
        (PerformerUnavailable("busy"), ATTEMPTS, PerformerUnavailable),
        (ValueError("no"), 1, PerformerFailed),
        (MemoryError(), 1, PerformerFailed),
    ],
)
def test_only_what_may_pass_is_worth_another_call(
    home: Home, error: Exception, calls: int, kind: type[PerformerFailed]
) -> None:
    work, failure = asked(home, failing(error))
    assert type(failure) is kind
    assert failure.__cause__ is error
    assert (work.calls, work.failed_calls) == (calls, [type(error).__name__] * calls)


def test_a_call_whose_time_is_over_is_not_repeated(home: Home) -> None:
    hanging = Event()
    work, failure = asked(home, lambda rows: THERE(rows) if hanging.wait() else rows, seconds=0.05)
    hanging.set()
    assert isinstance(failure, PerformerTimeout)
    assert (work.calls, work.failed_calls) == (1, [told(failure)])
    assert told(failure).startswith("first gave no answer within ")


def test_all_attempts_share_one_limit(home: Home) -> None:
    work, failure = asked(home, failing(PerformerUnavailable("busy")), seconds=0.05)
    assert isinstance(failure, PerformerTimeout)
    assert (work.calls, work.failed_calls) == (1, ["PerformerUnavailable", "first had no time left."])


def test_a_performer_may_read_the_ledger_though_it_answers_in_a_thread(any_home: Home) -> None:
    threads = []

    def script(rows: pd.DataFrame) -> pd.DataFrame:
        threads.append(current_thread())
        with any_home.ledger.read() as connection:
            assert in_use(connection) == []
        return THERE(rows)

    for _ in range(3):
        assert isinstance(asked(any_home, script)[1], pd.DataFrame)
    assert main_thread() not in threads


def test_what_is_told_quotes_neither_error_nor_answer_and_the_rows_say_all() -> None:
    failure = PerformerFailed("first failed: KeyError")
    failure.__cause__ = KeyError("a text of somebody")
    rows = messages().index
    assert told(failure) == "KeyError"
    assert reasons(failure, rows).tolist() == ["first failed: KeyError('a text of somebody')"] * 3
    broken = BrokenContract("first answered 1 of 3 rows with none of its labels.", pd.Series({1: "a text"}))
    assert told(broken) == "first answered 1 of 3 rows with none of its labels."
    assert reasons(broken, rows)[1] == "first answered 1 of 3 rows with none of its labels: a text"


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        (lambda work: None, {}),
        (lambda work: setattr(work, "failure", "KeyError"), {"failure of first": "KeyError"}),
        (lambda work: setattr(work, "opened", True), {"circuit of first": "opened"}),
        (
            lambda work: work.failed_calls.extend(["TimeoutError", "HTTPError", "TimeoutError"]),
            {"failed calls of first": "2 × TimeoutError, 1 × HTTPError"},
        ),
    ],
)
def test_facts_say_what_happened_and_leave_out_what_did_not(
    change: Callable[[Work], None], facts: dict[str, str]
) -> None:
    work = Work("first", "1", seconds=0.25, calls=4)
    change(work)
    assert work.facts() == {"latency_seconds of first": 0.25, "calls of first": 4, **facts}

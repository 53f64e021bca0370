"""Asking a performer about one chunk: its time, its attempts, and how it failed.

A failure that may pass is tried again after a wait that doubles each time, with jitter. All attempts share the
performer's time; one whose time is over is not asked again at once, for what was left behind may still be at work.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd
import stamina

from orchestration_project.core.errors import (
    OrchestrationError,
    PerformerFailed,
    PerformerTimeout,
    PerformerUnavailable,
    SwitchedOff,
)
from orchestration_project.performers.failures import is_transient
from orchestration_project.performers.performer import BrokenContract, Performer, Prepared, hold_to_contract
from orchestration_project.performers.time_limit import within

ATTEMPTS = 3
"""Calls of a performer that is unavailable before it is given up for the batch."""

FIRST_WAIT_SECONDS = 0.1
"""Least seconds before the second attempt, twice as many before the third; up to `JITTER_SECONDS` more each time."""

JITTER_SECONDS = 0.1


@dataclass
class Work:
    """What one performer did in a batch: rows asked and accepted (from a confidence of `threshold`; None: none), seconds
    spent, and how it failed if it did.

    `calls` counts every attempt; `failed_calls` says how each failed that did, and why one was not made; `opened`
    whether that opened the performer's circuit; `in_shadow` that its answers were only recorded. `failure` is for metadata
    and audit: a broken contract in our words, or the type of what the performer raised. It quotes neither an error nor an
    answer, which may repeat a message; the reason of a row does.
    """

    performer: str
    version: str
    asked: int = 0
    accepted: int = 0
    seconds: float = 0.0
    failure: str | None = None
    calls: int = 0
    failed_calls: list[str] = field(default_factory=lambda: list[str]())
    opened: bool = False
    threshold: float | None = None
    in_shadow: bool = False

    def facts(self) -> dict[str, float | int | str]:
        """The same as the materialisation shows it; what did not happen is left out."""
        who = f"{self.performer} in shadow" if self.in_shadow else self.performer
        facts: dict[str, float | int | str] = {
            f"latency_seconds of {who}": round(self.seconds, 4),
            f"calls of {who}": self.calls,
        }
        if self.failed_calls:
            counts = {what: self.failed_calls.count(what) for what in dict.fromkeys(self.failed_calls)}
            facts[f"failed calls of {who}"] = ", ".join(f"{n} × {what}" for what, n in counts.items())
        if self.failure:
            facts[f"failure of {who}"] = self.failure
        if self.opened:
            facts[f"circuit of {who}"] = "opened"
        return facts


def ask(
    performer: Performer,
    ready: Prepared,
    rows: pd.DataFrame,
    seconds: float,
    work: Work,
    refusal: Callable[[], SwitchedOff | None] = lambda: None,
) -> pd.DataFrame:
    """The performer's answers, held to its contract; whatever it raises but a refusal becomes PerformerFailed with its
    cause. Each call is counted in `work`, and each that failed adds how. `refusal` is asked before every call, and what
    it gives is raised in place of the call.
    """
    until = time.monotonic() + seconds

    def answer() -> pd.DataFrame:
        work.calls += 1
        try:
            return hold_to_contract(performer, ready, rows, ready.answer(rows.copy()))
        except BrokenContract:
            raise
        except Exception as error:
            if isinstance(error, OrchestrationError) and not isinstance(error, PerformerFailed):
                raise
            if is_transient(error):
                raise PerformerUnavailable(f"{performer.name} is unavailable: {type(error).__name__}") from error
            raise PerformerFailed(f"{performer.name} failed: {type(error).__name__}") from error

    def call() -> pd.DataFrame:
        if (refused := refusal()) is not None:
            raise refused
        try:
            return within(until - time.monotonic(), answer, performer.name)
        except PerformerFailed as failure:
            work.failed_calls.append(told(failure))
            raise

    again = stamina.retry(
        on=_is_worth_another_call,
        attempts=ATTEMPTS,
        timeout=seconds,
        wait_initial=FIRST_WAIT_SECONDS,
        wait_jitter=JITTER_SECONDS,
    )
    return again(call)()


def told(failure: PerformerFailed) -> str:
    """How a performer failed, for metadata and audit: in our words, or by the type of what it raised. It quotes neither
    an error nor an answer, which may repeat a message.
    """
    return type(failure.__cause__).__name__ if failure.__cause__ else str(failure)


def reasons(failure: PerformerFailed, rows: pd.Index) -> pd.Series:
    """How a performer failed, as the rows keep it: with what its error says, and with the row's own strange answer."""
    what = str(failure).rstrip(".")
    cause = failure.__cause__
    if cause is not None:
        what = what.removesuffix(type(cause).__name__) + repr(cause)
    found = pd.Series(what, rows, dtype="str")
    if isinstance(failure, BrokenContract):
        own = failure.answers[failure.answers.index.isin(rows)].dropna()
        found[own.index] += ": " + own
    return found


def _is_worth_another_call(error: Exception) -> bool:
    return isinstance(error, PerformerUnavailable) and not isinstance(error, PerformerTimeout)

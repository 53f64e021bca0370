"""A performer's circuit during one batch: whether it is asked, who probes, and what the others are told.

Only a performer that is away counts: unavailable, or too slow. One that answers nonsense, or fails at once, is there,
and its next batch may be another; nobody can open a circuit for everyone by sending a text that it chokes on.
"""

from typing import Any

from orchestration_project.core.errors import PerformerFailed, PerformerUnavailable
from orchestration_project.governance import audit
from orchestration_project.performers.asking import told
from orchestration_project.stores import breakers, outbox
from orchestration_project.stores.breakers import Breaker, longest_wait_seconds
from orchestration_project.stores.home import Home
from orchestration_project.stores.outbox import Notice

GRACE_SECONDS = 30.0
"""How much longer than its time limit a prober may take before another probes."""


class Circuit:
    """A performer's circuit as it is when the performer's turn begins."""

    def __init__(self, home: Home, performer: str, limit_seconds: float) -> None:
        self._home = home
        self._performer = performer
        self._lease_seconds = limit_seconds + GRACE_SECONDS
        self._is_probe = False
        with home.ledger.read() as connection:
            self._found = breakers.get(connection, performer)

    def refusal(self) -> PerformerFailed | None:
        """Why the performer is not to be asked; None when it is. Who gets None from an open circuit probes it."""
        found, wait = self._found, self._home.settings.breaker_wait_seconds
        if found is None or found.opened_at is None:
            return None
        if found.is_due(wait, self._lease_seconds):
            with self._home.ledger.write() as connection:
                self._is_probe = breakers.claim_probe(
                    connection, self._performer, first_wait_seconds=wait, lease_seconds=self._lease_seconds
                )
        if self._is_probe:
            return None
        since = found.opened_at.isoformat(timespec="seconds")
        return PerformerFailed(f"{self._performer} was not asked: circuit open since {since}")

    def call_answered(self) -> None:
        """The performer answered a call; a probe is over with that, however long the rest of the batch takes."""
        if self._is_probe:
            self._close()

    def batch_answered(self) -> None:
        """The performer answered its whole batch. Written only where a failure was counted before."""
        if self._found is not None:
            self._close()

    def failed(self, failure: PerformerFailed) -> bool:
        """The performer failed, for this batch; returns whether its circuit opened by that."""
        if not isinstance(failure, PerformerUnavailable):
            self.batch_answered()
            return False
        settings = self._home.settings
        with self._home.ledger.write() as connection:
            opened = breakers.record_failure(
                connection,
                self._performer,
                most_failures=settings.breaker_failures,
                first_wait_seconds=settings.breaker_wait_seconds,
                is_probe=self._is_probe,
            )
            if opened is not None:
                facts = {**_facts(opened), "last": told(failure)}
                audit.append(connection, "circuit opened", self._performer, facts)
                notices = [_notice(opened, facts, settings.breaker_wait_seconds)] if opened.openings == 1 else []
                outbox.record(connection, asset=outbox.OF_A_RUN, partition="", notices=notices)
        self._is_probe = False
        return opened is not None

    def _close(self) -> None:
        with self._home.ledger.write() as connection:
            closed = breakers.record_success(connection, self._performer, is_probe=self._is_probe)
            if closed is not None:
                audit.append(connection, "circuit closed", self._performer, _facts(closed))
        self._is_probe, self._found = False, None


def _facts(breaker: Breaker) -> dict[str, Any]:
    moments = {name: moment and moment.isoformat() for name, moment in vars(breaker).items() if name.endswith("_at")}
    return {"failures": breaker.failures, "openings": breaker.openings, **moments}


def _notice(opened: Breaker, facts: dict[str, Any], first_wait_seconds: float) -> Notice:
    """For whoever runs the project: once when a circuit opens, and not again when a probe finds it as it was."""
    lines = (
        f"Why: away in {opened.failures} batches in a row; the last time: {facts['last']}",
        "What follows: its rows go to the next performer, and say so",
        f"Asked again: by the first batch from {facts['probe_at']}; then after twice the wait each time, at most "
        f"{longest_wait_seconds(first_wait_seconds) / 60:.3g} minutes",
        "Look: orchestrate status",
    )
    body = "\n".join(f"- {line}" for line in lines)
    key = f"circuit/{opened.performer}/{facts['opened_at']}"
    return Notice(
        key, f"{opened.performer} is away: its circuit is open", body, {"performer": opened.performer, **facts}
    )

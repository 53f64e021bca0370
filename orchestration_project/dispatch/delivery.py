"""Sending notices to the targets of the setting ORCHESTRATE_NOTIFY, with Apprise.

The sensor's tick sends, not the step that has something to tell: a receiver that is slow or down costs a run nothing,
and what waits goes on after the run has ended. It sends to all targets at once and for a short time, so that a receiver
that hangs does not keep it from starting runs.
"""

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor

from orchestration_project.core.targets import service_of
from orchestration_project.governance import audit, people
from orchestration_project.stores import deliveries, outbox
from orchestration_project.stores.deliveries import Attempt
from orchestration_project.stores.home import Home

SENDING_SECONDS = 2.0
"""A tick begins no attempt after this time; the next one goes on."""

ATTEMPT_SECONDS = 10.0
"""An attempt that takes longer has failed. Apprise itself waits 4 seconds for a connection and 4 for an answer."""

KEY_HEADER = "Idempotency-Key"
"""Header of a webhook that is the same in every attempt to deliver a notice
(draft-ietf-httpapi-idempotency-key-header): a receiver that honours it takes each notice once."""

_STATUS = re.compile(r"\berror=(\d{3})\b")


def deliver(home: Home, tell: Callable[[str], object], seconds: float = SENDING_SECONDS) -> None:
    """Deliver what waits: to files and `tell`, then to each target whose turn it is, for so many seconds; `tell` hears
    what became of each attempt.
    """
    outbox.deliver(home, tell)
    for line in _send(home, outbox.targets_of(home), seconds):
        tell(line)


def _send(home: Home, targets: dict[str, str], seconds: float) -> list[str]:
    """Make the attempts that are due, at all targets (name → URL) at once; returns what became of each, in words."""
    with home.ledger.read() as connection:
        due = deliveries.due(connection, targets)
    if not due:
        return []
    until = time.monotonic() + seconds
    with ThreadPoolExecutor(len(due), "delivery") as pool:
        told = list(pool.map(lambda target: _send_to(home, target, targets[target], until), due))
    return [line for lines in told for line in lines]


def retry(home: Home, delivery_ids: Sequence[int] | None, reason: str) -> list[int]:
    """Let deliveries start anew, audited with the reason: those named, or (None) every one that is open. Returns their
    numbers.
    """
    person = people.require(home.settings, "operator")
    with home.ledger.write() as connection:
        restarted = deliveries.restart(connection, delivery_ids, outbox.targets_of(home))
        for number, target, key in restarted:
            detail = {"delivery": number, "target": target, "reason": reason}
            audit.append(connection, "delivery retried", key, detail, person.name)
    return [number for number, _, _ in restarted]


def idempotency_key(notice_key: str, secret: bytes) -> str:
    """What a receiver knows a notice by: a keyed digest, for the notice's own key may name a person or a message."""
    return hmac.new(secret, f"notice {notice_key}".encode(), hashlib.sha256).hexdigest()[:32]


def _send_to(home: Home, target: str, url: str, until: float) -> list[str]:
    """Deliver what waits for one target, in order, until an attempt fails or the time is over."""
    told: list[str] = []
    while True:
        with home.ledger.write() as connection:
            attempt = deliveries.begin(connection, target)
        if attempt is None:
            return told
        error = _attempt(attempt, url, home.secret)
        with home.ledger.write() as connection:
            next_attempt_at = deliveries.end(connection, attempt, error)
        told.append(_outcome(attempt, error, next_attempt_at is None))
        if error is not None or time.monotonic() >= until:
            return told


def _outcome(attempt: Attempt, error: str | None, is_final: bool) -> str:
    if error is None:
        return f"Delivered to {attempt.target}: {attempt.title}"
    what = f"Attempt {attempt.number} to deliver a notice to {attempt.target} failed: {error}."
    return f"{what} Nothing more is attempted; run: orchestrate deliveries retry --reason TEXT" if is_final else what


def _attempt(attempt: Attempt, url: str, secret: bytes) -> str | None:
    """Send one notice; None when the receiver took it, else why not, in words that hold no secret and no message."""
    from apprise import Apprise, AppriseResultStatus, NotifyFormat, NotifyType, OverflowMode

    service = service_of(url)
    if service is None:
        return "Apprise cannot read its URL any more"
    headers = getattr(service, "headers", None)
    if isinstance(headers, dict):
        headers[KEY_HEADER] = idempotency_key(attempt.key, secret)
    elif "overflow_mode" not in vars(service):  # what is too long for a chat would be refused for ever
        service.overflow_mode = OverflowMode.SPLIT
    sender = Apprise()
    sender.add(service)
    result = sender.notify(
        attempt.body or attempt.title,
        attempt.title,
        notify_type=NotifyType.INFO if attempt.asset else NotifyType.FAILURE,
        body_format=NotifyFormat.MARKDOWN,
        timeout=ATTEMPT_SECONDS,
    )
    made = [one for service_result in result.results for one in service_result.attempts]
    if any(one.status == AppriseResultStatus.SUCCESS for one in made):
        return None
    if result.status == AppriseResultStatus.TIMEOUT:
        return f"no answer within {ATTEMPT_SECONDS:g} seconds"
    return _reason([str(entry.message) for one in made for entry in one.logs])


def _reason(logged: Collection[str]) -> str:
    """Why Apprise could not send: the HTTP status or the kind of failure, for the rest may hold an URL or a message."""
    found = [match[1] for line in logged if (match := _STATUS.search(line))]
    if found:
        return f"it answered with HTTP status {found[-1]}"
    if any("onnection" in line for line in logged):
        return "no connection, or no answer in time"
    return "Apprise could not send it"

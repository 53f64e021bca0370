"""Where the audit log ended after each run, kept out of the ledger's reach: in Dagster's event log, and by setting in a
file or at an URL.

Whoever cuts the log's tail in the ledger, or writes the whole chain anew, cannot hide it without changing these too.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any, Protocol
from urllib.request import Request, urlopen

import dagster as dg

from orchestration_project.core.errors import FileRefused, LedgerUnavailable
from orchestration_project.governance import audit
from orchestration_project.governance.audit import Head
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now

AUDIT_LOG = dg.AssetSpec(
    "audit_log",
    group_name="governance",
    kinds={"log"},
    description="The audit log's last entry after each run: its number and digest, by which `orchestrate audit verify` "
    "finds a tail that was cut off.",
)
"""The log in the lineage; each run observes it."""

POST_SECONDS = 3.0
"""How long the receiver of heads may take."""

_PAGE = 1000


class RunLog(Protocol):
    """What a run's log can be told."""

    def warning(self, msg: object, /) -> None: ...


@dataclass(frozen=True)
class KeptHead:
    """A head as it is written: the sequence and digest of the log's last entry, when that was, and after which run."""

    sequence: int
    digest: str
    at: str
    run_id: str


def keep_head(home: Home, instance: dg.DagsterInstance, run_id: str, log: RunLog) -> None:
    """Write the log's head to every place. What is out of reach is a warning: a later head vouches for all before it."""
    try:
        with home.ledger.read() as connection:
            head = audit.head(connection)
    except LedgerUnavailable as error:
        log.warning(f"The audit log's head was not kept: the ledger is out of reach ({type(error).__name__}).")
        return
    if head is None or head.sequence == 0:
        return
    kept = KeptHead(head.sequence, head.digest, now().isoformat(), run_id)
    instance.report_runless_asset_event(dg.AssetObservation(AUDIT_LOG.key, metadata=asdict(kept)))
    if place := home.settings.audit_heads:
        try:
            _tell(place, json.dumps(asdict(kept)))
        except (OSError, HTTPException, ValueError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            log.warning(f"ORCHESTRATE_AUDIT_HEADS was not told the audit log's head: {reason}.")


def kept_heads(home: Home, instance: dg.DagsterInstance) -> Iterator[Head]:
    """Every head that Dagster's event log and the file of the setting have. FileRefused for a line that is none."""
    yield from _in_event_log(instance)
    place = home.settings.audit_heads
    if place and not _is_url(place) and Path(place).exists():
        yield from _in_file(Path(place))


def _in_event_log(instance: dg.DagsterInstance) -> Iterator[Head]:
    cursor: str | None = None
    while True:
        page = instance.fetch_observations(AUDIT_LOG.key, limit=_PAGE, cursor=cursor, ascending=True)
        for record in page.records:
            observation = record.asset_observation
            written: dict[str, Any] = {}
            if observation is not None:
                written = {name: value.value for name, value in observation.metadata.items()}
            at = datetime.fromtimestamp(record.timestamp, UTC)
            if isinstance(written.get("sequence"), int):
                source = f"Dagster's event log, {at:%Y-%m-%d %H:%M:%S} UTC"
                yield Head(written["sequence"], str(written.get("digest")), source)
        cursor = page.cursor
        if not page.has_more:
            return


def _in_file(file: Path) -> Iterator[Head]:
    with file.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                kept = KeptHead(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise FileRefused(
                    f"Line {number} of {file} is no head of the audit log. Set ORCHESTRATE_AUDIT_HEADS to a file of its own."
                ) from error
            yield Head(kept.sequence, kept.digest, f"{file}, {kept.at}")


def _tell(place: str, line: str) -> None:
    if _is_url(place):
        request = Request(place, line.encode(), {"Content-Type": "application/json"}, method="POST")
        with urlopen(request, timeout=POST_SECONDS):
            return
    file = Path(place)
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line.encode() + b"\n")  # one call: lines of runs that end together do not mix
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_url(place: str) -> bool:
    return place.startswith(("http://", "https://"))

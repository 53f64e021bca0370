"""The sensor that has the documents read when the content of their folder changed.

Content counts, not times: a file is read only when its size, time or inode is another one, and a run is asked for only
when the digest of all files is. One run is at work at a time, and what changes meanwhile is one run more.

A folder that is away, closed to us, or empty starts nothing, so what was read last stays. A run that failed is tried
again after one minute, then two, and so on, until there were as many as the setting of attempts allows; one that a gate
halted, or a person stopped, is an answer.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import dagster as dg

from orchestration_project.core.errors import Refused
from orchestration_project.core.settings import variable
from orchestration_project.stores.document_files import FoundFile, content_digest, digest_of, in_motion, look
from orchestration_project.stores.halts import open_halts
from orchestration_project.stores.home import Home, current_home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.manifest import UNPARTITIONED

CONTENT_TAG = "orchestrate/content"
"""Run tag with the content that a run was asked for, the attempt, and when."""

RETRY_SECONDS = 60.0


@dataclass(frozen=True)
class Memory:
    """What is kept from tick to tick: the signature and sha256 of each file, the content that was asked for last, by a
    run of which tag, and how often.
    """

    files: Mapping[str, tuple[str, str]] = field(default_factory=lambda: dict[str, tuple[str, str]]())
    content: str = ""
    tag: str = ""
    attempt: int = 0

    @classmethod
    def read(cls, cursor: str | None) -> Self:
        """The memory that a sensor's cursor holds."""
        return cls(**json.loads(cursor)) if cursor else cls()

    def written(self) -> str:
        """The cursor that holds it."""
        return json.dumps(asdict(self), separators=(",", ":"))

    def seen(self, files: list[FoundFile]) -> Self:
        """The memory with these files in place of those before; only what is unknown is read."""
        kept: dict[str, tuple[str, str]] = {}
        for found in files:
            signature, digest = self.files.get(found.document_id, ("", ""))
            is_known = signature == found.signature and digest
            kept[found.document_id] = (found.signature, digest if is_known else digest_of(found))
        return replace(self, files=kept)

    def asking(self, content: str, attempt: int) -> Self:
        """The memory of a run that is asked for now."""
        return replace(self, content=content, tag=f"{content}/{attempt}/{now():%Y%m%dT%H%M%S.%f}", attempt=attempt)


def documents_sensor(
    name: str, job: Any, *, retry_seconds: float = RETRY_SECONDS, **arguments: Any
) -> dg.SensorDefinition:
    """A sensor that starts `job` when a document was added, changed or removed. `arguments` go to `dg.sensor`."""

    @dg.sensor(name=name, job=job, minimum_interval_seconds=5, **arguments)
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        home = current_home()
        memory = Memory.read(context.cursor)
        try:
            folder = look(home.settings.knowledge)
        except Refused as refusal:
            return _skip(memory, str(refusal))
        if not folder.files:
            return _skip(
                memory,
                f"{home.settings.knowledge} holds no document, so what was read last stays. Put documents there, or set "
                f"{variable('knowledge')} to their folder. To have none, start the job {job.name} by hand.",
            )
        if moving := in_motion(folder, {signature for signature, _ in memory.files.values()}, time.time()):
            return _skip(memory, f"{moving} was changed just now, or is being written. It is read once it is at rest.")
        memory = memory.seen(folder.files)
        content = content_digest({name: digest for name, (_, digest) in memory.files.items()})
        attempt, reason = _next_attempt(home, context.instance, memory, content, retry_seconds)
        if reason:
            return _skip(memory, reason)
        memory = memory.asking(content, attempt)
        asked = dg.RunRequest(run_key=memory.tag, tags={CONTENT_TAG: memory.tag})
        return dg.SensorResult(run_requests=[asked], cursor=memory.written())

    return sensor


def _skip(memory: Memory, reason: str) -> dg.SensorResult:
    return dg.SensorResult(skip_reason=reason, cursor=memory.written())


def _next_attempt(
    home: Home, instance: dg.DagsterInstance, memory: Memory, content: str, retry_seconds: float
) -> tuple[int, str]:
    """The number of the attempt that is due, and why there is none (empty: it is due)."""
    asked = dg.RunsFilter(tags={CONTENT_TAG: memory.tag})
    record = next(iter(instance.get_run_records(asked, limit=1)), None) if memory.tag else None
    if record is not None and not record.dagster_run.is_finished:
        return 0, f"Run {record.dagster_run.run_id} reads the documents. What changed since is read after it."
    if content != memory.content:
        return 1, ""
    if record is None or not _is_failed(home, record.dagster_run):
        return 0, f"Nothing changed: {len(memory.files)} files, content {content}."
    if memory.attempt >= home.settings.attempts:
        return 0, f"{memory.attempt} runs failed on content {content}. Mend the cause and start the job by hand."
    ended = datetime.fromtimestamp(record.end_time or 0, UTC)
    due = ended + timedelta(seconds=retry_seconds * 2 ** (memory.attempt - 1))
    if now() < due:
        return 0, f"Run {record.dagster_run.run_id} failed. The next attempt is due at {due:%H:%M:%S} UTC."
    return memory.attempt + 1, ""


def _is_failed(home: Home, run: dg.DagsterRun) -> bool:
    """Whether the run failed in a way that another attempt may mend."""
    with home.ledger.read() as connection:
        halted = {halt.run_id for halt in open_halts(connection, UNPARTITIONED)}
    return run.status == dg.DagsterRunStatus.FAILURE and run.run_id not in halted

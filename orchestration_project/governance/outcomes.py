"""What follows from how a run ended: its batch is done, goes on, is tried again, or is set aside, and whoever runs the
project is told of a failure and of a halt.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from orchestration_project.governance import audit
from orchestration_project.stores import batches, manifest, outbox, run_requests
from orchestration_project.stores.halts import open_halts
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.outbox import Notice


@dataclass(frozen=True)
class Failure:
    """Why a run did not succeed.

    A final one is an answer (a refusal, a person's stop): trying again would change nothing.
    """

    cause: str
    is_final: bool = False


STOPPED = Failure("a person stopped the run", is_final=True)


def finish(
    home: Home,
    key: str,
    batch: str,
    failure: Failure | None,
    *,
    run_id: str | None = None,
    required: Collection[str] | None = (),
) -> None:
    """Record how a run ended, and what follows for its batch, in one transaction.

    Without effect when another run answers the request by now. An open halt of the batch is an answer: nothing is
    tried again. A
    refusal, or a person's stop, sets the batch aside. Any other failure asks for another attempt until there were as
    many as the setting allows; then the batch is set aside. After a success the batch is done once each of the assets
    `required` is published for it (None: the run did all that there is to do); where some are missing and nothing
    stands in the way, a run of the whole workflow is asked for. A run that failed, or that halted an asset, is told as
    a notice; one that a person stopped is not.
    """
    with home.ledger.write() as connection:
        halts = open_halts(connection, batch)
        state = _state(failure, is_halted=any(batch or halt.run_id == run_id for halt in halts))
        if not run_requests.end(connection, key, state, failure.cause if failure else None, run_id=run_id):
            return
        found = batches.get(connection, batch)
        if found is not None and found.state in ("working", "set_aside"):
            if failure is None:
                _go_on(connection, batch, required)
            elif state in ("refused", "stopped"):
                _set_aside(connection, batch, failure.cause)
            elif state == "failed":
                _try_again(home, connection, key, batch, failure.cause)
        if failure is not None:
            notices = _notices(home, connection, key, batch, state, failure.cause, run_id)
            outbox.record(connection, asset=outbox.OF_A_RUN, partition=batch, notices=notices)


def _state(failure: Failure | None, is_halted: bool) -> str:
    if failure is None:
        return "succeeded"
    if failure == STOPPED:
        return "stopped"
    return "halted" if is_halted else "refused" if failure.is_final else "failed"


def _notices(
    home: Home, connection: sa.Connection, key: str, batch: str, state: str, cause: str, run_id: str | None
) -> list[Notice]:
    """What whoever runs the project is told: the failure, or each halt that the run itself opened."""
    of_batch = f" of batch {batch}" if batch else ""
    link = [f"Run: http://127.0.0.1:{home.settings.port}/runs/{run_id}"] if run_id else []
    facts = {"request": key, "batch": batch, "run_id": run_id}
    if state in ("failed", "refused"):
        lines = [f"Why: {cause}", *_what_follows(connection, batch), *link]
        return [Notice(f"run/{run_id or key}", f"A run{of_batch} failed", _body(lines), {**facts, "cause": cause})]
    if state != "halted":
        return []
    opened = [halt for halt in open_halts(connection, batch) if halt.run_id == run_id]
    return [
        Notice(
            f"halt/{halt.asset}/{batch}/{run_id}",
            f"{halt.asset}{of_batch} is halted",
            _body([f"Why: {halt.reason}", *link]),
            {**facts, "asset": halt.asset, "cause": halt.reason},
        )
        for halt in opened
    ]


def _what_follows(connection: sa.Connection, batch: str) -> list[str]:
    found = batches.get(connection, batch)
    if found is None:
        return []
    if found.state == "set_aside":
        return ["What follows: the batch is set aside"]
    asked = run_requests.open_requests(connection, batch)
    if not asked:
        return []
    due_at = asked[-1].due_at
    return [f"What follows: attempt {asked[-1].attempt}{f' at {due_at:%H:%M:%S} UTC' if due_at else ''}"]


def _body(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _go_on(connection: sa.Connection, batch: str, required: Collection[str] | None) -> None:
    published = {version.asset for version in manifest.all_current(connection, batch)}
    if required is None or published.issuperset(required):
        batches.set_state(connection, batch, "done")
    elif not open_halts(connection, batch) and not run_requests.open_requests(connection, batch):
        batches.set_state(connection, batch, "working")
        run_requests.request(connection, batch=batch, cause="rest")


def _try_again(home: Home, connection: sa.Connection, key: str, batch: str, cause: str) -> None:
    failed = run_requests.failures(connection, batch)
    if failed < home.settings.attempts:
        _, asked, attempt = key.rsplit("/", 2)
        due_at = now() + timedelta(seconds=run_requests.wait_seconds(failed, home.settings.retry_seconds))
        run_requests.request(connection, batch=batch, cause=asked, attempt=int(attempt) + 1, due_at=due_at)
    else:
        _set_aside(connection, batch, f"{failed} runs failed; the last: {cause}")


def _set_aside(connection: sa.Connection, batch: str, cause: str) -> None:
    batches.set_state(connection, batch, "set_aside", cause)
    audit.append(connection, "set aside", batch, {"cause": cause})

"""Who has batches decided again: every performer is asked anew, whatever is stored, and new versions of the partitions
take the place of those in use, which stay readable.

It takes the role operator, and is one ledger transaction with its audit entry. Verdicts of people stand, and so does
what was decided on messages that were erased since.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from orchestration_project.core.errors import Refused
from orchestration_project.governance import audit, people
from orchestration_project.governance.batch_orders import require_batch
from orchestration_project.stores import batches, cascades, manifest, run_requests
from orchestration_project.stores.batches import Batch
from orchestration_project.stores.halts import open_halts
from orchestration_project.stores.home import Home
from orchestration_project.stores.run_requests import EVERY_OUTPUT, RESCORE_TAG

CAUSE = "rescore"
"""How a request of a rescore is called in its key."""


@dataclass(frozen=True)
class Wanted:
    """What is to be decided again: the batches of these keys, those opened since a moment, or all; by every model output,
    or by the one of that name.
    """

    batches: tuple[str, ...] = ()
    since: datetime | None = None
    everything: bool = False
    model_output: str | None = None


@dataclass(frozen=True)
class Chosen:
    """The batches that can be decided again, and of the others why they cannot: batch → a sentence."""

    batches: tuple[str, ...]
    left_out: Mapping[str, str]


def choose(connection: sa.Connection, wanted: Wanted) -> Chosen:
    """The batches that are meant, oldest first.

    UnknownName for a batch or a model output that does not exist. One that was named and cannot be decided again is
    Refused; of those that were not named it is left out. Refused when nothing is left.
    """
    if bool(wanted.batches) + (wanted.since is not None) + wanted.everything != 1:
        raise Refused("Say which batches: --batches B1,B2, --since DATE or --all.")
    if wanted.model_output is None:
        outputs = {cascade.asset for cascade in cascades.every(connection)}
    else:
        outputs = {cascades.require(connection, wanted.model_output).asset}
    named = {batch: require_batch(connection, batch) for batch in wanted.batches}
    known = {batch.batch: batch for batch in batches.every(connection)}
    keys = [key for key in batches.all_keys(connection, wanted.since) if key in (named or known)]
    hindered = _hindered(connection, outputs, [known[key] for key in keys])
    for batch in named:
        if batch in hindered:
            raise Refused(hindered[batch])
    chosen = tuple(key for key in keys if key not in hindered)
    if not chosen:
        raise Refused(next(iter(hindered.values()), "No batch was opened by then. See: orchestrate batch list"))
    return Chosen(chosen, hindered)


def rescore(home: Home, wanted: Wanted, reason: str) -> Chosen:
    """Request a run of the workflow on each batch that is meant, in which the performers are asked again; returns them.
    Refused as `choose` says.
    """
    person = people.require(home.settings, "operator")
    tags = {RESCORE_TAG: wanted.model_output or EVERY_OUTPUT}
    with home.ledger.write() as connection:
        chosen = choose(connection, wanted)
        for batch in chosen.batches:
            batches.set_state(connection, batch, "working")
            run_requests.request(connection, batch=batch, cause=CAUSE, tags=tags)
        detail = {"batches": list(chosen.batches), "model_output": wanted.model_output, "reason": reason}
        audit.append(connection, "rescored", wanted.model_output or "every model output", detail, person.name)
    return chosen


def versions(connection: sa.Connection, keys: Collection[str]) -> list[dict[str, str | int]]:
    """The version in use of each model output in these batches: model_output, batch, version."""
    outputs = {cascade.asset for cascade in cascades.every(connection)}
    return [
        {"model_output": version.asset, "batch": version.partition, "version": version.version}
        for version in manifest.all_current(connection)
        if version.asset in outputs and version.partition in keys
    ]


def _hindered(connection: sa.Connection, outputs: set[str], found: list[Batch]) -> dict[str, str]:
    """Batch → why it cannot be decided again, of those that cannot."""
    halts = {halt.partition: halt for halt in open_halts(connection)}
    at_work = {request.batch: request for request in run_requests.open_requests(connection)}
    decided = {version.partition for version in manifest.all_current(connection) if version.asset in outputs}
    reasons: dict[str, str] = {}
    for batch in found:
        key = batch.batch
        if batch.state == "discarded":
            reasons[key] = f"Batch {key} was discarded: {batch.cause}. Send its messages again."
        elif key in at_work:
            reasons[key] = f"A run of batch {key} is {at_work[key].state} already. See: orchestrate status"
        elif key in halts:
            told = f"{halts[key].told}: {halts[key].reason}"
            reasons[key] = f"{told} Mend the cause and run: orchestrate halt retry {key}"
        elif key not in decided:
            reasons[key] = f"Nothing is decided in batch {key} that could be decided again."
    return reasons

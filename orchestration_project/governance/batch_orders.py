"""What people order about a whole batch: run it again, or give it up; and about a halt that stands in its way.

Each takes the role operator, and is one ledger transaction with its audit entry.
"""

import sqlalchemy as sa

from orchestration_project.core.errors import Refused, UnknownName, did_you_mean
from orchestration_project.governance import audit, people
from orchestration_project.stores import batches, claims, manifest, measurements, quarantine, reviews, run_requests
from orchestration_project.stores.ancestry import Ancestry
from orchestration_project.stores.batches import Batch
from orchestration_project.stores.halts import Halt, close_halts, open_halts
from orchestration_project.stores.home import Home
from orchestration_project.stores.manifest import Version
from orchestration_project.stores.quarantine import Selection


def retry_batch(home: Home, batch: str, reason: str) -> str:
    """Request a run of the whole workflow on a batch, whatever became of it before; returns the request's key.

    Stored decisions are reused, and what nobody changed comes out the same. Refused for a batch that was discarded, or
    that a run is requested for already.
    """
    person = people.require(home.settings, "operator")
    with home.ledger.write() as connection:
        found = require_batch(connection, batch)
        _refuse_discarded(found)
        _refuse_requested(connection, batch)
        batches.set_state(connection, batch, "working")
        key = run_requests.request(connection, batch=batch, cause="retry")
        detail = {"reason": reason, "was": found.state, "cause": found.cause}
        audit.append(connection, "batch retried", batch, detail, person.name)
    return key


def discard_batch(home: Home, batch: str, reason: str) -> None:
    """Give a batch up: its halts close, its open rows are discarded, what it published is withdrawn, and the claims on
    its messages end, so that whoever sends one again sends a new message. No run takes it up again.

    What was alerted stays told. Refused while a run works on it; one that is only requested is called off.
    """
    person = people.require(home.settings, "operator")
    with home.ledger.write() as connection:
        found = require_batch(connection, batch)
        _refuse_discarded(found)
        _call_off(connection, batch)
        detail = _give_up(connection, batch, reason)
        detail |= {"reason": reason, "was": found.state}
        audit.append(connection, "batch discarded", batch, detail, person.name)


def retry_halted(home: Home, batch: str, asset: str | None, reason: str) -> str:
    """Run a halted batch again, after its cause was mended; returns the request's key. Refused when it is not halted."""
    with home.ledger.read() as connection:
        require_halt(connection, batch, asset)
    return retry_batch(home, batch, reason)


def pass_halt(home: Home, batch: str, asset: str | None, reason: str) -> str:
    """Let the anomalies of a halted batch pass, which somebody looked at, and run it again; returns the request's key.
    Its contract is not touched: Refused for a halt that no anomaly opened.
    """
    person = people.require(home.settings, "operator")
    with home.ledger.write() as connection:
        halt = require_halt(connection, batch, asset)
        if not halt.is_anomaly:
            raise Refused(
                f"{halt.asset} of batch {batch} is not halted by an anomaly: {halt.reason} "
                f"Mend the cause and run: orchestrate halt retry {batch}"
            )
        _refuse_requested(connection, batch)
        measurements.let_pass(connection, asset=halt.asset, partition=batch, reason=reason)
        batches.set_state(connection, batch, "working")
        detail = {"reason": reason, "halted_for": halt.reason}
        audit.append(connection, "anomaly passed", f"{halt.asset}/{batch}", detail, person.name)
        return run_requests.request(connection, batch=batch, cause="retry")


def discard_halt(home: Home, batch: str, asset: str | None, reason: str) -> bool:
    """Close a halt without a passing run. Where the asset has an earlier good version, that stands, with what fits to it:
    what it was computed from goes back to the version that it was computed from, and its refused rows wait again as
    they did then. Where it has none, the batch is discarded with it. Returns whether it was.

    Refused when a message of a version that would be in use again belongs to another batch by now.
    """
    person = people.require(home.settings, "operator")
    with home.ledger.write() as connection:
        halt = require_halt(connection, batch, asset)
        kept = manifest.current(connection, halt.asset, batch)
        close_halts(connection, asset=halt.asset, partition=batch, closed_by=f"discard: {reason}")
        detail = {"reason": reason, "halted_for": halt.reason, "run_id": halt.run_id}
        if kept is None:
            _call_off(connection, batch)
            detail |= _give_up(connection, batch, reason)
        else:
            detail |= _let_stand(connection, home, kept)
        detail |= {"batch_discarded": kept is None}
        audit.append(connection, "halt discarded", f"{halt.asset}/{batch}", detail, person.name)
    return kept is None


def require_batch(connection: sa.Connection, batch: str) -> Batch:
    """The batch of that key; UnknownName with the nearest key when there is none."""
    found = batches.get(connection, batch)
    if found is None:
        raise UnknownName(f"There is no batch '{batch}'.{did_you_mean(batch, batches.all_keys(connection))}")
    return found


def require_halt(connection: sa.Connection, batch: str, asset: str | None = None) -> Halt:
    """The open halt of a batch, of one asset where several are halted; Refused when there is none."""
    found = [halt for halt in open_halts(connection, batch) if asset in (None, halt.asset)]
    if not found:
        require_batch(connection, batch)
        what = f"{asset} of batch {batch}" if asset else f"Batch {batch}"
        raise Refused(f"{what} is not halted. See what is: orchestrate halt list")
    if len(found) > 1:
        names = ", ".join(halt.asset for halt in found)
        raise Refused(f"Batch {batch} is halted at {names}. Say which: --asset NAME")
    return found[0]


def _give_up(connection: sa.Connection, batch: str, reason: str) -> dict[str, object]:
    rows = Selection(batch=batch).find(connection)
    quarantine.settle(connection, [row.row_id for row in rows], "discarded")
    withdrawn = manifest.withdraw(connection, batch)
    for halt in open_halts(connection, batch):
        close_halts(connection, asset=halt.asset, partition=batch, closed_by=f"discard: {reason}")
    claims.release(connection, batch)
    reviews.close_batch(connection, batch)
    batches.set_state(connection, batch, "discarded", reason)
    return {"partition": batch, "withdrawn": withdrawn, "rows": [row.row_id for row in rows]}


def _let_stand(connection: sa.Connection, home: Home, kept: Version) -> dict[str, object]:
    """Put in use what fits to a version that stands, and say how its batch stands then."""
    batch = kept.partition
    restored: list[Version] = []
    withdrawn: list[str] = []
    for asset, version in Ancestry(connection, batch).fitting(kept).items():
        if version is None:
            withdrawn += manifest.withdraw(connection, batch, [asset])
        else:
            _refuse_departed(connection, home, version)
            manifest.use(connection, version)
            restored.append(version)
    for version in (kept, *restored):
        quarantine.put_back(connection, asset=version.asset, partition=batch, run_id=version.run_id)
    if not open_halts(connection, batch):
        if batches.was_done(connection, batch) and not withdrawn:
            batches.set_state(connection, batch, "done")
        else:
            cause = f"the halt of {kept.asset} was discarded before everything was made of the batch"
            batches.set_state(connection, batch, "set_aside", cause)
    numbers = {version.asset: version.version for version in restored}
    return {"partition": batch, "restored": numbers, "withdrawn": withdrawn}


def _refuse_departed(connection: sa.Connection, home: Home, version: Version) -> None:
    """Raise Refused when a message of a version is not its batch's any more: it would be in use twice."""
    batch, others = version.partition, home.warehouse.message_ids(version.path)
    if batch and (others := others - claims.held_by(connection, batch)):
        raise Refused(
            f"Version {version.version} of {version.asset} of batch {batch} would be in use again, and {len(others)} of "
            f"its messages left the batch since: {min(others)}. Mend the cause and run: orchestrate halt retry {batch}"
        )


def _call_off(connection: sa.Connection, batch: str) -> None:
    """End what is only requested; Refused when a run was submitted or works."""
    for found in run_requests.open_requests(connection, batch):
        if found.state != "requested":
            raise Refused(
                f"Run {found.run_id or found.key} works on batch {batch}. Stop it in Dagster's UI, or wait for its end."
            )
        run_requests.end(connection, found.key, "stopped", "the batch was discarded")


def _refuse_discarded(found: Batch) -> None:
    if found.state == "discarded":
        raise Refused(f"Batch {found.batch} was discarded: {found.cause}. Send its messages again.")


def _refuse_requested(connection: sa.Connection, batch: str) -> None:
    if found := run_requests.open_requests(connection, batch):
        raise Refused(f"A run of batch {batch} is {found[0].state} already. See: orchestrate status")

"""The verbs about whole batches and what halts them: `batch list|show|retry|discard`, `halt list|show|retry|pass|discard`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestration_project.cli.printing import AsJson, say, say_counts, say_json, say_table
from orchestration_project.cli.reasons import Reason, stated

if TYPE_CHECKING:
    import sqlalchemy as sa

    from orchestration_project.stores.home import Home

batch_app = typer.Typer(help="Batches: what each holds, what became of it, once more or no more.", no_args_is_help=True)
halt_app = typer.Typer(help="What gates halted: why, and how it goes on.", no_args_is_help=True)

MOST_BATCHES = 40
"""Batches that `list` prints."""

Key = Annotated[str, typer.Argument(metavar="BATCH", help="Its key.")]
OfAsset = Annotated[str | None, typer.Option("--asset", metavar="NAME", help="Where several assets are halted.")]


@batch_app.command(name="list")
def batches_known(
    state: Annotated[
        str | None, typer.Option(metavar="STATE", help="working, done, halted, set_aside or discarded.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Every batch, the newest first.

    Example: orchestrate batch list --state set_aside
    """
    from orchestration_project.core.errors import UnknownName, did_you_mean
    from orchestration_project.stores import batches
    from orchestration_project.stores.halts import open_halts
    from orchestration_project.stores.home import prepared_home

    states = ("working", "done", "halted", "set_aside", "discarded")
    if state is not None and state not in states:
        raise UnknownName(f"No batch can be '{state}'.{did_you_mean(state, states)}")
    with prepared_home().ledger.read() as connection:
        halted = {halt.partition for halt in open_halts(connection)}
        found = [
            {**vars(batch), "state": batch.standing(is_halted=batch.batch in halted)}
            for batch in batches.every(connection)
        ]
    shown = [entry for entry in found if state in (None, entry["state"])]
    if as_json:
        say_json(shown)
    elif not shown:
        say("No batch yet." if state is None else f"No batch is {state}.")
    else:
        columns = ("batch", "state", "rows", "duplicates", "cause")
        say_table(columns, [tuple(entry[name] for name in columns) for entry in shown[:MOST_BATCHES]])


@batch_app.command()
def show(batch: Key, as_json: AsJson = False) -> None:
    """What a batch holds: its files, where its messages are, its runs, its versions.

    A version that is read although a later run of its asset was halted names that run.

    Example: orchestrate batch show 20260313T080300Z-1a2b3c
    """
    from orchestration_project.stores.home import prepared_home

    home = prepared_home()
    with home.ledger.read() as connection:
        found = _facts(connection, batch)
    if as_json:
        say_json(found)
        return
    say_table(("batch", batch), [(name, found[name]) for name in ("state", "cause", "rows", "duplicates")])
    say_counts(found["messages"])
    say_table(("file", "rows"), [(entry["file"], entry["rows"]) for entry in found["files"]])
    runs = [(entry["key"], entry["state"], entry["run_id"], entry["cause"]) for entry in found["runs"]]
    say_table(("request", "state", "run", "cause"), runs)
    columns = ("asset", "version", "rows", "run_id", "halted_since")
    versions = [tuple(entry[name] for name in columns) for entry in found["versions"]]
    say_table(("asset", "version", "rows", "run", "halted since run"), versions)


@batch_app.command()
def retry(batch: Key, reason: Reason) -> None:
    """Run the whole workflow on a batch again, whatever became of it before.

    A running project does the work; where none runs, this command does.

    Example: orchestrate batch retry 20260313T080300Z-1a2b3c --reason "The disk has room again"
    """
    from orchestration_project.governance import batch_orders
    from orchestration_project.stores.home import prepared_home

    home = prepared_home()
    batch_orders.retry_batch(home, batch, stated(reason))
    _work(home, batch)


@batch_app.command()
def discard(batch: Key, reason: Reason) -> None:
    """Give a batch up: what it published is withdrawn, and its messages may be sent anew.

    Example: orchestrate batch discard 20260313T080300Z-1a2b3c --reason "A test file"
    """
    from orchestration_project.governance import batch_orders
    from orchestration_project.stores.home import prepared_home

    batch_orders.discard_batch(prepared_home(), batch, stated(reason))
    say(f"Batch {batch} is discarded.")


@halt_app.command(name="list")
def halts_open(as_json: AsJson = False) -> None:
    """Every open halt, the oldest first.

    Example: orchestrate halt list
    """
    from orchestration_project.stores.halts import open_halts
    from orchestration_project.stores.home import prepared_home

    with prepared_home().ledger.read() as connection:
        found = [vars(halt) for halt in open_halts(connection)]
    if as_json:
        say_json(found)
    elif not found:
        say("Nothing is halted.")
    else:
        columns = ("asset", "partition", "opened_at", "reason")
        rows = [
            (*(entry[name] for name in columns[:2]), str(entry["opened_at"])[:16], entry["reason"]) for entry in found
        ]
        say_table(("asset", "batch", "since", "reason"), rows)


@halt_app.command(name="show")
def show_halt(batch: Key, asset: OfAsset = None, as_json: AsJson = False) -> None:
    """Why a batch is halted, what stands in the meantime, and what can be done.

    Example: orchestrate halt show 20260313T080300Z-1a2b3c
    """
    from orchestration_project.governance.batch_orders import require_halt
    from orchestration_project.stores import manifest
    from orchestration_project.stores.home import prepared_home
    from orchestration_project.stores.quarantine import Selection

    with prepared_home().ledger.read() as connection:
        halt = require_halt(connection, batch, asset)
        stands = manifest.current(connection, halt.asset, batch)
        waiting = len(Selection(asset=halt.asset, batch=batch).find(connection))
    found: dict[str, Any] = {**vars(halt), "refused_rows": waiting, "version_that_stands": stands and stands.version}
    if as_json:
        say_json(found)
        return
    say_table(("halt", ""), list(found.items()))
    if waiting:
        say(f"Refused rows: orchestrate quarantine list --batch {batch}")
    say(f"Once its cause is mended: orchestrate halt retry {batch} --reason TEXT")


@halt_app.command(name="retry")
def retry_halt(batch: Key, reason: Reason, asset: OfAsset = None) -> None:
    """Run a halted batch again, after its cause was mended.

    Example: orchestrate halt retry 20260313T080300Z-1a2b3c --reason "The column is accepted now"
    """
    from orchestration_project.governance import batch_orders
    from orchestration_project.stores.home import prepared_home

    home = prepared_home()
    batch_orders.retry_halted(home, batch, asset, stated(reason))
    _work(home, batch)


@halt_app.command(name="pass")
def pass_halt(batch: Key, reason: Reason, asset: OfAsset = None) -> None:
    """Let the anomalies of a halted batch pass, which you looked at, and run it again.

    Example: orchestrate halt pass 20260313T080300Z-1a2b3c --reason "The strike was in the news"
    """
    from orchestration_project.governance import batch_orders
    from orchestration_project.stores.home import prepared_home

    home = prepared_home()
    batch_orders.pass_halt(home, batch, asset, stated(reason))
    _work(home, batch)


@halt_app.command(name="discard")
def discard_halt(batch: Key, reason: Reason, asset: OfAsset = None) -> None:
    """Close a halt: the last good version counts again, or the batch is given up where there is none.

    Example: orchestrate halt discard 20260313T080300Z-1a2b3c --reason "Sent by mistake"
    """
    from orchestration_project.governance import batch_orders
    from orchestration_project.stores.home import prepared_home

    if batch_orders.discard_halt(prepared_home(), batch, asset, stated(reason)):
        say(f"Batch {batch} is discarded: nothing good of it was published before.")
    else:
        say(f"The halt is closed. The last good version of batch {batch} counts again.")


def _work(home: "Home", batch: str) -> None:
    """Have the requested run done, and say how the batch stands then."""
    from orchestration_project.cli.work import run_unless_project_does
    from orchestration_project.stores.batches import count_states

    if not run_unless_project_does(home):
        say(f"A run of batch {batch} is requested; the running project does it.")
        return
    with home.ledger.read() as connection:
        say_counts(count_states(connection, only=[batch]))


def _facts(connection: "sa.Connection", batch: str) -> dict[str, Any]:
    from orchestration_project.governance.batch_orders import require_batch
    from orchestration_project.stores import batches, manifest, run_requests
    from orchestration_project.stores.halts import halted_since, open_halts

    found = require_batch(connection, batch)
    halted = {halt.asset: halt.run_id for halt in halted_since(connection, batch)}
    return {
        **vars(found),
        "state": found.standing(is_halted=bool(open_halts(connection, batch))),
        "messages": {name: count for name, count in batches.count_states(connection, only=[batch]).items() if count},
        "files": batches.files_of(connection, batch),
        "runs": run_requests.all_of(connection, batch),
        "versions": [
            {**vars(version), "halted_since": halted.get(version.asset)}
            for version in manifest.all_current(connection, batch)
        ],
    }

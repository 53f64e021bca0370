"""The verbs about notices on their way to targets: `deliveries list`, `show`, `retry`."""

from typing import Annotated, Any

import typer

from orchestration_project.cli.printing import AsJson, say, say_json, say_table
from orchestration_project.core.errors import Refused

app = typer.Typer(help="Notices on their way to the targets of ORCHESTRATE_NOTIFY.", no_args_is_help=True)

MOST_LISTED = 100
"""Deliveries that `list` shows unless told otherwise."""

MOST_SECONDS = 60.0
"""How long `retry` sends; a running project goes on."""

_COLUMNS = ("id", "notice", "target", "state", "attempts", "next_attempt_at", "last_error")


@app.command(name="list")
def deliveries_list(
    only_open: Annotated[bool, typer.Option("--open", help="Only those that wait or failed.")] = False,
    most: Annotated[int, typer.Option("--most", metavar="N", min=1, help="How many at most.")] = MOST_LISTED,
    as_json: AsJson = False,
) -> None:
    """Which notice went where, the newest first.

    A target is shown by a short name: its URL holds secrets.

    Example: orchestrate deliveries list --open
    """
    from orchestration_project.stores.deliveries import recorded
    from orchestration_project.stores.home import prepared_home

    home = prepared_home()
    with home.ledger.read() as connection:
        found = recorded(connection, only_open=only_open, most=most)
    if as_json:
        say_json([vars(delivery) for delivery in found])
    elif found:
        rows = [
            (
                one.delivery_id,
                one.title,
                one.target,
                one.state,
                one.attempts,
                _moment(one.next_attempt_at),
                one.last_error,
            )
            for one in found
        ]
        say_table([name.replace("_", " ") for name in _COLUMNS], rows)
    elif only_open:
        say("Nothing waits to be delivered, and nothing failed.")
    elif home.settings.notify:
        say("No notice was recorded for a target so far.")
    else:
        say("No target is set. Notices go to the console and to the folder that orchestrate where calls notices.")


@app.command()
def show(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="Its number, as `deliveries list` shows it.")],
    as_json: AsJson = False,
) -> None:
    """One notice on its way to one target: what it says, and every attempt with its time, outcome and error.

    An attempt whose process died has no outcome.

    Example: orchestrate deliveries show 3
    """
    from orchestration_project.stores.deliveries import attempts_of, require_delivery
    from orchestration_project.stores.home import prepared_home

    with prepared_home().ledger.read() as connection:
        found = require_delivery(connection, number)
        attempts = attempts_of(connection, number)
    if as_json:
        say_json({**vars(found), "attempts": attempts})
        return
    rows = [("notice", found.title), ("target", found.target), ("state", found.state), ("batch", found.batch)]
    rows += [(name, _moment(getattr(found, name))) for name in ("recorded_at", "delivered_at", "next_attempt_at")]
    say_table(("delivery", str(number)), [(name.replace("_", " "), value) for name, value in rows])
    if not attempts:
        say("No attempt was made so far.")
        return
    lines = [
        (position, _moment(one["began_at"]), _moment(one["ended_at"]), one["outcome"], one["error"])
        for position, one in enumerate(attempts, start=1)
    ]
    say_table(("attempt", "began", "ended", "outcome", "error"), lines)


@app.command()
def retry(
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it goes into the audit log.")],
    ids: Annotated[list[int] | None, typer.Argument(metavar="[ID…]", help="Without them, all that are open.")] = None,
    as_json: AsJson = False,
) -> None:
    """Deliver anew, at once, what failed or waits.

    Every one has all its attempts again. Exit status 1 when one of them has not arrived.

    Example: orchestrate deliveries retry --reason "The receiver is up again"
    """
    from orchestration_project.dispatch.delivery import deliver
    from orchestration_project.dispatch.delivery import retry as start_anew
    from orchestration_project.stores.deliveries import recorded
    from orchestration_project.stores.home import prepared_home

    if not reason.strip():
        raise Refused("The reason is empty. Say why, for whoever reads the audit log.")
    home = prepared_home()
    if not home.settings.notify:
        raise Refused("ORCHESTRATE_NOTIFY names no target. Set Apprise URLs such as jsons://HOST/PATH.")
    restarted = start_anew(home, ids or None, reason.strip())
    told: list[str] = []
    deliver(home, told.append, MOST_SECONDS)
    with home.ledger.read() as connection:
        still_open = {one.delivery_id for one in recorded(connection, only_open=True)}
    left = [number for number in restarted if number in still_open]
    if as_json:
        say_json({"retried": restarted, "open": left})
    elif not restarted:
        say("Nothing waits to be delivered, and nothing failed.")
    else:
        for line in told:
            say(line)
        say(f"{len(restarted) - len(left):,} of {len(restarted):,} arrived.")
    if left:
        raise typer.Exit(1)


def _moment(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}" if moment else ""

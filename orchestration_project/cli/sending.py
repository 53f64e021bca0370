"""The verb `send`: hands messages in and waits for what becomes of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration_project.cli.printing import AsJson, complain, note, say, say_counts, say_json, say_notices
from orchestration_project.core.errors import FileRefused, Refused

if TYPE_CHECKING:
    from orchestration_project.stores.home import Home

MOST_ALERTS = 5
"""Alerts that `send` prints in full."""


def send(
    items: Annotated[
        list[str],
        typer.Argument(
            metavar="TEXT | FILE…",
            help="One message, or files: .csv, .tsv, .json, .jsonl, .txt, .eml (also as .gz or .zst), .parquet.",
        ),
    ],
    encoding: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="What the files are written in, such as latin-1. Else UTF-8, or UTF-16 with its mark."
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the outcome.")] = True,
    as_json: AsJson = False,
) -> None:
    """Hand in a message or files of messages, and wait for what becomes of them.

    Example: orchestrate send "The courier left my box in the rain."
    """
    from orchestration_project.cli.work import finish_batches
    from orchestration_project.stores import batches
    from orchestration_project.stores.home import prepared_home

    home = prepared_home()
    tokens, rows = take_in(home, items, encoding)
    own: set[str] = set()
    if wait:
        own = finish_batches(home, tokens)
    else:
        note(f"{rows:,} messages taken in. See: orchestrate status")
    with home.ledger.read() as connection:
        counts = batches.count_states(connection, only=own if wait else None)
    if as_json:
        say_json({**counts, "batches": sorted(own)})
    else:
        say_counts(counts)
        _say_alerts_of(home, own)
    troubles = _troubles_of(home, own)
    for trouble in troubles:
        complain(trouble)
    if troubles:
        raise typer.Exit(1)


def take_in(home: "Home", items: Sequence[str], encoding: str | None = None) -> tuple[list[str], int]:
    """Receive and register files, or one text; returns the tokens they were received under and the number of messages.

    A file that cannot be read is refused by name, and nothing of it is kept. `encoding` is that of the files.
    """
    from orchestration_project.stores import arrivals

    files = files_among(items)
    if encoding and not files:
        raise Refused("--encoding is of files, and a message on the command line is text. Leave it out.")
    received = [arrivals.receive(home, file, encoding) for file in files] or [_receive_text(home, items[0])]
    rows = 0
    for path in received:
        try:
            rows += arrivals.register(home, path)
        except FileRefused:
            path.unlink()
            raise
    return [path.name.partition("-")[0] for path in received], rows


def files_among(items: Sequence[str]) -> list[Path]:
    """The items as files; empty when they are one text. Refused for a name that looks like a file and is none."""
    from orchestration_project.stores.file_kinds import is_readable_name

    paths = [Path(item).expanduser() for item in items]
    missing = [path for path in paths if not _is_file(path)]
    if not missing:
        return paths
    if len(items) == 1 and not is_readable_name(missing[0].name):
        return []
    raise Refused(f"There is no file {missing[0]}. Name files that exist, or put one message in quotes.")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a message may be longer than a file name can be
        return False


def _receive_text(home: "Home", text: str) -> Path:
    from orchestration_project.stores.arrivals import receive_message
    from orchestration_project.stores.ledger import now

    if not text.strip():
        raise Refused("The message is empty. Write what the customer said, in quotes.")
    return receive_message(home, {"text": text, "received_at": now().isoformat(), "channel": "command line"})


def _say_alerts_of(home: "Home", own: set[str]) -> None:
    from orchestration_project.stores.outbox import recorded

    with home.ledger.read() as connection:
        notices = [notice for notice in recorded(connection) if notice["batch"] in own]
    say_notices(notices[:MOST_ALERTS])
    if len(notices) > MOST_ALERTS:
        say(f"and {len(notices) - MOST_ALERTS:,} more alerts. See: orchestrate alerts")


def _troubles_of(home: "Home", own: set[str]) -> list[str]:
    """Why the batches that did not end well did not, in words."""
    from orchestration_project.stores import batches
    from orchestration_project.stores.halts import open_halts

    with home.ledger.read() as connection:
        halted = [halt for halt in open_halts(connection) if halt.partition in own]
        aside = [batch for batch in batches.set_aside(connection) if batch.batch in own]
    return [
        *(f"{halt.asset} of batch {halt.partition} is halted. {halt.reason}" for halt in halted),
        *(f"Batch {batch.batch} was set aside. {batch.cause}" for batch in aside),
    ]

"""The verbs about the audit log: `audit verify`, `audit list`, `audit export`, `audit prune`."""

import json
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration_project.cli.moments import moment
from orchestration_project.cli.printing import AsJson, complain, note, say, say_json, say_table
from orchestration_project.core.errors import Refused

if TYPE_CHECKING:
    from orchestration_project.governance.audit import Head
    from orchestration_project.governance.audit_export import Selection
    from orchestration_project.governance.audit_verification import Verified

app = typer.Typer(help="What was done, by whom and why, and the proof that nobody changed it.", no_args_is_help=True)

MOST_LISTED = 100
"""Entries that `list` shows unless told otherwise."""

Since = Annotated[str | None, typer.Option("--since", metavar="TIME", help="From then on, as ISO 8601; UTC.")]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Before then.")]
Asset = Annotated[str | None, typer.Option("--asset", metavar="NAME", help="Of this asset, or model.")]
Version = Annotated[
    str | None,
    typer.Option("--version", metavar="V", help="That name this version; of a model's the first 4 characters do."),
]
Person = Annotated[str | None, typer.Option("--person", metavar="NAME", help="Of this actor.")]
Action = Annotated[str | None, typer.Option("--action", metavar="TEXT", help="Such as published, promoted, verdict.")]


@app.command()
def verify(
    heads: Annotated[
        list[str] | None, typer.Option("--head", metavar="SEQUENCE:DIGEST", help="A head that was kept elsewhere.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="The chain of this unfiltered export instead.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find what was changed.

    The chain of the audit log, its heads in Dagster's event log and in the file of ORCHESTRATE_AUDIT_HEADS, and every
    row and file that an entry records. Exit status 1 when something does not hold.

    Example: orchestrate audit verify --head 512:9f2b5c0a7e...
    """
    given = [_head(text) for text in heads or ()]
    found: list[str] = []

    def tell(sentence: str) -> None:
        found.append(sentence)
        if not as_json:
            complain(sentence)

    verified = _verify_home(tell, given) if file is None else _verify_file(file, tell, given)
    end = f"{verified.head.sequence}:{verified.head.digest}"
    if as_json:
        say_json({"findings": found, "first": verified.first, "head": end, "files": verified.files})
    elif found:
        complain(f"{len(found):,} findings in entries {verified.first} to {verified.head.sequence:,}.")
    else:
        files = f", and {verified.files:,} files" if file is None else ""
        say(f"Entries {verified.first} to {verified.head.sequence:,} hold{files}. The head is {end}")
    if found:
        raise typer.Exit(1)


@app.command(name="list")
def listed(
    since: Since = None,
    until: Until = None,
    asset: Asset = None,
    version: Version = None,
    person: Person = None,
    action: Action = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="How many at most.")] = MOST_LISTED,
    as_json: AsJson = False,
) -> None:
    """What was done, by whom and why, the newest first; with --json the details too.

    Example: orchestrate audit list --person anna --since 2026-03-01
    """
    from orchestration_project.governance.audit import entries
    from orchestration_project.stores.home import prepared_home

    selection = _selection(since, until, asset, version, person, action)
    home = prepared_home()
    with home.ledger.read() as connection:
        found = deque(selection.choose(entries(connection, complain)), maxlen=limit)
    found.reverse()
    if as_json:
        say_json([entry._asdict() for entry in found])
    elif found:
        rows = [(one.sequence, one.at[:19], one.actor, one.action, one.subject, _why(one.detail)) for one in found]
        say_table(("entry", "at (UTC)", "actor", "action", "subject", "why"), rows)
    else:
        say("No entry is like that.")


@app.command()
def export(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="It ends in .jsonl or .parquet.")],
    since: Since = None,
    until: Until = None,
    asset: Asset = None,
    version: Version = None,
    person: Person = None,
    action: Action = None,
) -> None:
    """Write the log, or part of it, into a file.

    JSON Lines without filters can be verified by anybody: docs/audit.md says how.

    Example: orchestrate audit export --out audit.jsonl
    """
    from orchestration_project.governance.audit import entries
    from orchestration_project.governance.audit_export import Selection
    from orchestration_project.governance.audit_export import export as write
    from orchestration_project.stores.home import prepared_home

    selection = _selection(since, until, asset, version, person, action)
    home = prepared_home()
    with home.ledger.read() as connection:
        number = write(out, selection.choose(entries(connection, complain)))
    say(f"{number:,} entries are in {out}")
    if selection != Selection():
        note("Some entries may be left out, so that their chain cannot be verified from this file.")


@app.command()
def prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be moved; change nothing.")] = False,
) -> None:
    """Move entries older than ORCHESTRATE_AUDIT_DAYS into a file of the home.

    An entry says which, so that what is left is verified from there. Takes the role auditor.

    Example: orchestrate audit prune --dry-run
    """
    from orchestration_project.governance.audit_archives import prune as move
    from orchestration_project.stores.home import prepared_home

    home = prepared_home()
    archive = move(home, dry_run=dry_run)
    if archive is None:
        say(f"No entry is older than {home.settings.audit_days} days.")
        return
    would = "would be moved" if dry_run else "were moved"
    say(f"Entries {archive.first} to {archive.sequence:,}, until {archive.until[:10]}, {would} into {archive.file}")


def _why(detail: str) -> str:
    """The reason or cause that a detail gives, if it gives one."""
    try:
        found = json.loads(detail)
        return str(found.get("reason") or found.get("cause") or "")
    except (ValueError, AttributeError):  # somebody changed it: verify says so
        return detail


def _verify_home(tell: Callable[[str], None], given: "list[Head]") -> "Verified":
    from orchestration_project.cli.dagster_commands import instance_of
    from orchestration_project.dispatch.audit_heads import kept_heads
    from orchestration_project.governance.audit_verification import verify as look
    from orchestration_project.stores.home import prepared_home

    home = prepared_home()
    with instance_of(home) as instance:
        # a head that is kept while this reads on would lie behind the end of what is read
        heads = [*kept_heads(home, instance), *given]
    return look(home, tell, heads)


def _verify_file(file: Path, tell: Callable[[str], None], given: "list[Head]") -> "Verified":
    from orchestration_project.governance.audit_verification import verify_file

    return verify_file(file, tell, given)


def _head(text: str) -> "Head":
    from orchestration_project.governance.audit import Head

    number, _, digest = text.strip().partition(":")
    if not number.isdecimal() or len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise Refused(f"--head is '{text}'. Give SEQUENCE:DIGEST as orchestrate audit verify prints it.")
    return Head(int(number), digest, "--head")


def _selection(
    since: str | None,
    until: str | None,
    asset: str | None,
    version: str | None,
    person: str | None,
    action: str | None,
) -> "Selection":
    from orchestration_project.governance.audit_export import Selection

    return Selection(moment("--since", since), moment("--until", until), asset, version, person, action)

"""The verbs about refused rows: `quarantine list`, `show`, `export`, `fix`, `replay`, `discard`."""

import csv
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration_project.cli.printing import AsJson, note, say, say_json, say_table
from orchestration_project.cli.reasons import Reason, stated
from orchestration_project.core.errors import Refused

if TYPE_CHECKING:
    from orchestration_project.stores.quarantine import QuarantinedRow, Selection

app = typer.Typer(help="Rows that a gate refused: look at them, set them right, send them again.", no_args_is_help=True)

MOST_ROWS = 40
"""Rows that `list` prints."""

Rows = Annotated[list[int] | None, typer.Argument(metavar="[ROW…]", help="Numbers, as `quarantine list` shows them.")]
Asset = Annotated[str | None, typer.Option("--asset", metavar="NAME", help="Only rows that this asset refused.")]
Batch = Annotated[str | None, typer.Option("--batch", metavar="KEY", help="Only rows of this batch.")]
Rule = Annotated[str | None, typer.Option("--rule", metavar="NAME", help="Only rows that broke this rule.")]
Everything = Annotated[bool, typer.Option("--all", help="Every row that waits.")]


@app.command(name="list")
def refused(asset: Asset = None, batch: Batch = None, rule: Rule = None, as_json: AsJson = False) -> None:
    """The rows that wait, oldest first, and how many broke which rule.

    Example: orchestrate quarantine list --rule text_not_blank
    """
    from orchestration_project.stores.home import prepared_home
    from orchestration_project.stores.quarantine import Selection, rules_of

    with prepared_home().ledger.read() as connection:
        rows = Selection(asset=asset, batch=batch, rule=rule).find(connection)
    if as_json:
        say_json([vars(row) for row in rows])
        return
    if not rows:
        say("No refused row waits.")
        return
    columns = ("row", "asset", "batch", "message", "came from", "refused for", "corrected")
    say_table(columns, [_line(row) for row in rows[:MOST_ROWS]])
    if len(rows) > MOST_ROWS:
        note(f"{len(rows) - MOST_ROWS:,} more. See all of them with --json, or some with --rule, --batch, --asset.")
    broken = Counter((row.asset, name) for row in rows for name in rules_of(row.reason))
    say_table(("asset", "rule", "rows"), [(*names, f"{number:,}") for names, number in broken.most_common()])


@app.command()
def show(row: Annotated[int, typer.Argument(metavar="ROW", help="Its number.")], as_json: AsJson = False) -> None:
    """All that is known of one row: what came in, why it was refused, what became of it.

    Example: orchestrate quarantine show 12
    """
    from orchestration_project.governance import mending
    from orchestration_project.stores.home import prepared_home
    from orchestration_project.stores.quarantine import Selection

    home = prepared_home()
    with home.ledger.read() as connection:
        (found,) = Selection(rows=(row,)).find(connection, state=None)
    raw = mending.raw_rows(home, [found])[row]
    unread = mending.unread_text(home, found)
    known = {name: value for name, value in vars(found).items() if name not in ("path", "position", "correction")}
    if as_json:
        say_json({**known, "raw": raw, "unread": unread, "correction": found.correction})
        return
    say_table(("row", ""), list(known.items()))
    correction = found.correction or {}
    names = list(dict.fromkeys([*raw, *correction]))
    say_table(("column", "came in", "corrected to"), [(name, raw.get(name), correction.get(name)) for name in names])
    if unread is not None:
        say(f"The line: {unread}")


@app.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV file that is written.")],
    asset: Asset = None,
    batch: Batch = None,
    rule: Rule = None,
) -> None:
    """Write the rows that wait into a CSV file, to be corrected there and read back with `quarantine fix`.

    Example: orchestrate quarantine export refused.csv
    """
    from orchestration_project.governance import mending
    from orchestration_project.stores.files import write_file
    from orchestration_project.stores.home import prepared_home
    from orchestration_project.stores.quarantine import Selection

    table = mending.export(prepared_home(), Selection(asset=asset, batch=batch, rule=rule))
    if table.empty:
        raise Refused("No refused row is meant by that. See what waits: orchestrate quarantine list")
    content = table.to_csv(index=False, quoting=csv.QUOTE_MINIMAL, lineterminator="\n")
    write_file(file.expanduser(), content.encode())
    say(
        f"{len(table):,} rows are in {file}. Correct them there.\nNext: orchestrate quarantine fix {file} --reason TEXT"
    )


@app.command()
def fix(
    reason: Reason,
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="CSV, as `quarantine export` wrote it.")] = None,
    rename: Annotated[
        str | None, typer.Option(metavar="OLD=NEW", help="What stands in column OLD belongs in NEW; instead of FILE.")
    ] = None,
    asset: Asset = None,
    batch: Batch = None,
    rule: Rule = None,
) -> None:
    """Set values of refused rows right: by a CSV of corrections, or by another name of a column.

    Nothing is sent yet; the corrections are kept beside what came in.

    Example: orchestrate quarantine fix refused.csv --reason "Looked up in the shop"
    """
    from orchestration_project.governance import mending
    from orchestration_project.governance.corrections import read_corrections
    from orchestration_project.stores.home import prepared_home
    from orchestration_project.stores.quarantine import Selection

    home = prepared_home()
    if (file is None) == (rename is None):
        raise Refused("Give either a FILE of corrections or --rename OLD=NEW.")
    if file is not None:
        number = mending.fix(home, read_corrections(file.expanduser()), stated(reason))
    else:
        old, _, new = str(rename).partition("=")
        if not old or not new:
            raise Refused(f"--rename is '{rename}'. Write OLD=NEW, the two names of the column.")
        number = mending.rename(home, Selection(asset=asset, batch=batch, rule=rule), old, new, stated(reason))
    say(f"{number:,} rows are corrected.")
    if number:
        say("Next: orchestrate quarantine replay --all --reason TEXT")


@app.command()
def replay(
    reason: Reason,
    rows: Rows = None,
    asset: Asset = None,
    batch: Batch = None,
    rule: Rule = None,
    everything: Everything = False,
) -> None:
    """Send refused rows through the workflow again, in a batch of their own that remembers where they came from.

    A running project does the work; where none runs, this command does.

    Example: orchestrate quarantine replay 12 13 --reason "Corrected"
    """
    from orchestration_project.cli.work import run_unless_project_does
    from orchestration_project.governance import mending
    from orchestration_project.stores.batches import count_states
    from orchestration_project.stores.home import prepared_home

    home = prepared_home()
    opened = mending.replay(home, _meant(rows, asset, batch, rule, everything), stated(reason))
    say(f"Replayed in {', '.join(opened)}.")
    if run_unless_project_does(home):
        from orchestration_project.cli.printing import say_counts

        with home.ledger.read() as connection:
            say_counts(count_states(connection, only=opened))


@app.command()
def discard(
    reason: Reason,
    rows: Rows = None,
    asset: Asset = None,
    batch: Batch = None,
    rule: Rule = None,
    everything: Everything = False,
) -> None:
    """Give refused rows up. Whoever sends such a message again sends a new one.

    Example: orchestrate quarantine discard 12 --reason "Spam"
    """
    from orchestration_project.governance import mending
    from orchestration_project.stores.home import prepared_home

    number = mending.discard(prepared_home(), _meant(rows, asset, batch, rule, everything), stated(reason))
    say(f"{number:,} rows are discarded.")


def _meant(
    rows: list[int] | None, asset: str | None, batch: str | None, rule: str | None, everything: bool
) -> "Selection":
    """What was selected; Refused when nothing was said, for that would be everything."""
    from orchestration_project.stores.quarantine import Selection

    if not (rows or asset or batch or rule or everything):
        raise Refused("Say which rows: their numbers, --rule, --batch, --asset, or --all.")
    return Selection(tuple(rows or ()), asset, batch, rule)


def _line(row: "QuarantinedRow") -> tuple[object, ...]:
    source = f"{row.file}:{row.line}" if row.file else ""
    corrected = ", ".join(row.correction or ())
    return row.row_id, row.asset, row.partition, row.message_id, source, row.reason, corrected

"""How the command line speaks: results on standard output, progress and complaints on standard error.

A customer's text may hold what would command a terminal, or turn a line round; it is shown as an escape.
"""

import json
import re
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

PLAIN_WIDTH = 140
"""Columns of a table that does not go to a terminal."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters but tab and line feed, and those that override the direction of a line."""

OUT = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, emoji=False)
ERR = Console(stderr=True, emoji=False)


def visible(text: str) -> str:
    r"""The text, of which no character acts on a terminal.

    >>> visible("\x1b[2J gone")
    '\\u001b[2J gone'
    """
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def say(text: str) -> None:
    """A line of the result."""
    OUT.print(_shown(text), soft_wrap=True)


def note(text: str) -> None:
    """A line about what is going on."""
    ERR.print(_shown(text), style="dim", soft_wrap=True)


def complain(text: str) -> None:
    """What went wrong, and what to do next."""
    ERR.print(Text.assemble(("✗", "bold red"), " ", _shown(text)), soft_wrap=True)


@contextmanager
def progress(text: str) -> Generator[Callable[[str], None]]:
    """What is being done, shown for as long as it takes; call what this gives with what is done next."""
    with ERR.status(_shown(text)) as status:
        yield lambda now: status.update(_shown(now))


def say_json(value: Any) -> None:
    """A result as JSON, for programs."""
    text = json.dumps(value, default=str, ensure_ascii=False, indent=2)
    OUT.print(visible(text), markup=False, highlight=OUT.is_terminal, soft_wrap=True)


def say_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None = None) -> None:
    """Rows as a table."""
    headline = None if title is None else _shown(title, "table.title")
    table = Table(title=headline, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(_shown(column))
    for row in rows:
        table.add_row(*("" if value is None else _shown(str(value)) for value in row))
    OUT.print(table)


def say_counts(counts: Mapping[str, int]) -> None:
    """Where the messages are; states with none are left out unless all are."""
    shown = {state: count for state, count in counts.items() if count} or dict(counts)
    say(", ".join(f"{count:,} {state.replace('_', ' ')}" for state, count in shown.items()))


def say_rule(title: str) -> None:
    """A line across the screen with a title in it."""
    OUT.rule(_shown(title, "bold"), align="left")


def say_notices(notices: Sequence[Mapping[str, Any]]) -> None:
    """Notices as they would be read: a title, and Markdown below it."""
    from rich.markdown import Markdown
    from rich.panel import Panel

    for notice in notices:
        body = Markdown(visible(notice["body"]))
        OUT.print(Panel(body, title=_shown(notice["title"]), title_align="left"))


def _shown(text: str, style: str = "") -> Text:
    """The text as it is, whatever in it looks like markup."""
    return Text(visible(text), style)

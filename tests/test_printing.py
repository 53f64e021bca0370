"""What the command line prints of a customer's text cannot act on the terminal."""

import io
import json

import pytest
from rich.console import Console

from orchestration_project.cli import printing
from orchestration_project.cli.printing import (
    complain,
    note,
    progress,
    say,
    say_json,
    say_notices,
    say_rule,
    say_table,
    visible,
)

ACTS = ["\x1b[2J", "\x1b]0;title\x07", "\r", "\x08", "\x9b31m", "\x7f", "\u202egnp.exe", "\u2066"]


@pytest.mark.parametrize("text", ACTS)
def test_what_would_act_on_a_terminal_is_shown_as_an_escape(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    say(f"before {text} after")
    say_table(["text"], [[text]])
    say_notices([{"title": f"title {text}", "body": f"> {text}"}])
    say_json({"text": text})
    printed = capsys.readouterr().out
    assert visible(printed) == printed
    assert printed.count(f"\\u{ord(visible_first(text)):04x}") >= 4


def visible_first(text: str) -> str:
    """The first character of a text that acts."""
    return next(character for character in text if visible(character) != character)


@pytest.mark.parametrize("text", ["עברית شكرا", "a\tb\nc", "😡👨‍👩‍👧", "[bold]no markup[/]", "naïve ﷽"])
def test_any_other_text_is_shown_as_it_is(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    say(text)
    assert capsys.readouterr().out == f"{text}\n".expandtabs()


@pytest.mark.parametrize("text", [":warning: late", "[red]late[/red]", "[/] late", r"\[late"])
def test_what_looks_like_markup_is_shown_as_it_is_wherever_it_stands(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    say(text)
    say_table([text], [[text]], title=text)
    say_rule(text)
    say_notices([{"title": text, "body": ""}])
    say_json(text)
    note(text)
    complain(text)
    printed = capsys.readouterr()
    shown = [line.strip("─╭╮│┃ ") for line in printed.out.splitlines() if "late" in line]
    assert shown == [*[text] * 6, json.dumps(text)]
    assert printed.err == f"{text}\n✗ {text}\n"


def test_body_of_a_notice_keeps_what_is_no_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    say_notices([{"title": "A notice", "body": "> :warning: [red]late"}])
    assert ":warning: [red]late" in capsys.readouterr().out


def test_progress_keeps_what_looks_like_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=80)
    monkeypatch.setattr(printing, "ERR", terminal)
    with progress("Switching :warning: [red]late off"):
        pass
    assert ":warning: [red]late off" in terminal.file.getvalue()  # type: ignore[attr-defined]


def test_json_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"text": "".join(ACTS), "other": "שלום"}
    say_json(value)
    assert json.loads(capsys.readouterr().out) == value
    assert printing.OUT.is_terminal is False

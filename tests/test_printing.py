"""What the command line prints of a customer's text cannot act on the terminal."""

import json

import pytest

from orchestration_project.cli import printing
from orchestration_project.cli.printing import say, say_json, say_notices, say_table, visible

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


def test_json_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"text": "".join(ACTS), "other": "שלום"}
    say_json(value)
    assert json.loads(capsys.readouterr().out) == value
    assert printing.OUT.is_terminal is False

"""What is left of a message that is erased, and the words by which it is found wherever they were told again.

A value of it becomes `[erased]`, null, or empty JSON. Text that only quotes it keeps the rest of what it says.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from orchestration_project.core.redaction import redact

ERASED = "[erased]"

SHORTEST = 6
"""Fewest characters of a value that is looked for in other texts; a shorter one says nothing alone."""

BEGINNING = 32
"""Characters by which a text is known that was cut off: the rest of it goes as far as it is there."""

ECHO = 4
"""So many words in a row are no chance."""

_LONG_WORD = 8
_LEFT = frozenset({ERASED, "{}", "[]", ""})
_TOKEN = re.compile(r"\w+")
_PLAIN = re.compile(r"[A-Za-z0-9 ,.!?-]+")  # written alike in every text and every JSON
_REDACTED = re.compile(r"\[[a-z-]+\]")


def blank(value: str | None, *, is_needed: bool = True) -> str | None:
    """What stands in the place of a value: null unless one is needed there. JSON stays JSON.

    >>> blank("my card"), blank('{"to": "me"}'), blank("my card", is_needed=False)
    ('[erased]', '{}', None)
    """
    if value is None or not is_needed:
        return None
    found = _json(value)
    return "{}" if isinstance(found, dict) else "[]" if isinstance(found, list) else ERASED if value else value


def is_telling(value: str) -> bool:
    """Whether a value is looked for in other texts. Moments, decimals, short words and what is erased already are not."""
    text = value.strip()
    if text in _LEFT or len(text) < (SHORTEST if text.isascii() else SHORTEST // 2) or _is_moment_or_decimal(text):
        return False
    is_marked = any(map(str.isdigit, text)) or "@" in text
    return is_marked or not text.isascii() or len(text) >= _LONG_WORD or len(_TOKEN.findall(text)) > 1


def strings_in(value: Any) -> Iterator[str]:
    """Every text in a value, within JSON and within text that is JSON too."""
    if isinstance(value, str):
        yield value
        if (found := _json(value)) is not None:
            yield from strings_in(found)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from strings_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from strings_in(inner)


class Words:
    """What a message said, in every form in which it may be told again: as it came, on one line, redacted, cut off."""

    def __init__(self, said: Iterable[str] = ()) -> None:
        self.said = frozenset(filter(is_telling, said))
        self._forms = sorted({form for value in self.said for form in _forms(value)}, key=len, reverse=True)
        self._spoken = [_spoken(value) for value in self.said]

    @property
    def beginnings(self) -> list[str]:
        """How each form begins: a text that tells one of them again has one of these."""
        return sorted({form[:BEGINNING] for form in self._forms})

    @property
    def probes(self) -> list[str]:
        """Pieces of which one stands in every text that tells it, also where it is written as JSON within JSON."""
        return sorted({probe for form in self._forms for probe in _probes(form[:BEGINNING])})

    def erased(self, text: str) -> str:
        """The text without what the message said."""
        for form in self._forms:
            text = _without(text, form)
        return text

    def are_in(self, text: str) -> bool:
        """Whether a text tells something of it."""
        return self.erased(text) != text

    def are_echoed_in(self, text: str) -> bool:
        """Whether a text tells something of it, or `ECHO` words of it that follow each other, however they are parted."""
        heard = _spoken(text)
        return self.are_in(text) or any(piece in heard for spoken in self._spoken for piece in _pieces(spoken))

    def say(self, phrase: str) -> bool:
        """Whether the message says these words, one after another, whatever stands between them."""
        words = _spoken(phrase)
        return bool(words.strip()) and any(words in spoken for spoken in self._spoken)


def erased_value(value: Any, message_id: str, words: Words, *, speaks: bool = False) -> Any:
    """A JSON value without what a message said: its own objects (those with its `message_id`) keep the id and numbers,
    other messages' objects stay, and text keeps the rest. What `speaks` of it loses the phrases that it says from lists.
    """
    if isinstance(value, str):
        return erased_text(value, message_id, words, speaks=speaks)
    if isinstance(value, Mapping):
        if value.get("message_id") == message_id:
            return {name: inner if name == "message_id" else _emptied(inner) for name, inner in value.items()}
        if isinstance(value.get("message_id"), str):
            return value
        return {name: erased_value(inner, message_id, words, speaks=speaks) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        said = (inner for inner in value if not (speaks and _is_phrase(inner, message_id, words)))
        return [erased_value(inner, message_id, words, speaks=speaks) for inner in said]
    return value


def erased_text(text: str, message_id: str, words: Words, *, speaks: bool = False) -> str:
    """The same of a text, which may be JSON."""
    found = _json(text)
    if found is None:
        return words.erased(text)
    erased = erased_value(found, message_id, words, speaks=speaks)
    return text if erased == found else json.dumps(erased, ensure_ascii=text.isascii())


def _is_phrase(value: Any, message_id: str, words: Words) -> bool:
    return isinstance(value, str) and value != message_id and words.say(value)


def _emptied(value: Any) -> Any:
    if isinstance(value, str):
        return blank(value)
    return {} if isinstance(value, Mapping) else [] if isinstance(value, list | tuple) else value


def _json(text: str) -> Any:
    """The object or array that a text is; None for any other text."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict | list) else None


def _forms(value: str) -> Iterator[str]:
    for form in (value.strip(), " ".join(value.split())):
        yield form
        if is_telling(_REDACTED.sub("", redacted := redact(form))):
            yield redacted


def _without(text: str, form: str) -> str:
    start = form[:BEGINNING]
    place, done, parts = text.find(start), 0, list[str]()
    while place >= 0:
        end = place + _common(text[place : place + len(form)], form)
        if _is_apart(text, place, end):
            parts += [text[done:place], ERASED]
            done = end
        place = text.find(start, max(place + 1, done))
    return "".join([*parts, text[done:]])


def _common(one: str, other: str) -> int:
    """How many characters two texts have alike at their beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (own, its) in pairs if own != its), min(len(one), len(other)))


def _is_apart(text: str, place: int, end: int) -> bool:
    """Whether what stands there is no part of a longer word or number."""
    before, first = text[max(place - 1, 0) : place], text[place]
    last, behind = text[end - 1], text[end : end + 1]
    return not (before.isalnum() and first.isalnum()) and not (last.isalnum() and behind.isalnum())


def _probes(beginning: str) -> list[str]:
    plain = max(_PLAIN.findall(beginning), key=len, default="")
    if len(plain) >= SHORTEST // 2:
        return [plain]
    strange = next((character for character in beginning if not character.isascii()), beginning[:1])
    return [strange, f"{ord(strange):04x}"]


def _spoken(text: str) -> str:
    return f" {' '.join(_TOKEN.findall(text.casefold()))} "


def _pieces(spoken: str) -> Iterator[str]:
    words = spoken.split()
    for place in range(max(len(words) - ECHO + 1, 1)):
        yield f" {' '.join(words[place : place + ECHO])} "


def _is_moment_or_decimal(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        pass
    else:
        return not text.isdigit()
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return not text.isdigit()

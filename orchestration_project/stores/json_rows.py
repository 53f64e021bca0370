"""Rows of JSON: the values of a file one by one, and what of an object can be kept as a row."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, TextIO

from orchestration_project.core.errors import FileRefused
from orchestration_project.stores import text_rows
from orchestration_project.stores.text_rows import Unreadable, check_text, encoding_of

MOST_LEVELS = 10_000
"""Brackets within brackets of one value; JSON that anybody reads again has a few."""

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_STRING = r'"(?:[^"\\\n]++|\\[^\n])*+'
_TOKEN = re.compile(rf'{_STRING}"?|[{{}}\[\],]|[^"{{}}\[\],]++')
_FLAT = re.compile(rf'\{{(?:[^"{{}}\[\]]++|{_STRING}")*+\}}')  # an object with nothing nested in it, quotes closed
_PIECE = 2**20  # characters read at once


def read_object(text: str, encoding: str, advice: str) -> dict[str, Any] | None:
    """The object that a text is, what is nested in it as JSON; None for a blank text.

    Unreadable for anything else, an object that names a key twice, and a value that no column holds: a number beyond
    float64, half a surrogate pair, NUL. `advice` is what the sender is told to write instead.
    """
    if not text.strip(" \t\r\n"):
        return None
    check_text(text, encoding)
    try:
        found = _DECODER.decode(text)
        if not isinstance(found, dict):
            raise Unreadable(f"expected an object, found {text.strip():.40}. {advice}")
        if _SURROGATE.search(text):
            as_json(found).encode()
        for key, value in found.items():
            if isinstance(value, (dict, list)):
                found[key] = as_json(value)
        if "\\u0000" in text and any(isinstance(value, str) and "\0" in value for value in found.values()):
            raise Unreadable("\\u0000 is NUL, which is no character of a text. Leave it out.")
    except json.JSONDecodeError as error:
        raise Unreadable(f"not JSON: {error.msg} at character {error.pos + 1}. {advice}") from error
    except UnicodeEncodeError as error:
        raise Unreadable(f"{error.object[error.start]!r} is half a character. Write it whole.") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of levels
        raise Unreadable("a number is too long, or the nesting too deep, to be read. Write it as a string.") from error
    return found


class Values(Iterator[str]):
    """The values of a JSON file as text: those of its array, or objects that follow each other, in bounded memory.

    A value that is broken costs itself: it ends where its bracket closes, or where the next object can only begin
    because this one was never closed. What stands between values becomes one too, and is told as an error.
    FileRefused for a file that begins with neither an array nor an object.
    """

    def __init__(self, file: TextIO, name: str) -> None:
        self._file = file
        self._name = name
        self._buffer = ""
        self._place = 0  # in the buffer
        self._lines = 1  # where that place is in the file
        self._array_line = 0  # where the array opens in which we are; 0 outside
        self._has_begun = False
        self.encoding = encoding_of(file)
        self.begin_row()

    def begin_row(self) -> None:
        self.row: list[str] = []
        self.size = 0
        self.line = self._lines

    def __next__(self) -> str:
        token = self._skip_to_value()
        self.line = self._lines
        if token == "{" and (flat := _FLAT.match(self._buffer, self._place)):
            self._take(flat[0])
        elif token in ("{", "["):
            self._take_nested()
        else:
            self._take_stray()
        if self.size >= text_rows.LONGEST_ROW:
            raise Unreadable(
                f"the object reaches {text_rows.LONGEST_ROW} characters. Shorten it, or close its brackets."
            )
        return "".join(self.row)

    def _skip_to_value(self) -> str:
        """The first token of the next value, which is not taken yet; StopIteration at the end of the file."""
        while token := self._token():
            if token == "]" and self._array_line:
                self._array_line = 0
            elif token == "[" and not self._array_line:
                self._array_line = self._lines
            elif token.isspace() or token == ",":
                pass
            else:
                if not (self._has_begun or self._array_line or token == "{"):
                    start = f"{token.strip():.20}"
                    raise FileRefused(
                        f"{self._name} is no JSON of messages: it begins with {start!r}. Send [{{...}}, ...]."
                    )
                self._has_begun = True
                blank = len(token) - len(token.lstrip())
                self._move(token[:blank])
                return token[blank:]
            self._has_begun |= token in "[]"
            self._move(token)
        if self._array_line:
            line, self._array_line = self._array_line, 0
            raise Unreadable(f"the array that opens in line {line} is never closed: the end is missing. Send it whole.")
        raise StopIteration

    def _take_nested(self) -> None:
        """Take a value from its bracket to the one that closes it, or to where that can only be missing."""
        opened: list[str] = []
        count = {"{": 0, "[": 0}
        before = ":"  # the last character that is not blank
        while token := self._token():
            if token == "{" and opened and opened[-1] == "{" and before != ":":
                return  # no key begins so: the next object does
            if token in ("{", "["):
                opened.append(token)
                count[token] += 1
            elif token in ("}", "]"):
                opener = "{" if token == "}" else "["
                if token == "]" and not count["["] and self._array_line:
                    return  # the end of the array, within an object that is not closed
                while count[opener]:
                    last = opened.pop()
                    count[last] -= 1
                    if last == opener:
                        break
            before = token.rstrip()[-1:] or before
            self._take(token)
            if not opened or len(opened) > MOST_LEVELS:
                return

    def _take_stray(self) -> None:
        """Take what is neither an object nor an array."""
        while (token := self._token()) not in ("", "{", "[", ","):
            if token == "]" and self._array_line:
                return
            self._take(token)

    def _take(self, text: str) -> None:
        """Add a text to the row, up to a row's limit, and go on behind it."""
        if self.size < text_rows.LONGEST_ROW:
            self.row.append(text[: text_rows.LONGEST_ROW - self.size])
        self.size += len(text)
        self._move(text)

    def _move(self, text: str) -> None:
        self._place += len(text)
        self._lines += text.count("\n")

    def _token(self) -> str:
        """The next token, "" at the end: a string, a bracket or comma, or what stands between those."""
        while True:
            found = _TOKEN.match(self._buffer, self._place)
            if found and (found[0] in "{}[]," or self._buffer[found.end() : found.end() + 2] not in ("", "\\")):
                return found[0]  # whatever is read next, it goes no further
            if found and len(found[0]) >= text_rows.LONGEST_ROW:
                return found[0]
            read = self._file.read(max(_PIECE, len(self._buffer) - self._place))
            if not read:
                return found[0] if found else ""
            self._buffer = self._buffer[self._place :] + read
            self._place = 0


def as_json(value: Any) -> str:
    """A value as JSON text, characters as they are."""
    return _ENCODER.encode(value)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        [(key, times)] = Counter(key for key, _ in pairs).most_common(1)
        raise Unreadable(f"the key {key!r:.80} stands {times} times in one object. Keep one.")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise Unreadable(f"{text:.40} is not a number that JSON and float64 hold. Write null, or a string.")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_finite, parse_constant=_finite)
_ENCODER = json.JSONEncoder(ensure_ascii=False)

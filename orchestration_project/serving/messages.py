"""What a posted body says: its messages, one object each. A body with one fault in it is refused whole.

Values are read by the rules of a JSON Lines file (`stores.json_rows`): what is nested in a message is kept as JSON.
"""

import io
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from orchestration_project.core.errors import FileRefused, Refused
from orchestration_project.stores.formats import ERROR, LINE, RAW
from orchestration_project.stores.json_rows import Values, read_object
from orchestration_project.stores.text_rows import Unreadable

JSON = "application/json"
JSON_LINES = "application/x-ndjson"

_RESERVED = (LINE, ERROR, RAW)
_ADVICE = "Send {...} or [{...}, ...]."


class BodyRefused(Refused):
    """A body cannot be read as messages; `line` (from 1) and `field` are where, as far as known."""

    def __init__(self, what: str, line: int | None = None, field: str | None = None) -> None:
        super().__init__(f"Line {line}: {what}" if line else what)
        self.line = line
        self.field = field


class Message(NamedTuple):
    """One message: the line of the body where it starts (from 1), its values by name, and of a CloudEvent its identity
    (source and id) and time.
    """

    line: int
    values: dict[str, Any]
    event: tuple[str, str] | None = None
    time: str | None = None


def read_messages(body: bytes, media_type: str) -> list[Message]:
    """The messages of a body of JSON (an object or an array of objects) or of JSON Lines. BodyRefused for any fault."""
    if media_type == JSON_LINES:
        pieces = enumerate(text_of(body).split("\n"), start=1)
        found = [(line, read_values(text, line, advice="Write one {...} a line.")) for line, text in pieces]
    else:
        found = [(line, read_values(text, line, advice=_ADVICE)) for line, text in values_of(body)]
    return [Message(line, values) for line, values in found if values is not None]


def values_of(body: bytes) -> Iterator[tuple[int, str]]:
    """Line and text of each value of a body of JSON: the items of its array, or the one value that it is."""
    text = text_of(body)
    try:
        json.loads(text, parse_int=str)  # the reader of files, below, goes on behind a fault
        values = Values(io.StringIO(text), "The body")
        for value in values:
            yield values.line, value
            values.begin_row()
    except json.JSONDecodeError as error:
        raise BodyRefused(f"not JSON: {error.msg} at character {error.colno}. {_ADVICE}", error.lineno) from error
    except RecursionError as error:
        raise BodyRefused("the nesting is too deep to be read. Write what is nested as a string.") from error
    except (FileRefused, Unreadable) as flaw:
        raise BodyRefused(str(flaw)) from flaw


def read_values(text: str, line: int, within: str | None = None, *, advice: str) -> dict[str, Any] | None:
    """The values of one message; None for a blank text. `within` is the field of an envelope that holds it.

    BodyRefused for what is no object, and for a value or a name that no column can have.
    """
    values = read_fields(text, line, within, advice=advice)
    for name in values or ():
        if name in _RESERVED or "\0" in name:
            what = "is taken by the reader" if name in _RESERVED else "holds NUL, which is no character"
            raise BodyRefused(f"the name {name!r:.80} {what}. Rename the field.", line, _path(within, name))
    return values


def read_fields(text: str, line: int, within: str | None = None, *, advice: str) -> dict[str, Any] | None:
    """The fields of one object, what is nested in them as JSON; None for a blank text. BodyRefused for anything else."""
    try:
        return read_object(text, "utf-8", advice)
    except Unreadable as flaw:
        raise BodyRefused(str(flaw), line, _path(within, _field_at_fault(text))) from flaw


def text_of(body: bytes) -> str:
    """The body's text, without a byte order mark. BodyRefused where it is not UTF-8."""
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        raise BodyRefused(
            f"byte {error.start + 1} of the body is 0x{byte:02x}, which is not UTF-8. Send UTF-8.", line
        ) from error


def _field_at_fault(text: str) -> str | None:
    """The first field that comes twice, or whose value cannot be kept; None where the fault is in none of them."""
    try:
        pairs = json.loads(text, object_pairs_hook=tuple)
    except (ValueError, RecursionError):
        return None
    if not isinstance(pairs, tuple):
        return None
    seen: set[str] = set()
    for name, value in pairs:
        if name in seen or not _is_readable(json.dumps({name: value})):
            return name.encode(errors="backslashreplace").decode()
        seen.add(name)
    return None


def _is_readable(text: str) -> bool:
    try:
        read_object(text, "utf-8", "")
    except Unreadable:
        return False
    return True


def _path(within: str | None, field: str | None) -> str | None:
    return ".".join(part for part in (within, field) if part) or None

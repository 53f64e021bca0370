"""Messages that come as CloudEvents 1.0 (https://github.com/cloudevents/spec): `data` is the message.

Structured (an envelope as application/cloudevents+json), in batches (an array of envelopes), and binary (the envelope in
ce-* headers, `data` as the body).
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from orchestration_project.serving.messages import (
    JSON,
    BodyRefused,
    Message,
    read_fields,
    read_values,
    text_of,
    values_of,
)
from orchestration_project.stores.json_rows import as_json

EVENT = "application/cloudevents+json"
EVENTS = "application/cloudevents-batch+json"
HEADERS = ("ce-specversion", "ce-id", "ce-source", "ce-type")

_ATTRIBUTES = ("specversion", "id", "source", "type")
_ADVICE = "Send a CloudEvent whose data is the message, an object."


def read_events(body: bytes, media_type: str) -> list[Message]:
    """The messages of an envelope, or of an array of envelopes. BodyRefused for any fault."""
    start = text_of(body).lstrip()[:1]
    if start and (start == "[") != (media_type == EVENTS):
        is_due = "an array of envelopes" if media_type == EVENTS else "one envelope"
        raise BodyRefused(f"{media_type} is {is_due}; the body begins with {start!r}. {_ADVICE}", 1)
    return [_read_envelope(text, line) for line, text in values_of(body)]


def read_binary_event(body: bytes, headers: Mapping[str, str]) -> list[Message]:
    """The message of an event in binary mode; the names of headers are in lower case. BodyRefused for any fault."""
    attributes = {name.removeprefix("ce-"): unquote(value) for name, value in headers.items() if name.startswith("ce-")}
    event, time = _identity(attributes, None, "ce-")
    pieces = list(values_of(body))
    if len(pieces) != 1:
        raise BodyRefused(f"an event in binary mode holds one message, this one {len(pieces)}. {_ADVICE}")
    [(line, text)] = pieces
    return [Message(line, read_values(text, line, "data", advice=_ADVICE) or {}, event, time)]


def _read_envelope(text: str, line: int) -> Message:
    read_fields(text, line, advice=_ADVICE)  # refuses what is no object, keys that come twice, and the like
    envelope = json.loads(text)
    event, time = _identity(envelope, line, "")
    if "data_base64" in envelope:
        raise BodyRefused(f"data_base64 holds what is no JSON. {_ADVICE}", line, "data_base64")
    data = envelope.get("data")
    if not isinstance(data, dict):
        raise BodyRefused(f"data is {_kind(data)}. {_ADVICE}", line, "data")
    return Message(line, read_values(as_json(data), line, "data", advice=_ADVICE) or {}, event, time)


def _identity(found: Mapping[str, Any], line: int | None, prefix: str) -> tuple[tuple[str, str], str | None]:
    """Source and id of an event, and its time."""

    def refuse(name: str, what: str) -> BodyRefused:
        return BodyRefused(f"{prefix}{name} is {what}", line, f"{prefix}{name}")

    for name in _ATTRIBUTES:
        value = found.get(name)
        if not isinstance(value, str) or not value:
            raise refuse(name, f"{_kind(value)}. A CloudEvent needs it as text.")
    if found["specversion"] != "1.0":
        raise refuse("specversion", f"{found['specversion']!r:.20}. Send CloudEvents 1.0.")
    content_type = found.get("datacontenttype")
    if content_type is not None and not _is_json(content_type):
        raise refuse("datacontenttype", f"{content_type!r:.80}. Send {JSON}.")
    time = found.get("time")
    if time is not None and not _is_moment(time):
        raise refuse("time", f"{time!r:.40}. Write a moment with its zone, as 2026-05-01T10:00:00Z.")
    return (found["source"], found["id"]), time


def _is_json(content_type: Any) -> bool:
    media_type = content_type.partition(";")[0].strip().lower() if isinstance(content_type, str) else ""
    return media_type == JSON or media_type.endswith("+json")


def _is_moment(value: Any) -> bool:
    try:
        return "T" in value.upper() and datetime.fromisoformat(value.upper()).tzinfo is not None
    except (AttributeError, ValueError):
        return False


def _kind(value: Any) -> str:
    """What a value is, in words that do not repeat it."""
    if value is None or value == "":
        return "missing" if value is None else "empty"
    return {dict: "an object", list: "an array", str: "text", bool: "true or false"}.get(type(value), "a number")

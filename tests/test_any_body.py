"""Whatever is posted, it is messages that can be kept or a refusal that says why."""

import json
import random
from collections.abc import Callable

import pytest
from read_files import MARKS, break_in_every_way, loose_bytes, mutated

from orchestration_project.serving.cloud_events import EVENT, EVENTS, read_binary_event, read_events
from orchestration_project.serving.messages import JSON, JSON_LINES, BodyRefused, Message, read_messages
from orchestration_project.stores.formats import ERROR, LINE, RAW

MESSAGES = [
    {"text": 'She said "no",\nand left; größer als 5 €', "stars": 3, "shares": [0.5, -1e9, None]},
    {"text": "\\u00e9 \\ 😀 <p>&amp;</p>", "paid": True, "address": {"town": "Ulm", "streets": [{"name": "A"}]}},
]
ATTRIBUTES = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "/shop/ü",
    "type": "feedback",
    "time": "2026-05-01T10:00:00Z",
}
ENVELOPES = [{**ATTRIBUTES, "datacontenttype": JSON, "data": message} for message in MESSAGES]
HEADERS = {f"ce-{name}": value for name, value in ATTRIBUTES.items()}


def text(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1).encode()


def read_spoiled_event(body: bytes) -> list[Message]:
    """An event in binary mode whose headers are spoiled too, by what the body says; as a server gives them, in Latin-1."""
    chance = random.Random(body)
    headers = {name: value.encode() for name, value in HEADERS.items()}
    if chance.random() < 0.5:
        name = chance.choice(list(headers))
        headers[name] = chance.choice([b"", loose_bytes(chance), mutated(headers[name], chance), *MARKS])
        if chance.random() < 0.2:
            del headers[name]
    return read_binary_event(body, {name: value.decode("latin-1") for name, value in headers.items()})


READERS: dict[str, tuple[bytes, Callable[[bytes], list[Message]]]] = {
    "a message": (text(MESSAGES[0]), lambda body: read_messages(body, JSON)),
    "messages": (text(MESSAGES), lambda body: read_messages(body, JSON)),
    "lines": (
        b"".join(json.dumps(one).encode() + b"\n" for one in MESSAGES),
        lambda body: read_messages(body, JSON_LINES),
    ),
    "an event": (text(ENVELOPES[0]), lambda body: read_events(body, EVENT)),
    "events": (text(ENVELOPES), lambda body: read_events(body, EVENTS)),
    "a binary event": (text(MESSAGES[0]), read_spoiled_event),
}


@pytest.mark.parametrize("name", ["a message", "messages", "lines", "an event", "events"])
def test_whole_body_is_its_messages(name: str) -> None:
    body, read = READERS[name]
    assert len(read(body)) == (1 if name.startswith("a") else 2)


@pytest.mark.parametrize("name", READERS)
def test_any_body_is_messages_or_a_refusal(name: str) -> None:
    whole, read = READERS[name]

    def check(body: bytes) -> None:
        try:
            messages = read(body)
        except BodyRefused as refusal:
            assert str(refusal).encode()
            assert refusal.field is None or refusal.field.encode()
            return
        assert [message.line for message in messages] == sorted(message.line for message in messages)
        for message in messages:
            assert not message.values.keys() & {LINE, ERROR, RAW}
            kept = json.dumps(message.values, ensure_ascii=False, allow_nan=False)
            assert "\\u0000" not in kept.replace("\\\\", "")
            assert kept.encode()

    break_in_every_way(name, whole, check)

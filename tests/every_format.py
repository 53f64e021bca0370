"""Messages for tests of everything that a message can come in: drawn by Hypothesis, and written in every format, encoding
and compression that the project reads.

What becomes of each is known by how it was made: its identity (which others are the same message) and whether it keeps
the contract of the sample's feedback.
"""

import csv
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st
from read_files import packed

from orchestration_project.stores.file_kinds import COMPRESSIONS, ENCODINGS, PARQUET, TEXT_SUFFIXES

Place = tuple[str, int]
"""Digest of the file, line."""

MARK = "\ufeff"
COLUMNS = ("message_id", "received_at", "channel", "account", "text")


class Message(NamedTuple):
    """What somebody sends; None where it is absent. `event` is the id of the CloudEvent that it may come as."""

    message_id: str | None
    received_at: str | None
    account: str | None
    text: str | None
    event: int


class Broken(NamedTuple):
    """What stands where a message should, and is none: the number of its form, of those that a format has."""

    number: int


Item = Message | Broken


class Turn(NamedTuple):
    """What is sent at once, in every encoding. `packing`: which compression the first of these has, the others follow
    in turn; `has_stranger`: with a column that nobody knows; `damaged`: the number of the file that arrives spoiled;
    `is_repeated`: all of it is sent once more afterwards.
    """

    items: list[Item]
    packing: int = 0
    line_end: str = "\n"
    has_stranger: bool = False
    damaged: int | None = None
    is_repeated: bool = False


class Record(NamedTuple):
    """One message as it is written: where, which it is the same as (equal identities), how its published row is known
    (its channel; None: by its text), and whether it keeps the contract (None: who knows).
    """

    place: Place
    identity: tuple[Any, ...]
    channel: str | None
    text: str | None
    is_sound: bool | None


class SentFile(NamedTuple):
    """A file to be sent: its name, content, declared encoding, records; a spoiled one is to be refused whole."""

    name: str
    content: bytes
    encoding: str | None
    records: list[Record]
    is_spoiled: bool


class Writing(NamedTuple):
    """One way to write text: the encoding that is declared, the codec, what stands before it, the compression."""

    declared: str | None
    codec: str
    mark: str
    compression: str


CODECS = [
    *((None, "utf-8", mark) for mark in ("", MARK)),
    *((None, codec, MARK) for codec in ("utf-16-le", "utf-16-be")),
    ("utf-8", "utf-8", MARK),
    *((encoding, encoding, "") for encoding in ENCODINGS),
]
PACKINGS = ("", *COMPRESSIONS)
SUFFIXES = (*TEXT_SUFFIXES, PARQUET)

MOMENTS: dict[str | None, tuple[str | None, bool]] = {
    None: (None, True),
    " ": (None, True),
    "2024-03-02T10:00:00Z": ("at ten", True),
    "2024-03-02T11:00:00+01:00": ("at ten", True),
    "2024-03-02T10:00:00": (None, False),
    "yesterday": (None, False),
    "2999-01-01T00:00:00Z": ("far ahead", False),
}
"""A time as it is written → the moment that it means, and whether that keeps the contract."""

DATES: dict[str | None, tuple[str | None, str | None, bool]] = {
    None: (None, None, True),
    " ": (None, None, True),
    "2024-03-02T10:00:00Z": ("Sat, 02 Mar 2024 10:00:00 +0000", "at ten", True),
    "2024-03-02T11:00:00+01:00": ("Sat, 02 Mar 2024 11:00:00 +0100", "at ten", True),
    "2024-03-02T10:00:00": ("Sat, 02 Mar 2024 10:00:00 -0000", "at ten", True),
    "yesterday": ("yesterday", None, True),
    "2999-01-01T00:00:00Z": ("Tue, 01 Jan 2999 00:00:00 +0000", "far ahead", False),
}
"""The same in a mail, whose dates that are none stand in its metadata."""

UNCLOSED = '"never closed'
BROKEN: dict[str, list[str]] = {
    ".csv": ["a,b,c", "a,b,c,d,e,f,g", "a,b,c,d,\udcff", f"x,{UNCLOSED}"],
    ".tsv": ["a\tb\tc", "a\tb\tc\td\te\tf\tg", "a\tb\tc\td\t\udcff", f"x\t{UNCLOSED}"],
    ".jsonl": ['{"text":', "nonsense", '{"text": NaN}', "[1]", '{"text": "\\u0000"}', '{"text": "\udcff"}'],
    ".json": ['{"text" 1}', "nonsense", '{"text": NaN}', "[1]", '{"text": "\\ud800"}', '{"text": "\udcff"}'],
    ".txt": ["no text: \udcff"],
}
BROKEN[".ndjson"] = BROKEN[".jsonl"]
"""What is no row of a format; U+DCFF is written as the byte ff, which only UTF-8 tells from text."""

ODD = [
    *('She said "no",\r\nand\tleft; "', "الطرد \u202eתالف\u202c כאן", "a\x1b[31m\x07\x08\x01 \x85 b\u2028c\x0c\x1ed"),
    *("a\rb", '"', '""', ",\t,", "\\N", "NULL", "NaN", "007", "[]{}", "=1+1", "größer als 5 €", "👨‍👩‍👧 e\u0301"),
]
BLANK = (None, "", " ", "\n \t")

messages = st.builds(
    Message,
    st.none() | st.sampled_from(["", "1", "2", "3", " 1 ", '"4",\t', "ü5", "6" * 201]),
    st.sampled_from(list(MOMENTS)),
    st.sampled_from([None, " ", "ann@example.org", "bob@example.org"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0")) | st.sampled_from([*ODD, *BLANK]),
    st.integers(1, 3),
)
turns = st.builds(
    Turn,
    st.lists(messages | messages | messages | st.builds(Broken, st.integers(0, 9)), min_size=1, max_size=8),
    st.integers(0, len(PACKINGS) - 1),
    st.sampled_from(["\n", "\r\n"]),
    st.integers(0, 7).map(lambda number: number == 7),
    st.none() | st.integers(0, len(CODECS) - 1),
    st.booleans(),
)


def files_of(turn: Turn, suffix: str, number: int) -> list[SentFile]:
    """The turn under a suffix in every encoding that it has; `number` is the turn's, and tells its records apart."""
    packings = [PACKINGS[(turn.packing + place) % len(PACKINGS)] for place in range(len(CODECS))]
    writings = [Writing(*codec, packing) for codec, packing in zip(CODECS, packings, strict=True)]
    if suffix == PARQUET:
        writings = [Writing(None, "utf-8", "", "")] * 2
    alone = suffix in ALONE
    sent: list[SentFile] = []
    for place, writing in enumerate(writings):
        items = _items_for(turn, suffix, writing)
        for first, own in enumerate([[item] for item in items[:2]] if alone else [items]):
            label = f"{number}-{place}-{first}" if alone else f"{number}-{place}"
            variant = f"v{place}{writing.compression}"
            sent.append(_file(turn, suffix, writing, own, label, variant, is_spoiled=place == turn.damaged))
    return sent


def fields_of(message: Message, variant: str, channel: str, *, has_stranger: bool = False) -> dict[str, str | None]:
    """The message's columns. In every variant it is another message, so that each is told from the rest."""
    own = message.message_id
    fields = {
        "message_id": own.replace(own.strip(), f"{variant}-{own.strip()}") if own and own.strip() else own,
        "received_at": message.received_at,
        "channel": channel,
        "account": f"{variant}.{message.account}" if message.account and message.account.strip() else message.account,
        "text": message.text,
    }
    return {**fields, **({"stars": "2"} if has_stranger else {})}


def record_of(
    fields: Mapping[str, str | None], place: Place, event: tuple[Any, ...] | None = None, *, is_mail: bool = False
) -> Record:
    """What is known of a message that is written so, there."""
    message_id, time, account, text = (fields[name] for name in ("message_id", "received_at", "account", "text"))
    moment, keeps_time = DATES[time][1:] if is_mail else MOMENTS[time]
    if message_id and message_id.strip():
        identity: tuple[Any, ...] = ("id", message_id.strip())
    elif event:
        identity = event
    elif text and text.strip() and account and account.strip() and moment:
        identity = ("words", text, account, moment)
    else:
        identity = ("place", *place)
    is_sound: bool | None = keeps_time and len((message_id or "").strip()) <= 200
    if not text or not text.strip(" \t\r\n"):
        is_sound = False
    elif is_sound and not text.strip():
        is_sound = None  # of what else is blank, pandas and Python have their own ideas
    return Record(place, identity, fields["channel"], text, is_sound)


def broken_record(place: Place) -> Record:
    """What is known of a line that is no row."""
    return Record(place, ("place", *place), None, None, False)


def json_of(fields: Mapping[str, str | None], *, with_nulls: bool = True, indent: int | None = None) -> str:
    kept = {name: value for name, value in fields.items() if with_nulls or value is not None}
    return json.dumps(kept, ensure_ascii=False, indent=indent)


Entry = dict[str, str | None] | str
"""A record to be written: its columns, or the text of what is none."""


def _items_for(turn: Turn, suffix: str, writing: Writing) -> list[Item | str]:
    """The turn's items as they can be written so: text in the codec's characters, the forms of what is broken. A quote
    that is never closed comes last: what stands behind it may close it.
    """
    forms = [form for form in BROKEN.get(suffix, []) if writing.codec == "utf-8" or "\udcff" not in form]
    items: list[Item | str] = []
    for item in turn.items:
        if isinstance(item, Message):
            text = item.text and item.text.encode(writing.codec, "replace").decode(writing.codec)
            message_id = item.message_id and item.message_id.encode(writing.codec, "replace").decode(writing.codec)
            items.append(item._replace(text=text, message_id=message_id))
        elif forms:
            items.append(forms[item.number % len(forms)])
    return sorted(items, key=lambda item: isinstance(item, str) and UNCLOSED in item)


def _file(
    turn: Turn, suffix: str, writing: Writing, items: Sequence[Item | str], label: str, variant: str, is_spoiled: bool
) -> SentFile:
    entries: list[Entry] = []
    for number, item in enumerate(items):
        if isinstance(item, Message):
            entry = fields_of(item, variant, f"{label}-{number}", has_stranger=turn.has_stranger)
            entries.append(ALONE[suffix][0](entry, variant) if suffix in ALONE else entry)
        elif isinstance(item, str):
            entries.append(item)
    if suffix == PARQUET:
        content, lines = _parquet(entries), list(range(1, len(entries) + 1))
    elif suffix in ALONE:
        content, lines = ALONE[suffix][1](entries[0], writing) if entries else b"", [1] * len(entries)
    else:
        text, lines = ROWS[suffix](entries, turn.line_end, turn.has_stranger)
        content = (writing.mark + text).encode(
            writing.codec, "surrogateescape" if writing.codec == "utf-8" else "strict"
        )
    if suffix == ".txt" and len(content) <= len(writing.mark.encode(writing.codec)):
        lines = []  # a file without a character holds no message
    if is_spoiled and not (writing.compression or suffix == PARQUET):
        content = b"\xff\xfe\0\0" + content  # as UTF-32 begins
    content = packed(content, writing.compression)
    if is_spoiled and (writing.compression or suffix == PARQUET):
        content = content[: len(content) // 2]
    sha256 = hashlib.sha256(content).hexdigest()
    records = [
        broken_record((sha256, line))
        if isinstance(entry, str)
        else record_of(entry, (sha256, line), is_mail=suffix == ".eml")
        for entry, line in zip(entries, lines, strict=False)
    ]
    if suffix == ".txt":
        records = [record._replace(channel=None) for record in records]
    return SentFile(f"t{label}{suffix}{writing.compression}", content, writing.declared, records, is_spoiled)


def _placed(start: str, pieces: Sequence[str], between: str, end: str) -> tuple[str, list[int]]:
    """The pieces as one text, and the line where each begins."""
    text, lines = start, list[int]()
    for number, piece in enumerate(pieces):
        text += between if number else ""
        lines.append(text.count("\n") + 1)
        text += piece
    return text + end, lines


def _table(delimiter: str) -> Callable[[Sequence[Entry], str, bool], tuple[str, list[int]]]:
    def write(entries: Sequence[Entry], line_end: str, has_stranger: bool) -> tuple[str, list[int]]:
        names = [*COLUMNS, "stars"] if has_stranger else COLUMNS
        pieces = [entry if isinstance(entry, str) else _line(list(entry.values()), delimiter) for entry in entries]
        return _placed(delimiter.join(names) + line_end, pieces, line_end, line_end)

    return write


def _line(values: Sequence[str | None], delimiter: str) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerow(values)
    return text.getvalue().removesuffix("\r\n")


def _json_lines(entries: Sequence[Entry], line_end: str, has_stranger: bool) -> tuple[str, list[int]]:
    pieces = [entry if isinstance(entry, str) else json_of(entry) for entry in entries]
    return _placed("", pieces, line_end, line_end)


def _json_array(entries: Sequence[Entry], line_end: str, has_stranger: bool) -> tuple[str, list[int]]:
    pieces = [
        entry if isinstance(entry, str) else json_of(entry, indent=number % 2 or None)
        for number, entry in enumerate(entries)
    ]
    return _placed(f"[{line_end}", pieces, f",{line_end}", f"{line_end}]")


def _parquet(entries: Sequence[Entry]) -> bytes:
    rows = [entry for entry in entries if not isinstance(entry, str)]
    names = list(dict.fromkeys(name for row in rows for name in row)) or list(COLUMNS)
    columns = {name: pa.array([row.get(name) for row in rows], pa.string()) for name in names}
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream)
    return stream.getvalue()


def _as_text(fields: Mapping[str, str | None], variant: str) -> dict[str, str | None]:
    """What a text file keeps of a message, with the variant that tells it from the rest; line ends at its end are none
    of it. It does not begin as a byte order mark does.
    """
    text = (fields["text"] or "").lstrip("\ufeffïþÿ").rstrip("\r\n")
    return {**dict.fromkeys(COLUMNS), "text": f"{text} {variant}" if text.strip() else text}


def _as_mail(fields: Mapping[str, str | None], variant: str) -> dict[str, str | None]:
    """What a mail keeps: line ends around its text are none of it, and its id is ASCII."""
    text = (fields["text"] or "").replace("\r\n", "\n").strip("\n")
    message_id = "".join(
        sign for sign in fields["message_id"] or "" if (sign.isascii() and sign.isalnum()) or sign == "-"
    )
    account = (fields["account"] or "").strip() or None
    return {**{name: fields[name] for name in COLUMNS}, "text": text, "message_id": message_id, "account": account}


def _text(entry: Entry, writing: Writing) -> bytes:
    text = entry if isinstance(entry, str) else entry["text"] or ""
    return (writing.mark + text).encode(writing.codec, "surrogateescape" if writing.codec == "utf-8" else "strict")


def _mail(entry: Entry, writing: Writing) -> bytes:
    """A mail whose body is in the codec, and says so where no declared encoding does."""
    assert not isinstance(entry, str)
    charset = writing.codec.removesuffix("-le").removesuffix("-be")
    headers = {
        "Subject": entry["channel"],
        "Message-ID": f"<{entry['message_id']}>" if entry["message_id"] else None,
        "From": entry["account"],
        "Date": DATES[entry["received_at"]][0],
        "Content-Type": f"text/plain; charset={charset}" if writing.declared is None else None,
    }
    head = "".join(f"{name}: {value}\n" for name, value in headers.items() if value)
    before = MARK.encode() if writing.mark and writing.codec == "utf-8" else b""
    mark = writing.mark if writing.codec != "utf-8" else ""
    return before + head.encode() + b"\n" + (mark + (entry["text"] or "")).encode(writing.codec)


ROWS: dict[str, Callable[[Sequence[Entry], str, bool], tuple[str, list[int]]]] = {
    ".csv": _table(","),
    ".tsv": _table("\t"),
    ".json": _json_array,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
}
"""How the records of a file are written, of formats that hold many."""

Kept = Callable[[Mapping[str, str | None], str], dict[str, str | None]]
ALONE: dict[str, tuple[Kept, Callable[[Entry, Writing], bytes]]] = {
    ".txt": (_as_text, _text),
    ".eml": (_as_mail, _mail),
}
"""What is kept of a message and how it is written, of formats that hold one."""

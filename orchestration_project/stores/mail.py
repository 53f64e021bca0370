"""One mail (.eml) as one message: who wrote it, when, and what, without its markup.

Nothing is lost in silence: what a mail declares and does not keep (a charset, a date) stands in its metadata, and bytes
that are no text are shown as U+FFFD.
"""

import codecs
import html
import json
import re
from datetime import UTC
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from orchestration_project.stores.text_rows import Unreadable

COLUMNS = ("message_id", "sent_at", "from", "channel", "text", "metadata")

LARGEST_MAIL = 64 * 2**20
"""Bytes of one mail with its attachments; servers take 25 to 50 MB. It is held in memory."""

_NO_CHARSETS = frozenset({"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape"})
"""Python's own codecs that no mail is written in; some of them take a day for a megabyte."""

_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)[^<>]*>|<[!?][^<>]*>")
_UNSEEN = frozenset({"script", "style", "title"})
_LINE_ENDERS = frozenset(
    {"blockquote", "br", "div", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "table", "tr", "ul"}
)


def read_mail(content: bytes, encoding: str | None = None) -> dict[str, Any] | None:
    """A mail's `COLUMNS`, text or None each; None for what has no header, and so is no mail.

    message_id: Message-ID without its brackets. sent_at: Date in ISO 8601 with its zone. from: the bare address.
    text: the plain body, else the HTML body without tags. metadata: a JSON object with subject and to; where there is
    one also attachments (their names), date (one that is no date) and charset (one that the body does not keep).
    `encoding` is that of a body which declares none, UTF-8 unless given. Unreadable where there is no text.
    """
    if len(content) > LARGEST_MAIL:
        raise Unreadable(f"the mail has more than {LARGEST_MAIL} bytes. Send it without its attachments.")
    try:
        mail = message_from_bytes(content.removeprefix(codecs.BOM_UTF8), policy=policy.default)
        if not mail.keys():
            return None
        return _columns_of(mail, encoding or "utf-8")
    except (
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
        ArithmeticError,
        RecursionError,
        AssertionError,
    ) as error:
        # The library meets some malformed headers with these instead of a defect.
        raise Unreadable(f"the mail is malformed ({error!r:.100}). Send its text as .txt.") from error


def text_of_html(markup: str) -> str:
    """What HTML shows: without tags, comments, scripts and styles; blocks end a line. Linear in its length."""
    first, *others = markup.split("<!--")
    markup = first + "".join(other.partition("-->")[2] if "-->" in other else f"<!--{other}" for other in others)
    shown: list[str] = []
    place, unseen = 0, ""
    for tag in _TAG.finditer(markup):
        if not unseen:
            shown.append(re.sub(r"\s+", " ", markup[place : tag.start()]))
        place = tag.end()
        name = (tag[2] or "").lower()
        if unseen:
            unseen = "" if tag[1] and name == unseen else unseen
        elif name in _UNSEEN and not tag[1]:
            unseen = name
        elif name in _LINE_ENDERS:
            shown.append("\n")
    if not unseen:
        shown.append(re.sub(r"\s+", " ", markup[place:]))
    lines = (line.strip() for line in html.unescape("".join(shown)).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _columns_of(mail: EmailMessage, encoding: str) -> dict[str, Any]:
    facts: dict[str, Any] = {"subject": _header(mail, "subject"), "to": _addresses(mail, "to")}
    text, body, note = _text_of(mail, encoding)
    if body is None:
        raise Unreadable("the mail has neither plain nor HTML text. Send what it says as .txt.")
    if note:
        facts["charset"] = note
    if attached := _attachments(mail, body):
        facts["attachments"] = attached
    sent_at = _sent_at(mail)
    if sent_at is None and mail["date"]:
        facts["date"] = _header(mail, "date")
    senders = _addresses(mail, "from")
    if not senders and mail["from"]:
        facts["from"] = _header(mail, "from")
    message_id = _header(mail, "message-id")
    return {
        "message_id": message_id.strip("<> ") or None if message_id else None,
        "sent_at": sent_at,
        "from": senders[0] if senders else None,
        "channel": "email",
        "text": text,
        "metadata": json.dumps(facts, ensure_ascii=False),
    }


def _text_of(mail: EmailMessage, encoding: str) -> tuple[str, EmailMessage | None, str | None]:
    """The text, the part that holds it, and what is to be said of its charset."""
    found: tuple[str, EmailMessage | None, str | None] = ("", None, None)
    for subtype in ("plain", "html"):
        part = mail.get_body((subtype,))
        if not isinstance(part, EmailMessage):
            continue
        text, note = _decoded(part, encoding)
        text = text_of_html(text) if subtype == "html" else text.replace("\r\n", "\n").strip("\n")
        if found[1] is None or text.strip():
            found = (_shown(text), part, note)
        if text.strip():
            break
    return found


def _decoded(part: EmailMessage, encoding: str) -> tuple[str, str | None]:
    """A part's text, and a sentence about its charset where it does not keep what it declares."""
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes):
        return "", None
    declared = part.get_content_charset()
    if declared and _is_charset(declared):
        try:
            return content.decode(declared).removeprefix("\ufeff"), None
        except (UnicodeError, LookupError):  # a codec of bytes is no charset
            pass
    for other in dict.fromkeys(("utf-8", encoding)):
        try:
            text = content.decode(other).removeprefix("\ufeff")
        except UnicodeError:
            continue
        return text, f"{declared} does not fit; read as {other}" if declared else None
    return content.decode("utf-8", "replace"), f"{declared or encoding} does not fit; bytes shown as \ufffd"


def _is_charset(name: str) -> bool:
    try:
        return codecs.lookup(name).name not in _NO_CHARSETS
    except (LookupError, ValueError):
        return False


def _attachments(mail: EmailMessage, body: EmailMessage) -> list[str]:
    """The names of the parts that are files; of a nameless one its type."""
    names: list[str] = []
    for part in mail.walk():
        is_text = part.get_content_maintype() == "text"
        if part is body or part.is_multipart():
            continue
        name = part.get_filename()
        if name or not is_text or part.get_content_disposition() == "attachment":
            names.append(_shown(name or part.get_content_type()))
    return names


def _sent_at(mail: EmailMessage) -> str | None:
    header = mail["date"]
    moment = header.datetime if header is not None else None
    if moment is None:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()  # -0000 is UTC of an unknown place


def _addresses(mail: EmailMessage, name: str) -> list[str]:
    header = mail[name]
    return [_shown(found.addr_spec) for found in header.addresses if found.addr_spec != "<>"] if header else []


def _header(mail: EmailMessage, name: str) -> str | None:
    value = mail[name]
    return None if value is None else _shown(str(value)).strip()


def _shown(text: str) -> str:
    """The text, with what is no character of one shown as U+FFFD."""
    return _NO_TEXT.sub("\ufffd", text)

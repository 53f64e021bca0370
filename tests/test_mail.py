"""A mail is one message: who wrote it, when and what; and what it breaks is shown."""

import json
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from read_files import rows_in

from orchestration_project.core.errors import FileRefused
from orchestration_project.stores import mail
from orchestration_project.stores.formats import ERROR, LINE, RAW
from orchestration_project.stores.mail import COLUMNS, text_of_html

HEADERS = "From: Ann Lee <ann@example.org>\nDate: Tue, 03 Mar 2026 10:00:00 +0100\n"


def read(content: bytes | str, name: str = "letter.eml") -> dict[str, Any]:
    """The columns of a mail, its metadata as an object."""
    [row] = rows_in(name, content)
    assert (row.pop(LINE), row.pop(ERROR), row.pop(RAW)) == (1, None, None)
    assert tuple(row) == COLUMNS
    return {**row, "metadata": json.loads(row["metadata"])}


def letter() -> EmailMessage:
    sent = EmailMessage()
    sent["From"] = "Ann Lée <ann@example.org>"
    sent["To"] = "care@shop.example, Zoé <zoe@shop.example>"
    sent["Subject"] = "Große Enttäuschung"
    sent["Date"] = "Tue, 03 Mar 2026 10:00:00 +0100"
    sent["Message-ID"] = "<m-1@example.org>"
    sent.set_content("The box is empty.\nGrüße\n")
    return sent


def test_mail_is_one_message() -> None:
    assert read(letter().as_bytes()) == {
        "message_id": "m-1@example.org",
        "sent_at": "2026-03-03T10:00:00+01:00",
        "from": "ann@example.org",
        "channel": "email",
        "text": "The box is empty.\nGrüße",
        "metadata": {
            "subject": "Große Enttäuschung",
            "to": ["care@shop.example", "zoe@shop.example"],
        },
    }


def test_attachments_are_named_and_the_plain_text_is_the_message() -> None:
    sent = letter()
    sent.add_alternative("<p>The <b>HTML</b></p>", subtype="html")
    sent.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="Rechnung März.pdf")
    sent.add_attachment("notes", filename="notes.txt")
    sent.add_attachment(b"\x00\x01", maintype="image", subtype="png")
    found = read(sent.as_bytes())
    assert found["text"] == "The box is empty.\nGrüße"
    assert found["metadata"]["attachments"] == ["Rechnung März.pdf", "notes.txt", "image/png"]


@pytest.mark.parametrize("plain", [None, " \n"])
def test_without_a_plain_text_the_html_is_the_message(plain: str | None) -> None:
    sent = letter()
    sent.clear_content()
    if plain is not None:
        sent.set_content(plain)
        sent.add_alternative("<p>Grüße &amp; K&uuml;sse</p>", subtype="html")
    else:
        sent.set_content("<p>Grüße &amp; K&uuml;sse</p>", subtype="html")
    assert read(sent.as_bytes())["text"] == "Grüße & Küsse"


def test_mail_of_the_least_headers_has_nulls() -> None:
    found = read("Subject: Hi\n\nThe box is empty.\r\nReally.\n")
    assert found.pop("metadata") == {"subject": "Hi", "to": []}
    expected = {"message_id": None, "sent_at": None, "from": None, "channel": "email"}
    assert found == {**expected, "text": "The box is empty.\nReally."}


def test_mark_before_the_first_header_changes_nothing() -> None:
    assert read(b"\xef\xbb\xbf" + letter().as_bytes()) == read(letter().as_bytes())


def test_charset_of_a_header_that_nobody_knows_loses_no_mail() -> None:
    found = read("From: =?x-none?q?Ann?= <ann@example.org>\nSubject: =?x-none?q?B=E4r?= and more\n\nHi\n")
    assert (found["from"], found["text"]) == ("ann@example.org", "Hi")
    assert found["metadata"]["subject"] == "B\ufffdr and more"


@pytest.mark.parametrize(
    ("date", "moment"),
    [
        ("Tue, 03 Mar 2026 10:00:00 -0800", "2026-03-03T10:00:00-08:00"),
        ("Tue, 03 Mar 2026 10:00:00 -0000", "2026-03-03T10:00:00+00:00"),
        ("3 Mar 2026 10:00 GMT", "2026-03-03T10:00:00+00:00"),
        ("yesterday", None),
        ("Tue, 33 Mar 2026 10:00:00 +0000", None),
        ("Tue, 03 Mar 2026 10:00:00 +9900", None),
    ],
)
def test_date_is_iso_8601_with_its_zone_or_stands_in_the_metadata(date: str, moment: str | None) -> None:
    found = read(f"From: a@example.org\nDate: {date}\n\nHi\n")
    assert (found["sent_at"], found["metadata"].get("date")) == (moment, None if moment else date)


def test_sender_without_an_address_stands_in_the_metadata() -> None:
    found = read("From: nobody at all, really <>\n\nHi\n")
    assert found["from"] is None or "@" not in found["from"]
    assert "nobody" in json.dumps(found)


@pytest.mark.parametrize(
    ("charset", "body", "text", "note"),
    [
        ("utf-8", "Grüße".encode(), "Grüße", None),
        ("iso-8859-1", "Grüße".encode("latin-1"), "Grüße", None),
        ("windows-1252", "12 €".encode("cp1252"), "12 €", None),
        ("utf-8", "\ufeffGrüße".encode(), "Grüße", None),
        ("us-ascii", "Grüße".encode(), "Grüße", "us-ascii does not fit; read as utf-8"),
        ("utf-8", "Grüße".encode("latin-1"), "Gr\ufffd\ufffde", "utf-8 does not fit; bytes shown as \ufffd"),
        ("x-unknown", b"Hello", "Hello", "x-unknown does not fit; read as utf-8"),
        ("x-unknown", b"H\xe9llo", "H\ufffdllo", "x-unknown does not fit; bytes shown as \ufffd"),
        ("base64", b"Hello", "Hello", "base64 does not fit; read as utf-8"),
        ("unicode_escape", b"\\ud800", "\\ud800", "unicode_escape does not fit; read as utf-8"),
        ("punycode", b"Hello", "Hello", "punycode does not fit; read as utf-8"),
        ("utf-8", b"a\0b", "a\ufffdb", None),
    ],
)
def test_charset_that_does_not_fit_loses_no_message_and_is_told(
    charset: str, body: bytes, text: str, note: str | None
) -> None:
    found = read(f"{HEADERS}Content-Type: text/plain; charset={charset}\n\n".encode() + body)
    assert (found["text"], found["metadata"].get("charset")) == (text, note)


def test_encoding_of_the_name_is_that_of_a_body_which_declares_none() -> None:
    content = f"{HEADERS}\n".encode() + "Grüße".encode("latin-1")
    assert read(content, "letter.latin-1.eml")["text"] == "Grüße"
    found = read(content)
    assert (found["text"], found["metadata"]["charset"]) == (
        "Gr\ufffd\ufffde",
        "utf-8 does not fit; bytes shown as \ufffd",
    )


@pytest.mark.parametrize(
    "content",
    [
        f"{HEADERS}Content-Type: application/pdf\n\n%PDF\n",
        f"{HEADERS}Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: image/png\n\n..\n--x--\n",
    ],
)
def test_mail_without_a_text_is_an_error_row_with_what_came(content: str) -> None:
    [row] = rows_in("letter.eml", content)
    assert (row[LINE], row[RAW], row["text"]) == (1, content, None)
    assert row[ERROR] == "the mail has neither plain nor HTML text. Send what it says as .txt."


def test_mail_beyond_the_limit_is_an_error_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "LARGEST_MAIL", 100)
    monkeypatch.setattr("orchestration_project.stores.formats.LARGEST_MAIL", 100)
    [row] = rows_in("letter.eml", f"{HEADERS}\n{'x' * 200}")
    assert row[ERROR] == "the mail has more than 100 bytes. Send it without its attachments."
    assert row[RAW].startswith("From: Ann")


@pytest.mark.parametrize("content", ["Hello, no mail.\n", "\n\n", b"\x00\xff\xfe", b"\xff\xfeF\0r\0o\0m\0"])
def test_what_has_no_header_is_no_mail(content: bytes | str) -> None:
    with pytest.raises(FileRefused, match=r"letter\.eml is no mail: it has no header\. Send a text as \.txt\."):
        rows_in("letter.eml", content)


@pytest.mark.parametrize(
    ("markup", "shown"),
    [
        ("<p>One</p><p>Two<br/>lines</p>", "One\n\nTwo\nlines"),
        ("a<!-- <p>not this</p> --> b", "a b"),
        ("<style>p { x }</style><script>if (a<b) {}</script><title>no</title>yes", "yes"),
        ("1 &lt; 2 &amp; 3 &#8364; &nonsense;", "1 < 2 & 3 € &nonsense;"),
        ("  many \n  spaces\t<b>bold</b>  ", "many spaces bold"),
        ("5 < 6 and 7 > 2", "5 < 6 and 7 > 2"),
        ("<!-- never closed", "<!-- never closed"),
        ("<!DOCTYPE html><html><body>x</body></html>", "x"),
    ],
)
def test_html_without_its_tags_is_what_it_shows(markup: str, shown: str) -> None:
    assert text_of_html(markup) == shown


@settings(deadline=None)
@given(st.text("<>!-/pbr&;# \n\"'x"))
def test_any_markup_has_a_text(markup: str) -> None:
    assert "\n\n\n" not in text_of_html(markup)


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1).filter(str.strip))
def test_every_text_that_is_mailed_comes_back(text: str) -> None:
    sent = letter()
    sent.set_content(text + "\n")
    assert read(sent.as_bytes())["text"] == text

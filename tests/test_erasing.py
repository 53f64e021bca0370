"""What is left of a value, and finding what a message said in other texts."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration_project.core.erasing import ERASED, Words, blank, erased_text, erased_value, is_telling

TEXT = "My parcel from Zanzibar drowned, and nobody answers the phone"
WORDS = Words([TEXT, "acct-4711"])


@pytest.mark.parametrize(
    ("value", "needed", "nullable"),
    [("text", ERASED, None), ('{"a": 1}', "{}", None), ("[1]", "[]", None), ("", "", None), (None, None, None)],
)
def test_what_stands_in_the_place_of_a_value(value: str | None, needed: str | None, nullable: str | None) -> None:
    assert (blank(value), blank(value, is_needed=False)) == (needed, nullable)


@pytest.mark.parametrize("value", ["email", "2026-03-01T10:00:00Z", "12.345678", "web", ERASED, "{}", "customer"[:7]])
def test_what_says_nothing_alone_is_not_looked_for(value: str) -> None:
    assert not is_telling(value)


@pytest.mark.parametrize("value", ["acct-4711", "a@b.de", "two words", "123456", "包裹沉了", "Zanzibari"])
def test_what_is_looked_for(value: str) -> None:
    assert is_telling(value)


@pytest.mark.parametrize(
    ("told", "left"),
    [
        (f"Read: {TEXT}!", f"Read: {ERASED}!"),
        (f"{TEXT[:40]}…", f"{ERASED}…"),
        (f"of acct-4711, acct-47112 and xacct-4711: {TEXT}", f"of {ERASED}, acct-47112 and xacct-4711: {ERASED}"),
        (TEXT.replace(" ", "  "), TEXT.replace(" ", "  ")),
        ("My parcel is late", "My parcel is late"),
    ],
)
def test_only_the_words_go_from_a_text(told: str, left: str) -> None:
    assert WORDS.erased(told) == left
    assert WORDS.are_in(told) is (told != left)


def test_a_text_is_known_on_one_line_and_redacted() -> None:
    words = Words(["It sank.\n\nCall   0176 5550199 at once, I wait for it"])
    assert words.erased("> It sank. Call [phone] at once, I wait for it") == f"> {ERASED}"


def test_words_that_follow_each_other_are_an_echo() -> None:
    assert WORDS.are_echoed_in("so: nobody — answers the, phone!")
    assert not WORDS.are_echoed_in("my parcel; nobody answers")
    assert WORDS.say("from zanzibar") and not WORDS.say("zanzibar from") and not WORDS.say("")


def test_an_object_of_the_message_is_emptied_and_one_of_another_stays() -> None:
    quotes = [
        {"message_id": "m1", "text": TEXT, "at": 3, "more": {"to": "me"}},
        {"message_id": "m2", "text": TEXT},
        f"it said {TEXT}",
        7,
    ]
    assert erased_value(quotes, "m1", WORDS) == [
        {"message_id": "m1", "text": ERASED, "at": 3, "more": {}},
        {"message_id": "m2", "text": TEXT},
        f"it said {ERASED}",
        7,
    ]
    assert json.loads(erased_text(json.dumps(quotes), "m1", WORDS)) == erased_value(quotes, "m1", WORDS)


def test_a_row_that_speaks_of_the_message_loses_its_phrases() -> None:
    phrases = ["zanzibar", "late", "m1"]
    assert erased_value(phrases, "m1", WORDS, speaks=True) == ["late", "m1"]
    assert erased_value(phrases, "m1", WORDS) == phrases


@pytest.mark.parametrize("levels", [0, 1, 2, 3])
@pytest.mark.parametrize("text", [TEXT, 'über "alles" \\ in Zürich', "包裹沉了，没有人回答", "a\nline of words\tmore"])
def test_a_probe_stands_in_every_json_that_tells_it(text: str, levels: int) -> None:
    told = text
    for _ in range(levels):
        told = json.dumps({"said": told})
    words = Words([text])
    assert any(probe in told for probe in words.probes)
    assert words.erased(text) == ERASED
    if levels:
        assert "said" in (left := erased_text(told, "m1", words)) and text[:4] not in left.replace("\\", "")


@given(st.text(), st.text())
def test_nothing_of_a_text_is_left_between_others(before: str, behind: str) -> None:
    left = WORDS.erased(f"{before} {TEXT} {behind}")
    assert TEXT not in left
    assert WORDS.erased(left) == left

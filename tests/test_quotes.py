"""Quotes: that they speak for the many, differ from each other, and that any text is survived."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.feedback.quotes import quotes

TEXTS = {
    "late-1": "my parcel arrived very late again",
    "late-2": "the parcel was late again and nobody answered",
    "late-3": "parcel late, courier rude, parcel broken",
    "late-4": "again a late parcel from the courier",
    "card": "you charged my credit card twice",
    "card-2": "charged twice on my credit card, refund it",
    "odd": "zebra quantum marmalade",
}


def chosen(texts: dict[str, str], **options: float) -> list[str]:
    return quotes(list(texts), list(texts.values()), **options)


def test_the_first_quote_is_nearest_to_the_centroid():
    assert chosen(TEXTS, count=1)[0].startswith("late")
    assert chosen(TEXTS, count=1, diversity=0.0) == chosen(TEXTS, count=1, diversity=0.9)


def test_diversity_brings_in_what_the_first_quotes_leave_out():
    assert {name.split("-")[0] for name in chosen(TEXTS, diversity=0.0)} == {"late"}
    assert {"late", "card"} <= {name.split("-")[0] for name in chosen(TEXTS, diversity=0.6)}


def test_a_text_is_quoted_once_however_often_it_was_sent():
    texts = {f"bot-{number}": f"Buy  now cheap{' ' * number}" for number in range(50)} | {"BOT": "BUY NOW CHEAP"}
    assert chosen(texts) == ["bot-0"]
    assert chosen(texts | {"card": TEXTS["card"]}) == ["bot-0", "card"]


def test_short_texts_are_quoted_only_when_nothing_longer_is_there():
    assert chosen({"a": "ok", "b": "parcel late", "c": "my parcel arrived late"}) == ["c"]
    assert sorted(chosen({"a": "ok", "b": "parcel late", "c": " "})) == ["a", "b"]


def test_fewer_texts_than_count_gives_fewer_ids():
    assert sorted(chosen({"a": TEXTS["card"], "b": TEXTS["odd"]}, count=5)) == ["a", "b"]
    assert chosen({}) == []
    assert chosen({"a": "", "b": " \n"}) == []
    assert chosen(TEXTS, count=0) == []


@pytest.mark.parametrize(
    "texts", [{"a": "😀"}, {"a": "😀 😀 😀", "b": "!!! ? -"}, {"a": "to be or not to be", "b": "and the"}]
)
def test_texts_without_any_word_of_meaning_are_quoted(texts: dict[str, str]):
    assert "a" in chosen(texts)


def test_at_most_sample_evenly_spaced_texts_are_considered():
    texts = {str(number): f"message number n{number} here" for number in range(1001)}
    assert {int(name) % 250 for name in chosen(texts, count=9, sample=5)} == {0}
    assert len(chosen(texts, count=9, sample=5)) == 5
    assert chosen(texts, sample=0) == []


def test_arguments_that_cannot_be_meant_are_refused():
    with pytest.raises(ValueError, match="diversity is 3"):
        chosen(TEXTS, diversity=3)
    with pytest.raises(ValueError, match="zip"):
        quotes(["a"], [])


ANY_CHARACTER = st.characters(exclude_categories=())  # lone surrogates too


@settings(deadline=None)
@given(
    texts=st.lists(st.one_of(st.text(ANY_CHARACTER, max_size=30), st.text("ab 😀!İ\n", max_size=20)), max_size=12),
    count=st.integers(0, 5),
    diversity=st.floats(0, 1),
    sample=st.integers(1, 8),
)
def test_any_text_gives_the_same_distinct_ids_every_time(texts: list[str], count: int, diversity: float, sample: int):
    ids = [str(number) for number in range(len(texts))]
    found = quotes(ids, texts, count, diversity, sample)
    assert found == quotes(ids, texts, count, diversity, sample)
    assert set(found) <= set(ids)
    assert len(set(found)) == len(found) <= min(count, sample)
    assert bool(found) == (count > 0 and any(text.split() for text in texts))

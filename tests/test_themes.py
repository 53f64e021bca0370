"""Themes: which words and phrases name a class, which never do, and that any text is survived."""

from hypothesis import given, settings
from hypothesis import strategies as st

from assets.feedback.themes import MEANINGFUL, stop_words, themes

CLASSES = {
    "billing": [
        "The invoice charged my credit card twice, and I want my bill corrected",
        "Charged twice! My credit card shows 2 invoices of 49 euro",
        "My credit card was charged for a product I sent back",
    ],
    "delivery": [
        "The courier never came with my product",
        "Courier was late, the product arrived broken",
        "No courier, no product, 14 days",
    ],
    "quiet": [],
}


def test_themes_are_what_a_class_says_and_the_others_do_not():
    found = themes(CLASSES)
    assert found["billing"][:2] == ["credit card", "charged"]
    assert found["delivery"][0] == "courier"
    assert "product" not in found["billing"]


def test_a_word_all_classes_share_ranks_below_one_of_the_same_count_that_is_typical():
    assert themes({"a": ["zebra apple"], "b": ["apple"], "c": ["apple"]})["a"] == ["zebra apple"]
    assert themes({"a": ["apple. zebra"], "b": ["apple"], "c": ["apple"]})["a"] == ["zebra", "apple"]


def test_a_word_inside_a_better_phrase_is_dropped():
    found = themes(CLASSES, top=50)["billing"]
    assert "credit card" in found
    assert not {"credit", "card"} & set(found)


def test_a_phrase_never_spans_a_stop_word_a_number_or_punctuation():
    found = themes({"a": ["refund for parcel", "refund 3 parcel", "refund, parcel", "refund - parcel"], "b": []}, top=9)
    assert found["a"] == ["parcel", "refund"]


def test_stop_words_contractions_numbers_and_single_letters_are_no_themes():
    assert themes({"a": ["I don’t, we've; it's THE 12 3.50 x 2024-01-01 and a customer's"], "b": ["b"]}, top=9) == {
        "a": ["customer"],
        "b": [],
    }


def test_what_customers_write_about_is_no_stop_word():
    assert not stop_words() & MEANINGFUL
    assert themes({"a": ["the bill"]}) == {"a": ["bill"]}


def test_a_class_without_text_has_no_themes():
    assert themes(CLASSES)["quiet"] == []
    assert themes({"a": [], "b": ["😀", ""]}) == {"a": [], "b": []}
    assert themes({}) == {}


def test_one_single_class_falls_back_to_tfidf_of_its_messages():
    texts = ["spam. spam. spam", "late. parcel", "late. parcel", "late. parcel", "late"]
    # tf * (ln((1 + n) / (1 + df)) + 1): spam 3 * 2.10, late 4 * 1.18, parcel 3 * 1.41
    assert themes({"only": texts, "quiet": []}) == {"only": ["spam", "late", "parcel"], "quiet": []}


def test_equal_scores_are_ordered_phrases_first_then_by_alphabet():
    assert themes({"a": ["pear apple", "fig", "date"], "b": ["plum"]})["a"] == ["pear apple", "date", "fig"]


def test_no_more_than_top_themes():
    assert len(themes(CLASSES, top=2)["billing"]) == 2
    assert themes(CLASSES, top=0)["billing"] == []


ANY_CHARACTER = st.characters(exclude_categories=())  # lone surrogates too
TEXTS = st.lists(st.one_of(st.text(ANY_CHARACTER, max_size=30), st.text("ab 's’!-2I\n", max_size=30)), max_size=6)


@settings(deadline=None)
@given(texts_by_class=st.dictionaries(st.text(max_size=3), TEXTS, max_size=4), top=st.integers(0, 6))
def test_any_text_gives_the_same_short_clean_list_every_time(texts_by_class: dict[str, list[str]], top: int):
    found = themes(texts_by_class, top)
    assert found == themes(texts_by_class, top)
    assert found == themes({label: texts[::-1] for label, texts in texts_by_class.items()}, top)
    assert list(found) == list(texts_by_class)
    for terms in found.values():
        assert len(terms) <= top
        assert len(set(terms)) == len(terms)
        for term in terms:
            words = term.split(" ")
            assert len(words) <= 2
            assert all(len(word) > 1 and not word.isnumeric() and word not in stop_words() for word in words)

"""The sample data: real enough to learn from, hard enough to be honest, and nobody's personal data."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import pytest

from assets.models.family import labels_of
from orchestration_project.core.statistics import classification_scores
from orchestration_project.performers.text_classifier import train
from orchestration_project.stores.families import require_family
from orchestration_project.stores.home import Home

SAMPLES = Path(__file__).parents[1] / "assets" / "samples"
LABELS = SAMPLES / "labels.csv"
POLICIES = sorted((SAMPLES / "policies").glob("*.md"))
CARD = (SAMPLES / "README.md").read_text(encoding="utf-8")

SENTIMENTS = {"negative", "neutral", "positive"}
ISSUES = {"account", "billing", "cancellation", "damaged", "delivery", "quality", "service", "wrong_item"}
SPIKE = (date(2026, 3, 12), date(2026, 3, 13))

EMAIL = re.compile(r"[\w.+-]+@([\w-]+(?:\.[\w-]+)+)")
YEAR_FIRST = r"20\d\d-\d\d-"  # a date or an invoice number, not a telephone
PHONE = re.compile(rf"(?<![\w-])(?!{YEAR_FIRST})\+?\(?\d(?:[ ().-]{{0,2}}\d){{6,14}}(?![\w-])")
FICTIONAL_PHONE = re.compile(r"55501\d\d$")


@pytest.fixture(scope="module")
def labelled() -> pd.DataFrame:
    return pd.read_csv(LABELS, dtype="str", keep_default_na=False)


@pytest.fixture(scope="module")
def feedback() -> pd.DataFrame:
    lines = (SAMPLES / "inbox" / "feedback.jsonl").read_text(encoding="utf-8").splitlines()
    return pd.DataFrame([json.loads(line) for line in lines])


@pytest.fixture(scope="module")
def arrived(feedback: pd.DataFrame) -> list[datetime]:
    return [datetime.strptime(time, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC) for time in feedback["received_at"]]


def plain(text: str) -> str:
    return " ".join(text.casefold().split())


def opening(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold())[:4])


def near_duplicates(texts: Iterable[str], above: float) -> list[tuple[str, str]]:
    """The pairs of texts whose sets of five characters have a Jaccard similarity `above` the given one."""
    from sklearn.feature_extraction.text import CountVectorizer

    padded = [f" {plain(text)} " for text in texts]
    vectorizer = CountVectorizer(analyzer="char", ngram_range=(5, 5), binary=True, lowercase=False)
    grams: Any = vectorizer.fit_transform(padded)
    pairs = (grams @ grams.T).tocoo()
    sizes = np.asarray(grams.sum(axis=1)).ravel()
    union = sizes[pairs.row] + sizes[pairs.col] - pairs.data
    found = (pairs.row < pairs.col) & (pairs.data > above * union)
    pairs_found = zip(pairs.row[found], pairs.col[found], strict=True)
    return [(padded[one].strip(), padded[other].strip()) for one, other in pairs_found]


def foreign_addresses(text: str) -> list[str]:
    return [found.group() for found in EMAIL.finditer(text) if found.group(1).rstrip(".").lower() != "example.com"]


def real_looking_phones(text: str) -> list[str]:
    numbers = [found.group() for found in PHONE.finditer(text)]
    return [number for number in numbers if not FICTIONAL_PHONE.search(re.sub(r"\D", "", number))]


# labels


def test_at_least_1600_distinct_messages_are_labelled(labelled: pd.DataFrame) -> None:
    assert labelled["message_id"].is_unique
    assert labelled["text"].map(plain).nunique() == len(labelled) >= 1600


def test_every_message_has_one_of_three_sentiments_and_one_of_eight_issues(labelled: pd.DataFrame) -> None:
    assert set(labelled["sentiment"]) == SENTIMENTS
    assert set(labelled["issue"]) == ISSUES


@pytest.mark.parametrize("column", ["sentiment", "issue"])
def test_the_light_model_finds_the_labels_neither_hopeless_nor_easy(home: Home, column: str) -> None:
    labels = labels_of(home, require_family(column))
    seen, held = labels[~labels["is_holdout"]], labels[labels["is_holdout"]]
    # Folds only calibrate the confidence; two of them give the same answers as five, sooner.
    model = train(seen["text"], seen["label"], folds=2).classifier
    measured = classification_scores(held["label"], model.predict(held["text"])["label"])["macro_f1"]
    assert 0.75 <= measured <= 0.93
    quoted = re.search(rf"^\| {column} \| ([\d.]+) \|$", CARD, re.MULTILINE)
    assert quoted, f"The data card does not say how well {column} is found."
    assert measured == pytest.approx(float(quoted[1]), abs=0.01)


def test_the_data_card_counts_what_is_there(labelled: pd.DataFrame, feedback: pd.DataFrame) -> None:
    counts = Counter(zip(labelled["issue"], labelled["sentiment"], strict=True))
    for issue in sorted(ISSUES):
        numbers = [counts[issue, sentiment] for sentiment in sorted(SENTIMENTS)]
        assert f"| {issue} | {' | '.join(map(str, [*numbers, sum(numbers)]))} |" in CARD
    assert f"{len(labelled):,} labelled messages" in CARD
    assert f"{len(feedback)} unlabelled messages" in CARD


# all texts


def test_no_opening_of_four_words_is_a_habit(labelled: pd.DataFrame, feedback: pd.DataFrame) -> None:
    for texts in (labelled["text"], feedback["text"]):
        (words, times), *_ = Counter(map(opening, texts)).most_common(1)
        assert times <= 0.01 * len(texts), words


def test_no_two_messages_are_near_duplicates(labelled: pd.DataFrame, feedback: pd.DataFrame) -> None:
    assert near_duplicates([*labelled["text"], *feedback["text"]], above=0.7) == []


def test_near_duplicates_are_found() -> None:
    texts = ["The blue mug arrived cracked.", "the  blue mug arrived cracked!", "Where is my parcel?", "no"]
    assert near_duplicates(texts, above=0.7) == [(plain(texts[0]), plain(texts[1]))]


def test_nothing_unlabelled_repeats_a_labelled_text(labelled: pd.DataFrame, feedback: pd.DataFrame) -> None:
    assert not set(labelled["text"].map(plain)) & set(feedback["text"].map(plain))


def test_no_address_or_telephone_can_be_a_real_persons(labelled: pd.DataFrame, feedback: pd.DataFrame) -> None:
    texts = [*labelled["text"], *feedback["text"], *(policy.read_text(encoding="utf-8") for policy in POLICIES)]
    assert [address for text in texts for address in foreign_addresses(text)] == []
    assert [number for text in texts for number in real_looking_phones(text)] == []


def test_real_looking_addresses_and_telephones_are_found() -> None:
    assert foreign_addresses("from ann@example.com. to bob@mail.test, cc @quillberry") == ["bob@mail.test"]
    assert real_looking_phones("ring 020 7946 0000 or +1 (416) 867-5309") == ["020 7946 0000", "+1 (416) 867-5309"]
    assert real_looking_phones("call 555-0142 or +1 212 555 0199 about QB-48213, invoice 2026-02-88410") == []


# feedback


def test_feedback_is_400_messages_with_ids_of_their_own(labelled: pd.DataFrame, feedback: pd.DataFrame) -> None:
    assert len(feedback) == 400
    assert feedback["message_id"].is_unique
    assert not set(feedback["message_id"]) & set(labelled["message_id"])
    assert (feedback["text"].str.strip() != "").all()


def test_feedback_arrives_in_order_over_14_days(arrived: list[datetime]) -> None:
    assert arrived == sorted(arrived)
    days = sorted({time.date() for time in arrived})
    assert len(days) == (days[-1] - days[0]).days + 1 == 14


def test_two_days_bring_at_least_half_as_much_again_as_the_others(arrived: list[datetime]) -> None:
    by_day = Counter(time.date() for time in arrived)
    usual = median(count for day, count in by_day.items() if day not in SPIKE)
    assert min(by_day[day] for day in SPIKE) >= 1.5 * usual


# policies


def test_there_are_14_policies() -> None:
    assert len(POLICIES) == 14


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.stem)
def test_a_policy_has_a_title_and_at_least_two_sections(policy: Path) -> None:
    lines = policy.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    assert [line.startswith("# ") for line in lines].count(True) == 1
    assert [line.startswith("## ") for line in lines].count(True) >= 2

"""How like the texts it learnt a text is to a model, and what that does to the confidence of its answer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from orchestration_project.performers.familiarity import UNKNOWN_KIND, Familiarity, centroids
from orchestration_project.performers.text_classifier import TextClassifier, train

KNOWN = {
    "billing": [
        f"{what} on my {where}" for what in ("charged twice", "wrong fee") for where in ("card", "bill", "app")
    ],
    "delivery": [f"{what} {where}" for what in ("parcel late", "box lost") for where in ("again", "today", "at home")],
}


@pytest.fixture(scope="module")
def classifier() -> TextClassifier:
    pairs = [(text, label) for label, texts in KNOWN.items() for text in texts * 4]
    return train([text for text, _ in pairs], [label for _, label in pairs]).classifier


def test_text_without_a_known_word_is_of_an_unknown_kind_and_its_confidence_is_halved(
    classifier: TextClassifier,
) -> None:
    answers = classifier.predict(["ωψ ξπ", "charged twice on my card"])
    assert answers["is_unknown_kind"].tolist() == [True, False]
    assert answers["confidence"][0] <= 0.5
    assert answers["confidence"][1] > 0.9


def test_answer_to_an_unknown_kind_says_so_before_its_words(classifier: TextClassifier) -> None:
    texts = ["ωψ ξπ", "zebra parcel umbrella violin", "charged twice on my card"]
    answers = classifier.predict(texts)
    reasons = classifier.reasons(texts, answers)
    assert reasons[0] == UNKNOWN_KIND
    assert reasons[1].startswith(f"{UNKNOWN_KIND}; for parcel")
    assert UNKNOWN_KIND not in reasons[2]


def test_confidence_falls_by_the_rank_among_unfamiliar_texts() -> None:
    known = Familiarity(csr_matrix((2, 2)), np.array([0.1, 0.2, 0.3, 0.4]))
    scores = np.array([0.05, 0.1, 0.35, 0.4, 0.9])
    assert known.lowered(np.full(5, 0.8), scores) == pytest.approx([0.4, 0.5, 0.7, 0.8, 0.8])
    assert known.is_unknown_kind(scores).tolist() == [True, True, True, True, False]


def test_model_that_learnt_too_few_texts_to_tell_lowers_nothing() -> None:
    known = Familiarity(csr_matrix((2, 2)), np.empty(0))
    assert known.lowered(np.array([0.8]), np.array([0.0])) == [0.8]
    assert not known.is_unknown_kind(np.array([0.0])).any()


@given(st.lists(st.floats(0, 2), min_size=1).map(sorted), st.floats(0, 1), st.floats(0, 2), st.floats(0, 2))
def test_less_familiar_is_never_surer(known: list[float], confidence: float, one: float, other: float) -> None:
    familiarity = Familiarity(csr_matrix((2, 2)), np.array(known))
    less, more = familiarity.lowered(np.full(2, confidence), np.array(sorted([one, other])))
    assert confidence / 2 <= less <= more <= confidence


def test_centroid_is_the_mean_direction_of_a_labels_texts() -> None:
    features = csr_matrix(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]))
    found = centroids(features, np.array([0, 0, 1]), 2).toarray()
    assert found == pytest.approx(np.array([[0.5**0.5, 0.5**0.5], [0, 1]]))

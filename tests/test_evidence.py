"""Why a linear model answered: the weights of the words are its score, and the reason names those that weigh most."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration_project.performers.evidence import Evidence
from orchestration_project.performers.text_classifier import TextClassifier, train

SAID = {
    "billing": ["charged twice for the box", "refund my money, wrong invoice!", "the card was charged", "a fee 😤"],
    "delivery": ["the parcel is late", "courier lost my parcel", "tracking stuck, depot again", "parcel, parcel!"],
    "quality": ["stale coffee again", "the tea tastes stale", "cheap and flimsy mug", "no taste at all"],
}
WORDS = sorted({word for texts in SAID.values() for text in texts for word in text.split()} | {"Parcel", "unseen", "é́"})


def trained(*labels: str) -> TextClassifier:
    pairs = [(text, label) for label in labels for text in SAID[label]]
    return train([text for text, _ in pairs], [label for _, label in pairs], folds=2).classifier


THREE, TWO = trained(*SAID), trained("billing", "delivery")


def told(text: str, label: int, other: int) -> str:
    (words,) = Evidence(THREE.pipeline).in_words([text], [label], [other])
    return words


@pytest.mark.parametrize("classifier", [THREE, TWO], ids=["three labels", "two labels"])
@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join))
def test_weights_of_the_words_add_up_to_the_lead_over_the_other_label(classifier: TextClassifier, text: str) -> None:
    scores = classifier.pipeline.decision_function([text])[0]
    bias = classifier.pipeline[-1].intercept_
    lead, added = (scores[0] - scores[1], bias[0] - bias[1]) if len(bias) > 1 else (-2 * scores, -2 * bias[0])
    assert sum(Evidence(classifier.pipeline).weights([text], [0], [1])[0].values()) == pytest.approx(
        lead - added, abs=1e-9
    )


def test_word_that_decides_speaks_for_the_label_and_the_others_words_against_it() -> None:
    (weights,) = Evidence(THREE.pipeline).weights(["The parcel was charged"], [1], [0])
    assert max(weights, key=weights.__getitem__) == "parcel"
    assert min(weights, key=weights.__getitem__) == "charged"
    assert told("parcel, charged!", 1, 0) == "for parcel; against charged"


def test_text_of_which_no_word_is_known_has_no_reason() -> None:
    assert told("ω ψ", 0, 1) == told("", 0, 1) == ""


def test_reason_names_three_words_on_either_side_at_most() -> None:
    assert [len(side.split(", ")) for side in told(" ".join(WORDS), 0, 1).split("; ")] == [3, 3]


def test_every_answer_gets_the_reason_of_its_own_label() -> None:
    texts = ["the parcel is late", "charged twice"]
    answers = THREE.predict(texts)
    assert answers["label"].tolist() == ["delivery", "billing"]
    reasons = THREE.reasons(texts, answers)
    assert "for parcel" in reasons[0]
    assert reasons[1].startswith("for charged") or reasons[1].startswith("for twice")

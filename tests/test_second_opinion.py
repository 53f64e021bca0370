"""A second opinion from sentence embeddings: averaged with the first, calibrated, and part of the version."""

from pathlib import Path

import numpy as np
import pytest

from orchestration_project.performers.second_opinion import WEIGHT, SecondOpinion, a_column_each
from orchestration_project.performers.text_classifier import load, train

SAID = {
    "billing": ["charged twice", "wrong invoice", "refund my money", "the fee on my card", "the price went up"],
    "delivery": ["parcel late", "courier lost it", "tracking stuck", "not delivered yet", "the box never came"],
    "praise": ["lovely tea", "best box ever", "thank you all", "so happy with it", "a wonderful gift"],
}
PAIRS = [(text, label) for label, texts in SAID.items() for text in texts]


def test_mean_weighs_both_models_on_one_scale() -> None:
    second = SecondOpinion(None, first_temperature=0.5, own_temperature=2.0)  # type: ignore[arg-type]  # not asked
    joined = second.joined(np.array([[1.0, 0.0]]), np.array([[0.0, 4.0]]))
    assert joined == pytest.approx(np.array([[2 * (1 - WEIGHT), 2 * WEIGHT]]))


def test_scores_of_two_labels_have_two_columns() -> None:
    assert a_column_each(np.array([0.5, -1.0])).tolist() == [[-0.5, 0.5], [1.0, -1.0]]
    assert a_column_each(np.eye(3)).shape == (3, 3)


@pytest.mark.usefixtures("embeddings_extra")
def test_model_with_embeddings_answers_words_it_never_saw_and_survives_its_file(tmp_path: Path) -> None:
    texts, labels = zip(*PAIRS, strict=True)
    training = train(texts, labels, embeddings=True)
    classifier = training.classifier
    assert classifier.second is not None
    unseen = ["my package has still not arrived", "you took too many dollars from the bank account"]
    answers = classifier.predict(unseen)
    assert answers["label"].tolist() == ["delivery", "billing"]
    first = classifier.pipeline.decision_function(unseen)
    joined = classifier.second.joined(first, classifier.second.scores(unseen))
    expected = classifier.familiarity.lowered(classifier.calibration.confidence(joined), np.zeros(len(unseen)))
    assert (answers["confidence"] >= expected - 1e-9).all()
    again = load(tmp_path / "model.joblib", classifier.save(tmp_path / "model.joblib")).predict(unseen)
    assert again.equals(answers)

"""The light model: training, calibration, answers, and the file it is kept in."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from orchestration_project.core.calibration import expected_calibration_error
from orchestration_project.core.errors import ArtifactRefused, Refused
from orchestration_project.core.statistics import classification_scores
from orchestration_project.performers import text_classifier
from orchestration_project.performers.text_classifier import Training, load, train

OPENINGS = ("Hello,", "Hi there,", "Sorry but", "To whom it may concern,", "@team", "Again:")
COMPLAINTS = {
    "billing": (
        "the invoice is wrong",
        "you charged my card twice",
        "please refund this payment",
        "the fee is too high",
    ),
    "delivery": (
        "my parcel is late",
        "the courier lost the box",
        "it was shipped to a wrong address",
        "no package came",
    ),
    "praise": ("thank you, lovely service", "great work, I am happy", "best shop ever 😍", "you made my day!"),
}


def complaints(*labels: str) -> tuple[list[str], list[str]]:
    rows = [(f"{opening} {text}", label) for label in labels for text in COMPLAINTS[label] for opening in OPENINGS]
    return [text for text, _ in rows], [label for _, label in rows]


@pytest.fixture(scope="module")
def training() -> Training:
    return train(*complaints("praise", "delivery", "billing"))


@pytest.fixture
def evaluation_data() -> Path:
    folder = os.environ.get("ORCHESTRATE_EVAL_DATA")
    if not folder:
        pytest.skip("ORCHESTRATE_EVAL_DATA is not set: there is no evaluation data to measure on.")
    return Path(folder)


# answers


def test_answers_new_texts_with_label_confidence_and_runner_up(training: Training) -> None:
    answers = training.classifier.predict(["they charged me twice, refund my card", "where is my late parcel?"])
    assert list(answers.columns) == ["label", "confidence", "runner_up", "is_unknown_kind"]
    assert list(answers["label"]) == ["billing", "delivery"]
    assert answers["confidence"].between(0, 1, inclusive="right").all()
    assert (answers["label"] != answers["runner_up"]).all()
    assert set(answers["runner_up"]) <= set(training.classifier.labels)


def test_labels_are_sorted(training: Training) -> None:
    assert training.classifier.labels == ("billing", "delivery", "praise")


def test_no_texts_give_an_empty_frame_of_the_same_columns(training: Training) -> None:
    empty, some = training.classifier.predict([]), training.classifier.predict(["a parcel"])
    assert len(empty) == 0
    assert empty.dtypes.equals(some.dtypes)


def test_two_labels_are_answered_too() -> None:
    classifier = train(*complaints("praise", "billing")).classifier
    answers = classifier.predict(["please refund the invoice", "thank you, happy!"])
    assert list(answers["label"]) == ["billing", "praise"]
    assert list(answers["runner_up"]) == ["praise", "billing"]
    assert answers["confidence"].between(0.5, 1).all()


def test_long_batches_are_answered_in_order(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    texts, _ = complaints("billing", "praise")
    whole = training.classifier.predict(texts)
    monkeypatch.setattr(text_classifier, "ROWS_AT_A_TIME", 7)
    pd.testing.assert_frame_equal(training.classifier.predict(texts), whole)


def test_rows_of_a_series_are_answered_by_position(training: Training) -> None:
    texts = pd.Series(["my parcel is late", "the invoice is wrong"], index=[9, 4])
    assert list(training.classifier.predict(texts)["label"]) == ["delivery", "billing"]


# training


def test_out_of_fold_rows_are_the_training_rows_with_calibrated_confidence(training: Training) -> None:
    _, labels = complaints("praise", "delivery", "billing")
    rows = training.out_of_fold
    assert list(rows.columns) == ["answer", "confidence", "is_unknown_kind", "label"]
    assert list(rows["label"]) == labels
    assert rows["confidence"].between(0, 1, inclusive="right").all()


def test_out_of_fold_answers_come_from_models_that_had_not_seen_the_text() -> None:
    random = np.random.default_rng(0)
    texts = [" ".join(random.integers(10**6, size=6).astype(str)) for _ in range(200)]
    labels = random.choice(["heads", "tails"], size=200).tolist()
    training = train(texts, labels)
    seen = training.classifier.predict(texts)
    rows = training.out_of_fold
    assert (seen["label"] == labels).mean() > 0.95
    assert (rows["answer"] == rows["label"]).mean() < 0.65
    assert rows["confidence"].mean() < 0.65


def test_same_input_and_seed_give_the_same_model(training: Training, tmp_path: Path) -> None:
    again = train(*complaints("praise", "delivery", "billing"))
    pd.testing.assert_frame_equal(again.out_of_fold, training.out_of_fold)
    assert again.classifier.save(tmp_path / "again") == training.classifier.save(tmp_path / "first")


def test_same_input_gives_the_same_file_in_another_process(tmp_path: Path) -> None:
    texts, labels = complaints("praise", "billing")
    program = (
        "import sys; from pathlib import Path; from orchestration_project.performers.text_classifier import train\n"
        f"print(train({texts!r}, {labels!r}).classifier.save(Path(sys.argv[1])))"
    )
    other = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "other")], capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == train(texts, labels).classifier.save(tmp_path / "here")


def test_one_label_is_refused() -> None:
    with pytest.raises(Refused, match="at least 2 labels; there are: billing 24"):
        train(*complaints("billing"))


def test_no_rows_are_refused() -> None:
    with pytest.raises(Refused, match="there are: none"):
        train([], [])


def test_label_with_fewer_texts_than_folds_is_refused_with_its_count() -> None:
    texts, labels = complaints("billing", "delivery")
    with pytest.raises(Refused, match="at least 5 texts of each label; there are: billing 24, delivery 24, praise 4"):
        train([*texts, *COMPLAINTS["praise"]], [*labels, *["praise"] * 4])


def test_as_many_texts_as_folds_are_enough() -> None:
    texts, labels = complaints("billing", "delivery")
    training = train([*texts, *COMPLAINTS["praise"]], [*labels, *["praise"] * 4], folds=4)
    assert "praise" in training.classifier.labels


def test_blank_texts_are_refused() -> None:
    with pytest.raises(Refused, match="All 10 texts are blank"):
        train([" "] * 10, ["a", "b"] * 5)


# the file


def test_saved_model_answers_as_before(training: Training, tmp_path: Path) -> None:
    path = tmp_path / "models" / "issue.joblib"
    digest = training.classifier.save(path)
    texts, _ = complaints("billing", "praise")
    pd.testing.assert_frame_equal(load(path, digest).predict(texts), training.classifier.predict(texts))
    assert [file.name for file in path.parent.iterdir()] == ["issue.joblib"]


def test_digest_does_not_depend_on_use(training: Training, tmp_path: Path) -> None:
    digest = training.classifier.save(tmp_path / "one")
    training.classifier.predict(["a parcel"])
    assert training.classifier.save(tmp_path / "two") == digest
    assert load(tmp_path / "one", digest).save(tmp_path / "three") == digest


class Trap:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.mark,)


def test_changed_file_is_refused_before_it_is_opened(training: Training, tmp_path: Path) -> None:
    path = tmp_path / "issue.joblib"
    digest = training.classifier.save(path)
    path.write_bytes(pickle.dumps(Trap(tmp_path / "opened")))
    with pytest.raises(ArtifactRefused, match=rf"issue\.joblib.*not opened.*recorded is {digest}"):
        load(path, digest)
    assert not (tmp_path / "opened").exists()


def test_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ArtifactRefused, match=r"issue\.joblib is missing"):
        load(tmp_path / "issue.joblib", "0" * 64)


# on data that no one here wrote


def test_airline_sentiment_of_later_days_is_answered_well_and_calibrated(evaluation_data: Path) -> None:
    rows = pd.read_csv(evaluation_data / "airline_labels.csv").sort_values("received_at")
    earlier, later = rows[: len(rows) * 6 // 10], rows[len(rows) * 6 // 10 :]
    classifier = train(earlier["text"], earlier["sentiment"], folds=2).classifier
    answers = classifier.predict(later["text"])
    correct = answers["label"].to_numpy() == later["sentiment"].to_numpy()
    assert classification_scores(later["sentiment"], answers["label"])["accuracy"] > 0.79
    assert expected_calibration_error(answers["confidence"].to_numpy(), correct) < 0.06


def test_queries_out_of_scope_are_of_an_unknown_kind_and_seldom_accepted(evaluation_data: Path) -> None:
    rows = pd.read_csv(evaluation_data / "clinc150.csv")
    chosen = sorted(rows.loc[rows["split"] == "train", "label"].unique())[:20]
    seen, unseen = (rows[(rows["split"] == split) & rows["label"].isin(chosen)] for split in ("train", "test"))
    classifier = train(seen["text"], seen["label"], folds=3).classifier
    of_scope = classifier.predict(unseen["text"])
    out_of_scope = classifier.predict(rows.loc[rows["split"] == "oos_test", "text"])
    assert of_scope["is_unknown_kind"].mean() < 0.12 < 0.7 < out_of_scope["is_unknown_kind"].mean()
    assert (of_scope["label"].to_numpy() == unseen["label"].to_numpy()).mean() > 0.92
    assert out_of_scope["confidence"].median() < 0.4 < 0.9 < of_scope["confidence"].median()

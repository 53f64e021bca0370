"""The light model: reads a text and answers a label, with a confidence that means what it says."""

import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from orchestration_project.core.calibration import Calibration, fit_calibration
from orchestration_project.core.errors import ArtifactRefused, Refused
from orchestration_project.core.statistics import Floats
from orchestration_project.performers.embeddings import embed
from orchestration_project.performers.evidence import Evidence
from orchestration_project.performers.familiarity import (
    UNFAMILIAR_SHARE,
    UNKNOWN_KIND,
    Familiarity,
    centroids,
    familiarity,
)
from orchestration_project.performers.second_opinion import SecondOpinion, a_column_each, trained_on
from orchestration_project.stores.files import write_file

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.pipeline import Pipeline

WORDS_AND_MARKS = r"\w+|[^\w\s]"  # an emoji or a "!" is a word of its own: one point of accuracy on airline sentiment
ROWS_AT_A_TIME = 10_000  # the features of a text are some hundred times larger than the text


@dataclass(frozen=True)
class TextClassifier:
    """A trained model. `labels` are sorted; the pipeline's scores have their columns in this order. With a `second`
    opinion the scores of both are averaged.
    """

    labels: tuple[str, ...]
    calibration: Calibration
    pipeline: "Pipeline"
    familiarity: Familiarity
    second: SecondOpinion | None = None

    def predict(self, texts: Iterable[str]) -> pd.DataFrame:
        """Answer each text with a label.

        One row per text, in order: `label`, `confidence` (above 0, up to 1) that the label is right, `runner_up`, the
        second likeliest label, and `is_unknown_kind`, whether the text is like nothing the model learnt, so that its
        confidence was lowered. No texts give an empty frame with these columns.
        """
        listed = list(texts)
        scores: list[Floats] = [np.empty((0, len(self.labels)))]
        familiar: list[Floats] = [np.empty(0)]
        for start in range(0, len(listed), ROWS_AT_A_TIME):
            some = listed[start : start + ROWS_AT_A_TIME]
            first, found = _scored(self.pipeline, self.familiarity.centroids, some)
            scores.append(self.second.joined(first, self.second.scores(some)) if self.second else first)
            familiar.append(found)
        return _answers(self, np.concatenate(scores), np.concatenate(familiar))

    def reasons(self, texts: Iterable[str], answers: pd.DataFrame) -> list[str]:
        """For each text and its answer (as `predict` gave it) the words that spoke most for and against it, behind
        `unknown kind` where it is so.
        """
        columns = {label: column for column, label in enumerate(self.labels)}
        named = ([columns[label] for label in answers[name]] for name in ("label", "runner_up"))
        words = self._evidence.in_words(list(texts), *named)
        strange = np.where(answers["is_unknown_kind"], UNKNOWN_KIND, "")
        return ["; ".join(filter(None, pair)) for pair in zip(strange.tolist(), words, strict=True)]

    @cached_property
    def _evidence(self) -> Evidence:
        return Evidence(self.pipeline)

    def save(self, path: Path) -> str:
        """Write the model to a file, whole or not at all, and return the sha256 of the file in hex.

        The same training on the same library versions gives the same digest.
        """
        import joblib

        features: Any = self.pipeline[0]
        for _, vectorizer in features.transformer_list:
            vars(vectorizer).pop("_stop_words_id", None)  # a memory address: the digest would change in every process
        stored = io.BytesIO()
        joblib.dump({entry.name: getattr(self, entry.name) for entry in fields(self)}, stored)
        content = stored.getvalue()
        write_file(path, content)
        return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Training:
    """What a training made.

    `out_of_fold` has one row per training text, in order: its `label`, and the `answer`, calibrated `confidence` and
    `is_unknown_kind` of a model that had not seen it. Choose thresholds and report precision on these rows.
    """

    classifier: TextClassifier
    out_of_fold: pd.DataFrame


def train(
    texts: Iterable[str],
    labels: Iterable[str],
    *,
    seed: int = 0,
    folds: int = 5,
    embeddings: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Training:
    """Train a classifier on labelled texts, and calibrate it on texts that it had not seen.

    `texts` and `labels` are (n,). Word and character TF-IDF, a linear support vector machine, and a calibration
    fitted to the scores of stratified folds; with `embeddings` a second opinion besides. The same input and `seed` give the
    same model. `progress` is told how many of the fits are done. Fewer than two labels, a label with fewer than `folds`
    texts, and texts that are all blank raise Refused.
    """
    from sklearn.model_selection import StratifiedKFold

    texts, labels = np.array(list(texts), dtype="object"), np.array(list(labels), dtype="object")
    _require_enough(texts.tolist(), labels.tolist(), folds)
    known, truth = np.unique(labels.astype("str"), return_inverse=True)
    scores, familiar = np.empty((len(texts), len(known))), np.empty(len(texts))
    vectors, own = embed(texts.tolist()) if embeddings else None, np.empty_like(scores)
    split = StratifiedKFold(folds, shuffle=True, random_state=seed)
    for number, (seen, unseen) in enumerate(split.split(texts, truth)):
        progress(f"trained {number} of {folds + 1}")
        fitted, means = _fitted(texts[seen].tolist(), labels[seen].tolist(), seed)
        scores[unseen], familiar[unseen] = _scored(fitted, means, texts[unseen].tolist())
        if vectors is not None:
            machine = trained_on(vectors[seen], labels[seen].tolist())
            own[unseen] = a_column_each(machine.decision_function(vectors[unseen]))
    progress(f"trained {folds} of {folds + 1}")
    pipeline, means = _fitted(texts.tolist(), labels.tolist(), seed)
    second = None
    if vectors is not None:
        second = SecondOpinion.of(trained_on(vectors, labels.tolist()), scores, own, truth)
        scores = second.joined(scores, own)
    unfamiliar = np.sort(familiar)[: int(len(texts) * UNFAMILIAR_SHARE)]
    calibration = fit_calibration(scores, truth)
    classifier = TextClassifier(tuple(known.tolist()), calibration, pipeline, Familiarity(means, unfamiliar), second)
    answers = _answers(classifier, scores, familiar)
    out_of_fold = answers.rename(columns={"label": "answer"}).drop(columns="runner_up")
    return Training(classifier, out_of_fold.assign(label=labels))


def load(path: Path, sha256: str) -> TextClassifier:
    """Read a saved model, after its bytes were found to be the recorded ones.

    `sha256` is what `TextClassifier.save` returned. A missing file or another digest raises ArtifactRefused, and
    nothing in the file is run: a pickle can do anything. So does a file that other code wrote.
    """
    import joblib

    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ArtifactRefused(f"The model file {path} is missing. Restore it or run: orchestrate train") from None
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ArtifactRefused(
            f"The model file {path} is not the one that was recorded and was not opened. "
            f"Its sha256 is {found}, recorded is {sha256}. Restore it or run: orchestrate train"
        )
    stored = joblib.load(io.BytesIO(content))
    if stored.keys() != {entry.name for entry in fields(TextClassifier)}:
        raise ArtifactRefused(f"The model file {path} was written by other code than this. Run: orchestrate train")
    return TextClassifier(**stored)


def _require_enough(texts: Sequence[str], labels: Sequence[str], folds: int) -> None:
    counts = Counter(labels)
    listed = ", ".join(f"{label} {count}" for label, count in sorted(counts.items())) or "none"
    if len(counts) < 2:
        raise Refused(f"A classifier needs texts of at least 2 labels; there are: {listed}. Label more texts.")
    if min(counts.values()) < folds:
        raise Refused(
            f"Training in {folds} folds needs at least {folds} texts of each label; there are: {listed}. "
            "Label more texts, merge labels or use fewer folds."
        )
    if not any(text.strip() for text in texts):
        raise Refused(f"All {len(texts)} texts are blank. Check which column holds the text.")


def _pipeline(seed: int) -> "Pipeline":
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.svm import LinearSVC

    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=WORDS_AND_MARKS, sublinear_tf=True)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    # Balanced classes raise the macro F1 of ten unequal airline issues from 0.45 to 0.51 and cost no accuracy anywhere.
    machine = LinearSVC(C=0.3, class_weight="balanced", random_state=seed)
    return make_pipeline(make_union(words, characters), machine)


def _fitted(texts: list[str], labels: list[str], seed: int) -> "tuple[Pipeline, csr_matrix]":
    """A trained pipeline, and the centroids of its labels (sorted)."""
    pipeline: Any = _pipeline(seed)
    features = pipeline[0].fit_transform(texts)
    pipeline[1].fit(features, labels)
    known, columns = np.unique(labels, return_inverse=True)
    return pipeline, centroids(features, columns, len(known))


def _scored(pipeline: "Pipeline", means: "csr_matrix", texts: list[str]) -> tuple[Floats, Floats]:
    """Decision scores (n, k), a column for each label, and familiarity scores (n,)."""
    steps: Any = pipeline
    features = steps[0].transform(texts)
    decisions = a_column_each(steps[1].decision_function(features))
    return decisions, familiarity(pipeline, means, texts, features, decisions)


def _answers(classifier: TextClassifier, scores: Floats, familiar: Floats) -> pd.DataFrame:
    order = np.argsort(-scores, axis=1, kind="stable")
    names = np.array(classifier.labels)
    confidence = classifier.calibration.confidence(scores)
    return pd.DataFrame(
        {
            "label": pd.Series(names[order[:, 0]], dtype="str"),
            "confidence": classifier.familiarity.lowered(confidence, familiar),
            "runner_up": pd.Series(names[order[:, 1]], dtype="str"),
            "is_unknown_kind": classifier.familiarity.is_unknown_kind(familiar),
        }
    )

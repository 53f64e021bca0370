"""Measure the models and write the figures into docs/models.md: `make models`, or `python -m bench.models`. With
`--words-only` nothing is measured with embeddings, which takes most of the time, and their table stays as it is.

Each table of the document stands between `<!-- NAME -->` and `<!-- end -->`, and is written anew from what this run
measured. Pictures go to docs/images/.
"""

import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from assets.feedback import lexicon
from assets.feedback.issue import RULES
from assets.models.figures import as_png, reliability_diagram
from bench.airline_alerts import airline_alerts
from bench.labelled_data import Task, evaluation_data, out_of_scope, tasks
from orchestration_project.core.calibration import reliability
from orchestration_project.core.settings import PROJECT, Settings
from orchestration_project.core.statistics import acceptance_threshold
from orchestration_project.performers.familiarity import familiarity
from orchestration_project.performers.scoring import acceptable, score
from orchestration_project.performers.text_classifier import TextClassifier, train

DOCUMENT = PROJECT / "docs" / "models.md"
IMAGES = PROJECT / "docs" / "images"
TARGET_ERROR = Settings().target_error

Row = Mapping[str, Any]


def main(words_only: bool) -> None:
    """Measure everything and rewrite the document's tables."""
    rows: list[Row] = []
    tables: dict[str, list[Row]] = {"models": rows}
    for task in tasks():
        print(f"{task.name}, {task.split}: {len(task.learnt):,} learnt, {len(task.asked):,} asked", flush=True)
        words, threshold = trained(task, embeddings=False)
        answers = words.predict(task.asked["text"])
        rows += baselines(task)
        rows.append(measured(task, "model", answers, threshold))
        draw(task, answers)
        if not words_only:
            both, its_threshold = trained(task, embeddings=True)
            rows.append(measured(task, "model with embeddings", both.predict(task.asked["text"]), its_threshold))
            tables.setdefault("ways", []).append(ways(task, both, answers, threshold))
        if task.name.startswith("clinc150") and task.split == "its own":
            strange = out_of_scope()
            tables["unknown kinds"] = unknown_kinds(words, task, strange, threshold)
            tables["unknown kind scores"] = score_candidates(words, task, strange)
    tables["alerts"] = [alerts()]
    document = DOCUMENT.read_text(encoding="utf-8")
    for name, found in tables.items():
        document = written(document, name, found)
    DOCUMENT.write_text(document, encoding="utf-8")


def alerts() -> Row:
    """How many alerts the airline's labels and tables raise on 500 messages of a later day, and how many were due."""
    with TemporaryDirectory() as folder:
        found = airline_alerts(evaluation_data(), Path(folder))
    named = {"told": found.told, "due by the true labels": found.due, "told and due": found.told & found.due}
    counts = {name: len(windows) for name, windows in named.items()}
    return {**counts, "precision": found.precision, "recall": found.recall}


def trained(task: Task, *, embeddings: bool) -> tuple[TextClassifier, float | None]:
    """A model that learnt the task's rows, and its acceptance threshold."""
    started = time.perf_counter()
    training = train(task.learnt["text"], task.learnt["label"], embeddings=embeddings)
    print(f"  trained in {time.perf_counter() - started:.0f} s", flush=True)
    own = training.out_of_fold
    right = (own["label"] == own["answer"]).to_numpy()
    return training.classifier, acceptance_threshold(acceptable(own), right, TARGET_ERROR)


def ways(task: Task, both: TextClassifier, first: pd.DataFrame, threshold: float | None) -> Row:
    """The accuracy of each way to use embeddings on one task."""
    texts, labels = task.asked["text"].tolist(), np.array(both.labels)
    second: Any = both.second
    alone = labels[second.scores(texts).argmax(axis=1)]
    averaged = both.predict(texts)["label"].to_numpy()
    is_sure = acceptable(first) >= (np.inf if threshold is None else threshold)
    truth, words = task.asked["label"].to_numpy(), first["label"].to_numpy()
    answers = {
        "words alone": words,
        "embeddings alone": alone,
        "embeddings where words are unsure": np.where(is_sure, words, alone),
        "averaged where words are unsure": np.where(is_sure, words, averaged),
        "averaged (in use)": averaged,
    }
    shares = {name: float((found == truth).mean()) for name, found in answers.items()}
    return {"data": task.name, "split": task.split, **shares}


def measured(task: Task, who: str, answers: pd.DataFrame, threshold: float | None) -> Row:
    """One line of the table of models."""
    found = score(answers, task.asked["label"], threshold)
    return {
        "data": task.name,
        "split": task.split,
        "who decides": who,
        "accuracy": found["accuracy"],
        "macro-F1": found["macro_f1"],
        "ECE": found["ece"],
        "threshold": threshold,
        "accepted": found["accepted_share"] if threshold else None,
        "error of accepted": found["accepted_error"],
        "n": found["n"],
    }


def baselines(task: Task) -> list[Row]:
    """What the model is held against: the most frequent label, VADER's word list, the keyword rules."""
    texts = task.asked[["text"]].reset_index(drop=True)
    unsure = {"confidence": np.full(len(texts), np.nan)}
    most = task.learnt["label"].mode()[0]
    found = [("most frequent label", pd.DataFrame({"label": most, **unsure}))]
    if "sentiment" in task.name:
        found.append(("VADER", lexicon.answer(texts)))
    if task.name == "shipped issue":
        label = RULES.read().apply(texts)["label"].fillna(most)
        found.append(("keyword rules, else the most frequent", pd.DataFrame({"label": label, **unsure})))
    return [measured(task, who, answers, None) for who, answers in found]


def unknown_kinds(classifier: TextClassifier, task: Task, strange: pd.Series, threshold: float | None) -> list[Row]:
    """What becomes of queries in scope and out of it, with and without the lowered confidence."""
    limit = np.inf if threshold is None else threshold
    rows: list[Row] = []
    for name, texts in (("in scope", task.asked["text"]), ("out of scope", strange)):
        answers = classifier.predict(texts)
        plain = _plain_confidence(classifier, list(texts))
        rows.append(
            {
                "queries": name,
                "n": len(texts),
                "of an unknown kind": float(answers["is_unknown_kind"].mean()),
                "accepted": float((acceptable(answers) >= limit).mean()),
                "accepted if it did not look at the kind": float((plain >= limit).mean()),
                "median confidence": float(answers["confidence"].median()),
            }
        )
    return rows


def score_candidates(classifier: TextClassifier, task: Task, strange: pd.Series) -> list[Row]:
    """How well each candidate score tells queries in scope from those out of it: the area under the ROC curve."""
    scores = [_candidates(classifier, list(texts)) for texts in (task.asked["text"], strange)]
    is_known = np.r_[np.ones(len(task.asked)), np.zeros(len(strange))]
    return [
        {"score": name, "area under the curve": float(roc_auc_score(is_known, np.r_[scores[0][name], scores[1][name]]))}
        for name in scores[0]
    ]


def _candidates(classifier: TextClassifier, texts: list[str]) -> dict[str, Any]:
    pipeline: Any = classifier.pipeline
    features = pipeline[0].transform(texts)
    decisions = pipeline[1].decision_function(features)
    known = familiarity(pipeline, classifier.familiarity.centroids, texts, features, decisions)
    cosine = np.asarray((features @ classifier.familiarity.centroids.T).max(axis=1).todense()).ravel() / np.sqrt(2)
    highest = decisions.max(axis=1)
    return {
        "calibrated confidence": classifier.calibration.confidence(decisions),
        "highest decision score": highest,
        "cosine to the nearest centroid": cosine,
        "(1 + highest decision score) × cosine": np.maximum(highest + 1, 0) * cosine,
        "the same × share of known words (in use)": known,
    }


def _plain_confidence(classifier: TextClassifier, texts: list[str]) -> Any:
    return classifier.calibration.confidence(classifier.pipeline.decision_function(texts))


def draw(task: Task, answers: pd.DataFrame) -> None:
    """The reliability diagram of a task."""
    confidence = answers["confidence"].to_numpy()
    right = answers["label"].to_numpy() == task.asked["label"].to_numpy()
    found = score(answers, task.asked["label"], None)
    name = re.sub(r"[^a-z0-9]+", "-", f"{task.name} {task.split}".lower())
    picture = as_png(reliability_diagram(reliability(confidence, right), found["ece"], confidence))
    (IMAGES / f"reliability-{name}.png").write_bytes(picture)


def written(document: str, name: str, rows: Sequence[Row]) -> str:
    """The document with one table anew; KeyError when it has no place for it."""
    start, end = f"<!-- {name} -->\n", "<!-- end -->"
    if start not in document:
        raise KeyError(f"{DOCUMENT} has no line '{start.strip()}'.")
    before, _, after = document.partition(start)
    return f"{before}{start}{table(rows)}{end}{after.partition(end)[2]}"


def table(rows: Sequence[Row]) -> str:
    """Rows as a Markdown table."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([_shown(value) for value in row.values()] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _shown(value: Any) -> str:
    if value is None or value != value:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


if __name__ == "__main__":
    main(words_only=sys.argv[1:] == ["--words-only"])

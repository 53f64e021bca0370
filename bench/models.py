"""Measure the models and write the figures into docs/models.md: `make models`, or `python -m bench.models`. With
`--words-only` nothing is measured with embeddings, which takes most of the time, and their table stays as it is.

Each table of the document stands between `<!-- NAME -->` and `<!-- end -->`, and is written anew from what this run
measured. Pictures go to docs/images/.
"""

import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from bench.labelled_data import Part, Task, evaluation_data, out_of_scope, tasks
from orchestration_project.core.calibration import expected_calibration_error, reliability
from orchestration_project.core.settings import PROJECT, Settings
from orchestration_project.core.statistics import Floats, acceptance_threshold
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
        print(f"{task.name}, {task.split}", flush=True)
        words = [learnt(part, embeddings=False) for part in task.parts]
        rows += baselines(task)
        rows.append(measured(task, "model", words))
        draw(task, words)
        if not words_only:
            both = [learnt(part, embeddings=True) for part in task.parts]
            rows.append(measured(task, "model with embeddings", both))
            tables.setdefault("ways", []).append(ways(task, words, both))
        if task.name.startswith("clinc150") and task.split == "its own":
            tables["unknown kinds"] = unknown_kinds(words[0], out_of_scope())
            tables["unknown kind scores"] = score_candidates(words[0], out_of_scope())
    tables["alerts"] = [alerts()]
    document = DOCUMENT.read_text(encoding="utf-8")
    for name, found in tables.items():
        document = written(document, name, found)
    DOCUMENT.write_text(document, encoding="utf-8")


@dataclass(frozen=True)
class Learnt:
    """A model that learnt the rows of a part, its acceptance threshold, and its answers to the rows asked about, each
    with its `truth` and whether it is `accepted`.
    """

    part: Part
    classifier: TextClassifier
    threshold: float | None
    answers: pd.DataFrame


def learnt(part: Part, *, embeddings: bool) -> Learnt:
    """Train on a part and ask."""
    started = time.perf_counter()
    training = train(part.learnt["text"], part.learnt["label"], embeddings=embeddings)
    print(f"  learnt {len(part.learnt):,} rows in {time.perf_counter() - started:.0f} s", flush=True)
    own = training.out_of_fold
    threshold = acceptance_threshold(acceptable(own), (own["label"] == own["answer"]).to_numpy(), TARGET_ERROR)
    answers = training.classifier.predict(part.asked["text"])
    answers["truth"] = part.asked["label"].to_list()
    answers["accepted"] = acceptable(answers) >= (np.inf if threshold is None else threshold)
    return Learnt(part, training.classifier, threshold, answers)


def alerts() -> Row:
    """How many alerts the airline's labels and tables raise on 500 messages of a later day, and how many were due."""
    with TemporaryDirectory() as folder:
        found = airline_alerts(evaluation_data(), Path(folder))
    named = {"told": found.told, "due by the true labels": found.due, "told and due": found.told & found.due}
    counts = {name: len(windows) for name, windows in named.items()}
    return {**counts, "precision": found.precision, "recall": found.recall}


def ways(task: Task, words: Sequence[Learnt], both: Sequence[Learnt]) -> Row:
    """The accuracy of each way to use embeddings on one task."""
    right = pd.concat([_right_by_way(*pair) for pair in zip(words, both, strict=True)])
    return {"data": task.name, "split": task.split, **{str(way): float(share) for way, share in right.mean().items()}}


def _right_by_way(first: Learnt, both: Learnt) -> pd.DataFrame:
    second: Any = both.classifier.second
    scores = second.scores(both.part.asked["text"].tolist())
    alone = np.array(both.classifier.labels)[scores.argmax(axis=1)]
    averaged, words = both.answers["label"].to_numpy(), first.answers["label"].to_numpy()
    is_sure = first.answers["accepted"].to_numpy()
    answers = {
        "words alone": words,
        "embeddings alone": alone,
        "embeddings where words are unsure": np.where(is_sure, words, alone),
        "averaged where words are unsure": np.where(is_sure, words, averaged),
        "averaged (in use)": averaged,
    }
    truth = both.answers["truth"].to_numpy()
    return pd.DataFrame({way: found == truth for way, found in answers.items()})


def measured(task: Task, who: str, models: Sequence[Learnt]) -> Row:
    """One line of the table of models."""
    answers = pd.concat([model.answers for model in models])
    accepted = answers[answers["accepted"]]
    thresholds = sorted({model.threshold for model in models if model.threshold})
    return {
        **_scored(task, who, answers),
        "threshold": ", ".join(f"{threshold:g}" for threshold in thresholds) or "none",
        "accepted": len(accepted) / len(answers),
        "error of accepted": float((accepted["label"] != accepted["truth"]).mean()),
        "n": len(answers),
    }


def _scored(task: Task, who: str, answers: pd.DataFrame) -> dict[str, Any]:
    found = score(answers, answers["truth"], None)
    scores = {"accuracy": found["accuracy"], "macro-F1": found["macro_f1"], "ECE": found["ece"]}
    by_chance = _calibration_error_by_chance(answers["confidence"].to_numpy())
    return {"data": task.name, "split": task.split, "who decides": who, **scores, "ECE by chance": by_chance}


def _calibration_error_by_chance(confidence: Floats) -> float:
    """The mean ECE of answers that are right exactly as often as their confidence says, as so few rows show it."""
    random = np.random.default_rng(0)
    drawn = [expected_calibration_error(confidence, random.random(len(confidence)) < confidence) for _ in range(50)]
    return float(np.mean(drawn))


def baselines(task: Task) -> list[Row]:
    """What the model is held against: the most frequent label, VADER's word list, the keyword rules."""
    asked = pd.concat([part.asked for part in task.parts], ignore_index=True)
    most = pd.Series([part.learnt["label"].mode()[0] for part in task.parts for _ in range(len(part.asked))])
    found = {"most frequent label": most}
    if "sentiment" in task.name:
        found["VADER"] = lexicon.answer(asked)["label"]
    if task.name == "shipped issue":
        found["keyword rules, else the most frequent"] = RULES.read().apply(asked)["label"].fillna(most)
    unsure = {"threshold": None, "accepted": None, "error of accepted": None, "n": len(asked)}
    return [
        _scored(task, who, pd.DataFrame({"label": labels, "confidence": np.nan, "truth": asked["label"]})) | unsure
        for who, labels in found.items()
    ]


def unknown_kinds(model: Learnt, strange: pd.Series) -> list[Row]:
    """What becomes of queries in scope and out of it, with and without the lowered confidence."""
    limit = np.inf if model.threshold is None else model.threshold
    rows: list[Row] = []
    for name, texts in (("in scope", model.part.asked["text"]), ("out of scope", strange)):
        answers = model.classifier.predict(texts)
        plain = model.classifier.calibration.confidence(model.classifier.pipeline.decision_function(list(texts)))
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


def score_candidates(model: Learnt, strange: pd.Series) -> list[Row]:
    """How well each candidate score tells queries in scope from those out of it: the area under the ROC curve."""
    asked = model.part.asked["text"]
    scores = [_candidates(model.classifier, list(texts)) for texts in (asked, strange)]
    is_known = np.r_[np.ones(len(asked)), np.zeros(len(strange))]
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


def draw(task: Task, models: Sequence[Learnt]) -> None:
    """The reliability diagram of a task."""
    answers = pd.concat([model.answers for model in models])
    confidence = answers["confidence"].to_numpy()
    bins = reliability(confidence, (answers["label"] == answers["truth"]).to_numpy())
    error = score(answers, answers["truth"], None)["ece"]
    name = re.sub(r"[^a-z0-9]+", "-", f"{task.name} {task.split}".lower())
    (IMAGES / f"reliability-{name}.png").write_bytes(as_png(reliability_diagram(bins, error, confidence)))


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

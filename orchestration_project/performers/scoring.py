"""How good a model's answers are on labelled rows: one set of figures for the UI, the command line and the documents."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from orchestration_project.core.calibration import expected_calibration_error
from orchestration_project.core.statistics import Floats, classification_scores


def score(answers: pd.DataFrame, truth: Iterable[str], threshold: float | None) -> dict[str, Any]:
    """Score answers (`label` and `confidence`, n rows) against the true labels (n,).

    accuracy, macro_f1; ece; accepted_share, the share whose confidence reaches the `threshold` (None: nothing does) and
    that are not of an unknown kind (where `is_unknown_kind` says so), and accepted_error, the share of wrong answers among these (nan without any); n, and per_class with precision,
    recall, f1 and n of each label. All shares and scores go from 0 to 1; of no rows they are nan.
    """
    labels = list(truth)
    found = classification_scores(labels, answers["label"].tolist())
    right = (answers["label"].to_numpy() == pd.Series(labels, dtype="object").to_numpy()).astype("bool")
    confidence = answers["confidence"].to_numpy(dtype="float64")
    accepted = acceptable(answers) >= (float("inf") if threshold is None else threshold)
    return {
        "accuracy": found["accuracy"],
        "macro_f1": found["macro_f1"],
        "ece": expected_calibration_error(confidence, right),
        "accepted_share": float(accepted.mean()) if len(labels) else float("nan"),
        "accepted_error": float((~right[accepted]).mean()) if accepted.any() else float("nan"),
        "n": found["n"],
        "per_class": found["per_class"],
    }


def acceptable(answers: pd.DataFrame) -> Floats:
    """The confidence (n,) of each answer as far as it may be accepted: nan of an unknown kind, for which none was
    measured.
    """
    confidence = answers["confidence"].to_numpy(dtype="float64")
    if "is_unknown_kind" not in answers:
        return confidence
    return np.where(answers["is_unknown_kind"].to_numpy(dtype="bool"), np.nan, confidence)

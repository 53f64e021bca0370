"""Why a model answered so, when somebody asks: rows that a model was sure of keep no words, so they are found anew."""

import math
from collections.abc import Mapping
from typing import Any

from orchestration_project.core.errors import OrchestrationError
from orchestration_project.performers.model import loaded
from orchestration_project.stores import model_versions
from orchestration_project.stores.families import family_of
from orchestration_project.stores.home import Home

SAME = 1e-6
"""Greatest difference of two confidences of one answer."""


def reason_of(home: Home, decision: Mapping[str, Any], message: Mapping[str, Any]) -> str:
    """The reason of a stored decision; behind that of an accepted model, the words that spoke for and against it.

    `message` holds what came in. A version whose file is lost says so.
    """
    stored = str(decision["reason"])
    family = family_of(str(decision["performer"]))
    if decision["decided_by"] != "model" or not decision["accepted"] or family is None:
        return stored
    try:
        words = _words(home, family, decision, message)
    except OrchestrationError as refusal:
        words = f"its words are not known: {refusal}"
    return "; ".join(filter(None, (stored, words)))


def _words(home: Home, family: str, decision: Mapping[str, Any], message: Mapping[str, Any]) -> str:
    """Which of the message's texts the model was shown is not recorded: it is the one that gives the stored answer."""
    with home.ledger.read() as connection:
        version = model_versions.find(connection, family, str(decision["version"]))
    classifier = loaded(home, version)
    texts = [value for value in message.values() if isinstance(value, str)]
    answers = classifier.predict(texts)
    for place, text in enumerate(texts):
        own = answers.iloc[[place]]
        confidence = float(own["confidence"].iloc[0])
        if own["label"].iloc[0] == decision["label"] and math.isclose(confidence, decision["confidence"], abs_tol=SAME):
            return classifier.reasons([text], own)[0]
    return "its words are not known: no text of the message as it is now gives this answer"

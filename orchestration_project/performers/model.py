"""A trained model: the champion of its family, loaded from the ledger's record and never from the registry."""

from functools import lru_cache
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from orchestration_project.core.errors import ArtifactRefused
from orchestration_project.performers.performer import Kind, Performer, Prepared
from orchestration_project.stores import trials
from orchestration_project.stores.champions import require_champion
from orchestration_project.stores.families import performer_of
from orchestration_project.stores.home import Home
from orchestration_project.stores.model_versions import ModelVersion

if TYPE_CHECKING:
    from orchestration_project.performers.text_classifier import TextClassifier


LEAST_DOUBT = 0.01
"""How far below the acceptance threshold an answer to an unknown kind lies at least."""

PICKLED_BY = "scikit-learn"


class Model(Performer):
    """The champion of a model family, asked about one text column.

    An answer that is not accepted gives the words that spoke for and against it as its reason. One to a text of an
    unknown kind is never accepted: its confidence was measured on known kinds, and is lowered below the threshold.
    """

    kind: Kind = "model"

    def __init__(self, family: str, *, on: str = "text") -> None:
        self.name = performer_of(family)
        self.families = (family,)
        self.on = on

    def prepare(self, home: Home) -> Prepared:
        with home.ledger.read() as connection:
            champion = require_champion(connection, self.families[0])
        return self._prepared(home, champion)

    def on_trial(self, home: Home) -> Prepared | None:
        with home.ledger.read() as connection:
            trial = trials.of_family(connection, self.families[0])
        return None if trial is None else self._prepared(home, trial.version)

    def _prepared(self, home: Home, version: ModelVersion) -> Prepared:
        def load() -> "TextClassifier":
            return loaded(home, version)

        def answer(rows: pd.DataFrame) -> pd.DataFrame:
            classifier = load()
            texts = rows[self.on].reset_index(drop=True)
            answers = classifier.predict(texts.tolist()).assign(reason="")
            strange, below = answers["is_unknown_kind"], max(sure_from - LEAST_DOUBT, 0.0)
            answers["confidence"] = answers["confidence"].mask(strange, answers["confidence"].clip(upper=below))
            unsure = answers.index[~(answers["confidence"] >= sure_from)]
            answers.loc[unsure, "reason"] = classifier.reasons(texts[unsure], answers.loc[unsure])
            return answers[["label", "confidence", "reason", "runner_up"]].set_index(rows.index)

        sure_from = float("inf") if version.threshold is None else version.threshold
        return Prepared(version.version, version.threshold, frozenset(version.labels), answer, load)


def loaded(home: Home, version: ModelVersion) -> "TextClassifier":
    """The model of a recorded version; ArtifactRefused for a file that is not the recorded one, and for one that another
    version of scikit-learn wrote, which may answer otherwise.
    """
    written_by = version.libraries.get(PICKLED_BY)
    if written_by not in (None, installed(PICKLED_BY)):
        raise ArtifactRefused(
            f"Version {version.version} of '{version.family}' was trained with {PICKLED_BY} {written_by}, and "
            f"{installed(PICKLED_BY)} is installed. Run: orchestrate train"
        )
    return _loaded(home.root / version.path, version.sha256, version.labels)


@lru_cache(maxsize=8)
def _loaded(path: Path, sha256: str, labels: tuple[str, ...]) -> "TextClassifier":
    from orchestration_project.performers.text_classifier import load

    classifier = load(path, sha256)
    if classifier.labels != labels:
        raise ArtifactRefused(
            f"The model file {path} answers {', '.join(classifier.labels)}, recorded is {', '.join(labels)}. "
            "Run: orchestrate train"
        )
    return classifier

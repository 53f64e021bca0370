"""The model version that wants to be champion: trained on the labels that are not held out, and registered."""

import hashlib
import json
from dataclasses import asdict
from importlib.metadata import version as installed

import pandas as pd
import pandera.pandas as pa

from orchestration_project.core.contracts import Contract
from orchestration_project.core.errors import Refused
from orchestration_project.core.statistics import acceptance_threshold
from orchestration_project.model_output import Result, Run
from orchestration_project.performers.embeddings import LIBRARIES as EMBEDDING_LIBRARIES
from orchestration_project.performers.embeddings import MODEL
from orchestration_project.performers.rules import Rules
from orchestration_project.performers.scoring import acceptable
from orchestration_project.stores.files import publish_file, temporary_beside
from orchestration_project.stores.home import Home
from orchestration_project.stores.model_versions import ModelVersion

CODE_VERSION = "3"
"""Goes up when the same labels would train another model."""

LIBRARIES = ("joblib", "numpy", "scikit-learn", "scipy")
"""Those whose versions decide what a training gives."""


class Challenger(Contract):
    """The model version that wants to be champion: one row."""

    family: str = pa.Field(description="Model family.")
    version: str = pa.Field(description="Digest of labels, choices, code and library versions.")
    label_digest: str = pa.Field(description="Digest of the labels, those held out included.")
    number: int = pa.Field(ge=1, description="Number of the version in the model registry.")
    path: str = pa.Field(description="Artifact, below the home.")
    sha256: str = pa.Field(description="Digest of the artifact.")
    threshold: float = pa.Field(nullable=True, ge=0, le=1, description="Acceptance threshold; null: accepts nothing.")
    temperature: float = pa.Field(gt=0, description="Of the calibration.")
    slope: float = pa.Field(gt=0, description="Of the calibration.")
    intercept: float = pa.Field(description="Of the calibration.")
    labels: str = pa.Field(description="JSON list of the labels it can answer.")
    rules: str = pa.Field(description="JSON: how right each rule of the family is on the labels.")
    record: str = pa.Field(description="JSON of the record that a promotion puts in use.")


def label_digest(labels: pd.DataFrame) -> str:
    """Digest of labels and of which are held out, whatever their order and wherever they came from."""
    rows = labels[["message_id", "text", "label", "is_holdout"]].sort_values(["message_id", "text", "label"])
    return hashlib.sha256(rows.to_json(orient="values").encode()).hexdigest()


def version_of(labels: pd.DataFrame, *choices: object, embeddings: bool = False) -> str:
    """Version digest of what these labels train: the same labels, choices, code and libraries give the same version."""
    content = [CODE_VERSION, libraries(embeddings), choices, label_digest(labels)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]


def libraries(embeddings: bool) -> dict[str, str]:
    """Name → installed version of each library that decides what a training gives; with embeddings also which model
    they are of.
    """
    found = {name: installed(name) for name in LIBRARIES}
    if embeddings:
        found |= {name: installed(name) for name in EMBEDDING_LIBRARIES} | {MODEL[0]: MODEL[2][:12]}
    return found


def train_challenger(family: str, labels: pd.DataFrame, home: Home, rules: Rules | None, run: Run) -> Result:
    """Train on the labels that are not held out, choose the acceptance threshold out of fold, register the version.

    Refused when no label is held out. The order of the labels makes no difference.
    """
    from orchestration_project.performers.text_classifier import train
    from orchestration_project.stores.registry import Registry

    if not labels["is_holdout"].any():
        raise Refused(f"None of the {len(labels)} labels of {family} is held out to evaluate on. Label more messages.")
    target_error, embeddings = home.settings.target_error, home.settings.embeddings
    seen = labels[~labels["is_holdout"]].sort_values("message_id")
    training = train(seen["text"].tolist(), seen["label"].tolist(), embeddings=embeddings, progress=run.log)
    out_of_fold = training.out_of_fold
    right = (out_of_fold["label"] == out_of_fold["answer"]).to_numpy()
    threshold = acceptance_threshold(acceptable(out_of_fold), right, target_error)
    version = version_of(labels, target_error, rules.read().digest if rules else None, embeddings=embeddings)
    draft = temporary_beside(home.artifacts / family / version)
    sha256 = training.classifier.save(draft)
    artifact = draft.with_name(f"{version}-{sha256[:8]}.joblib")  # another machine rounds otherwise: another file
    publish_file(draft, artifact)
    measured = rules.measure(seen, seen["label"], target_error) if rules else {}
    page = f"http://127.0.0.1:{home.settings.port}/runs/{run.id}"
    registered = Registry(home.registry_url, home.artifacts).add(
        family,
        artifact,
        digest=sha256,
        metrics={"out_of_fold_accuracy": float(right.mean())},
        params={"code_version": CODE_VERSION, "labels": str(len(labels)), "label_digest": label_digest(labels)},
        tags={"version": version, "dagster_run_id": run.id, "dagster_run": page},
        run_name=version,
    )
    record = ModelVersion(
        family=family,
        version=version,
        path=home.below(artifact),
        sha256=sha256,
        threshold=threshold,
        labels=training.classifier.labels,
        metrics={"out_of_fold_accuracy": float(right.mean())},
        rules=measured,
        number=registered.number,
        label_digest=label_digest(labels),
        code_version=CODE_VERSION,
        libraries=libraries(embeddings),
        run_id=run.id,
    )
    row = {
        **{name: getattr(record, name) for name in ("family", "version", "label_digest", "number", "path", "sha256")},
        "threshold": float("nan") if threshold is None else threshold,
        **asdict(training.classifier.calibration),
        "labels": json.dumps(record.labels),
        "rules": json.dumps(measured),
        "record": record.to_json(),
    }
    facts = {
        "version": version,
        "registry number": registered.number,
        "labels trained on": len(seen),
        "acceptance threshold": "none: nothing is accepted" if threshold is None else threshold,
        "rules measured": json.dumps(measured.get("rules", {})),
    }
    return Result(pd.DataFrame([row]), facts)

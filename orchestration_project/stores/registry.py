"""The model registry: every version that was ever trained, what it scored, and which one is the champion."""

import logging
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from orchestration_project.core.errors import ArtifactRefused, UnknownName, did_you_mean

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION = "champion"


@dataclass(frozen=True)
class RegisteredVersion:
    """One version of a model family; `number` counts from 1, `digest` is the sha256 of the artifact in hex."""

    family: str
    number: int
    artifact: Path
    digest: str


@dataclass(frozen=True)
class Registry:
    """Model versions in an MLflow database of their own.

    `url` names the database (`sqlite:////home/registry.db`; made on first use) or an MLflow server (`https://…`).
    `artifacts` is the folder of the model files; files in it may move with it. Importing MLflow takes seconds and
    happens on first use: nothing that answers messages may come here. A version that was registered by other means,
    without our digest, raises ArtifactRefused wherever it is met.
    """

    url: str
    artifacts: Path

    def add(
        self,
        family: str,
        artifact: Path,
        *,
        digest: str,
        metrics: dict[str, float],
        params: dict[str, str],
        tags: dict[str, str],
        run_name: str,
    ) -> RegisteredVersion:
        """Register a trained model as the family's next version, with one MLflow run that records how it was trained.

        The run is in the experiment named after the family. A `digest` that the family already has gives the existing
        version and records nothing. A file that does not exist raises ArtifactRefused.
        """
        if not artifact.exists():
            raise ArtifactRefused(f"The model file {artifact} does not exist. Save the model before registering it.")
        artifact = artifact.resolve()
        self.artifacts.mkdir(parents=True, exist_ok=True)
        with FileLock(self.artifacts / ".registry.lock"):
            known = self._search(f"name = '{family}' and tags.digest = '{digest}'")
            if known:
                return known[0]
            if not self._client.search_registered_models(f"name = '{family}'"):
                self._client.create_registered_model(family)
            run_id, source = self._record_run(family, artifact, metrics, params, run_name)
            root = self.artifacts.resolve()
            stored = artifact.relative_to(root) if artifact.is_relative_to(root) else artifact
            ours = {"digest": digest, "artifact": stored.as_posix()}
            return self._version(self._client.create_model_version(family, source, run_id, tags={**tags, **ours}))

    def promote(self, family: str, number: int) -> None:
        """Make a version the family's champion; the one before it stays registered. Unknown ones raise UnknownName."""
        numbers = [version.number for version in self.versions(family)]
        if not numbers:
            families = [model.name for model in self._client.search_registered_models()]
            raise UnknownName(f"There is no model family '{family}'.{did_you_mean(family, families)}")
        if number not in numbers:
            newest = ", ".join(str(known) for known in numbers[:12])
            raise UnknownName(f"The model family '{family}' has no version {number}. Choose one of: {newest}.")
        self._client.set_registered_model_alias(family, CHAMPION, str(number))

    def champion(self, family: str) -> RegisteredVersion | None:
        """The version in use; None when the family is unknown or none was promoted."""
        for model in self._client.search_registered_models(f"name = '{family}'"):
            if CHAMPION in model.aliases:
                return self._version(self._client.get_model_version_by_alias(family, CHAMPION))
        return None

    def versions(self, family: str) -> list[RegisteredVersion]:
        """All versions of a family, newest first; an unknown family has none."""
        return self._search(f"name = '{family}'")

    @cached_property
    def _client(self) -> "MlflowClient":
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        return MlflowClient(tracking_uri=self.url, registry_uri=self.url)

    def _record_run(
        self, family: str, artifact: Path, metrics: dict[str, float], params: dict[str, str], run_name: str
    ) -> tuple[str, str]:
        """Log a finished run; its id, and where the registry finds the model file."""
        from mlflow.entities import Metric, Param

        is_server = self.url.startswith(("http://", "https://"))
        experiment = self._client.get_experiment_by_name(family)
        if experiment:
            experiment_id = experiment.experiment_id
        else:
            location = None if is_server else (self.artifacts / "runs").resolve().as_uri()
            experiment_id = self._client.create_experiment(family, location)
        run = self._client.create_run(experiment_id, run_name=run_name)
        self._client.log_batch(
            run.info.run_id,
            metrics=[Metric(name, value, run.info.start_time, 0) for name, value in metrics.items()],
            params=[Param(name, value) for name, value in params.items()],
        )
        source = str(artifact)
        if is_server:  # it accepts only sources that lie within the run's own artifacts
            self._client.log_artifact(run.info.run_id, source)
            source = f"{run.info.artifact_uri}/{artifact.name}"
        self._client.set_terminated(run.info.run_id)
        return run.info.run_id, source

    def _search(self, filters: str) -> list[RegisteredVersion]:
        found = self._client.search_model_versions(filters, order_by=["version_number DESC"])
        return [self._version(version) for version in found]

    def _version(self, version: "ModelVersion") -> RegisteredVersion:
        if "digest" not in version.tags:
            raise ArtifactRefused(
                f"Version {version.version} of '{version.name}' in {self.url} has no digest: it was registered by other "
                "means. Delete it there and register the model with: orchestrate train"
            )
        artifact = self.artifacts.resolve() / version.tags["artifact"]
        return RegisteredVersion(version.name, int(version.version), artifact, version.tags["digest"])

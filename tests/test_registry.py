"""The model registry, on a real MLflow database."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest

from orchestration_project.core.errors import ArtifactRefused, UnknownName
from orchestration_project.stores.registry import RegisteredVersion, Registry

# MLflow 3.17 with SQLAlchemy 2.1: its own affair, and it is once per process.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
]

FIRST_USE = """
import socket, sys
from pathlib import Path
from orchestration_project.stores.registry import Registry

assert "mlflow" not in sys.modules, "MLflow was imported before it was used"
sys.addaudithook(lambda event, args: event in ("socket.connect", "socket.getaddrinfo") and print(event, args))
home = Path(sys.argv[1])
registry = Registry(f"sqlite:///{home}/registry.db", home / "models")
assert registry.champion("first") is None
registry.add("first", home / "model", digest="d1", metrics={}, params={}, tags={}, run_name="first use")
registry.promote("first", 1)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def first_use(home: Path) -> subprocess.CompletedProcess[str]:
    """A new process, in which MLflow does not know that it is tested, makes the database and a first version."""
    (home / "model").write_bytes(b"model")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "MLFLOW", "CI"))}
    program = [sys.executable, "-c", FIRST_USE, str(home)]
    return subprocess.run(program, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def registry(home: Path, first_use: subprocess.CompletedProcess[str]) -> Registry:
    assert first_use.returncode == 0, first_use.stderr
    return Registry(f"sqlite:///{home}/registry.db", home / "models")


def register(
    registry: Registry, family: str, content: str, metrics: dict[str, float] | None = None
) -> RegisteredVersion:
    artifact = registry.artifacts / family / f"{content}.joblib"
    artifact.parent.mkdir(parents=True, exist_ok=True)
    artifact.write_text(content)
    return registry.add(
        family,
        artifact,
        digest=sha256(content.encode()).hexdigest(),
        metrics=metrics or {},
        params={"C": "0.3"},
        tags={"labels": "v1"},
        run_name=f"train {content}",
    )


def test_first_use_prints_nothing_and_asks_no_network(first_use: subprocess.CompletedProcess[str]) -> None:
    assert (first_use.returncode, first_use.stdout, first_use.stderr) == (0, "", "")


def test_another_process_finds_what_was_registered(registry: Registry, home: Path) -> None:
    assert registry.champion("first") == RegisteredVersion("first", 1, home / "model", "d1")


def test_versions_are_numbered_from_one_and_listed_newest_first(registry: Registry) -> None:
    first, second = register(registry, "numbered", "a"), register(registry, "numbered", "b")
    assert (first.number, second.number) == (1, 2)
    assert second.artifact.read_text() == "b"
    assert second.digest == sha256(b"b").hexdigest()
    assert registry.versions("numbered") == [second, first]


def test_same_digest_is_the_same_version(registry: Registry) -> None:
    first = register(registry, "repeated", "a")
    register(registry, "repeated", "b")
    assert register(registry, "repeated", "a") == first
    assert len(registry.versions("repeated")) == 2


def test_same_digest_in_two_families_is_two_versions(registry: Registry) -> None:
    assert register(registry, "one", "same").family == "one"
    assert register(registry, "other", "same").family == "other"


def test_many_writers_of_one_digest_register_one_version(registry: Registry) -> None:
    with ThreadPoolExecutor(4) as pool:
        added = list(pool.map(lambda _: register(registry, "contended", "a"), range(8)))
    assert set(added) == set(registry.versions("contended"))
    assert len(registry.versions("contended")) == 1


def test_version_leads_to_the_run_that_trained_it(registry: Registry) -> None:
    register(registry, "traced", "a", metrics={"macro_f1": 0.77, "accuracy": 0.81})
    from mlflow import MlflowClient

    client = MlflowClient(registry.url, registry.url)
    version = client.get_model_version("traced", "1")
    run = client.get_run(str(version.run_id))
    assert run.data.metrics == {"macro_f1": 0.77, "accuracy": 0.81}
    assert run.data.params == {"C": "0.3"}
    assert (run.info.run_name, run.info.status) == ("train a", "FINISHED")
    assert client.get_experiment(run.info.experiment_id).name == "traced"
    assert version.source == str(registry.artifacts / "traced" / "a.joblib")
    assert version.tags["labels"] == "v1"
    assert version.tags["digest"] == sha256(b"a").hexdigest()


def test_no_version_is_champion_before_one_is_promoted(registry: Registry) -> None:
    register(registry, "waiting", "a")
    assert registry.champion("waiting") is None


def test_promotion_replaces_the_champion_and_can_go_back(registry: Registry) -> None:
    first, second = register(registry, "promoted", "a"), register(registry, "promoted", "b")
    registry.promote("promoted", 2)
    assert registry.champion("promoted") == second
    registry.promote("promoted", 1)
    assert registry.champion("promoted") == first


def test_unknown_family_has_no_versions_and_no_champion(registry: Registry) -> None:
    assert registry.versions("nobody") == []
    assert registry.champion("nobody") is None


def test_promoting_an_unknown_family_names_the_nearest(registry: Registry) -> None:
    register(registry, "sentiment", "a")
    with pytest.raises(UnknownName, match=r"no model family 'sentimnt'\. Did you mean 'sentiment'\?"):
        registry.promote("sentimnt", 1)


def test_promoting_an_unknown_version_lists_those_there_are(registry: Registry) -> None:
    register(registry, "listed", "a")
    register(registry, "listed", "b")
    with pytest.raises(UnknownName, match=r"'listed' has no version 7\. Choose one of: 2, 1"):
        registry.promote("listed", 7)


def test_file_that_does_not_exist_is_refused(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(ArtifactRefused, match=r"nothing\.joblib does not exist"):
        registry.add("absent", tmp_path / "nothing.joblib", digest="d", metrics={}, params={}, tags={}, run_name="r")
    assert registry.versions("absent") == []


def test_version_registered_by_other_means_is_refused(registry: Registry) -> None:
    register(registry, "foreign", "a")
    from mlflow import MlflowClient

    MlflowClient(registry.url, registry.url).create_model_version("foreign", "s3://bucket/model")
    with pytest.raises(ArtifactRefused, match="Version 2 of 'foreign'"):
        registry.versions("foreign")


def test_artifacts_move_with_their_folder(registry: Registry, tmp_path: Path) -> None:
    register(registry, "moved", "a")
    elsewhere = Registry(registry.url, tmp_path / "models")
    assert elsewhere.versions("moved")[0].artifact == tmp_path / "models" / "moved" / "a.joblib"

"""However a training is started (by command, in the UI, by the nightly schedule), the same labels give the same version.

One project, with real servers and processes, and few labels of its own.
"""

import json
from collections.abc import Iterable, Iterator, Mapping

import pytest
from live_project import FAST, wait_until
from live_ui import Ui
from workflow_steps import FEELINGS, MATTERS

from orchestration_project.governance.label_imports import import_labels
from orchestration_project.stores import manifest
from orchestration_project.stores.families import require_family
from orchestration_project.stores.home import Home
from orchestration_project.stores.label_files import read_label_file
from orchestration_project.stores.model_versions import ModelVersion

LABELS = {"sentiment": FEELINGS, "issue": MATTERS}

Trained = dict[str, ModelVersion]
"""Model → the challenger that a training made."""


def take_labels(home: Home, family: str, labelled: Mapping[str, Iterable[str]]) -> None:
    """Import five variants of every text, instead of the labels that the checkout ships."""
    lines = [
        json.dumps({"text": f"{text} {number}", "label": label})
        for label, texts in labelled.items()
        for text in texts
        for number in range(5)
    ]
    file = home.root / f"{family}.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    import_labels(home, require_family(family), read_label_file(file), replaces=True)


def trainings(project: Ui) -> int:
    """How often both models were judged."""
    with project.home.ledger.read() as connection:
        found = [manifest.current(connection, f"{family}_champion", manifest.UNPARTITIONED) for family in LABELS]
    return min(version.version if version else 0 for version in found)


def last(project: Ui) -> Trained:
    rows = {family: project.rows(f"{family}_challenger", manifest.UNPARTITIONED).iloc[0] for family in LABELS}
    return {family: ModelVersion.from_json(row["record"]) for family, row in rows.items()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Trained]]:
    """Way to start a training → what it made."""
    project = Ui(tmp_path_factory.mktemp("retraining") / "home", FAST)
    project.home.prepare()
    for family, labelled in LABELS.items():
        take_labels(project.home, family, labelled)
    found: dict[str, Trained] = {}
    try:
        project.orchestrate("train", "--json")
        found["command"] = last(project)
        project.start_ui("feedback_arrived")
        project.launch("train")
        wait_until(lambda: trainings(project) == 2, "the training that was launched in the UI")
        found["UI"] = last(project)
        (request,) = project.tick("nightly_training")
        project.launch(request["jobName"] or "train", request["tags"])
        wait_until(lambda: trainings(project) == 3, "the training that the schedule asks for")
        found["schedule"] = last(project)
        yield found
    finally:
        project.kill()


@pytest.mark.parametrize("family", LABELS)
def test_same_labels_give_the_same_version_however_training_is_started(
    trained: dict[str, Trained], family: str
) -> None:
    made = [found[family] for found in trained.values()]
    assert len({version.run_id for version in made}) == len(made) == 3, "three runs of Dagster's made them"
    assert len({version.version for version in made}) == 1
    assert len({version.label_digest for version in made}) == 1
    assert len({version.sha256 for version in made}) == 1, "the same file, to the byte"
    assert len({version.number for version in made}) == 1, "and one version in the registry"

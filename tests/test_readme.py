"""The README tells the truth: its commands and settings are the project's, and its model output runs as it stands."""

import re
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from orchestration_project.cli.main import verbs
from orchestration_project.core.settings import PROJECT, Settings, settings_table
from orchestration_project.model_output.decorators import HOME
from orchestration_project.model_output.partitions import BATCHES
from orchestration_project.performers.text_classifier import train
from orchestration_project.stores import arrivals, batches, manifest
from orchestration_project.stores.champions import promote
from orchestration_project.stores.home import Home
from orchestration_project.stores.model_versions import ModelVersion

README = (PROJECT / "README.md").read_text(encoding="utf-8")


def test_every_setting_is_documented_as_it_is() -> None:
    for variable, default, meaning in settings_table():
        shown = f"`{default}`" if default else ""
        assert f"| `{variable}` | {shown} | {meaning} |" in README


def test_every_verb_is_documented() -> None:
    section = README.split("## Commands")[1].split("\n## ")[0]
    documented = re.findall(r"`([^`]+)`", section)
    assert [verb for verb in verbs() if not any(f"{shown} ".startswith(f"{verb} ") for shown in documented)] == []


def test_every_make_target_of_the_readme_exists() -> None:
    targets = set(re.findall(r"^(\w+):", (PROJECT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make (\w+)", README, flags=re.MULTILINE)) <= targets


def test_every_link_and_picture_is_there() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (PROJECT / target).exists(), target


def test_every_folder_of_the_map_is_there() -> None:
    tree = README.split("## Where things are")[1].split("```text\n")[1].split("```")[0]
    for line in tree.splitlines():
        name = re.match(r"[├└─ ]*([\w.]+/?)", line)
        if name and name[1] not in ("home/",):
            found = [PROJECT / name[1], PROJECT / "assets" / name[1], PROJECT / "orchestration_project" / name[1]]
            assert any(path.exists() for path in found), line


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(Settings(home=tmp_path / "home"))
    home.prepare()
    texts = ["the parcel is late"] * 6 + ["charged me twice"] * 6 + ["rude agent on the phone"] * 6
    classifier = train(texts, ["delivery"] * 6 + ["billing"] * 6 + ["service"] * 6).classifier
    sha256 = classifier.save(home.artifacts / "issue.joblib")
    with home.ledger.write() as connection:
        promote(
            connection, ModelVersion("issue", "v1", "registry/issue.joblib", sha256, 0.5, classifier.labels, {}, {})
        )
    return home


def test_the_readmes_model_output_runs_as_it_stands(home: Home) -> None:
    code = README.split("## Add a model output")[1].split("```python")[1].split("```")[0].strip()
    assert len(code.splitlines()) <= 15
    names: dict[str, object] = {}
    exec(compile(code, "assets/feedback/topic.py", "exec"), names)
    topic = names["topic"]
    assert isinstance(topic, dg.AssetsDefinition)

    from assets.feedback.feedback import feedback

    message = {"message_id": "m1", "text": "the parcel is late", "received_at": "2026-03-01T10:00:00Z"}
    arrivals.register(home, arrivals.receive_message(home, message))
    batch = batches.open_next(home)
    assert batch is not None
    champion = dg.AssetSpec("issue_champion")
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(BATCHES.name or "", [batch])
        result = dg.materialize(
            [feedback, topic, champion], instance=instance, partition_key=batch, resources={HOME: home}
        )
    assert result.success
    with home.ledger.read() as connection:
        version = manifest.current(connection, "topic", batch)
    assert version is not None
    row = home.warehouse.read(version.path).to_pandas().iloc[0]
    assert (row["message_id"], row["label"], row["decided_by"]) == ("m1", "delivery", "model")
    assert isinstance(row["confidence"], float) and not pd.isna(row["confidence"])

"""The verb `rescore`, on a project as it is: a performer that changed, what it would decide, and what it then decides."""

import shutil
from collections.abc import Iterator

import pytest
from live_project import SMALL_WORKFLOW, Project

from orchestration_project.cli.work import hold_running_lock

CHANGED = {
    'labels=("angry", "calm"))': 'labels=("angry", "calm"), version="scripted-2")',
    'contains("angry")': 'contains("angry|furious")',
    "0.2)": "0.6)",
}
"""The next version of the performer knows another word, and is sure of questions."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Two batches, decided by a performer that was changed since."""
    folder = tmp_path_factory.mktemp("rescore")
    workflow = shutil.copytree(SMALL_WORKFLOW, folder / "workflow")
    project = Project(folder / "home", {"PYTHONPATH": str(workflow)})
    project.orchestrate("send", "so angry")
    newest = project.root / "newest.jsonl"
    newest.write_text('{"text": "all is calm"}\n{"text": "is it?"}\n{"text": "how furious"}\n')
    project.orchestrate("send", str(newest))
    notes = workflow / "assets" / "notes.py"
    text = notes.read_text()
    for old, new in CHANGED.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    notes.write_text(text)
    yield project
    project.kill()


def test_dry_run_shows_what_the_rescore_then_changes(project: Project) -> None:
    newest, first = (batch["batch"] for batch in project.orchestrate("batch", "list", "--json"))
    before = project.digests()
    found = project.orchestrate("rescore", "--batches", newest, "--dry-run", "--json")
    shown = project.orchestrate("rescore", "--all", "--model-output", "mood", "--dry-run")
    assert project.digests() == before
    (preview,) = found["previews"]
    ids = dict(zip(project.rows("mood", newest)["message_id"], project.rows("note", newest)["text"], strict=True))
    assert (preview["model_output"], preview["batch"], preview["version"], preview["rows"]) == ("mood", newest, 1, 3)
    assert (preview["labels_changed"], preview["newly_accepted"], preview["no_longer_accepted"]) == (1, 1, 0)
    assert preview["changes"] == [{"was": "calm", "would_be": "angry", "rows": 1}]
    assert preview["answered"] == {"words scripted-1": [3, 0], "words scripted-2": [0, 3]}
    assert [ids[message_id] for message_id in preview["message_ids"]] == ["is it?", "how furious"]
    for line in (
        "│ all 2 ",
        "│ calm │ angry    │ 1    │",
        "│ words scripted-1 │ 4      │ 0     │",
        "Nothing was changed.",
    ):
        assert line in shown

    done = project.orchestrate("rescore", "--batches", newest, "--reason", "it knows more words", "--json")
    assert done["versions"] == [{"model_output": "mood", "batch": newest, "version": 2}]
    assert (done["batches"], done["messages"], done["is_done"]) == ([newest], {"done": 3}, True)
    rows = project.rows("mood", newest)
    assert rows["label"].tolist() == ["calm", "calm", "angry"]
    assert set(rows["version"]) == {"scripted-2"}
    assert set(project.rows("mood", first)["version"]) == {"scripted-1"}
    assert project.rows("complaint", newest)["text"].tolist() == ["how furious"], "what depends on it follows"
    (entry,) = project.orchestrate("audit", "list", "--action", "rescored", "--json")
    assert "it knows more words" in str(entry)
    again = project.orchestrate("rescore", "--batches", newest, "--dry-run", "--json")["previews"]
    assert [(one["version"], one["changes"]) for one in again] == [(2, [])]


def test_what_cannot_be_rescored_is_refused(project: Project) -> None:
    newest = project.orchestrate("batch", "list", "--json")[0]["batch"]

    def refusal(*arguments: str) -> str:
        return project.orchestrate("rescore", *arguments, status=1).splitlines()[-1]

    assert refusal("--batches", f"{newest}x", "--dry-run") == (
        f"✗ There is no batch '{newest}x'. Did you mean '{newest}'?"
    )
    assert "No model output 'moods' has decided" in refusal("--all", "--model-output", "moods", "--dry-run")
    assert refusal("--batches", newest).startswith("✗ Say why with --reason TEXT")
    assert refusal("--all", "--dry-run", "--reason", "x").startswith("✗ A dry run changes nothing and takes no reason.")
    assert refusal("--all", "--reason", " ").startswith("✗ The reason is empty.")
    assert refusal("--since", "yesterday", "--dry-run").startswith("✗ --since is 'yesterday'.")
    assert refusal("--dry-run") == "✗ Say which batches: --batches B1,B2, --since DATE or --all."


def test_running_project_does_the_work_and_a_batch_at_work_is_left_out(project: Project) -> None:
    newest, first = (batch["batch"] for batch in project.orchestrate("batch", "list", "--json"))
    lock = hold_running_lock(project.home)
    try:
        told = project.orchestrate("rescore", "--batches", first, "--reason", "more words")
        assert "1 run is requested; the running project does it." in told
        found = project.orchestrate("rescore", "--all", "--dry-run", "--json")
        assert [one["batch"] for one in found["previews"]] == [newest]
        assert found["left_out"] == {first: f"A run of batch {first} is requested already. See: orchestrate status"}
    finally:
        lock.release()

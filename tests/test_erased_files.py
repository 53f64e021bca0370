"""Files that are written anew without a message."""

from pathlib import Path

import dagster as dg
import letters_home
import pytest
from letters_home import ID, TEXT

from orchestration_project.core.erasing import Words
from orchestration_project.governance import erased_files
from orchestration_project.governance.erased_files import write_anew
from orchestration_project.governance.erasure_traces import find
from orchestration_project.stores import labels
from orchestration_project.stores.home import Home


@pytest.fixture
def told(named_home: Home) -> Home:
    """A home with the letter in files of every kind: a version, refused rows, staged rows, and imported labels."""
    with dg.DagsterInstance.ephemeral() as instance:
        letters_home.receive(
            named_home, "a.csv", letters_home.csv([(ID, TEXT, letters_home.ACCOUNT, 0), *letters_home.others()])
        )
        letters_home.work(named_home, instance)
        letters_home.receive(named_home, "b.csv", letters_home.csv([(ID, TEXT, letters_home.ACCOUNT, 2)]))
        letters_home.work(named_home, instance)
    letters_home.learn(named_home)
    return named_home


def files(home: Home) -> set[Path]:
    folders = (home.warehouse.root, home.warehouse.quarantine, home.staged, home.labels)
    return {file for folder in folders for file in folder.rglob("*") if file.is_file()}


def test_the_new_files_are_beside_the_old_until_they_are_discarded(told: Home) -> None:
    before = files(told)
    written = write_anew(told, find(told, ID, Words()))
    assert {place: number > 0 for place, number in written.counts().items()} == {
        "versions of assets": True,
        "files of refused rows": True,
        "staged files": True,
        "label imports": True,
    }
    assert files(told) - before == {path for path in written.new if path.suffix != ".part"}
    written.discard()
    assert files(told) == before


@pytest.mark.parametrize("where", ["publish_file", "labels.store", "_write_imports"])
def test_what_breaks_off_leaves_no_file(told: Home, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def fail(*_: object) -> None:
        raise OSError("no room")

    before, traces = files(told), find(told, ID, Words())
    monkeypatch.setattr(f"orchestration_project.governance.erased_files.{where}", fail)
    with pytest.raises(OSError, match="no room"):
        write_anew(told, traces)
    assert files(told) == before


def test_labels_that_another_import_has_stay_when_the_new_files_are_discarded(told: Home) -> None:
    (entry,) = find(told, ID, Words()).imports
    written = write_anew(told, find(told, ID, Words()))
    ((_, after),) = written.imports
    again = erased_files.write_anew(told, find(told, ID, Words()))
    again.discard()
    assert (told.root / after.path).exists() and (told.root / entry.path).exists()
    assert len(labels.read(told, after)) == after.rows == entry.rows - 2

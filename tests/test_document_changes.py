"""The asset `document_changes`: what was added, changed and removed since it last looked, and nothing twice."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shop_workflow import rows, run, version

from assets.knowledge.document_changes import DocumentChange, changes, document_changes
from assets.knowledge.documents import documents
from orchestration_project.core.contracts import empty_frame
from orchestration_project.core.settings import Settings
from orchestration_project.stores.home import Home
from orchestration_project.stores.manifest import UNPARTITIONED

MOMENT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "knowledge"
    folder.mkdir()
    return folder


@pytest.fixture
def home(home: Home, folder: Path) -> Iterator[Home]:
    home = Home(Settings(home=home.root, knowledge=folder))
    yield home
    home.ledger.close()


def seen(home: Home) -> list[tuple[str, str, bool, bool]]:
    """(document, change, whether it was there before, and after) of every change, in order."""
    frame = rows(home, "document_changes", UNPARTITIONED)
    return list(
        zip(
            frame["document_id"],
            frame["change"],
            frame["sha256_before"].notna(),
            frame["sha256_after"].notna(),
            strict=True,
        )
    )


def read(home: Home) -> dg.ExecuteInProcessResult:
    assert run(home, documents, batch=None).success
    result = run(home, document_changes, batch=None)
    assert result.success
    return result


def test_every_change_is_told_once_with_what_stood_there_before_and_after(home: Home, folder: Path) -> None:
    (folder / "a.md").write_text("one")
    (folder / "b.md").write_text("two")
    read(home)
    assert seen(home) == [("a.md", "added", False, True), ("b.md", "added", False, True)]

    (folder / "a.md").write_text("other")
    (folder / "b.md").rename(folder / "c.md")
    result = read(home)
    assert seen(home)[2:] == [
        ("a.md", "changed", True, True),
        ("b.md", "removed", True, False),
        ("c.md", "added", False, True),
    ]
    frame = rows(home, "document_changes", UNPARTITIONED)
    assert frame["sha256_before"][2] == frame["sha256_after"][0]
    assert frame["at"].is_monotonic_increasing and frame["at"].nunique() == 2
    (event,) = result.get_asset_materialization_events()
    assert event.step_materialization_data.materialization.metadata["removed"].value == 1


def test_without_a_change_the_rows_and_their_file_stay_as_they_are(home: Home, folder: Path) -> None:
    (folder / "a.md").write_text("one")
    read(home)
    before = version(home, "document_changes", UNPARTITIONED)
    read(home)
    after = version(home, "document_changes", UNPARTITIONED)
    assert before is not None and after is not None
    assert (after.version, after.sha256) == (before.version + 1, before.sha256)


def test_versions_that_were_passed_over_are_told_by_what_is_left_of_them(home: Home, folder: Path) -> None:
    (folder / "a.md").write_text("one")
    (folder / "b.md").write_text("two")
    read(home)
    (folder / "a.md").write_text("passed over")
    assert run(home, documents, batch=None).success
    (folder / "a.md").write_text("one")
    (folder / "b.md").write_text("changed twice")
    read(home)
    assert seen(home)[2:] == [("b.md", "changed", True, True)]


def test_a_document_that_cannot_be_read_any_more_counts_as_removed(home: Home, folder: Path) -> None:
    (folder / "a.md").write_text("one")
    (folder / "b.md").write_text("two")
    read(home)
    (folder / "a.md").write_bytes(b"\0")
    read(home)
    assert seen(home)[2:] == [("a.md", "removed", True, False)]


def test_no_documents_at_first_are_no_changes(home: Home) -> None:
    read(home)
    assert seen(home) == []


SETS = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("123"))


@given(st.lists(SETS, max_size=6))
def test_the_changes_lead_to_the_documents_whatever_came_before(history: list[dict[str, str]]) -> None:
    past = empty_frame(DocumentChange)
    for number, wanted in enumerate(history):
        frame = pd.DataFrame({"document_id": list(wanted), "sha256": list(wanted.values())}, dtype="str")
        new = changes(frame, past, MOMENT + timedelta(days=number))
        assert changes(frame, pd.concat([past, new], ignore_index=True), MOMENT).empty
        past = pd.concat([past, new], ignore_index=True)
        state: dict[str, str] = {}
        for row in past.itertuples():
            assert (row.change == "added") == (row.document_id not in state)
            state.pop(row.document_id, None)
            if row.change != "removed":
                state[row.document_id] = row.sha256_after
        assert state == wanted

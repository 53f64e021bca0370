"""Pruning the audit log: what is old moves into a file, an entry says so, and everything is still proven."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from orchestration_project.core.errors import NotEntitled, Refused
from orchestration_project.governance import audit
from orchestration_project.governance.audit_archives import prune
from orchestration_project.governance.audit_export import read_lines
from orchestration_project.governance.audit_verification import verify
from orchestration_project.stores import manifest
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.schema import AUDIT, MANIFEST
from orchestration_project.stores.warehouse import StoredFile


@pytest.fixture
def home(any_home: Home) -> Home:
    """A home on each database in turn."""
    return any_home


class Clock:
    """The moment at which entries and rows are written."""

    def __init__(self) -> None:
        self.days_ago = 0.0

    def __call__(self) -> datetime:
        return now() - timedelta(days=self.days_ago)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(audit, "now", clock)
    monkeypatch.setattr(manifest, "now", clock)
    return clock


def publish(home: Home, version: int) -> None:
    """A version of `note`, as a step publishes it."""
    file = home.warehouse.root / f"note-{version}.parquet"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"")
    stored = StoredFile(file.name, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", 0)
    with home.ledger.write() as connection:
        made = manifest.publish(
            connection, asset="note", partition="", run_id="r", file=stored, replaces=version - 1, inputs={}
        )
        audit.append(connection, "published", "note", made.facts())


@pytest.fixture
def old(home: Home, clock: Clock) -> Home:
    """Versions 1 to 3 of `note` that are three years old, 4 and 5 of today."""
    for version in range(1, 6):
        clock.days_ago = 3 * 365 if version <= 3 else 0
        publish(home, version)
    return home


def findings(home: Home) -> list[str]:
    found: list[str] = []
    verify(home, found.append)
    return found


def sequences(home: Home) -> list[int]:
    with home.ledger.read() as connection:
        return list(connection.execute(sa.select(AUDIT.c.sequence).order_by(AUDIT.c.sequence)).scalars())


def test_old_entries_move_into_a_file_and_an_entry_says_which(old: Home) -> None:
    archive = prune(old)
    assert archive is not None
    assert (archive.first, archive.sequence, archive.file) == (1, 3, "audit/000000000001-000000000003.jsonl")
    assert sequences(old) == [4, 5, 6]
    assert [entry.sequence for entry in read_lines(old.root / archive.file)] == [1, 2, 3]
    with old.ledger.read() as connection:
        last = list(audit.entries(connection, print))[-1]
        assert audit.breaks(connection) == []
    assert (last.action, last.subject) == ("audit pruned", "entries 1 to 3")
    assert json.loads(last.detail) == {"archives": [vars(archive)]}
    assert findings(old) == []


def test_dry_run_says_what_would_move_and_changes_nothing(old: Home) -> None:
    archive = prune(old, dry_run=True)
    assert archive is not None and (archive.first, archive.sequence) == (1, 3)
    assert sequences(old) == [1, 2, 3, 4, 5]
    assert not (old.root / "audit").exists()


def test_nothing_is_pruned_that_is_young(home: Home, clock: Clock) -> None:
    clock.days_ago = 729
    publish(home, 1)
    assert prune(home) is None
    assert sequences(home) == [1]


def test_only_the_oldest_entries_in_a_row_move(home: Home, clock: Clock) -> None:
    """A clock that was set back does not tear the chain."""
    for version, days_ago in enumerate((900, 0, 900), start=1):
        clock.days_ago = days_ago
        publish(home, version)
    archive = prune(home)
    assert archive is not None and archive.sequence == 1
    assert findings(home) == []


def test_second_prune_goes_on_from_the_first(home: Home, clock: Clock) -> None:
    clock.days_ago = 1200
    publish(home, 1)
    clock.days_ago = 1000
    assert prune(home) is not None
    publish(home, 2)
    clock.days_ago = 0
    publish(home, 3)
    second = prune(home)
    assert second is not None and (second.first, second.sequence) == (2, 3)
    assert sequences(home) == [4, 5]
    assert findings(home) == []
    with home.ledger.write() as connection:
        connection.execute(sa.update(MANIFEST).where(MANIFEST.c.version == 1).values(rows=9))
    assert findings(home) == [
        "Version 1 of note of the project in the manifest has file_rows 9, and entry 1 records 0."
    ]


def test_rows_of_entries_whose_file_is_gone_need_none(old: Home) -> None:
    archive = prune(old)
    assert archive is not None
    (old.root / archive.file).unlink()
    assert findings(old) == []
    with old.ledger.write() as connection:
        connection.execute(sa.delete(AUDIT).where(AUDIT.c.sequence == 4))
    found = findings(old)
    assert "Entry 4 is missing." in found
    assert "Version 4 of note of the project in the manifest is there, and no entry records it." in found


def test_file_that_was_edited_is_found(old: Home) -> None:
    archive = prune(old)
    assert archive is not None
    file = old.root / archive.file
    file.write_text(file.read_text().replace('"action":"published"', '"action":"forgotten"', 1))
    found = findings(old)
    assert found[0].startswith(f"{file} has sha256 ")
    assert "Entry 1 was changed." in found


def test_prefix_deleted_by_hand_is_found(old: Home) -> None:
    with old.ledger.write() as connection:
        connection.execute(sa.delete(AUDIT).where(AUDIT.c.sequence <= 3))
    assert "Entries 1 to 3 are missing." in findings(old)


def test_log_that_does_not_hold_is_not_pruned(old: Home) -> None:
    with old.ledger.write() as connection:
        connection.execute(sa.update(AUDIT).where(AUDIT.c.sequence == 5).values(actor="eve"))
    with pytest.raises(Refused, match=r"^The audit log does not hold: Entry 5 was changed\. Nothing was pruned\."):
        prune(old)
    assert sequences(old) == [1, 2, 3, 4, 5]


def test_pruning_takes_the_role_auditor(old: Home, tmp_path: Path) -> None:
    people = tmp_path / "people.toml"
    people.write_text('[anyone]\nroles = ["operator"]\nskills = []\n')
    with pytest.raises(NotEntitled, match="auditor"):
        prune(Home(replace(old.settings, people=people)))
    assert sequences(old) == [1, 2, 3, 4, 5]


def test_heads_of_what_was_pruned_are_still_held(old: Home) -> None:
    with old.ledger.read() as connection:
        second = list(audit.entries(connection, print))[1]
    prune(old)
    found: list[str] = []
    verify(old, found.append, [audit.Head(2, second.digest, "a file")])
    assert found == []
    verify(old, found.append, [audit.Head(2, "0" * 64, "a file")])
    assert len(found) == 1

"""The whole proof: a home that nobody touched holds, and each thing that was touched is named with what is recorded and
what is found.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import audited_home
import dagster as dg
import pytest
import sqlalchemy as sa

from orchestration_project.core.settings import Settings
from orchestration_project.governance import audit
from orchestration_project.governance.audit import Head
from orchestration_project.governance.audit_verification import verify, verify_in
from orchestration_project.stores.home import Home
from orchestration_project.stores.schema import AUDIT, AUDIT_HEAD, CHAMPIONS, LABEL_IMPORTS, MANIFEST, MODEL_VERSIONS

Audited = tuple[Home, list[Head]]


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    """An audited home. What a test does to its ledger it rolls back."""
    home = Home(Settings(home=tmp_path_factory.mktemp("audited") / "home"))
    home.prepare()
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        patch.setenv("ORCHESTRATE_HOME", str(home.root))
        heads = audited_home.make(home, instance)
    yield home, heads
    home.ledger.close()


def findings(audited: Audited, *statements: sa.Executable) -> list[str]:
    """What is found after the statements, which leave no trace."""
    home, heads = audited
    found: list[str] = []
    with home.ledger.write() as connection:
        for statement in statements:
            assert connection.execute(statement).rowcount
        verify_in(connection, home, found.append, heads)
        connection.rollback()
    return found


def test_home_that_nobody_touched_holds(audited: Audited) -> None:
    home, heads = audited
    found: list[str] = []
    verified = verify(home, found.append, heads)
    assert found == []
    with home.ledger.read() as connection:
        end = audit.head(connection)
    assert (verified.first, verified.head[:2], verified.files) == (1, end and end[:2], len(audited_home.files(home)))
    assert len(heads) == 5


def note(version: int = 1) -> "sa.ColumnElement[bool]":
    """The note of the batch of which it has two versions."""
    twice = sa.select(MANIFEST.c.partition).where(MANIFEST.c.version == 2).scalar_subquery()
    return (MANIFEST.c.asset == "note") & (MANIFEST.c.partition == twice) & (MANIFEST.c.version == version)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("run_id", "other"),
        ("rows", 77),
        ("inputs", {"feedback": 9}),
        ("published_at", sa.func.datetime("now")),
    ],
)
def test_edited_row_of_the_manifest_is_found(audited: Audited, column: str, value: Any) -> None:
    (found,) = findings(audited, sa.update(MANIFEST).where(note()).values({column: value}))
    named = {"rows": "file_rows"}.get(column, column)
    assert found.startswith("Version 1 of note of ")
    assert f" in the manifest has {named} " in found
    assert ", and entry " in found


def test_row_that_names_another_file_is_found(audited: Audited) -> None:
    other = sa.select(MANIFEST.c.path).where(MANIFEST.c.asset == "mood").limit(1).scalar_subquery()
    row, file = findings(audited, sa.update(MANIFEST).where(note()).values(path=other))
    assert " has file 'mood/" in row and " records 'note/" in row
    assert " has sha256 " in file


def test_deleted_row_is_found(audited: Audited) -> None:
    (found,) = findings(audited, sa.delete(MANIFEST).where(note()))
    assert found.startswith("Version 1 of note of ") and " is gone, which entry " in found


def test_inserted_row_is_found(audited: Audited) -> None:
    more = sa.select(*[column + 5 if column.name == "version" else column for column in MANIFEST.c]).where(note())
    (found,) = findings(audited, sa.insert(MANIFEST).from_select(list(MANIFEST.c.keys()), more))
    assert found.startswith("Version 6 of note of ") and found.endswith(" is there, and no entry records it.")


def test_earlier_version_that_was_made_current_is_found(audited: Audited) -> None:
    (found,) = findings(
        audited,
        sa.update(MANIFEST).where(note(2)).values(is_current=False),
        sa.update(MANIFEST).where(note(1)).values(is_current=True),
    )
    assert found.startswith("The current version of note of ")
    assert " has version 1, and entry " in found and found.endswith(" records 2.")


def test_second_current_version_is_found(audited: Audited) -> None:
    (found,) = findings(audited, sa.update(MANIFEST).where(note(1)).values(is_current=True))
    assert " has version 1, and entry " in found


def test_withdrawn_version_that_was_made_current_is_found(audited: Audited) -> None:
    kept = sa.select(MANIFEST.c.partition).where(MANIFEST.c.is_current)
    its = MANIFEST.c.partition.not_in(kept) & (MANIFEST.c.asset == "mood")
    (found,) = findings(audited, sa.update(MANIFEST).where(its).values(is_current=True))
    assert found.startswith("The current version of mood of ") and found.endswith(" records that it is gone.")


@pytest.mark.parametrize("column", ["version", "sha256", "reason"])
def test_edited_champion_is_found(audited: Audited, column: str) -> None:
    edit = sa.update(CHAMPIONS).where(CHAMPIONS.c.revision == 2).values({column: "other"})
    (found,) = findings(audited, edit)
    assert found.startswith(f"Champion 2 of mood has {column} 'other', and entry 2 records ")


def test_threshold_of_a_champion_that_was_lowered_by_hand_is_found(audited: Audited) -> None:
    (found,) = findings(audited, sa.update(CHAMPIONS).where(CHAMPIONS.c.revision == 3).values(threshold=0.1))
    assert found == "Champion 3 of mood has threshold 0.1, and entry 4 records 0.5."


def test_champion_that_was_put_in_use_by_hand_is_found(audited: Audited) -> None:
    more = sa.select(*[column + 1 if column.name == "revision" else column for column in CHAMPIONS.c])
    more = more.where(CHAMPIONS.c.revision == 3)
    (found,) = findings(audited, sa.insert(CHAMPIONS).from_select(list(CHAMPIONS.c.keys()), more))
    assert found == "Champion 4 of mood is there, and no entry records it."


def test_deleted_champion_is_found(audited: Audited) -> None:
    (found,) = findings(audited, sa.delete(CHAMPIONS).where(CHAMPIONS.c.revision == 3))
    assert found == "Champion 3 of mood is gone, which entry 4 records."


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"threshold": 0.0}, "has threshold 0.0, and entry 3 records 0.5."),
        ({"metrics": {"macro_f1": 0.99}}, "has record_sha256 "),
        ({"labels": ["angry"]}, "has record_sha256 "),
    ],
)
def test_edited_model_version_is_found(audited: Audited, values: dict[str, Any], told: str) -> None:
    found = findings(audited, sa.update(MODEL_VERSIONS).where(MODEL_VERSIONS.c.version == "3").values(values))
    assert any(one.startswith(f"Version 3 of the model mood {told}") for one in found), found


@pytest.mark.parametrize(("column", "value"), [("rows", 3), ("replaces", False), ("source", "x"), ("reason", "x")])
def test_edited_label_import_is_found(audited: Audited, column: str, value: Any) -> None:
    (found,) = findings(audited, sa.update(LABEL_IMPORTS).values({column: value}))
    assert found.startswith(f"Label import 1 has {column} {value!r}, and entry 5 records ")


def test_edited_entry_records_nothing_any_more(audited: Audited) -> None:
    edited = findings(audited, sa.update(AUDIT).where(AUDIT.c.sequence == 2).values(detail='{"reason":"nicer"}'))
    assert edited == [
        "Entry 2 was changed.",
        "Champion 2 of mood is there, and no entry records it.",
        "Version 2 of the model mood is there, and no entry records it.",
    ]


def test_tail_cut_with_the_ledgers_head_is_found_by_heads_and_rows(audited: Audited) -> None:
    last = sa.select(AUDIT.c.digest).where(AUDIT.c.sequence == 4).scalar_subquery()
    head = sa.update(AUDIT_HEAD).values(sequence=4, digest=last)
    found = findings(audited, head, sa.delete(AUDIT).where(AUDIT.c.sequence > 4))
    assert any("was kept in Dagster's event log" in one for one in found)
    assert "Label import 1 is there, and no entry records it." in found


def test_head_by_hand_is_held_to_the_chain(audited: Audited) -> None:
    home, _ = audited
    found: list[str] = []
    verify(home, found.append, [Head(2, "0" * 64, "--head")])
    assert len(found) == 1 and found[0].startswith("Entry 2 has the digest ")
    assert found[0].endswith(f", and {'0' * 64} was kept in --head.")


def test_detail_that_is_chained_and_cannot_be_read_is_found(audited: Audited) -> None:
    home, heads = audited
    found: list[str] = []
    with home.ledger.write() as connection:
        audit.append(connection, "promoted", "mood/9", {"champion": "nonsense"})
        audit.append(connection, "batch discarded", "b9", {"withdrawn": 3})
        verify_in(connection, home, found.append, heads)
        connection.rollback()
    assert [one.split(", has")[1] for one in found] == [" a detail that cannot be read."] * 2


@pytest.fixture(params=["warehouse", "labels", "registry"])
def file(audited: Audited, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file of each kind, put back afterwards."""
    file = next(path for path in audited_home.files(audited[0]) if request.param in path.parts)
    content = file.read_bytes()
    yield file
    file.unlink(missing_ok=True)
    file.write_bytes(content)


def test_file_that_is_gone_or_changed_is_found(audited: Audited, file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    (cut,) = findings(audited)
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    (edited,) = findings(audited)
    file.unlink()
    (gone,) = findings(audited)
    assert cut.startswith(f"{file} has sha256 ") and edited.startswith(f"{file} has sha256 ")
    assert gone.startswith(f"{file} is missing; the ledger names it with sha256 ")


def test_models_and_labels_are_held_to_their_entries_on_any_database(any_home: Home) -> None:
    version = audited_home.model(any_home, "1", "what it learnt")
    audited_home.use(any_home, replace(version, threshold=0.1 + 0.2, metrics={"f1": 1 / 3, "é": [None, True]}), "first")
    audited_home.take_labels(any_home)
    found: list[str] = []
    verify(any_home, found.append)
    assert found == []
    with any_home.ledger.write() as connection:
        connection.execute(sa.update(CHAMPIONS).values(reason="nicer"))
        connection.execute(sa.update(MODEL_VERSIONS).values(threshold=0.3))
        connection.execute(sa.update(LABEL_IMPORTS).values(rows=1))
    verify(any_home, found.append)
    told = [one.split(", and")[0] for one in found if "record_sha256" not in one]
    assert told == [
        "Champion 1 of mood has reason 'nicer'",
        "Version 1 of the model mood has threshold 0.3",
        "Label import 1 has rows 1",
    ]


def test_entries_of_an_older_ledger_are_held_to_what_they_say(any_home: Home) -> None:
    """They name fewer facts: version, digest and inputs, and the asset in their subject."""
    home = any_home
    row = {"asset": "note", "partition": "b1", "run_id": "r", "path": "note.parquet", "rows": 2, "inputs": {}}
    row |= {"version": 1, "is_current": True, "published_at": audit.now()}
    (home.warehouse.root).mkdir(parents=True)
    (home.warehouse.root / "note.parquet").write_bytes(b"")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    with home.ledger.write() as connection:
        connection.execute(sa.insert(MANIFEST).values(**row, sha256=empty))
        detail = {"rows": 3, "version": 1, "file_sha256": empty, "inputs": {}, "run_id": "r"}
        audit.append(connection, "published", "note/b1", detail)
    found: list[str] = []
    verify(home, found.append)
    assert found == []
    with home.ledger.write() as connection:
        connection.execute(sa.update(MANIFEST).values(inputs={"other": 1}))
    verify(home, found.append)
    assert found == ["Version 1 of note of b1 in the manifest has inputs {'other': 1}, and entry 1 records {}."]

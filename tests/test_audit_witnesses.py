"""The list of tables that the audit log is held against: every column of each is, and every file."""

import pytest
import sqlalchemy as sa

from orchestration_project.governance.audit_witnesses import WITNESSES, keyed, rows_of
from orchestration_project.stores import model_versions
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.manifest import Version
from orchestration_project.stores.model_versions import ModelVersion
from orchestration_project.stores.schema import CHAMPIONS, LABEL_IMPORTS, MANIFEST, MODEL_VERSIONS


def test_key_and_the_other_facts_are_told_apart() -> None:
    assert keyed({"a": 1, "b": 2, "c": 3}, ["c", "a"]) == ((3, 1), {"b": 2})


def test_every_column_of_the_manifest_is_a_fact() -> None:
    called = {"path": "file", "sha256": "file_sha256", "rows": "file_rows"}
    version = Version("note", "b1", 1, "r", "note.parquet", "sha", 3, {}, now())
    columns = {called.get(column.name, column.name) for column in MANIFEST.c} - {"is_current"}  # a witness of its own
    assert version.facts().keys() == columns


def test_every_column_of_a_model_version_counts(home: Home) -> None:
    """Those that are no facts of their own are in the record's digest."""
    version = ModelVersion("mood", "1", "path", "sha", 0.5, ("a", "b"), {"f1": 0.5}, {})
    facts = model_versions.facts(version, now())
    others = {"labels": ("a",), "metrics": {}, "rules": {"r": 1}, "number": 2, "label_digest": "x", "run_id": "x"}
    others |= {"code_version": "x", "libraries": {"numpy": "2"}}
    assert facts.keys() | others.keys() == {column.name for column in MODEL_VERSIONS.c} | {"record_sha256"}
    for name, value in others.items():
        changed = ModelVersion(**{**vars(version), name: value})
        assert model_versions.facts(changed, now())["record_sha256"] != facts["record_sha256"], name


@pytest.mark.parametrize("table", [CHAMPIONS, LABEL_IMPORTS], ids=lambda table: table.name)
def test_whole_rows_of_a_table_are_facts(home: Home, table: sa.Table) -> None:
    moment = next(column.name for column in table.c if column.name.endswith("_at"))
    key = [column.name for column in table.primary_key]
    values = {"String": "x", "Integer": 1, "Boolean": True, "Float": 0.5, "_Moment": now()}
    row = {column.name: values[type(column.type).__name__] for column in table.c}
    with home.ledger.write() as connection:
        connection.execute(sa.insert(table).values(**row))
        (found,) = rows_of(table, key, moment)(connection)
    assert found.key == tuple(row[name] for name in key)
    assert found.since == row[moment]
    assert found.facts == {
        name: value.isoformat() if name == moment else value for name, value in row.items() if name not in key
    }


def test_each_title_names_its_row() -> None:
    for witness in WITNESSES:
        assert "{" not in witness.name("\0".join(("a", "b", "c")))
        assert witness.actions

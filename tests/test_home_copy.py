"""A copy of a home has what the home has, and is on SQLite whatever the home is on."""

from pathlib import Path

import note_workflow
import sqlalchemy as sa

from orchestration_project.stores.home import Home
from orchestration_project.stores.home_copy import copy_of
from orchestration_project.stores.schema import METADATA


def test_a_copy_has_every_row_of_the_ledger_whatever_its_database(any_home: Home, tmp_path: Path) -> None:
    note_workflow.promote(any_home)
    note_workflow.send(any_home, "one", "two")
    copy = copy_of(any_home, tmp_path / "copy")
    with any_home.ledger.read() as ours, copy.ledger.read() as theirs:
        for table in METADATA.sorted_tables:
            assert ours.execute(sa.select(table)).all() == theirs.execute(sa.select(table)).all(), table.name
        assert sum(len(ours.execute(sa.select(table)).all()) for table in METADATA.sorted_tables) > 5
    assert copy.ledger_url.startswith("sqlite:///")
    copy.ledger.close()

"""The rows of the ledger without what a message said, on either database."""

import dagster as dg
import letters_home
import pytest
import sqlalchemy as sa
from letters_home import ID, TEXT

from orchestration_project.governance import erasure
from orchestration_project.governance.audit_verification import verify
from orchestration_project.stores.home import Home
from orchestration_project.stores.schema import METADATA


def test_the_ledger_on_either_database_keeps_nothing(any_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATE_HOME", str(any_home.root))
    monkeypatch.setenv("ORCHESTRATE_LEDGER_URL", any_home.ledger_url)
    with dg.DagsterInstance.ephemeral() as instance:
        letters_home.receive(
            any_home, "a.csv", letters_home.csv([(ID, TEXT, letters_home.ACCOUNT, 1), *letters_home.others()])
        )
        letters_home.work(any_home, instance)
    found = erasure.forget(any_home, ID, "asked")
    flaws: list[str] = []
    verify(any_home, flaws.append)
    assert flaws == []
    assert letters_home.places_that_tell(any_home.root) == []
    is_postgresql = any_home.ledger_url.startswith("postgresql")
    assert any("PostgreSQL's own log" in one for one in found.unreached) is is_postgresql
    with any_home.ledger.read() as connection:
        told = [
            (table.name, row)
            for table in METADATA.sorted_tables
            for row in connection.execute(sa.select(table)).all()
            if any(trace in repr(row) for trace in letters_home.TRACES)
        ]
    assert told == []

"""Heads of the audit log: each run's end writes them where the ledger's owner does not, and a cut tail shows against
them.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from note_workflow import promote, run_next, send
from receivers import receiving

from orchestration_project.core.errors import FileRefused
from orchestration_project.core.settings import Settings
from orchestration_project.dispatch.audit_heads import AUDIT_LOG, keep_head, kept_heads
from orchestration_project.governance import audit
from orchestration_project.stores.home import Home
from orchestration_project.stores.schema import AUDIT, AUDIT_HEAD


class Log:
    """A run's log that remembers what it was warned of."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, msg: object, /) -> None:
        self.warnings.append(str(msg))


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance of its own: what is observed is never forgotten."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def act(home: Home, number: int = 1) -> str:
    """So many entries; the digest of the last."""
    digest = ""
    for _ in range(number):
        with home.ledger.write() as connection:
            digest = audit.append(connection, "tested", "something", {})
    return digest


def test_every_run_keeps_the_head_in_dagsters_event_log(named_home: Home, instance: dg.DagsterInstance) -> None:
    promote(named_home)
    send(named_home, "angry")
    result = run_next(named_home, instance)
    assert result is not None and result.success
    with named_home.ledger.read() as connection:
        end = audit.head(connection)
        (kept,) = kept_heads(named_home, instance)
        assert end is not None and kept[:2] == end[:2]
        assert audit.breaks(connection, [kept]) == []
    (record,) = instance.fetch_observations(AUDIT_LOG.key, limit=9).records
    assert record.asset_observation is not None
    assert record.asset_observation.metadata["run_id"].value == result.run_id


def test_run_that_failed_keeps_the_head_too(named_home: Home, instance: dg.DagsterInstance) -> None:
    send(named_home, "angry")
    act(named_home)
    result = run_next(named_home, instance)
    assert result is not None and not result.success
    assert len(list(kept_heads(named_home, instance))) == 1


def test_log_without_an_entry_has_no_head_to_keep(home: Home, instance: dg.DagsterInstance) -> None:
    keep_head(home, instance, "run", Log())
    assert list(kept_heads(home, instance)) == []


def test_tail_cut_together_with_the_ledgers_head_shows(home: Home, instance: dg.DagsterInstance) -> None:
    act(home, 3)
    digest = act(home)
    keep_head(home, instance, "run", Log())
    with home.ledger.write() as connection:
        connection.execute(sa.delete(AUDIT).where(AUDIT.c.sequence == 4))
        third = connection.execute(sa.select(AUDIT.c.digest).where(AUDIT.c.sequence == 3)).scalar_one()
        connection.execute(sa.update(AUDIT_HEAD).values(sequence=3, digest=third))
        assert audit.breaks(connection) == []
        (found,) = audit.breaks(connection, kept_heads(home, instance))
        assert found.startswith("Entry 4 is missing, which was kept in Dagster's event log, ")
        assert found.endswith(" UTC; the chain ends at entry 3.")
    other = act(home)
    with home.ledger.read() as connection:
        (found,) = audit.breaks(connection, kept_heads(home, instance))
    assert found.startswith(f"Entry 4 has the digest {other}, and {digest} was kept in Dagster's event log, ")


def with_heads(home: Home, place: str | Path) -> Home:
    return Home(Settings.from_environment({"ORCHESTRATE_HOME": str(home.root), "ORCHESTRATE_AUDIT_HEADS": str(place)}))


def test_file_gets_a_line_for_each_run_and_is_read_again(
    home: Home, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    file = tmp_path / "elsewhere" / "heads.jsonl"
    home = with_heads(home, file)
    digests = [act(home, 2), act(home)]
    for number in (1, 2):
        keep_head(home, instance, f"run {number}", Log())
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["sequence"], line["digest"], line["run_id"]) for line in lines] == [
        (3, digests[1], "run 1"),
        (3, digests[1], "run 2"),
    ]
    kept = list(kept_heads(home, instance))
    assert [head[:2] for head in kept] == [(3, digests[1])] * 4
    assert str(file) in kept[-1].source


def test_file_that_holds_something_else_is_refused(home: Home, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("shopping list\n")
    with pytest.raises(FileRefused, match=r"Line 1 of .*notes\.txt is no head"):
        list(kept_heads(with_heads(home, file), instance))


def test_url_is_told_each_head(home: Home, instance: dg.DagsterInstance) -> None:
    with receiving() as receiver:
        address = receiver.url.replace("json://", "http://")
        home = with_heads(home, address)
        digest = act(home)
        log = Log()
        keep_head(home, instance, "run", log)
        assert log.warnings == []
    told = [json.loads(one.body) for one in receiver.accepted]
    assert [(head["sequence"], head["digest"], head["run_id"]) for head in told] == [(1, digest, "run")]


def test_place_that_is_out_of_reach_is_a_warning(home: Home, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    act(home)
    for place in (tmp_path, "http://127.0.0.1:9/heads"):
        log = Log()
        keep_head(with_heads(home, place), instance, "run", log)
        (warning,) = log.warnings
        assert warning.startswith("ORCHESTRATE_AUDIT_HEADS was not told the audit log's head: ")
    assert len(list(kept_heads(home, instance))) == 2

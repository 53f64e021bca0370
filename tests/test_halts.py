"""Open refusals of gates: opened, replaced and closed, on both databases."""

from typing import Any

import pytest
import sqlalchemy as sa

from orchestration_project.stores import halts, manifest
from orchestration_project.stores.halts import Halt
from orchestration_project.stores.ledger import Ledger, now
from orchestration_project.stores.schema import HALTS
from orchestration_project.stores.warehouse import StoredFile


def halt(
    ledger: Ledger, asset: str = "feedback", partition: str = "b1", run_id: str = "r1", reason: str = "bad"
) -> None:
    with ledger.write() as connection:
        halts.record_halt(connection, asset=asset, partition=partition, run_id=run_id, reason=reason)


def close(ledger: Ledger, asset: str = "feedback", partition: str = "b1", closed_by: str = "r9") -> int:
    with ledger.write() as connection:
        return halts.close_halts(connection, asset=asset, partition=partition, closed_by=closed_by)


def found(ledger: Ledger, partition: str | None = None) -> list[Halt]:
    with ledger.read() as connection:
        return halts.open_halts(connection, partition)


def recorded(ledger: Ledger) -> list[tuple[Any, ...]]:
    """(run, who closed it, whether it has a time of closing) of every halt there ever was."""
    table = HALTS.c
    query = sa.select(table.run_id, table.closed_by, table.closed_at.is_not(None)).order_by(table.halt_id)
    with ledger.read() as connection:
        return [tuple(row) for row in connection.execute(query)]


def test_open_halt_says_what_where_in_which_run_why_and_since_when(ledger: Ledger) -> None:
    before = now()
    halt(ledger, reason="The columns drifted: unknown column 'iban'.")
    (opened,) = found(ledger)
    assert (opened.asset, opened.partition, opened.run_id) == ("feedback", "b1", "r1")
    assert opened.reason == "The columns drifted: unknown column 'iban'."
    assert before <= opened.opened_at <= now()


def test_open_halts_are_listed_oldest_first_of_one_batch_or_of_all(ledger: Ledger) -> None:
    halt(ledger, "sentiment", "b2")
    halt(ledger, "feedback", "b1")
    halt(ledger, "issue", "b2")
    halt(ledger, "labels", "")
    assert [(each.asset, each.partition) for each in found(ledger)] == [
        ("sentiment", "b2"),
        ("feedback", "b1"),
        ("issue", "b2"),
        ("labels", ""),
    ]
    assert [each.asset for each in found(ledger, "b2")] == ["sentiment", "issue"]
    assert [each.asset for each in found(ledger, "")] == ["labels"], "an asset without partitions has its own"
    assert found(ledger, "b3") == []


def test_second_halt_of_an_asset_and_batch_closes_the_first(ledger: Ledger) -> None:
    halt(ledger, run_id="r1", reason="first")
    halt(ledger, run_id="r2", reason="second")
    assert [(each.run_id, each.reason) for each in found(ledger)] == [("r2", "second")]
    assert recorded(ledger) == [("r1", "r2", True), ("r2", None, False)]


def test_halts_of_another_asset_or_batch_stay_open(ledger: Ledger) -> None:
    for asset, partition in (("feedback", "b1"), ("feedback", "b2"), ("issue", "b1")):
        halt(ledger, asset, partition)
    assert close(ledger, "feedback", "b1") == 1
    assert [(each.asset, each.partition) for each in found(ledger)] == [("feedback", "b2"), ("issue", "b1")]


def test_closing_counts_what_it_closed_and_keeps_who_closed_it_first(ledger: Ledger) -> None:
    assert close(ledger) == 0
    halt(ledger)
    assert close(ledger, closed_by="r2") == 1
    assert close(ledger, closed_by="r3") == 0
    assert recorded(ledger) == [("r1", "r2", True)]


def test_closed_halt_may_open_again(ledger: Ledger) -> None:
    halt(ledger, run_id="r1")
    close(ledger, closed_by="r2")
    halt(ledger, run_id="r3")
    assert [each.run_id for each in found(ledger)] == ["r3"]
    assert recorded(ledger) == [("r1", "r2", True), ("r3", None, False)]


def publish(ledger: Ledger, asset: str, partition: str) -> None:
    file = StoredFile(f"{asset}.parquet", "sha", 1)
    with ledger.write() as connection:
        manifest.publish(connection, asset=asset, partition=partition, run_id="r0", file=file, replaces=0, inputs={})


def halted_since(ledger: Ledger, partition: str | None = None) -> list[tuple[str, str, str]]:
    with ledger.read() as connection:
        return [(each.asset, each.partition, each.run_id) for each in halts.halted_since(connection, partition)]


def test_halted_since_is_what_is_read_behind_an_open_halt(ledger: Ledger) -> None:
    for asset, partition in (("feedback", "b1"), ("feedback", "b2"), ("issue", "b1"), ("labels", "")):
        publish(ledger, asset, partition)
    assert halted_since(ledger) == []
    halt(ledger, "labels", "", run_id="r1")
    halt(ledger, "feedback", "b1", run_id="r2")
    assert halted_since(ledger) == [("labels", "", "r1"), ("feedback", "b1", "r2")]
    assert halted_since(ledger, "b1") == [("feedback", "b1", "r2")]
    assert halted_since(ledger, "b2") == []


def test_what_was_never_published_or_was_withdrawn_is_not_read_behind_its_halt(ledger: Ledger) -> None:
    halt(ledger, "issue", "b1")
    publish(ledger, "feedback", "b1")
    halt(ledger, "feedback", "b1")
    with ledger.write() as connection:
        manifest.withdraw(connection, "b1")
    assert (halted_since(ledger), len(found(ledger))) == ([], 2)


def test_closed_halt_marks_nothing(ledger: Ledger) -> None:
    publish(ledger, "feedback", "b1")
    halt(ledger)
    close(ledger)
    assert halted_since(ledger) == []


def test_halt_says_where_it_is_and_of_what_has_no_batch_just_the_asset(ledger: Ledger) -> None:
    halt(ledger, "feedback", "b1")
    halt(ledger, "labels", "")
    told = [each.told for each in found(ledger)]
    assert told == ["feedback of batch b1 is halted since run r1", "labels is halted since run r1"]


def test_halt_of_a_transaction_that_failed_does_not_exist_and_closed_nothing(ledger: Ledger) -> None:
    halt(ledger, run_id="r1")
    with pytest.raises(OSError, match="no space"), ledger.write() as connection:
        halts.record_halt(connection, asset="feedback", partition="b1", run_id="r2", reason="bad")
        raise OSError("no space left")
    assert recorded(ledger) == [("r1", None, False)]

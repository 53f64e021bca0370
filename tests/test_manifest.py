"""Publishing: compare-and-set, in one transaction, on both databases."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import sqlalchemy as sa

from orchestration_project.core.errors import Conflict
from orchestration_project.governance import audit
from orchestration_project.stores import halts, manifest
from orchestration_project.stores.ledger import Ledger
from orchestration_project.stores.manifest import UNPARTITIONED, Version
from orchestration_project.stores.schema import AUDIT, MANIFEST
from orchestration_project.stores.warehouse import StoredFile


def publish(
    ledger: Ledger,
    asset: str = "issue",
    partition: str = "b1",
    *,
    replaces: int = 0,
    run_id: str = "run",
    inputs: Mapping[str, int] | None = None,
) -> Version:
    """Publish as a step does: the version, a closed halt and the audit entry in one transaction."""
    with ledger.write() as connection:
        halts.close_halts(connection, asset=asset, partition=partition, closed_by=run_id)
        audit.append(connection, "published", f"{asset}/{partition}", {"run_id": run_id})
        return manifest.publish(
            connection,
            asset=asset,
            partition=partition,
            run_id=run_id,
            file=StoredFile(f"{asset}/{run_id}.parquet", "sha", 3),
            replaces=replaces,
            inputs=inputs or {},
        )


def current(ledger: Ledger, asset: str = "issue", partition: str = "b1") -> Version | None:
    with ledger.read() as connection:
        return manifest.current(connection, asset, partition)


def all_rows(ledger: Ledger) -> list[tuple[str, str, int, bool]]:
    table = MANIFEST.c
    query = sa.select(table.asset, table.partition, table.version, table.is_current)
    with ledger.read() as connection:
        return [tuple(row) for row in connection.execute(query.order_by(table.asset, table.partition, table.version))]


def entries(ledger: Ledger) -> int:
    with ledger.read() as connection:
        assert audit.breaks(connection) == []
        return connection.execute(sa.select(sa.func.count()).select_from(AUDIT)).scalar_one()


def test_nothing_is_current_before_anything_is_published(ledger: Ledger) -> None:
    assert current(ledger) is None
    with ledger.read() as connection:
        assert manifest.all_current(connection) == []


def test_published_version_is_current_with_all_that_was_recorded(ledger: Ledger) -> None:
    publish(ledger, "sentiment", run_id="r0")
    made = publish(ledger, run_id="r1", inputs={"sentiment": 1})
    assert (
        current(ledger)
        == made
        == Version("issue", "b1", 1, "r1", "issue/r1.parquet", "sha", 3, {"sentiment": 1}, made.published_at)
    )


def test_new_version_replaces_the_one_it_names_and_keeps_it(ledger: Ledger) -> None:
    publish(ledger, run_id="r1")
    second = publish(ledger, run_id="r2", replaces=1)
    assert current(ledger) == second
    assert all_rows(ledger) == [("issue", "b1", 1, False), ("issue", "b1", 2, True)]


def test_partitions_and_assets_do_not_touch_each_other(ledger: Ledger) -> None:
    publish(ledger, "issue", "b1")
    publish(ledger, "issue", "b2")
    publish(ledger, "route", "b1")
    publish(ledger, "issue", "b1", replaces=1)
    assert [(row[0], row[1], row[2]) for row in all_rows(ledger) if row[3]] == [
        ("issue", "b1", 2),
        ("issue", "b2", 1),
        ("route", "b1", 1),
    ]


@pytest.mark.parametrize("replaces", [0, 1, 3, -1])
def test_naming_another_version_than_the_current_is_a_conflict_without_effect(ledger: Ledger, replaces: int) -> None:
    publish(ledger)
    publish(ledger, replaces=1)
    with ledger.write() as connection:
        halts.record_halt(connection, asset="issue", partition="b1", run_id="r", reason="open")
    before = all_rows(ledger)
    with pytest.raises(Conflict, match="issue of b1 was published by another run meanwhile"):
        publish(ledger, replaces=replaces)
    assert all_rows(ledger) == before
    assert entries(ledger) == 2
    with ledger.read() as connection:
        assert len(halts.open_halts(connection)) == 1, "the halt that the failed transaction closed is open"


def test_naming_a_version_when_there_is_none_is_a_conflict(ledger: Ledger) -> None:
    with pytest.raises(Conflict):
        publish(ledger, replaces=1)
    assert all_rows(ledger) == []


def test_input_that_was_published_meanwhile_is_a_conflict_without_effect(ledger: Ledger) -> None:
    publish(ledger, "sentiment")
    publish(ledger, "sentiment", replaces=1)
    with pytest.raises(Conflict, match="sentiment, an input of issue, was published by another run meanwhile"):
        publish(ledger, inputs={"sentiment": 1})
    assert current(ledger) is None
    assert publish(ledger, inputs={"sentiment": 2}).version == 1


def test_input_that_was_never_published_is_a_conflict(ledger: Ledger) -> None:
    with pytest.raises(Conflict):
        publish(ledger, inputs={"sentiment": 1})


def test_same_input_of_another_batch_is_no_conflict(ledger: Ledger) -> None:
    publish(ledger, "sentiment", "b1")
    publish(ledger, "sentiment", "b2")
    publish(ledger, "sentiment", "b2", replaces=1)
    assert publish(ledger, "issue", "b1", inputs={"sentiment": 1}).version == 1


def test_unpartitioned_input_counts_for_every_batch(ledger: Ledger) -> None:
    publish(ledger, "index", UNPARTITIONED)
    publish(ledger, "answer", "b1", inputs={"index": 1})
    publish(ledger, "index", UNPARTITIONED, replaces=1)
    with pytest.raises(Conflict):
        publish(ledger, "answer", "b2", inputs={"index": 1})


def test_of_two_writers_at_once_one_publishes_and_the_other_meets_a_conflict(ledger: Ledger) -> None:
    publish(ledger)
    for round_ in range(1, 6):
        barrier = Barrier(2)

        def write(run_id: str, replaces: int = round_, barrier: Barrier = barrier) -> str:
            barrier.wait()
            try:
                publish(ledger, run_id=run_id, replaces=replaces)
            except Conflict:
                return "conflict"
            return run_id

        with ThreadPoolExecutor(2) as pool:
            ended = list(pool.map(write, ["left", "right"]))
        found = current(ledger)
        assert found is not None
        assert (sorted(ended), found.version) == (sorted(["conflict", found.run_id]), round_ + 1)
    assert entries(ledger) == 6, "a conflict leaves no audit entry"


def test_first_version_has_one_writer_too(ledger: Ledger) -> None:
    barrier = Barrier(4)

    def write(number: int) -> bool:
        barrier.wait()
        try:
            publish(ledger, run_id=str(number))
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(write, range(4))) == [False, False, False, True]
    assert all_rows(ledger) == [("issue", "b1", 1, True)]


def test_eight_writers_that_read_again_after_each_conflict_lose_nothing(ledger: Ledger) -> None:
    def write(number: int) -> None:
        for _ in range(5):
            while True:
                before = current(ledger)
                try:
                    publish(ledger, run_id=str(number), replaces=before.version if before else 0)
                except Conflict:
                    continue
                break

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert [row[2] for row in all_rows(ledger)] == list(range(1, 41))
    assert [row[2] for row in all_rows(ledger) if row[3]] == [40]
    assert entries(ledger) == 40


def test_versions_in_use_are_listed_of_one_batch_or_of_all(ledger: Ledger) -> None:
    publish(ledger, "sentiment", "b1")
    publish(ledger, "issue", "b1", inputs={"sentiment": 1})
    publish(ledger, "sentiment", "b2")
    publish(ledger, "index", UNPARTITIONED)
    publish(ledger, "sentiment", "b1", replaces=1)
    with ledger.read() as connection:
        everything = [(found.asset, found.partition, found.version) for found in manifest.all_current(connection)]
        of_one = [(found.asset, found.version) for found in manifest.all_current(connection, "b1")]
        of_project = [found.asset for found in manifest.all_current(connection, UNPARTITIONED)]
    assert everything == [("issue", "b1", 1), ("sentiment", "b2", 1), ("index", "", 1), ("sentiment", "b1", 2)]
    assert of_one == [("issue", 1), ("sentiment", 2)]
    assert of_project == ["index"]


def test_first_asset_of_a_batch_stays_the_first_whatever_is_published_again(ledger: Ledger) -> None:
    with ledger.read() as connection:
        assert manifest.first_published(connection, "b1") is None
    publish(ledger, "sentiment", "b2")
    publish(ledger, "feedback", "b1")
    publish(ledger, "alert", "b1")
    publish(ledger, "feedback", "b1", replaces=1)
    with ledger.read() as connection:
        assert manifest.first_published(connection, "b1") == "feedback"
        assert manifest.sources(connection) == {"b1": "feedback", "b2": "sentiment"}

"""How ordinary Dagster assets read and write the warehouse."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dagster as dg
import duckdb
import pandas as pd
import pandera.pandas as pa
import pyarrow
import pytest
import sqlalchemy as sa

from orchestration_project.core.contracts import Contract
from orchestration_project.governance import audit
from orchestration_project.model_output import BATCHES, governed_asset
from orchestration_project.model_output.io_manager import WarehouseIOManager
from orchestration_project.stores import halts, manifest
from orchestration_project.stores.home import Home
from orchestration_project.stores.schema import AUDIT, MANIFEST


class Word(Contract):
    """One word."""

    message_id: str = pa.Field(unique=True)
    text: str


@governed_asset(contract=Word)
def word() -> pd.DataFrame:
    """Two words."""
    return pd.DataFrame({"message_id": ["a", "b"], "text": ["x", "ÿ 😀"]})


def run(home: Home, *assets: Any, batch: str | None = "b1", **more: Any) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("batch", ["b1", "b2"])
        resources = {"home": home, "io_manager": WarehouseIOManager(home)}
        return dg.materialize(
            list(assets), partition_key=batch, instance=instance, resources=resources, raise_on_error=False, **more
        )


def rows(home: Home, asset: str, partition: str = "b1") -> list[dict[str, Any]]:
    with home.ledger.read() as connection:
        found = manifest.current(connection, asset, partition)
    assert found is not None
    return home.warehouse.read(found.path).to_pylist()


def failure(result: dg.ExecuteInProcessResult) -> str:
    said: list[str] = []
    for event in result.all_events:
        error = event.step_failure_data.error if event.is_step_failure else None
        while error is not None:
            said.append(error.message)
            error = error.cause
    return "\n".join(said)


def test_a_plain_asset_reads_in_the_form_it_names_and_writes_a_version(home: Home):
    @dg.asset(partitions_def=BATCHES)
    def as_pandas(word: pd.DataFrame) -> pd.DataFrame:
        return word.assign(length=word["text"].str.len())

    @dg.asset(partitions_def=BATCHES)
    def as_arrow(word: pyarrow.Table) -> pyarrow.Table:
        return word.select(["text"])

    @dg.asset(partitions_def=BATCHES)
    def as_relation(word: duckdb.DuckDBPyRelation) -> pd.DataFrame:
        return word.aggregate("count(*) AS n").df()

    @dg.asset(partitions_def=BATCHES)
    def unannotated(word):  # type: ignore[no-untyped-def]
        return word

    result = run(home, word, as_pandas, as_arrow, as_relation, unannotated)
    assert result.success
    assert [row["length"] for row in rows(home, "as_pandas")] == [1, 3]
    assert rows(home, "as_arrow") == [{"text": "x"}, {"text": "ÿ 😀"}]
    assert rows(home, "as_relation") == [{"n": 2}]
    assert rows(home, "unannotated") == rows(home, "word")
    (event,) = result.asset_materializations_for_node("as_arrow")
    assert event.metadata["dagster/row_count"].value == 2


def test_a_governed_asset_reads_what_a_plain_one_wrote(home: Home):
    @dg.asset(partitions_def=BATCHES)
    def plain() -> pd.DataFrame:
        return pd.DataFrame({"message_id": ["a"], "text": ["x"]})

    @governed_asset(contract=Word)
    def governed(plain: pd.DataFrame) -> pd.DataFrame:
        return plain

    assert run(home, plain, governed).success
    assert rows(home, "governed") == [{"message_id": "a", "text": "x"}]


def test_an_unpartitioned_asset_serves_every_batch(home: Home):
    @dg.asset
    def policy() -> pd.DataFrame:
        return pd.DataFrame({"days": [14]})

    @dg.asset(partitions_def=BATCHES)
    def answer(policy: pd.DataFrame) -> pd.DataFrame:
        return policy

    assert run(home, policy, batch=None).success
    assert run(home, policy, answer, batch="b2", selection=["answer"]).success
    assert rows(home, "answer", "b2") == [{"days": 14}]


def test_every_version_is_audited_and_said_to_be_ungated(home: Home):
    @dg.asset(partitions_def=BATCHES)
    def plain() -> pd.DataFrame:
        return pd.DataFrame({"n": [1, 2]})

    assert run(home, plain).success
    assert run(home, plain).success
    with home.ledger.read() as connection:
        entries = connection.execute(sa.select(AUDIT.c.action, AUDIT.c.subject, AUDIT.c.detail)).all()
        versions = connection.execute(sa.select(MANIFEST.c.version, MANIFEST.c.is_current)).all()
        assert audit.breaks(connection) == []
    assert [entry[:2] for entry in entries] == [("published", "plain/b1")] * 2
    assert all('"gated":false' in detail for _, _, detail in entries)
    assert list(versions) == [(1, False), (2, True)]


def test_a_halted_or_missing_input_is_refused(home: Home):
    @dg.asset(partitions_def=BATCHES)
    def plain(word: pd.DataFrame) -> pd.DataFrame:
        return word

    assert "word has no published version in batch b1" in failure(run(home, word, plain, selection=["plain"]))
    assert run(home, word).success
    with home.ledger.write() as connection:
        halts.record_halt(connection, asset="word", partition="b1", run_id="run-1", reason="All rows were refused.")
    assert "word of batch b1 is halted since run run-1" in failure(run(home, word, plain, selection=["plain"]))
    with home.ledger.read() as connection:
        assert manifest.current(connection, "plain", "b1") is None


@pytest.mark.parametrize("returned", [[1, 2], {"a": 1}, "text"])
def test_what_is_no_table_is_refused_by_its_type(home: Home, returned: Any):
    @dg.asset(partitions_def=BATCHES)
    def plain():  # type: ignore[no-untyped-def]
        return returned

    assert f"plain returned {type(returned).__name__}. Return a pandas frame or an Arrow table." in failure(
        run(home, plain)
    )


def test_two_plain_runs_at_once_both_publish(home: Home):
    meet = threading.Barrier(2, timeout=60)

    @dg.asset(partitions_def=BATCHES)
    def plain() -> pd.DataFrame:
        meet.wait()
        return pd.DataFrame({"n": [1]})

    with ThreadPoolExecutor(2) as pool:
        assert all(result.success for result in pool.map(lambda _: run(home, plain), range(2)))
    with home.ledger.read() as connection:
        found = manifest.current(connection, "plain", "b1")
        assert found is not None
        assert found.version == 2
        assert audit.breaks(connection) == []


meanwhile: list[Callable[[], object]] = []
"""What other runs do while the next computations of `plain` go on, one each."""


def plain_asset(**arguments: Any) -> dg.AssetsDefinition:
    @dg.asset(name="plain", partitions_def=BATCHES, **arguments)
    def plain(word: pd.DataFrame) -> pd.DataFrame:
        if meanwhile:
            meanwhile.pop(0)()
        return word

    return plain


def current(home: Home, asset: str, partition: str = "b1") -> manifest.Version:
    with home.ledger.read() as connection:
        found = manifest.current(connection, asset, partition)
    assert found is not None
    return found


def test_a_version_names_the_versions_that_it_was_computed_from(home: Home):
    @dg.asset
    def policy() -> pd.DataFrame:
        return pd.DataFrame({"days": [14]})

    @dg.asset(partitions_def=BATCHES)
    def answer(word: pd.DataFrame, policy: pd.DataFrame) -> pd.DataFrame:
        return word.assign(days=policy["days"][0])

    assert run(home, policy, batch=None).success
    assert run(home, word).success
    assert run(home, word, policy, answer, selection=["word", "answer"]).success
    assert current(home, "answer").inputs == {"word": 2, "policy": 1}
    with home.ledger.read() as connection:
        detail = connection.execute(sa.select(AUDIT.c.detail).order_by(AUDIT.c.sequence.desc()).limit(1)).scalar_one()
    assert json.loads(detail)["inputs"] == {"word": 2, "policy": 1}


def test_what_was_computed_from_an_earlier_input_never_replaces_what_was_computed_from_a_later(home: Home):
    plain = plain_asset()
    assert run(home, word).success
    meanwhile.append(lambda: run(home, word, plain))
    late = run(home, word, plain, selection=["plain"])
    assert not late.success
    assert "word, an input of plain, was published by another run meanwhile. Materialise plain again." in failure(late)
    assert (current(home, "plain").version, current(home, "plain").inputs) == (1, {"word": 2})
    assert run(home, word, plain, selection=["plain"]).success
    assert (current(home, "plain").version, current(home, "plain").inputs) == (2, {"word": 2})


def test_a_retry_reads_the_changed_input_again(home: Home):
    plain = plain_asset(retry_policy=dg.RetryPolicy(max_retries=1))
    assert run(home, word).success
    meanwhile.append(lambda: run(home, word))
    assert run(home, word, plain, selection=["plain"]).success
    assert (current(home, "plain").version, current(home, "plain").inputs) == (1, {"word": 2})


def test_another_runs_version_of_the_same_inputs_is_replaced(home: Home):
    plain = plain_asset()
    assert run(home, word).success
    meanwhile.append(lambda: run(home, word, plain, selection=["plain"]))
    assert run(home, word, plain, selection=["plain"]).success
    assert (current(home, "plain").version, current(home, "plain").inputs) == (2, {"word": 1})


def test_an_input_that_was_halted_meanwhile_is_refused(home: Home):
    def record_halt() -> None:
        with home.ledger.write() as connection:
            halts.record_halt(connection, asset="word", partition="b1", run_id="run-1", reason="All were refused.")

    plain = plain_asset()
    assert run(home, word).success
    meanwhile.append(record_halt)
    assert "word of batch b1 is halted since run run-1" in failure(run(home, word, plain, selection=["plain"]))
    with home.ledger.read() as connection:
        assert manifest.current(connection, "plain", "b1") is None


def test_an_input_of_another_partition_is_watched_too(home: Home):
    first = {"word": dg.AssetIn(partition_mapping=dg.SpecificPartitionsPartitionMapping(["b1"]))}
    plain = plain_asset(ins=first)
    assert run(home, word).success
    assert run(home, word, plain, batch="b2", selection=["plain"]).success
    assert rows(home, "plain", "b2") == rows(home, "word", "b1")
    assert current(home, "plain", "b2").inputs == {}, "lineage is within a partition"
    meanwhile.append(lambda: run(home, word))
    late = run(home, word, plain, batch="b2", selection=["plain"])
    assert "word, an input of plain, was published by another run meanwhile" in failure(late)
    assert current(home, "plain", "b2").version == 1

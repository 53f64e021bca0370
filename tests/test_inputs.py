"""What a step reads: forms, versions, and what is refused before anything is computed."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pandas as pd
import pandera.pandas as pa
import pyarrow
import pytest

from orchestration_project.core.contracts import Contract, arrow_schema
from orchestration_project.core.errors import HaltedInput, MissingInput, NoArrivals, Refused
from orchestration_project.model_output.inputs import (
    AssetInput,
    Batch,
    Inputs,
    Signature,
    decided_rows,
    load,
    read_input,
)
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.decision import Decision
from orchestration_project.performers.safe_label import SafeLabel
from orchestration_project.stores import arrivals, batches, halts, manifest
from orchestration_project.stores.arrivals import Arrivals
from orchestration_project.stores.home import Home


class Own(Contract):
    """What the step that asks would publish."""

    message_id: str = pa.Field(unique=True)
    score: float


OWN = ("own", arrow_schema(Own))


def publish(home: Home, asset: str, partition: str, frame: pd.DataFrame) -> manifest.Version:
    file = home.warehouse.write(asset, partition, "run", pyarrow.Table.from_pandas(frame, preserve_index=False))
    with home.ledger.write() as connection:
        before = manifest.current(connection, asset, partition)
        return manifest.publish(
            connection,
            asset=asset,
            partition=partition,
            run_id="run",
            file=file,
            replaces=before.version if before else 0,
            inputs={},
        )


def halt(home: Home, asset: str, partition: str, reason: str) -> None:
    with home.ledger.write() as connection:
        halts.record_halt(connection, asset=asset, partition=partition, run_id="run-1", reason=reason)


def words(*texts: str) -> pd.DataFrame:
    return pd.DataFrame({"message_id": [f"m{number}" for number in range(len(texts))], "text": list(texts)})


def loaded(home: Home, function: Any, partition: str = "b1", deps: Iterable[Any] = ()) -> Inputs:
    return load(home, Signature.of(function, {}, deps), partition, OWN)


def test_the_annotation_of_a_parameter_chooses_the_form(home: Home):
    def step(
        words: pd.DataFrame,
        others: pyarrow.Table,
        more: duckdb.DuckDBPyRelation,
        warehouse: duckdb.DuckDBPyConnection,
        batch: Batch,
        stores: Home,
    ) -> None: ...

    for asset in ("words", "others", "more"):
        publish(home, asset, "b1", words("x", "ÿ 😀"))
    found = loaded(home, step).arguments
    assert list(found) == ["stores", "batch", "words", "others", "more", "warehouse"]
    assert found["words"]["text"].tolist() == found["others"]["text"].to_pylist() == ["x", "ÿ 😀"]
    assert found["more"].filter("text <> 'x'").fetchall() == [("m1", "ÿ 😀")]
    assert found["warehouse"].execute("SELECT text, batch FROM words ORDER BY 1").fetchall() == [
        ("x", "b1"),
        ("ÿ 😀", "b1"),
    ]
    assert (found["batch"], found["stores"]) == ("b1", home)


def test_a_parameter_may_be_given_an_asset_of_another_name():
    def step(mine: pd.DataFrame) -> None: ...

    assert Signature.of(step, {"mine": "issue_labels"}).assets == {"mine": AssetInput("issue_labels", pd.DataFrame)}
    assert Signature.of(step, {}).assets == {"mine": AssetInput("mine", pd.DataFrame)}


def test_a_parameter_without_a_form_is_a_mistake_that_names_the_forms():
    def unannotated(words) -> None: ...  # type: ignore[no-untyped-def]

    def annotated(words: dict) -> None: ...  # type: ignore[type-arg]

    def of_the_future(words: "pd.DataFrame") -> None: ...

    forms = "DataFrame, Table, DuckDBPyRelation, Arrivals, DuckDBPyConnection, Home, Batch"
    with pytest.raises(TypeError, match=f"'words' of unannotated is not annotated.*{forms}"):
        Signature.of(unannotated, {})
    with pytest.raises(TypeError, match=rf"'words' of annotated is annotated <class 'dict'>.*{forms}"):
        Signature.of(annotated, {})
    with pytest.raises(TypeError, match=r"'words' of of_the_future is annotated 'pd\.DataFrame'"):
        Signature.of(of_the_future, {})


def test_a_step_reads_the_current_version_and_remembers_its_number(home: Home):
    def step(words: pd.DataFrame) -> None: ...

    publish(home, "words", "b1", words("old"))
    publish(home, "words", "b1", words("new"))
    publish(home, "words", "b2", words("another batch"))
    found = loaded(home, step)
    assert found.arguments["words"]["text"].tolist() == ["new"]
    assert found.versions == {"words": 2}


def test_an_asset_without_partitions_serves_every_batch(home: Home):
    def step(policies: pd.DataFrame) -> None: ...

    publish(home, "policies", manifest.UNPARTITIONED, words("refund within 14 days"))
    assert loaded(home, step, "b7").arguments["policies"]["text"].tolist() == ["refund within 14 days"]


def test_an_input_that_was_never_published_is_refused_by_name(home: Home):
    def step(words: pd.DataFrame) -> None: ...

    publish(home, "words", "b2", words("another batch"))
    with pytest.raises(MissingInput, match=r"words has no published version in batch b1\. Materialise words first\."):
        loaded(home, step)
    with pytest.raises(MissingInput, match=r"words has no published version yet\. Materialise words first\."):
        loaded(home, step, manifest.UNPARTITIONED)


def test_a_halted_input_is_refused_with_its_reason_though_an_older_version_stands(home: Home):
    def step(words: pd.DataFrame) -> None: ...

    publish(home, "words", "b1", words("good"))
    publish(home, "words", "b2", words("good"))
    halt(home, "words", "b1", "All 2 rows were refused.")
    with pytest.raises(HaltedInput, match=r"words of batch b1 is halted since run run-1: All 2 rows were refused\."):
        loaded(home, step)
    assert loaded(home, step, "b2").arguments["words"]["text"].tolist() == ["good"]  # other batches go on
    with home.ledger.write() as connection:
        halts.close_halts(connection, asset="words", partition="b1", closed_by="run-2")
    assert loaded(home, step).arguments["words"]["text"].tolist() == ["good"]


def test_a_halt_of_an_asset_that_is_no_input_refuses_nothing(home: Home):
    def step(words: pd.DataFrame, warehouse: duckdb.DuckDBPyConnection) -> None: ...

    publish(home, "words", "b1", words("good"))
    halt(home, "own", "b1", "the asset itself may run again")
    halt(home, "other", "b1", "not read")
    assert loaded(home, step).versions == {"words": 1}


def test_the_warehouse_shows_current_rows_of_all_batches_and_the_own_asset_before_its_first_row(home: Home):
    def step(warehouse: duckdb.DuckDBPyConnection) -> None: ...

    publish(home, "words", "b1", words("replaced"))
    publish(home, "words", "b1", words("one"))
    publish(home, "words", "b2", words("two", "three"))
    publish(home, "others", "b1", words("not named"))
    for dep in ("words", dg.AssetKey("words"), dg.AssetDep("words"), dg.AssetSpec("words")):
        warehouse = loaded(home, step, deps=[dep]).arguments["warehouse"]
        found = warehouse.execute("SELECT batch, count(*) FROM words GROUP BY ALL ORDER BY 1").fetchall()
        assert found == [("b1", 1), ("b2", 2)]
        with pytest.raises(duckdb.Error, match="others"):
            warehouse.execute("SELECT * FROM others")
    assert warehouse.execute("SELECT message_id, score, batch FROM own").fetchall() == []
    with pytest.raises(duckdb.Error):
        warehouse.execute(f"SELECT * FROM read_csv('{home.root / 'secret'}')")


def test_a_key_with_odd_characters_is_a_batch_like_any_other(home: Home):
    def step(words: pd.DataFrame, warehouse: duckdb.DuckDBPyConnection) -> None: ...

    for key in ("2026/05 'x'", "..", "a=b%2F", "ключ"):
        publish(home, "words", key, words(key))
        found = loaded(home, step, key).arguments
        assert found["words"]["text"].tolist() == [key]
        query = found["warehouse"].execute("SELECT text FROM words WHERE batch = ?", [key])
        assert query.fetchall() == [(key,)], f"batch {key!r} is not its own name in the warehouse"


def test_a_new_key_claims_what_waits_and_an_old_key_keeps_its_own(home: Home, tmp_path: Path):
    def step(came_in: Arrivals) -> None: ...

    with pytest.raises(NoArrivals, match=r"no message waits.*orchestrate send"):
        loaded(home, step)
    file = tmp_path / "first.csv"
    file.write_text("message_id,text\n1,hello\n2,bye\n")
    arrivals.register(home, arrivals.receive(home, file))
    first = loaded(home, step)
    assert first.arrivals is first.arguments["came_in"]
    assert first.arguments["came_in"].rows["text"].tolist() == ["hello", "bye"]
    file.write_text("message_id,text\n3,later\n")
    arrivals.register(home, arrivals.receive(home, file))
    assert loaded(home, step).arguments["came_in"].rows["text"].tolist() == ["hello", "bye"]
    assert loaded(home, step, "b2").arguments["came_in"].rows["text"].tolist() == ["later"]
    with home.ledger.read() as connection:
        assert batches.all_keys(connection) == ["b1", "b2"]


def decisions(home: Home) -> pd.DataFrame:
    return Cascade(safe_state=SafeLabel("unknown")).decide(words("x", "y", "z"), home).frame


def test_of_decisions_a_step_sees_the_decided_rows_only(home: Home):
    frame = decisions(home).assign(state=["decided", "pending", "decided"])
    publish(home, "issue", "b1", frame)

    def step(issue: pd.DataFrame) -> None: ...

    assert loaded(home, step).arguments["issue"]["message_id"].tolist() == ["m0", "m2"]
    table = pyarrow.table({"state": ["pending"], "text": ["no decision: a column that happens to be named state"]})
    assert decided_rows(table).num_rows == 1
    assert set(arrow_schema(Decision).names) >= {"state", "decided_by"}


@pytest.mark.parametrize("form", [pd.DataFrame, pyarrow.Table, Any, None])
def test_a_plain_asset_reads_one_input_by_the_same_rules(home: Home, form: Any):
    publish(home, "words", "b1", words("x"))
    found = read_input(home, "words", "b1", form)
    assert found.versions == {"words": 1}
    assert isinstance(found.arguments["words"], form if form in (pd.DataFrame, pyarrow.Table) else pd.DataFrame)
    halt(home, "words", "b1", "too many bad rows.")
    for read in (partial(read_input, home, "words", "b1", form), partial(read_input, home, "other", "b1", form)):
        with pytest.raises(Refused):
            read()


def test_a_halted_asset_without_partitions_is_refused_in_every_batch(home: Home):
    def step(policies: pd.DataFrame) -> None: ...

    publish(home, "policies", manifest.UNPARTITIONED, words("refund within 14 days"))
    halt(home, "policies", manifest.UNPARTITIONED, "All 2 rows were refused.")
    for partition in ("b7", manifest.UNPARTITIONED):
        with pytest.raises(HaltedInput, match=r"policies is halted since run run-1: All 2 rows were refused\."):
            loaded(home, step, partition)

"""One governed step, run by Dagster on a real home: load, compute, gate, publish."""

from typing import Any

import dagster as dg
import pandas as pd
import pytest
from shop_workflow import (
    Mood,
    Order,
    Parcel,
    audited,
    checks,
    counts,
    failure,
    mood_asset,
    open_halts,
    order,
    parcel,
    rows,
    run,
    send,
    version,
)

from orchestration_project.model_output import Result, governed_asset, model_output
from orchestration_project.model_output.gate import GATE
from orchestration_project.model_output.materialisation import data_version
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.safe_label import SafeLabel
from orchestration_project.performers.scripted import Scripted, same_answer
from orchestration_project.stores import manifest
from orchestration_project.stores.arrivals import Arrivals
from orchestration_project.stores.home import Home
from orchestration_project.stores.run_requests import RESCORE_TAG

# A passing batch


def test_a_passing_batch_is_published_checked_and_audited(home: Home):
    send(home, "a,hello,1", "b,,2")
    result = run(home, order, parcel)
    assert result.success
    assert rows(home, "order").to_dict("list")["pieces"] == [1, 2]
    assert rows(home, "parcel")["kilograms"].tolist() == [0.5, 1.0]
    assert set(checks(result, "order").values()) == {True}
    assert audited(home) == [("published", "order/b1"), ("published", "parcel/b1")]
    found = version(home, "parcel")
    assert found is not None
    assert (found.version, found.inputs, found.run_id) == (1, {"order": 1}, result.run_id)


def test_a_materialisation_shows_rows_latency_and_throughput(home: Home):
    send(home, "a,hello,1", "b,,2")
    (event,) = run(home, order).asset_materializations_for_node("order")
    shown = {name: value.value for name, value in event.metadata.items()}
    assert (shown["dagster/row_count"], shown["version"], shown["refused"]) == (2, 1, 0)
    assert shown["latency_seconds"] >= 0
    assert shown["throughput_rows_per_second"] > 0


def test_the_data_version_is_another_only_where_rows_are(home: Home):
    def published(batch: str = "b1") -> tuple[str, str]:
        (event,) = run(home, order, batch=batch).asset_materializations_for_node("order")
        found = version(home, "order", batch)
        assert found is not None
        return (event.tags or {})["dagster/data_version"], found.sha256

    send(home, "a,hello,1", "b,,2")
    (first, file), (again, other_file) = published(), published()
    assert (first == again, file == other_file) == (True, False), "each file has a salt of its own"
    keyed = {data_version(rows(home, "order"), Order, secret).value for secret in (home.secret, b"of another home")}
    assert len(keyed) == 2, "nobody can try out what the rows are"
    assert first in keyed
    send(home, "c,,3")
    assert published("b2")[0] != first


def test_an_unpartitioned_asset_is_published_without_a_batch(home: Home):
    @governed_asset(contract=Parcel, partitions_def=None)
    def scales() -> Result:
        return Result(pd.DataFrame({"message_id": ["a"], "kilograms": [1]}), {"calibrated": True})

    result = run(home, scales, batch=None)
    assert result.success
    assert rows(home, "scales", manifest.UNPARTITIONED)["kilograms"].tolist() == [1.0]
    assert audited(home) == [("published", "scales")]
    (event,) = result.asset_materializations_for_node("scales")
    assert event.metadata["calibrated"].value is True


# The same message counts once


def test_a_message_counts_once_within_a_batch_across_batches_and_across_runs(home: Home):
    send(home, "a,first,1", "a,again,2", "b,x,1")
    assert run(home, order).success
    assert run(home, order).success  # the same rows again
    assert rows(home, "order")["note"].tolist() == ["first", "x"]
    send(home, "b,later,1", "c,x,1")
    assert run(home, order, batch="b2").success
    assert rows(home, "order", "b2")["message_id"].tolist() == ["c"]
    assert counts(home) == {"working": 3, "duplicates": 2}


# Decisions


def test_decisions_are_published_with_shares_and_work_shown(home: Home):
    def half(rows: pd.DataFrame) -> pd.DataFrame:
        return same_answer("glad", 0.9)(rows).assign(confidence=[0.9, 0.1, 0.9], label=["glad", "cross", None])

    mood, _ = mood_asset(half)
    send(home, "a,x,1", "b,x,1", "c,x,1")
    result = run(home, order, mood)
    assert result.success
    assert rows(home, "mood")["decided_by"].tolist() == ["model", "model", "safe_state"]
    (event,) = result.asset_materializations_for_node("mood")
    shown = {name: value.value for name, value in event.metadata.items()}
    assert shown["accepted_share"] == pytest.approx(0.3333)
    assert shown["decided by reader"] == "2 (67%)"
    assert shown["decided by safe label unknown"] == "1 (33%)"
    assert shown["reused"] == 0
    assert {spec.name for spec in mood.check_specs} >= {GATE, "decided_has_label", "confidence_less_than_or_equal_to"}
    (spec,) = mood.specs
    assert spec.metadata["cascade"] == "reader → safe label unknown"


def test_a_second_run_reuses_decisions_and_a_rescore_asks_again(home: Home):
    mood, reader = mood_asset(same_answer("glad", 0.9))
    send(home, "a,x,1", "b,x,1")
    assert run(home, order, mood).success
    assert run(home, order, mood, tags={RESCORE_TAG: "false"}).success
    assert reader.asked == 2
    assert run(home, order, mood, tags={RESCORE_TAG: "true"}).success
    assert reader.asked == 4
    found = version(home, "mood")
    assert found is not None
    assert found.version == 3


def test_decisions_whose_file_is_lost_are_made_again(home: Home):
    mood, reader = mood_asset(same_answer("glad", 0.9))
    send(home, "a,x,1", "b,x,1")
    assert run(home, order, mood).success
    lost = version(home, "mood")
    assert lost is not None
    (home.warehouse.root / lost.path).unlink()
    assert run(home, order, mood).success
    assert rows(home, "mood")["label"].tolist() == ["glad", "glad"]
    assert reader.asked == 4


def test_a_degraded_batch_succeeds_and_says_so(home: Home):
    def broken(rows: pd.DataFrame) -> pd.DataFrame:
        raise KeyError("no such word")

    mood, _ = mood_asset(broken)
    send(home, "a,x,1")
    result = run(home, order, mood)
    assert result.success
    assert rows(home, "mood")["degraded"].tolist() == [True]
    (event,) = result.asset_materializations_for_node("mood")
    assert event.metadata["failure of reader"].value == "KeyError"
    assert event.metadata["calls of reader"].value == 1
    assert "KeyError" in str(event.metadata["failed calls of reader"].value)


# How Dagster is set up


def test_a_temporary_dagster_home_fails_and_names_make(home: Home, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    send(home, "a,x,1")
    with dg.DagsterInstance.local_temp() as instance:
        result = run(home, order, instance=instance)
    assert not result.success
    assert "DAGSTER_HOME is not set" in failure(result, "order")
    assert "Run `make`" in failure(result, "order")
    assert version(home, "order") is None


def test_a_dagster_home_that_lasts_is_fine(home: Home, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DAGSTER_HOME", str(home.dagster))
    send(home, "a,x,1")
    with dg.DagsterInstance.get() as instance:
        assert run(home, order, instance=instance).success
    assert len(rows(home, "order")) == 1


def test_an_unknown_key_with_nothing_waiting_names_send(home: Home):
    result = run(home, order)
    assert "Send some first: orchestrate send" in failure(result, "order")
    assert counts(home) == {}


# Mistakes of whoever writes an asset


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        (None, "order returned NoneType. Return a pandas frame"),
        (Result(None, {}), "order returned NoneType. Return a pandas frame"),  # type: ignore[arg-type]
        ([], "order returned list"),
        (pd.DataFrame({"message_id": ["a"]}), "order returned 1 rows for 2 arrivals"),
        (pd.DataFrame({"message_id": ["a", "b"]}, index=[1, 0]), "or another index"),
    ],
)
def test_a_function_that_returns_no_rows_of_its_arrivals_is_told_so(home: Home, returned: Any, says: str):
    @governed_asset(contract=Order, name="order")
    def mistaken(arrivals: Arrivals) -> Any:
        return returned

    send(home, "a,x,1", "b,x,1")
    result = run(home, mistaken)
    assert says in failure(result, "order")
    assert (version(home, "order"), open_halts(home)) == (None, [])


def test_a_model_output_without_message_ids_is_told_so(home: Home):
    reader = Scripted("reader", same_answer("glad", 0.9), labels=["glad"])

    @model_output(Cascade(reader, safe_state=SafeLabel("unknown")), contract=Mood)
    def mood(order: pd.DataFrame) -> pd.DataFrame:
        return order[["note"]]

    send(home, "a,x,1")
    result = run(home, order, mood)
    assert "mood returned no column message_id. Return it with the columns" in failure(result, "mood")
    assert reader.asked == 0

"""Steps that meet: another run publishes or halts meanwhile, batches run side by side."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import sqlalchemy as sa
from shop_workflow import (
    Mood,
    Order,
    Parcel,
    Row,
    audited,
    failure,
    mood_asset,
    open_halts,
    order,
    parcel,
    read_orders,
    rows,
    run,
    send,
    version,
)

from orchestration_project.core.errors import Conflict
from orchestration_project.core.settings import Settings
from orchestration_project.model_output import governed_asset, model_output
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.safe_label import SafeLabel
from orchestration_project.performers.scripted import Scripted, same_answer
from orchestration_project.stores import batches
from orchestration_project.stores.arrivals import Arrivals
from orchestration_project.stores.home import Home


def test_a_step_whose_output_was_published_meanwhile_repeats_with_the_stored_decisions(home: Home):
    asked: list[int] = []
    reader = Scripted("reader", same_answer("glad", 0.9), labels=["glad"])

    @model_output(Cascade(reader, safe_state=SafeLabel("unknown")), contract=Mood)
    def mood(order: pd.DataFrame) -> pd.DataFrame:
        asked.append(len(order))
        if len(asked) == 1:
            assert run(home, order_asset, mood_asset, selection=["mood"]).success
        return order[["message_id", "note"]]

    order_asset, mood_asset = order, mood
    send(home, "a,x,1", "b,x,1")
    result = run(home, order, mood)
    assert result.success
    assert len(asked) == 3  # the first try, the other run, the repetition
    assert reader.asked == 4  # the repetition asked nobody
    found = version(home, "mood")
    assert found is not None
    assert (found.version, found.run_id, found.rows) == (2, result.run_id, 2)
    (event,) = result.asset_materializations_for_node("mood")
    assert event.metadata["reused"].value == 2
    assert audited(home) == [("published", "order/b1"), ("published", "mood/b1"), ("published", "mood/b1")]


def test_a_step_whose_input_was_published_meanwhile_reads_it_again(home: Home):
    tries: list[int] = []

    @governed_asset(contract=Order, name="order")
    def recounted(arrivals: Arrivals) -> pd.DataFrame:
        return read_orders(arrivals.rows).assign(pieces=10)

    @governed_asset(contract=Parcel, name="parcel")
    def slow(order: pd.DataFrame) -> pd.DataFrame:
        tries.append(int(order["pieces"].sum()))
        if len(tries) == 1:
            assert run(home, recounted).success
        return pd.DataFrame({"message_id": order["message_id"], "kilograms": order["pieces"] * 0.5})

    send(home, "a,x,1")
    assert run(home, order, slow).success
    assert tries == [1, 10]
    found = version(home, "parcel")
    assert found is not None
    assert (found.version, found.inputs) == (1, {"order": 2})
    assert rows(home, "parcel")["kilograms"].tolist() == [5.0]


def test_an_input_that_is_halted_meanwhile_stops_the_step(home: Home):
    @governed_asset(contract=Order, name="order")
    def broken(arrivals: Arrivals) -> pd.DataFrame:
        return read_orders(arrivals.rows).assign(pieces=0)

    @governed_asset(contract=Parcel, name="parcel")
    def slow(order: pd.DataFrame) -> pd.DataFrame:
        if not open_halts(home):
            assert not run(home, broken).success
        return pd.DataFrame({"message_id": order["message_id"], "kilograms": 1.0})

    send(home, "a,x,1", "b,x,1")
    assert not run(home, order, slow).success
    assert version(home, "parcel") is None


def test_a_step_that_is_always_overtaken_gives_up_with_what_to_do(home: Home):
    def always_first(connection: sa.Connection, rows: Sequence[Row]) -> None:
        raise Conflict("order of b1 was published by another run meanwhile.")

    @governed_asset(contract=Order, name="order", record=always_first)
    def unlucky(arrivals: Arrivals) -> pd.DataFrame:
        return read_orders(arrivals.rows)

    send(home, "a,x,1")
    result = run(home, unlucky)
    assert "published by other runs 20 times in a row. Start it again" in failure(result, "order")
    assert (version(home, "order"), audited(home)) == (None, [])


def test_two_runs_of_one_batch_in_parallel_both_publish_and_nothing_is_lost(home: Home):
    send(home, "a,x,1", "b,x,1")
    assert run(home, order).success
    meet = threading.Barrier(2, timeout=60)
    seen: list[int] = []

    @governed_asset(contract=Parcel, name="parcel")
    def meeting(order: pd.DataFrame) -> pd.DataFrame:
        seen.append(threading.get_ident())
        if seen.count(threading.get_ident()) == 1:
            meet.wait()  # both have read before either publishes
        return pd.DataFrame({"message_id": order["message_id"], "kilograms": 1.0})

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: run(home, meeting), range(2)))
    assert [result.success for result in results] == [True, True]
    assert len(seen) == 3
    found = version(home, "parcel")
    assert found is not None
    assert found.version == 2
    assert audited(home).count(("published", "parcel/b1")) == 2


def test_batches_run_in_parallel_as_if_alone(home: Home):
    keys = [f"b{number}" for number in range(4)]
    mood, _ = mood_asset(same_answer("glad", 0.9))
    one_file_each = Home(Settings(home=home.root, batch_rows=1))
    for number, key in enumerate(keys):
        send(home, *(f"{key}-{row},x,1" for row in range(number + 1)))
        batches.open_by_key(one_file_each, key)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda key: run(home, order, parcel, mood, batch=key), keys))
    assert all(result.success for result in results)
    for number, key in enumerate(keys):
        for asset in ("order", "parcel", "mood"):
            assert rows(home, asset, key)["message_id"].tolist() == [f"{key}-{row}" for row in range(number + 1)]
    assert len(audited(home)) == 12

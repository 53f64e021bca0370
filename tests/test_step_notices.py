"""What a step tells: notices and records in its own transaction, and nothing of what messages say."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dagster as dg
import duckdb
import pandas as pd
import pandera.pandas as pa
import pytest
import sqlalchemy as sa
from shop_workflow import (
    Order,
    Row,
    audited,
    checks,
    failure,
    mood_asset,
    open_halts,
    order,
    quarantined,
    rows,
    run,
    send,
    version,
)

from orchestration_project.core.contracts import Contract, empty_frame
from orchestration_project.model_output import Batch, Result, governed_asset
from orchestration_project.model_output.gate import GATE
from orchestration_project.stores import batches, halts, outbox
from orchestration_project.stores.home import Home
from orchestration_project.stores.outbox import Notice
from orchestration_project.stores.schema import AUDIT


class Alarm(Contract):
    """One alarm."""

    key: str = pa.Field(unique=True)


def alarms(*keys: str, **more: Any) -> dg.AssetsDefinition:
    @governed_asset(
        contract=Alarm,
        output_required=False,
        announce=lambda row: Notice(row["key"], f"Alarm {row['key']}", "now"),
        **more,
    )
    def alarm(order: pd.DataFrame, warehouse: duckdb.DuckDBPyConnection, batch: Batch) -> pd.DataFrame:
        known = {key for (key,) in warehouse.execute("SELECT key FROM alarm WHERE batch <> ?", [batch]).fetchall()}
        fresh = [key for key in keys if key not in known]
        return pd.DataFrame({"key": fresh}) if fresh else empty_frame(Alarm)

    return alarm


def notices(home: Home) -> list[tuple[str, str]]:
    with home.ledger.read() as connection:
        return [(notice["key"], notice["batch"]) for notice in outbox.recorded(connection)]


def test_an_output_that_is_not_required_is_published_empty_and_materialises_nothing(home: Home):
    send(home, "a,x,1")
    result = run(home, order, alarms())
    assert result.success
    assert result.asset_materializations_for_node("alarm") == []
    found = version(home, "alarm")
    assert found is not None
    assert (found.version, found.rows) == (1, 0)
    assert checks(result, "alarm")[GATE] is True
    raised = run(home, order, alarms("fire"))
    assert len(raised.asset_materializations_for_node("alarm")) == 1


def test_each_row_is_announced_once_however_often_its_batch_runs(home: Home):
    send(home, "a,x,1")
    assert run(home, order, alarms("fire", "flood")).success
    assert run(home, order, alarms("fire", "flood")).success
    assert notices(home) == [("fire", "b1"), ("flood", "b1")]
    assert [path.read_text() for path in sorted(home.notices.iterdir())] == [
        "# Alarm fire\n\nnow\n",
        "# Alarm flood\n\nnow\n",
    ]


def test_two_batches_that_raise_the_same_alarm_at_once_raise_it_once(home: Home):
    for key in ("b1", "b2"):
        send(home, f"{key},x,1")
        assert run(home, order, batch=key).success
    meet = threading.Barrier(2, timeout=60)
    tries: list[str] = []

    @governed_asset(contract=Alarm, announce=lambda row: Notice(row["key"], "Fire", "now"), output_required=False)
    def alarm(order: pd.DataFrame, warehouse: duckdb.DuckDBPyConnection, batch: Batch) -> pd.DataFrame:
        known = warehouse.execute("SELECT count(*) FROM alarm WHERE key = 'fire' AND batch <> ?", [batch]).fetchone()
        tries.append(batch)
        if tries.count(batch) == 1:
            meet.wait()
        return empty_frame(Alarm) if known and known[0] else pd.DataFrame({"key": ["fire"]})

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda key: run(home, alarm, batch=key), ["b1", "b2"]))
    assert all(result.success for result in results)
    assert len(notices(home)) == 1
    assert len(tries) == 3
    assert sorted(len(rows(home, "alarm", key)) for key in ("b1", "b2")) == [0, 1]


def test_a_record_that_fails_rolls_everything_back(home: Home):
    send(home, "a,x,0")
    assert run(home, order).success
    before = audited(home), quarantined(home)

    def fails(connection: sa.Connection, rows: Sequence[Row]) -> None:
        assert [row["key"] for row in rows] == ["fire"]
        batches.set_state(connection, "b1", "done")
        raise RuntimeError("the disk is full")

    result = run(home, order, alarms("fire", record=fails), selection=["alarm"])
    assert "the disk is full" in failure(result, "alarm")
    assert version(home, "alarm") is None
    assert notices(home) == []
    assert (audited(home), quarantined(home)) == before
    with home.ledger.read() as connection:
        assert (batches.get(connection, "b1") or pytest.fail("no batch")).state == "working"


def test_a_record_is_written_with_the_rows_it_belongs_to(home: Home):
    def done(connection: sa.Connection, rows: Sequence[Row]) -> None:
        batches.set_state(connection, "b1", "done", cause=rows[0]["key"])

    send(home, "a,x,1")
    assert run(home, order, alarms("fire", record=done)).success
    with home.ledger.read() as connection:
        assert (batches.get(connection, "b1") or pytest.fail("no batch")).cause == "fire"


# What is told to whom


SECRET = "my dog Waldi died of it"


def everything_told(home: Home, instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult) -> str:
    logs = [f"{entry} {entry.dagster_event}" for entry in instance.all_logs(result.run_id)]
    with home.ledger.read() as connection:
        entries = [str(row) for row in connection.execute(sa.select(AUDIT))]
        opened = [str(halt) for halt in halts.open_halts(connection)]
    return "\n".join([*logs, *entries, *opened])


def broken_reader(rows: pd.DataFrame) -> pd.DataFrame:
    raise KeyError(rows["note"].iloc[0])


def test_no_metadata_log_or_audit_entry_holds_what_a_message_says(home: Home):
    class Odd(Order):
        @pa.check("note")
        def known(cls, note: pd.Series) -> Any:
            return note.map(lambda text: {"x": True}[text])

    @governed_asset(contract=Odd, name="order_again")
    def order_again(order: pd.DataFrame) -> pd.DataFrame:
        return order

    mood, _ = mood_asset(broken_reader)
    send(home, f"a,{SECRET},1", f"b,damn {SECRET},1", "c,x,0")
    with dg.DagsterInstance.ephemeral() as instance:
        result = run(home, order, mood, order_again, instance=instance)
        assert [one.step_key for one in result.get_step_failure_events()] == [
            "order_again"
        ]  # its rule cannot be computed
        told = everything_told(home, instance, result)
    assert "'b'" in told
    assert "KeyError" in told
    assert SECRET not in told
    assert "note_known' cannot be computed (KeyError)" in open_halts(home)[0][2]


# Addresses and numbers of the rows


def words_of(result: dg.ExecuteInProcessResult) -> str:
    """Everything that Dagster has of a run: its checks, materialisations, errors and log."""
    return "\n".join(repr(event) for event in result.all_events)


def test_header_that_is_an_address_is_redacted_in_dagster_and_halts_by_its_own_name(home: Home):
    send(home, "a,x,1,2", columns="message_id,note,pieces,jane@example.com")
    result = run(home, order)
    reason = "The columns drifted: unknown column '{}'."
    assert open_halts(home) == [("order", "b1", reason.format("jane@example.com"))]
    assert reason.format("[e-mail]") in failure(result, "order")
    assert "jane@" not in words_of(result)


def test_error_that_quotes_a_row_is_redacted_in_the_log(home: Home):
    @governed_asset(contract=Order)
    def strict(order: pd.DataFrame) -> pd.DataFrame:
        return order.assign(pieces=order["note"].astype("float64"))

    send(home, "a,my card 4111 1111 1111 1111,1")
    result = run(home, order, strict)
    assert "my card [card]" in failure(result, "strict")
    assert "4111" not in words_of(result)


def test_metadata_and_notices_are_redacted_and_the_rows_stay_as_they_are(home: Home):
    @governed_asset(
        contract=Order,
        announce=lambda row: Notice(row["message_id"], row["note"], row["note"], {"message_ids": [row["message_id"]]}),
    )
    def echo(order: pd.DataFrame) -> Result:
        return Result(order, {"said": order["note"].iloc[0], "of": order["message_id"].iloc[0]})

    note, message_id = "call 415-555-2671", "570306133677760513"
    send(home, f"{message_id},{note},1")
    result = run(home, order, echo)
    (event,) = result.asset_materializations_for_node("echo")
    assert (event.metadata["said"].value, event.metadata["of"].value) == ("call [phone]", message_id)
    with home.ledger.read() as connection:
        (notice,) = outbox.recorded(connection)
    assert (notice["title"], notice["body"], notice["key"]) == ("call [phone]", "call [phone]", message_id)
    assert rows(home, "echo")["note"].tolist() == [note]
    assert "555-2671" not in words_of(result)

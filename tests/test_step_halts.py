"""What a step keeps back: refused rows, halts and drift, and how the UI shows them."""

from typing import Any

import pandas as pd
import pandera.pandas as pa
import pytest
from shop_workflow import (
    Order,
    audited,
    checks,
    counts,
    failure,
    kept_raw,
    open_halts,
    order,
    parcel,
    quarantined,
    read_orders,
    rows,
    run,
    send,
    send_lines,
    version,
)

from orchestration_project.model_output import governed_asset, model_output
from orchestration_project.model_output.gate import GATE
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.decision import Decision
from orchestration_project.performers.safe_label import SafeLabel
from orchestration_project.stores.arrivals import Arrivals
from orchestration_project.stores.home import Home


def test_bad_rows_are_quarantined_as_they_came_with_every_reason_while_the_good_go_on(home: Home):
    send(home, "a,hello,1", "b,damn,-2", "c,fine,0", ",nobody,1", *(f"g{number},fine,1" for number in range(20)))
    result = run(home, order, parcel)
    assert result.success
    assert len(rows(home, "order")) == len(rows(home, "parcel")) == 21
    *named, (made, reason) = quarantined(home)
    assert named == [("b", "note_polite, pieces_greater_than"), ("c", "pieces_greater_than")]
    assert (made[:2], reason) == ("m-", "message_id_not_null")  # a row without an id is found by its file and line
    assert counts(home) == {"working": 21, "quarantined": 3}
    assert [raw["pieces"] for raw in kept_raw(home)] == ["-2", "0", "1"]  # the text of the file, not the number
    assert kept_raw(home)[2]["note"] == "nobody"
    assert checks(result, "order") == {
        GATE: True,
        "message_id_unique": True,
        "note_polite": False,
        "pieces_greater_than": False,
    }
    assert checks(result, "parcel")[GATE] is True


def test_a_halt_publishes_nothing_and_records_halt_quarantine_and_audit_together(home: Home):
    send(home, "a,hello,0", "b,hello,0")
    result = run(home, order, parcel)
    assert not result.success
    reason = "All 2 rows were refused by the rule pieces_greater_than."
    assert open_halts(home) == [("order", "b1", reason)]
    assert [message_id for message_id, _ in quarantined(home)] == ["a", "b"]
    assert audited(home) == [("halted", "order/b1")]
    assert version(home, "order") is None
    assert result.asset_materializations_for_node("order") == []
    assert checks(result, "order")[GATE] is False
    (gate,) = [one for one in result.get_asset_check_evaluations() if one.check_name == GATE]
    assert gate.blocking
    assert gate.metadata["refused_message_ids"].value == ["a", "b"]
    assert reason in failure(result, "order")
    assert counts(home) == {"quarantined": 2}


def test_downstream_of_a_halt_is_skipped_and_refused_when_it_is_run_alone(home: Home):
    send(home, "a,hello,0", "b,hello,0")
    together = run(home, order, parcel)
    assert not [event for event in together.all_events if event.step_key == "parcel" and event.is_step_start]
    alone = run(home, order, parcel, selection=["parcel"])
    assert not alone.success
    assert "order of batch b1 is halted since run" in failure(alone, "parcel")
    assert "All 2 rows were refused" in failure(alone, "parcel")
    assert version(home, "parcel") is None
    assert [halt[0] for halt in open_halts(home)] == ["order"]


@model_output(Cascade(safe_state=SafeLabel("fine")), contract=Decision)
def label(parcel: pd.DataFrame) -> pd.DataFrame:
    """How each parcel went."""
    return parcel[["message_id"]]


def test_a_halt_is_quoted_to_what_stands_far_below_it_though_nothing_between_was_made(home: Home):
    send(home, "a,hello,0", "b,hello,0")
    assert not run(home, order, parcel, label).success
    alone = run(home, order, parcel, label, selection=["label"])
    assert "order of batch b1 is halted since run" in failure(alone, "label")
    assert version(home, "label") is None


def test_a_halt_on_a_later_run_stops_all_that_stands_below_it(home: Home):
    send(home, "a,hello,1", "b,hello,1")
    assert run(home, order, parcel, label).success

    @governed_asset(contract=Order, name="order")
    def stricter(arrivals: Arrivals) -> pd.DataFrame:
        return read_orders(arrivals.rows).assign(pieces=0)

    assert not run(home, stricter).success
    alone = run(home, order, parcel, label, selection=["label"])
    assert "order of batch b1 is halted since run" in failure(alone, "label")
    found = version(home, "label")
    assert found is not None
    assert found.version == 1
    assert run(home, order, parcel, label).success
    assert open_halts(home) == []


def test_a_halt_leaves_other_batches_alone(home: Home):
    send(home, "a,hello,0", "b,hello,0")
    assert not run(home, order, parcel, batch="b1").success
    send(home, "c,hello,1")
    assert run(home, order, parcel, batch="b2").success
    assert len(rows(home, "parcel", "b2")) == 1


def test_a_halted_asset_keeps_its_last_good_version_which_nothing_downstream_reads(home: Home):
    send(home, "a,hello,1", "b,hello,1")
    assert run(home, order, parcel).success

    @governed_asset(contract=Order, name="order")
    def stricter(arrivals: Arrivals) -> pd.DataFrame:
        return read_orders(arrivals.rows).assign(pieces=0)

    assert not run(home, stricter).success
    found = version(home, "order")
    assert found is not None
    assert found.version == 1
    assert not run(home, order, parcel, selection=["parcel"]).success


def test_the_halted_asset_may_run_again_and_a_passing_run_closes_the_halt(home: Home):
    send(home, "a,hello,0", "b,hello,0")
    assert not run(home, order).success

    @governed_asset(contract=Order, name="order")
    def mended(arrivals: Arrivals) -> pd.DataFrame:
        return read_orders(arrivals.rows).assign(pieces=1)

    assert run(home, mended, parcel).success
    assert open_halts(home) == []
    assert quarantined(home) == []
    assert len(quarantined(home, "superseded")) == 2
    assert len(rows(home, "parcel")) == 2
    assert audited(home) == [("halted", "order/b1"), ("published", "order/b1"), ("published", "parcel/b1")]


def test_a_second_halt_replaces_the_first(home: Home):
    send(home, "a,hello,0", "b,hello,0")
    assert not run(home, order).success
    assert not run(home, order).success
    assert len(open_halts(home)) == 1
    assert len(quarantined(home)) == 2


@pytest.mark.parametrize(
    ("good", "bad", "is_halted"),
    [(0, 1, False), (1, 1, False), (0, 2, True), (0, 3, True), (380, 20, False), (379, 20, True)],
)
def test_one_bad_message_alone_is_quarantined_and_a_batch_of_bad_ones_halts(
    home: Home, good: int, bad: int, is_halted: bool
):
    send(home, *(f"g{number},fine,1" for number in range(good)), *(f"b{number},fine,0" for number in range(bad)))
    result = run(home, order, parcel)
    assert result.success is not is_halted
    assert len(quarantined(home)) == bad
    if is_halted:
        assert version(home, "order") is None
    else:
        assert len(rows(home, "parcel")) == good


GOOD_LINE, BROKEN_LINE = '{"message_id": "a", "note": "x", "pieces": "1"}', '{"message_id": "b", oops'


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([GOOD_LINE, BROKEN_LINE], {"working": 1, "quarantined": 1}),
        ([BROKEN_LINE], {"quarantined": 1}),  # one bad message alone, of which not even the columns are known
    ],
)
def test_lines_that_could_not_be_read_are_kept_and_counted(home: Home, lines: list[str], expected: dict[str, int]):
    send_lines(home, lines)
    assert run(home, order, parcel).success
    ((message_id, reason),) = quarantined(home)
    assert message_id.startswith("m-")
    assert reason.startswith("unparsable: ")
    assert "oops" in kept_raw(home)[0]["raw"]
    assert counts(home) == expected


def test_a_batch_of_which_no_line_could_be_read_halts(home: Home):
    send_lines(home, [BROKEN_LINE, BROKEN_LINE])
    assert not run(home, order, parcel).success
    assert open_halts(home) == [("order", "b1", "All 2 rows were refused.")]
    assert counts(home) == {"quarantined": 2}


@pytest.mark.parametrize(
    ("columns", "drift"),
    [
        ("message_id,note,pieces,colour", "unknown column 'colour'"),
        ("message_id,note", "missing column 'pieces'"),
        ("note,pieces", "missing column 'message_id'"),
    ],
)
def test_an_unknown_or_missing_column_halts_a_batch_of_any_size(home: Home, columns: str, drift: str):
    send(home, ",".join("1" * len(columns.split(","))), columns=columns)
    result = run(home, order)
    assert not result.success
    assert open_halts(home) == [("order", "b1", f"The columns drifted: {drift}.")]
    assert set(checks(result, "order").values()) == {False}
    assert version(home, "order") is None
    assert counts(home) == {"halted": 1}


def test_a_retyped_column_halts(home: Home):
    @governed_asset(contract=Order, name="order")
    def forgetful(arrivals: Arrivals) -> pd.DataFrame:
        return arrivals.rows

    send(home, "a,hello,1")
    assert not run(home, forgetful).success
    ((_, _, reason),) = open_halts(home)
    assert reason == "The columns drifted: retyped column 'pieces': str, expected int64."


# What a contract says is what the UI shows


def test_checks_and_column_schema_stand_in_the_asset():
    assert {spec.name for spec in order.check_specs} == {
        GATE,
        "message_id_unique",
        "note_polite",
        "pieces_greater_than",
    }
    described = {spec.name: spec.description for spec in order.check_specs}
    assert described["note_polite"] == "note is polite"
    (spec,) = order.specs
    schema = spec.metadata["dagster/column_schema"]
    assert [(column.name, column.type, column.description) for column in schema.columns] == [
        ("message_id", "string", "Its id."),
        ("note", "string", "What was written on it."),
        ("pieces", "int64", "How many."),
    ]
    assert [column.constraints.nullable for column in schema.columns] == [False, True, False]
    assert [column.constraints.unique for column in schema.columns] == [True, False, False]
    assert (spec.description, spec.group_name) == ("Every order.", "shop")


def test_a_check_added_to_a_contract_appears_by_its_name_with_nothing_else_done(home: Home):
    class Stricter(Order):
        @pa.check("pieces")
        def not_thirteen(cls, pieces: pd.Series) -> Any:
            """pieces are not thirteen"""
            return pieces != 13

        @pa.dataframe_check
        def large_orders_have_a_note(cls, frame: pd.DataFrame) -> Any:
            """an order of more than 100 has a note"""
            return frame["note"].notna() | (frame["pieces"] <= 100)

    @governed_asset(contract=Stricter, name="order")
    def stricter(arrivals: Arrivals) -> pd.DataFrame:
        return read_orders(arrivals.rows)

    added = {spec.name for spec in stricter.check_specs} - {spec.name for spec in order.check_specs}
    assert added == {"pieces_not_thirteen", "large_orders_have_a_note"}
    send(home, "a,x,13", "b,,101", "c,x,1")
    result = run(home, stricter)
    assert result.success
    assert checks(result, "order")["pieces_not_thirteen"] is False
    assert checks(result, "order")["large_orders_have_a_note"] is False
    assert quarantined(home) == [("a", "pieces_not_thirteen"), ("b", "large_orders_have_a_note")]
    assert rows(home, "order")["message_id"].tolist() == ["c"]

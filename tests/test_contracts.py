"""Contracts: what is drift, what is a refusal, and what is neither."""

from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration_project.core.contracts import Contract, UtcTime, arrow_schema, check, columns, empty_frame, rules


class Order(Contract):
    """One order; a column of every type."""

    order_id: str = pa.Field(unique=True, str_length={"min_value": 1}, description="Its id.")
    note: str = pa.Field(nullable=True)
    amount: float = pa.Field(ge=0, nullable=True)
    pieces: int = pa.Field(gt=0)
    is_paid: bool
    ordered_at: UtcTime = pa.Field(nullable=True)

    @pa.check("note")
    def no_shouting(cls, note: pd.Series) -> Any:
        """note is not all capitals"""
        return note.str.upper() != note

    @pa.dataframe_check
    def paid_has_amount(cls, frame: pd.DataFrame) -> Any:
        """what is paid has an amount"""
        return frame["amount"].notna() | ~frame["is_paid"]


def orders(**changed: Any) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "order_id": ["a", "b", "c"],
            "note": ["hello", None, "ça va"],
            "amount": [1.5, None, 0.0],
            "pieces": [1, 2, 3],
            "is_paid": [True, False, False],
            "ordered_at": pd.to_datetime(["2026-01-01T10:00:00Z", None, "2026-03-29T01:30:00Z"], utc=True),
        }
    )
    return frame.assign(**changed)


def refused_by(frame: pd.DataFrame) -> dict[int, list[str]]:
    checked = check(Order, frame)
    assert checked.drift == ()
    found: dict[int, list[str]] = {}
    for refusal in checked.refusals:
        found.setdefault(refusal.position, []).append(refusal.rule)
    return found


def test_rows_that_keep_every_rule_pass_with_the_contracts_columns_and_types():
    shuffled = orders()[["is_paid", "pieces", "note", "order_id", "amount", "ordered_at"]].set_index(
        pd.Index([7, 7, 1])
    )
    checked = check(Order, shuffled)
    assert (checked.drift, checked.refusals, checked.refused) == ((), (), frozenset())
    assert list(checked.good.columns) == list(columns(Order))
    assert pyarrow.Table.from_pandas(checked.good, schema=arrow_schema(Order), preserve_index=False).num_rows == 3


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"order_id": ["a", "b", "a"]}, {0: ["order_id_unique"], 2: ["order_id_unique"]}),
        ({"order_id": ["a", None, "c"]}, {1: ["order_id_not_null"]}),
        ({"order_id": ["a", None, None]}, {1: ["order_id_not_null"], 2: ["order_id_not_null"]}),
        ({"order_id": ["", "b", "c"]}, {0: ["order_id_str_length"]}),
        ({"amount": [1.5, None, -0.01]}, {2: ["amount_greater_than_or_equal_to"]}),
        ({"pieces": [1, 0, 3]}, {1: ["pieces_greater_than"]}),
        ({"note": ["HELLO", None, "x"]}, {0: ["note_no_shouting"]}),
        ({"amount": [None, None, 1.0]}, {0: ["paid_has_amount"]}),
        (
            {"pieces": [0, 0, 3], "note": ["A", None, "x"]},
            {0: ["note_no_shouting", "pieces_greater_than"], 1: ["pieces_greater_than"]},
        ),
    ],
)
def test_a_row_is_refused_by_the_name_of_each_rule_it_breaks(changed: dict[str, Any], expected: dict[int, list[str]]):
    assert refused_by(orders(**changed)) == expected
    assert refused_by(orders()) == {}
    shown = {rule.name for rule in rules(Order)}
    assert {name for names in expected.values() for name in names} <= shown


def test_the_good_rows_go_on_without_the_refused_ones():
    checked = check(Order, orders(pieces=[1, -5, 3]))
    assert checked.good["order_id"].tolist() == ["a", "c"]
    assert checked.good.index.tolist() == [0, 1]
    assert checked.refused == {1}


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (orders(colour="red"), "unknown column 'colour'"),
        (orders().rename(columns={"pieces": 3}), "unknown column '3'"),
        (orders().drop(columns="pieces"), "missing column 'pieces'"),
        (orders(amount=["1.5", "2", "3"]), "retyped column 'amount': str, expected float64"),
        (orders(pieces=[1.0, 2.0, 3.0]), "retyped column 'pieces': float64, expected int64"),
        (orders(pieces=pd.array([1, None, 3], dtype="Int64")), "retyped column 'pieces': Int64, expected int64"),
        (orders(pieces=[True, False, True]), "retyped column 'pieces': bool, expected int64"),
        (orders(is_paid=[1, 0, 1]), "retyped column 'is_paid': int64, expected bool"),
        (orders(note=[1, 2, 3]), "retyped column 'note': int64"),
        (orders(note=["x", b"y", None]), "retyped column 'note': object"),
        (orders(ordered_at=pd.to_datetime(["2026-01-01"] * 3)), "retyped column 'ordered_at': datetime64"),
        (orders(ordered_at=["2026-01-01T10:00:00Z"] * 3), "retyped column 'ordered_at': str"),
        (pd.concat([orders(), orders()[["note"]]], axis="columns"), "repeated column 'note'"),
    ],
)
def test_an_unknown_missing_retyped_or_repeated_column_is_drift_and_no_row_is_judged(
    frame: pd.DataFrame, expected: str
):
    checked = check(Order, frame.assign(order_id="")) if "order_id" in frame else check(Order, frame)
    assert any(found.startswith(expected) for found in checked.drift), checked.drift
    assert checked.refusals == ()


def test_every_drifted_column_is_named():
    drift = check(Order, orders(colour="red", size=1).drop(columns=["note", "pieces"])).drift
    assert drift == (
        "unknown column 'colour'",
        "unknown column 'size'",
        "missing column 'note'",
        "missing column 'pieces'",
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"amount": [1, 2, 3]},
        {"amount": np.array([1, 2, 3], dtype="float32")},
        {"amount": pd.array([1, None, 3], dtype="Int64")},
        {"amount": [None, None, None], "is_paid": [False] * 3},
        {"amount": pd.Series([pd.NaT] * 3), "is_paid": [False] * 3},
        {"note": pd.Series(["x", None, "y"], dtype=object)},
        {"note": pd.Series(["x", None, "y"], dtype="category")},
        {"note": [None, None, None]},
        {"note": [np.nan, np.nan, np.nan]},
        {"pieces": pd.array([1, 2, 3], dtype="Int64")},
        {"pieces": np.array([1, 2, 3], dtype="int16")},
        {"is_paid": pd.array([True, False, False], dtype="boolean")},
        {"ordered_at": [None, None, None]},
        {"ordered_at": pd.to_datetime(["2026-01-01T10:00:00+02:00"] * 3).tz_convert("Europe/Berlin").as_unit("ns")},
    ],
)
def test_a_column_is_retyped_where_no_value_changes(changed: dict[str, Any]):
    frame = orders(**changed)
    checked = check(Order, frame)
    assert (checked.drift, checked.refusals) == ((), ())
    (name, *_) = changed
    before, after = frame[name], checked.frame[name]
    assert after.dtype == check(Order, orders()).frame[name].dtype
    assert after.isna().tolist() == before.isna().tolist()
    assert after.dropna().tolist() == before.dropna().tolist()


@pytest.mark.parametrize(
    "changed",
    [
        {"amount": [2**53 + 1, 1, 1]},
        {"amount": [1 + 2j, 1, 1]},
        {"amount": pd.array([True, False, True], dtype="boolean")},
        {"pieces": np.array([2**63, 1, 1], dtype="uint64")},
    ],
)
def test_a_column_whose_values_would_change_is_drift(changed: dict[str, Any]):
    (drift,) = check(Order, orders(**changed)).drift
    assert drift.startswith(f"retyped column '{next(iter(changed))}'")


ANY_COLUMN = st.sampled_from(
    [
        [1, 2, 3],
        [1.5, None, np.inf],
        [True, False, True],
        ["a", None, "\U0001f600 ﷽ \x00"],
        [None, None, None],
        [pd.NaT] * 3,
        [pd.Timestamp("2026-01-01", tz="Asia/Kolkata")] * 3,
        [pd.Timestamp("2026-01-01")] * 3,
        [pd.Timedelta("1h")] * 3,
        [pd.Period("2026-01")] * 3,
        [{"a": 1}, [1], None],
        [b"x", "y", 1],
        [2**70, 1, 1],
        [1j, 2, 3],
    ]
)


@given(
    values=st.dictionaries(st.sampled_from(list(columns(Order))), ANY_COLUMN),
    left_out=st.sets(st.sampled_from(list(columns(Order))), max_size=2),
    rows=st.integers(0, 3),
)
def test_whatever_the_frame_a_contract_answers_and_its_good_rows_can_be_stored(
    values: dict[str, list[Any]], left_out: set[str], rows: int
):
    frame = orders(**values).drop(columns=list(left_out)).head(rows)
    checked = check(Order, frame)
    assert len(checked.frame) == rows
    if checked.drift:
        assert not checked.refusals
        return
    assert len(checked.good) == rows - len(checked.refused)
    table = pyarrow.Table.from_pandas(checked.good, schema=arrow_schema(Order), preserve_index=False)
    assert check(Order, table.to_pandas()).refused == frozenset()  # what was good stays good when it is read again


@pytest.mark.parametrize("dtype", ["object", "str", "float64", "int64", "bool", "datetime64[ns]", "timedelta64[ns]"])
def test_a_frame_without_rows_drifts_by_its_columns_alone(dtype: str):
    checked = check(Order, orders().head(0).astype("object").astype(dtype))
    assert (checked.drift, len(checked.good)) == ((), 0)
    table = pyarrow.Table.from_pandas(checked.good, schema=arrow_schema(Order), preserve_index=False)
    assert table.num_rows == 0
    assert check(Order, orders().head(0).drop(columns="note")).drift == ("missing column 'note'",)


def test_the_empty_frame_of_a_contract_keeps_it():
    assert check(Order, empty_frame(Order)).drift == ()
    assert list(empty_frame(Order).columns) == list(columns(Order))


class Together(Contract):
    """Rules that concern the frame."""

    class Config:
        unique = ["day", "shop"]  # noqa: RUF012  # pandera's own form

    day: str
    shop: str
    takings: int

    @pa.check("takings")
    def looked_up(cls, takings: pd.Series) -> Any:
        """takings can be looked up"""
        known = {1: True, 2: True}
        return takings.map(lambda value: known[value])

    @pa.dataframe_check
    def at_most_three(cls, frame: pd.DataFrame) -> bool:
        """at most three rows"""
        return len(frame) <= 3


def takings(*values: int, shops: str = "xyzuv") -> pd.DataFrame:
    return pd.DataFrame({"day": "Monday", "shop": list(shops[: len(values)]), "takings": list(values)})


def test_columns_that_are_unique_together_are_a_rule_of_their_own():
    assert check(Together, takings(1, 2)).refusals == ()
    assert check(Together, takings(1, 2, 1, shops="xxz")).refused == {0, 1}
    (rule,) = [rule for rule in rules(Together) if rule.name == "multiple_fields_uniqueness"]
    assert rule.meaning == "day, shop together occur once"


def test_a_rule_that_the_batch_as_a_whole_breaks_is_drift():
    assert check(Together, takings(1, 1, 1)).drift == ()
    assert check(Together, takings(1, 1, 1, 1)).drift == ("rule 'at_most_three' does not hold for the batch",)


def test_a_rule_that_cannot_be_computed_is_drift_and_quotes_no_value():
    (drift,) = check(Together, takings(1, 4711)).drift
    assert drift == "rule 'takings_looked_up' cannot be computed (KeyError)"


def test_a_rule_has_the_meaning_that_its_docstring_states():
    meanings = {rule.name: rule.meaning for rule in rules(Order)}
    assert meanings["note_no_shouting"] == "note is not all capitals"
    assert meanings["paid_has_amount"] == "what is paid has an amount"
    assert [rule.name for rule in rules(Order) if rule.is_presence] == [
        "order_id_not_null",
        "pieces_not_null",
        "is_paid_not_null",
    ]


def test_a_contract_that_builds_on_another_keeps_its_columns_and_rules():
    class Gift(Order):
        """An order with a card."""

        card: str = pa.Field(isin=["birthday", "thanks"])

    assert list(columns(Gift)) == [*columns(Order), "card"]
    assert {rule.name for rule in rules(Order)} < {rule.name for rule in rules(Gift)}
    assert check(Gift, orders(card=["birthday", "thanks", "other"])).refused == {2}
    assert check(Gift, orders(card="thanks", colour="red")).drift == ("unknown column 'colour'",)


@pytest.mark.parametrize("kind", [pa.DateTime, np.int32, object, pd.Int64Dtype, pd.CategoricalDtype])
def test_a_column_of_a_type_that_cannot_be_stored_is_a_mistake_that_names_the_types(kind: Any):
    wrong = type("Wrong", (Contract,), {"__annotations__": {"value": kind}, "__module__": __name__})
    with pytest.raises(TypeError, match="Use str, float, int, bool or UtcTime"):
        arrow_schema(wrong)


def test_a_rule_of_a_column_with_an_odd_name_has_a_name_that_dagster_takes():
    class Priced(Contract):
        price: float = pa.Field(alias="unit price (€)", ge=0, unique=True)

        @pa.check("unit price (€)")
        def not_round(cls, price: pd.Series) -> Any:
            return price % 10 != 0

    frame = pd.DataFrame({"unit price (€)": [-1.0, 20.0, 3.0, 3.0]})
    refused = {refusal.rule for refusal in check(Priced, frame).refusals}
    shown = {rule.name for rule in rules(Priced) if not rule.is_presence}
    assert refused == shown == {f"unit_price__{own}" for own in ("greater_than_or_equal_to", "unique", "not_round")}

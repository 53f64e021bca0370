"""The gate: when a batch halts, when its bad rows alone are kept back, and what its checks say."""

from typing import Any

import dagster as dg
import pandas as pd
import pandera.pandas as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration_project.core.contracts import Contract, check
from orchestration_project.core.settings import Settings
from orchestration_project.model_output.gate import GATE, NOT_TRIED, Judgement, check_results, check_specs, judge
from orchestration_project.model_output.partitions import BATCHES

SETTINGS = Settings()
"""Halt when more than 5 % and at least 20 rows are refused."""


class Note(Contract):
    """One note."""

    message_id: str = pa.Field(unique=True)
    stars: int = pa.Field(ge=1, le=5)


def judged(rows: int, bad: int, unparsable: int = 0, settings: Settings = SETTINGS) -> Judgement:
    stars = [0] * bad + [3] * (rows - bad)
    frame = pd.DataFrame({"message_id": [f"m{number}" for number in range(rows)], "stars": stars})
    return judge(check(Note, frame.astype({"message_id": "str", "stars": "int64"})), settings, unparsable)


def results_of(judgement: Judgement) -> dict[str, dg.AssetCheckResult]:
    return {
        str(result.check_name): result for result in check_results("note", Note, judgement, "b1", takes_arrivals=True)
    }


@pytest.mark.parametrize(
    ("rows", "bad", "is_halted"),
    [
        (0, 0, False),
        (1, 0, False),
        (1, 1, False),  # one bad message alone is quarantined
        (2, 1, False),
        (2, 2, True),  # every row of two or more
        (19, 19, True),
        (20, 19, False),
        (100, 19, False),
        (100, 20, True),
        (400, 20, False),  # 5 % is not more than 5 %
        (399, 20, True),
        (1000, 50, False),
        (1000, 51, True),
    ],
)
def test_a_batch_halts_from_20_rows_and_above_5_percent_or_when_all_of_two_or_more_are_refused(
    rows: int, bad: int, is_halted: bool
):
    judgement = judged(rows, bad)
    assert (judgement.halt is not None) == is_halted
    assert (judgement.rows, judgement.refused) == (rows, bad)


@pytest.mark.parametrize(
    ("rows", "bad", "unparsable", "is_halted"),
    [(0, 0, 1, False), (0, 0, 2, True), (1, 1, 1, True), (1, 0, 1, False), (100, 10, 10, True), (100, 10, 9, False)],
)
def test_lines_that_could_not_be_read_count_as_refused_rows(rows: int, bad: int, unparsable: int, is_halted: bool):
    judgement = judged(rows, bad, unparsable)
    assert (judgement.halt is not None) == is_halted
    assert (judgement.rows, judgement.refused) == (rows + unparsable, bad + unparsable)


@pytest.mark.parametrize(
    ("share", "least", "bad", "is_halted"),
    [
        (0.5, 2, 50, False),
        (0.5, 2, 51, True),
        (0.0, 1, 1, True),
        (0.0, 3, 2, False),
        (1.0, 1, 99, False),
        (0.29, 1, 29, False),
    ],
)
def test_both_limits_are_settings(share: float, least: int, bad: int, is_halted: bool):
    settings = Settings(quarantine_share=share, quarantine_rows=least)
    assert (judged(100, bad, settings=settings).halt is not None) == is_halted


@settings(deadline=None)
@given(rows=st.integers(0, 120), data=st.data())
def test_more_bad_rows_never_turn_a_halt_into_a_pass(rows: int, data: st.DataObject):
    bad = data.draw(st.integers(0, rows))
    if bad < rows and judged(rows, bad).halt:
        assert judged(rows, bad + 1).halt


def test_the_reason_of_a_halt_gives_counts_and_the_rule_most_often_broken():
    assert judged(2, 2).halt == "All 2 rows were refused by the rule stars_greater_than_or_equal_to."
    assert judged(100, 30).halt == (
        "30 of 100 rows were refused, more than 5%, most of them by the rule stars_greater_than_or_equal_to."
    )
    assert judged(0, 0, unparsable=3).halt == "All 3 rows were refused."


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_drift_halts_a_batch_of_any_size(rows: int):
    frame = pd.DataFrame({"message_id": ["a", "b", "c"], "stars": [1, 2, 3], "colour": "red"}).head(rows)
    judgement = judge(check(Note, frame.drop(columns="stars")), SETTINGS)
    assert judgement.halt == "The columns drifted: unknown column 'colour'; missing column 'stars'."
    gate = results_of(judgement)[GATE]
    assert gate.passed is False
    assert gate.metadata["drift"].value == ["unknown column 'colour'", "missing column 'stars'"]
    assert gate.metadata["columns"].value == ["message_id", "colour"]


def test_with_drift_every_rule_says_that_it_was_not_tried():
    judgement = judge(check(Note, pd.DataFrame({"message_id": ["a"]})), SETTINGS)
    rules = [result for name, result in results_of(judgement).items() if name != GATE]
    assert len(rules) >= 2
    assert {(rule.passed, rule.severity.value, rule.description) for rule in rules} == {(False, "WARN", NOT_TRIED)}


def test_asset_without_batches_is_halted_by_its_only_row_and_a_batch_of_one_is_not() -> None:
    only = check(Note, pd.DataFrame({"message_id": ["a"], "stars": [-1]}).astype({"message_id": "str"}))
    assert judge(only, SETTINGS).halt is None
    halt = judge(only, SETTINGS, has_batches=False).halt
    assert halt == "The only row was refused by the rule stars_greater_than_or_equal_to."


@pytest.mark.parametrize(
    ("frame", "batch", "takes_arrivals", "told"),
    [
        ({"stars": [-1, -1]}, "", False, "Mend the cause, and materialise note again"),
        ({"stars": [-1, -1]}, "b1", True, "orchestrate quarantine list --batch b1; correct and replay, or discard"),
        ({"stars": [-1, -1]}, "b1", False, "orchestrate quarantine list --batch b1; mend note, its contract, or what"),
        ({"mood": ["x", "y"]}, "b1", True, "orchestrate contract accept note mood --as NAME (or --ignore), with"),
        ({"mood": ["x", "y"]}, "b1", False, "mend note, its contract, or what these rows were made from; then: orch"),
    ],
)
def test_what_to_do_fits_to_what_is_halted(
    frame: dict[str, list[Any]], batch: str, takes_arrivals: bool, told: str
) -> None:
    whole = {"message_id": ["a", "b"], "stars": [1, 1], **frame}
    judgement = judge(check(Note, pd.DataFrame(whole)), SETTINGS, has_batches=bool(batch))
    gate, *_ = check_results("note", Note, judgement, batch, takes_arrivals=takes_arrivals)
    assert str(gate.metadata["what to do"].value).startswith(told)


def test_each_rule_says_how_many_rows_break_it() -> None:
    results = results_of(judged(100, 3))
    told = {name: result.description for name, result in results.items() if name != GATE}
    assert told["stars_greater_than_or_equal_to"] == "3 of 100 rows break it, and wait in quarantine."
    assert told["message_id_unique"] == "None of 100 rows breaks it."


def test_the_gate_shows_columns_counts_and_the_ids_of_refused_rows():
    gate = results_of(judged(100, 30))[GATE]
    assert gate.passed is False
    shown = {name: value.value for name, value in gate.metadata.items()}
    assert (shown["rows"], shown["refused"]) == (100, 30)
    assert shown["columns"] == ["message_id", "stars"]
    assert shown["refused_message_ids"] == [f"m{number}" for number in range(20)]
    assert shown["refused_by_rule"] == {"stars_greater_than_or_equal_to": 30}


def test_a_broken_rule_warns_and_the_gate_passes_while_the_limits_hold():
    results = results_of(judged(100, 3))
    assert results[GATE].passed is True
    broken = results["stars_greater_than_or_equal_to"]
    assert (broken.passed, broken.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert broken.metadata["refused"].value == 3
    assert results["stars_less_than_or_equal_to"].passed is True
    assert results["message_id_unique"].passed is True


@pytest.mark.parametrize("rows", [0, 5])
def test_every_check_that_is_promised_is_answered(rows: int):
    promised = {spec.name for spec in check_specs("note", Note, is_partitioned=True)}
    assert promised == set(results_of(judged(rows, 0)))
    assert promised == {
        GATE,
        "message_id_unique",
        "stars_greater_than_or_equal_to",
        "stars_less_than_or_equal_to",
    }


def test_only_the_gate_blocks_and_checks_have_the_partitions_of_their_asset():
    specs = check_specs("note", Note, is_partitioned=True)
    assert [spec.name for spec in specs if spec.blocking] == [GATE]
    assert {spec.partitions_def for spec in specs} == {BATCHES}
    assert {spec.partitions_def for spec in check_specs("note", Note, is_partitioned=False)} == {None}


def test_ids_are_shown_only_where_rows_have_them():
    class Nameless(Contract):
        stars: int = pa.Field(ge=1)

    judgement = judge(check(Nameless, pd.DataFrame({"stars": [0, 0]})), SETTINGS)
    assert judgement.message_ids == []
    without_id: Any = judge(check(Note, pd.DataFrame({"message_id": ["a", None], "stars": [0, 0]})), SETTINGS)
    assert without_id.message_ids == ["a"]

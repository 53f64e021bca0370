"""Anomalies as checks: a batch that is unlike those before it halts or warns, says why, and may be let pass."""

from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
from shop_workflow import Order, audited, checks, failure, open_halts, parcel, read_orders, rows, run, send, version

from assets.feedback.anomalies import WATCH
from orchestration_project.core.errors import Refused, TableRefused
from orchestration_project.core.outliers import LEAST_BATCHES
from orchestration_project.governance import batch_orders
from orchestration_project.model_output import governed_asset
from orchestration_project.model_output.measures import MEASURES, Seen, in_figures
from orchestration_project.model_output.watch import COLUMNS, Watch
from orchestration_project.stores.arrivals import Arrivals
from orchestration_project.stores.home import Home

HEADER = ",".join(COLUMNS)
TABLE = f"""{HEADER}
order,null_share,note,halt,6,0.2,"An order without a note is packed wrongly."
order,rows,,warn,6,5,"A flood."
"""


@pytest.fixture
def order(tmp_path: Path) -> dg.AssetsDefinition:
    file = tmp_path / "anomalies.csv"
    file.write_text(TABLE)

    @governed_asset(contract=Order, watch=Watch(file))
    def order(arrivals: Arrivals) -> pd.DataFrame:
        """Every order."""
        return read_orders(arrivals.rows)

    return order


def put(
    home: Home, order: dg.AssetsDefinition, batch: str, noteless: int, count: int = 40
) -> dg.ExecuteInProcessResult:
    send(home, *(f"{batch}-{number},{'' if number < noteless else 'dear'},1" for number in range(count)))
    return run(home, order, parcel, batch=batch)


def usual(home: Home, order: dg.AssetsDefinition) -> None:
    for number in range(LEAST_BATCHES):
        assert put(home, order, f"usual-{number}", noteless=2).success


def said(result: dg.ExecuteInProcessResult, check: str) -> str:
    (found,) = [one for one in result.get_asset_check_evaluations() if one.check_name == check]
    return str(found.description)


# Judging


def test_first_batches_are_not_judged_and_say_so(home: Home, order: dg.AssetsDefinition) -> None:
    result = put(home, order, "b0", noteless=40)
    assert result.success
    assert said(result, "usual_null_share_of_note") == "Not judged: too little history: 0 of 8 batches."


def test_usual_batch_passes_and_an_unusual_one_halts_with_its_figures(home: Home, order: dg.AssetsDefinition) -> None:
    usual(home, order)
    good = put(home, order, "good", noteless=3)
    assert good.success and checks(good, "order")["usual_null_share_of_note"]
    bad = put(home, order, "bad", noteless=30)
    assert not bad.success
    assert checks(bad, "order")["usual_null_share_of_note"] is False
    reason = "Unlike the batches before: null share of note 75.0%, usually 5.4% ("
    assert reason in failure(bad, "order")
    assert [(asset, batch) for asset, batch, _ in open_halts(home)] == [("order", "bad")]
    assert version(home, "order", "bad") is None
    (gate,) = [one for one in bad.get_asset_check_evaluations() if one.check_name == "gate"]
    assert "orchestrate halt pass bad --reason TEXT" in str(gate.metadata["what to do"].value)
    (found,) = [one for one in bad.get_asset_check_evaluations() if one.check_name == "usual_null_share_of_note"]
    assert found.metadata["value"].value == 0.75
    assert found.metadata["batches"].value == LEAST_BATCHES + 1
    assert str(found.metadata["history"].value).startswith("![history](data:image/svg+xml;base64,")


def test_halted_batch_is_no_history(home: Home, order: dg.AssetsDefinition) -> None:
    usual(home, order)
    for number in range(3):
        assert not put(home, order, f"bad-{number}", noteless=30).success


def test_warning_lets_the_batch_go_on(home: Home, order: dg.AssetsDefinition) -> None:
    usual(home, order)
    result = put(home, order, "flood", noteless=20, count=400)
    assert result.success
    assert checks(result, "order")["usual_rows"] is False
    assert "rows 400, usually 40" in said(result, "usual_rows")


def test_drift_is_told_before_any_anomaly(home: Home, order: dg.AssetsDefinition) -> None:
    usual(home, order)
    send(home, *(f"x{number},1" for number in range(40)), columns="message_id,pieces")
    result = run(home, order, batch="drifted")
    assert "The columns drifted: missing column 'note'." in failure(result, "order")
    told = {one.description for one in result.get_asset_check_evaluations() if one.check_name.startswith("usual_")}
    assert told == {"Not tried: the columns drifted."}


def test_batch_that_runs_again_is_held_against_those_before_it(home: Home, order: dg.AssetsDefinition) -> None:
    usual(home, order)
    assert run(home, order, parcel, batch="usual-3").success


# Letting pass


def test_anomaly_that_somebody_looked_at_passes(home: Home, order: dg.AssetsDefinition) -> None:
    usual(home, order)
    assert not put(home, order, "strike", noteless=30).success
    assert batch_orders.pass_halt(home, "strike", None, "the printer was broken") == "strike/retry/1"
    result = run(home, order, parcel, batch="strike")
    assert result.success
    assert checks(result, "order")["usual_null_share_of_note"] is False, "it is told all the same"
    assert len(rows(home, "order", "strike")) == 40
    assert open_halts(home) == []
    assert ("anomaly passed", "order/strike") in audited(home)


def test_halt_that_no_anomaly_opened_is_not_let_pass(home: Home, order: dg.AssetsDefinition) -> None:
    send(home, "a,x,1,red", columns="message_id,note,pieces,colour")
    assert not run(home, order).success
    with pytest.raises(Refused, match=r"^order of batch b1 is not halted by an anomaly: .*orchestrate halt retry b1$"):
        batch_orders.pass_halt(home, "b1", None, "never mind")


# Measuring


def test_words_that_the_model_never_learnt_are_unknown() -> None:
    texts = pd.DataFrame({"text": ["late parcel parcel", "Zustellung late", None]})
    seen = Seen(texts, 3, 0, 0, {"late": 0, "parcel": 1})
    _, _, measure = MEASURES["unknown_word_share"]
    assert measure(seen, "text") == {"hits": 1, "rows": 4}
    assert measure(Seen(texts, 3, 0, 0, None), "text") is None


def test_confidence_is_counted_in_bins_and_none() -> None:
    frame = pd.DataFrame({"confidence": [0.0, 0.05, 0.95, 1.0, float("nan")]})
    counts = MEASURES["confidence"][2](Seen(frame, 5, 0, 0), "confidence")
    assert counts is not None
    assert {name: number for name, number in counts["counts"].items() if number} == {"0.0": 2, "0.9": 2, "none": 1}


@pytest.mark.parametrize("measure", MEASURES)
def test_empty_batch_can_be_measured(measure: str) -> None:
    frame = pd.DataFrame({"text": pd.Series(dtype="str"), "moment": pd.Series(dtype="datetime64[us, UTC]")})
    frame["confidence"] = pd.Series(dtype="float64")
    column = {"age": "moment", "confidence": "confidence"}.get(measure, "text")
    assert MEASURES[measure][2](Seen(frame, 0, 0, 0, {}), column) is not None


# The table


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "order,nul_share,note,halt,6,0.2,why",
            r"Line 2 of .*no measure is called 'nul_share'\. Did you mean 'null_share'\?",
        ),
        ("order,null_share,,halt,6,0.2,why", r"null_share needs a column\.$"),
        ("order,rows,note,halt,6,0.2,why", r"rows is of the batch and has no column\.$"),
        ("order,rows,,stop,6,0.2,why", r"the level is 'stop'\. Write halt or warn\.$"),
        (
            "order,silence,,halt,72,12,why",
            r"silence has no batch to halt, and is told in hours\. Write warn, and 1 or more\.$",
        ),
        ("order,silence,,warn,0.5,0,why", r"Write warn, and 1 or more\.$"),
        ("order,silence,note,warn,72,12,why", r"silence is of the batch and has no column\.$"),
        ("order,rows,,halt,six,0.2,why", r"limit is 'six'\. Write a number from 0\.$"),
        ("order,rows,,halt,6,-1,why", r"least is '-1'\. Write a number from 0\.$"),
        ("order,rows,,halt,6,5,", r"has no reason\. Say why this limit is as it is\.$"),
        ("order,rows,,halt,6,5,why\norder,rows,,warn,6,5,why", r"has usual_rows of order twice\. Keep one\.$"),
    ],
)
def test_table_that_cannot_be_meant_is_refused(tmp_path: Path, line: str, words: str) -> None:
    file = tmp_path / "anomalies.csv"
    file.write_text(f"{HEADER}\n{line}\n")
    with pytest.raises(TableRefused, match=words):
        _ = Watch(file).limits


def test_table_with_other_columns_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "anomalies.csv"
    file.write_text("asset,measure\norder,rows\n")
    with pytest.raises(TableRefused, match=r"has other columns\. Give it these: asset, measure, column"):
        _ = Watch(file).limits


def test_shipped_table_is_sound() -> None:
    assert {limit.asset for limit in WATCH.limits} == {"feedback", "sentiment", "issue"}


def test_every_kind_of_change_is_watched(home: Home) -> None:
    from bench.anomalies import EACH, HAPPENINGS, figures

    assert len(HAPPENINGS) == 10
    found = figures(home.root.with_name("figures"))
    assert found.halted <= 0.01 * found.clean, "good data does not wait"
    assert found.seen_of_all >= 36, found.seen
    assert found.clean == 200 and EACH == 4


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (17_520.3, "17,520"),
        (600, "600"),
        (91.93, "91.9"),
        (68.0, "68"),
        (2.346, "2.35"),
        (0.02088, "0.0209"),
        (0.00001, "0"),
        (-1_234.5, "-1,234"),
        (float("nan"), "nan"),
    ],
)
def test_numbers_are_told_in_three_figures_and_no_power_of_ten(number: float, told: str) -> None:
    assert in_figures(number) == told

"""The asset `acceptance_thresholds`: a row for each model in use, and the revision that goes with it."""

import pandas as pd
from learning_home import check, in_use
from shop_workflow import rows, run

from assets.operations.acceptance_thresholds import AcceptanceThreshold, acceptance_thresholds
from orchestration_project.core.contracts import check as hold
from orchestration_project.stores import champions
from orchestration_project.stores.home import Home
from orchestration_project.stores.manifest import UNPARTITIONED


def published(home: Home) -> tuple[list[object], dict[str, object]]:
    """Threshold before and after of the one model there is, with how many checks of it, and the metadata."""
    result = run(home, acceptance_thresholds, batch=None)
    assert result.success
    (event,) = result.get_asset_materialization_events()
    metadata = event.step_materialization_data.materialization.metadata
    found = rows(home, "acceptance_thresholds", UNPARTITIONED)
    wanted = found[["threshold", "chosen", "is_new", "checks"]].astype("object")
    (row,) = wanted.where(wanted.notna(), None).to_numpy().tolist()
    return row, {name: value.value for name, value in metadata.items()}


def threshold(home: Home) -> float | None:
    with home.ledger.read() as connection:
        return champions.require_champion(connection, "mood").threshold


def test_threshold_that_checks_break_is_raised_with_the_row_that_says_so(home: Home) -> None:
    in_use(home)
    check(home, [False] * 20 + [True] * 40, confidence=0.62)
    check(home, [True] * 60)
    row, metadata = published(home)
    assert row == [0.5, 0.7, True, 120]
    assert threshold(home) == 0.7
    assert str(metadata["mood"]).startswith("raised from 0.5 to 0.7, where it is 0.0 % (0.0 to 6.0 %) of 60 checks: ")
    assert metadata["raised"] == 1
    assert "| mood | 1 | 0.5 | 0.5 | 0.7 | 120 | 20 |" in str(metadata["by model"])
    row, metadata = published(home)
    assert (row, metadata["mood"]) == ([0.7, 0.7, False, 0], "0.7 stands, too thin: 0 checks of 30")
    assert threshold(home) == 0.7


def test_model_that_keeps_it_nowhere_accepts_nothing(home: Home) -> None:
    in_use(home)
    check(home, [False] * 20 + [True] * 40)
    assert published(home)[0] == [0.5, None, True, 60]
    assert threshold(home) is None


def test_without_a_model_it_is_an_empty_table(home: Home) -> None:
    result = run(home, acceptance_thresholds, batch=None)
    assert result.success
    assert rows(home, "acceptance_thresholds", UNPARTITIONED).empty


def test_gate_lets_no_threshold_be_lowered(home: Home) -> None:
    in_use(home)
    published(home)
    good = rows(home, "acceptance_thresholds", UNPARTITIONED)
    assert hold(AcceptanceThreshold, good).refusals == ()
    bad = pd.concat([good.assign(family=name, chosen=chosen) for name, chosen in (("a", 0.4), ("b", 1.5), ("c", None))])
    found = hold(AcceptanceThreshold, bad.reset_index(drop=True).astype({"chosen": "float64"})).refusals
    assert {one.position for one in found} == {0, 1}
    assert (0, "never_lowered") in {(one.position, one.rule) for one in found}

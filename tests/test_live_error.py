"""The asset `live_error`: a row for each asset, performer and day, and in words beside them what is known."""

import pandas as pd
from reviewed_notes import ASSET, SURE, Desk, decide, with_checks
from shop_workflow import rows, run

from assets.operations.live_error import LiveErrorOf, live_error
from orchestration_project.core.contracts import check
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.manifest import UNPARTITIONED


def published(home: Home) -> tuple[pd.DataFrame, dict[str, object]]:
    result = run(home, live_error, batch=None)
    assert result.success
    (event,) = result.get_asset_materialization_events()
    metadata = event.step_materialization_data.materialization.metadata
    found = rows(home, "live_error", UNPARTITIONED).astype("object")
    return found.where(found.notna(), None), {name: value.value for name, value in metadata.items()}


def test_live_error_stands_beside_the_stated_one(home: Home) -> None:
    home = with_checks(home, "share = 1\nfewest = 2")
    Desk(home, {"a": SURE, "b": SURE}).publish()
    decide(home, "a", "angry")
    decide(home, "b", "calm")
    found, metadata = published(home)
    day = now().date().isoformat()
    assert found[["asset", "performer", "day"]].to_numpy().tolist() == [
        [ASSET, None, None],
        [ASSET, "reader", None],
        [ASSET, "reader", day],
    ]
    assert (
        found[["error", "checks", "errors", "stated", "is_thin"]].to_numpy().tolist() == [[0.5, 2, 1, 0.05, False]] * 3
    )
    told = "live error 50.0 % (1.3 to 98.7 %) of 2 checks; stated at most 5 %"
    assert (metadata[ASSET], metadata["checks"]) == (told, 2)
    assert f"| mood | reader | {day} | {told} | 1 | 0 | 0 |" in str(metadata["by performer and day"])


def test_too_few_checks_are_called_too_thin(home: Home) -> None:
    home = with_checks(home)
    Desk(home, {"a": SURE}).publish()
    found, metadata = published(home)
    assert metadata[ASSET] == "too thin: 0 checks of 30"
    assert found["error"].tolist() == [None] * 3
    assert found["waiting"].tolist() == [1] * 3


def test_without_people_it_is_an_empty_table(home: Home) -> None:
    found, metadata = published(home)
    assert (found.empty, metadata["checks"]) == (True, 0)


def test_gate_holds_the_error_to_its_interval_and_the_wrong_to_the_checked(home: Home) -> None:
    home = with_checks(home)
    Desk(home, {"a": SURE, "b": SURE}).publish()
    decide(home, "a", "angry")
    published(home)
    good = rows(home, "live_error", UNPARTITIONED)
    assert check(LiveErrorOf, good).refusals == ()
    bad = good.assign(low=[0.0, 1.1, 0.0], errors=[0, 0, 2], error=[1.0, 0.5, 1.0])
    assert {(one.position, one.rule) for one in check(LiveErrorOf, bad).refusals} >= {
        (1, "interval_holds_error"),
        (2, "wrong_of_checked"),
    }

"""The time limit of an asset: its function in time, one that hangs, and what is left of it."""

from dataclasses import replace
from threading import Event

import pandas as pd
import pytest
from shop_workflow import Mood, Order, audited, mood_asset, order, read_orders, rows, run, send, version

from orchestration_project.core.errors import AssetTimeout, PerformerTimeout
from orchestration_project.model_output import governed_asset, model_output
from orchestration_project.model_output.in_time import in_time
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.safe_label import SafeLabel
from orchestration_project.performers.scripted import Scripted, same_answer
from orchestration_project.stores.arrivals import Arrivals
from orchestration_project.stores.home import Home

LONG = 60.0
SHORT = 0.01


def test_what_a_function_gives_or_raises_comes_through() -> None:
    assert in_time("sum", lambda a, b: a + b, {"a": 1, "b": 2}, LONG) == 3
    with pytest.raises(ZeroDivisionError):
        in_time("sum", lambda: 1 / 0, {}, LONG)  # type: ignore[arg-type,return-value]


def test_a_performer_that_the_function_asks_itself_is_not_taken_for_it() -> None:
    def ask() -> pd.DataFrame:
        raise PerformerTimeout("the reader gave no answer within 1 s.")

    with pytest.raises(PerformerTimeout, match=r"^the reader gave no answer"):
        in_time("mood", ask, {}, LONG)


def test_function_that_hangs_is_told_with_asset_limit_and_what_to_do(hanging: Event) -> None:
    words = (
        r"^mood was not computed within its limit of 0\.01 s\. .*limit_seconds=…, or every asset by "
        r"ORCHESTRATE_ASSET_SECONDS\.$"
    )
    with pytest.raises(AssetTimeout, match=words):
        in_time("mood", lambda: hanging.wait(LONG), {}, SHORT)  # type: ignore[arg-type,return-value]


def test_asset_that_takes_longer_than_its_limit_publishes_nothing_and_another_run_may(
    home: Home, hanging: Event
) -> None:
    ended = Event()

    @governed_asset(contract=Order, name="order", limit_seconds=SHORT)
    def late(arrivals: Arrivals) -> pd.DataFrame:
        """Every order, some day."""
        hanging.wait(LONG)
        ended.set()
        return read_orders(arrivals.rows)

    send(home, "a,x,1")
    result = run(home, late)
    assert not result.success
    (event,) = [one for one in result.all_events if one.is_step_failure]
    assert "order was not computed within its limit of 0.01 s." in str(event.step_failure_data.error)
    hanging.set()
    assert ended.wait(LONG), "the function goes on, and what it gives is thrown away"
    assert (version(home, "order"), audited(home)) == (None, [])
    assert run(home, order).success
    assert rows(home, "order")["message_id"].tolist() == ["a"]


def test_limit_of_one_asset_goes_before_the_setting(home: Home, hanging: Event) -> None:
    @governed_asset(contract=Order, name="order")
    def late(arrivals: Arrivals) -> pd.DataFrame:
        """Every order, some day."""
        hanging.wait(LONG)
        return read_orders(arrivals.rows)

    @governed_asset(contract=Order, name="order", limit_seconds=LONG)
    def patient(arrivals: Arrivals) -> pd.DataFrame:
        """Every order."""
        return read_orders(arrivals.rows)

    send(home, "a,x,1")
    hurried = Home(replace(home.settings, asset_seconds=1e-9))
    assert not run(hurried, late).success
    assert run(hurried, patient).success


def test_limit_of_a_model_output_is_also_that_of_its_performers_together(home: Home) -> None:
    reader = Scripted("reader", same_answer("glad", 0.9), labels={"glad"})
    cascade = Cascade(reader, safe_state=SafeLabel("unknown"))

    @model_output(cascade, contract=Mood, limit_seconds=LONG)
    def mood(order: pd.DataFrame) -> pd.DataFrame:
        """How the writer feels."""
        return order[["message_id", "note"]]

    frame = pd.DataFrame({"message_id": ["a"], "note": ["x"]})
    hurried = Home(replace(home.settings, asset_seconds=1e-9))
    cut_off = cascade.decide(frame, hurried).frame
    assert cut_off["decided_by"].tolist() == ["safe_state"]
    assert "before the 1e-09 s of the asset were over" in cut_off["reason"][0]
    send(home, "a,x,1")
    assert run(home, order).success
    assert run(hurried, mood).success
    assert rows(home, "mood")["decided_by"].tolist() == ["model"]


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_limit_that_is_none_is_refused(seconds: float) -> None:
    mood, _ = mood_asset(same_answer("glad", 0.9))
    assert mood.keys
    with pytest.raises(ValueError, match=r"^limit_seconds of order is .*\. Give a number of seconds above 0\.$"):
        governed_asset(contract=Order, name="order", limit_seconds=seconds)(read_orders)

"""The sensor that has the live error estimated anew: on every change of what was checked, and on nothing else."""

from collections.abc import Callable
from datetime import timedelta

import dagster as dg
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData
from reviewed_notes import SURE, UNSURE, Desk, acting, decide, let_time_pass, number, with_checks

from orchestration_project.dispatch import checks_sensor as module
from orchestration_project.dispatch.checks_sensor import checks_sensor, what_was_checked
from orchestration_project.governance.overdue_reviews import expire
from orchestration_project.governance.review_orders import reopen
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now


@dg.asset
def estimate() -> None:
    """What the job of these tests makes."""


definitions = dg.Definitions([estimate], jobs=[dg.define_asset_job("estimated", "*")]).get_repository_def()
SENSOR = checks_sensor("changed", definitions.get_job("estimated"))


def tick(instance: dg.DagsterInstance, cursor: str | None) -> SensorExecutionData:
    with dg.build_sensor_context(instance=instance, cursor=cursor, repository_def=definitions) as context:
        return SENSOR.evaluate_tick(context)


def late(home: Home) -> None:
    let_time_pass(home, number(home))
    expire(home)


def correct(home: Home) -> None:
    decide(home, "a", "angry")
    before = what_was_checked(home)
    reopen(acting(home, "ben"), number(home), "a slip")
    assert what_was_checked(home) != before
    decide(home, "a", "calm", "ben")
    assert what_was_checked(home) != before, "as many are decided, by another verdict"


@pytest.mark.parametrize("happens", [lambda home: decide(home, "a", "calm"), late, correct])
def test_every_change_of_what_was_checked_is_another_digest(any_home: Home, happens: Callable[[Home], None]) -> None:
    home = with_checks(any_home)
    assert what_was_checked(home) == what_was_checked(None)
    Desk(home, {"a": SURE}).publish()
    before = what_was_checked(home)
    assert before not in (what_was_checked(None), "")
    happens(home)
    assert what_was_checked(home) != before


def test_other_reviews_change_nothing(home: Home) -> None:
    Desk(home, {"a": UNSURE}).publish()
    decide(home, "a", "angry")
    assert what_was_checked(home) == what_was_checked(None)


def test_day_that_begins_is_a_change_where_something_was_checked(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    Desk(with_checks(home), {"a": SURE}).publish()
    before = what_was_checked(home)
    monkeypatch.setattr(module, "now", lambda: now() + timedelta(days=1))
    assert what_was_checked(home) != before


def test_changes_start_one_run_and_then_none(named_home: Home, instance: dg.DagsterInstance) -> None:
    assert not tick(instance, None).run_requests
    Desk(with_checks(named_home), {"a": SURE, "b": SURE}).publish()
    first = tick(instance, None)
    assert len(first.run_requests or []) == 1
    assert not tick(instance, first.cursor).run_requests

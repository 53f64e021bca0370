"""The sensor that has the lists of what waits made anew: on every change of it, and on nothing else."""

from collections.abc import Callable

import dagster as dg
import pandas as pd
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData
from shop_workflow import order, run, send

from orchestration_project.dispatch.waiting_sensor import waiting_sensor, what_waits
from orchestration_project.governance import batch_orders, mending
from orchestration_project.stores import batches
from orchestration_project.stores.home import Home
from orchestration_project.stores.quarantine import Selection


@dg.asset
def waiting() -> None:
    """What the job of these tests makes."""


definitions = dg.Definitions([waiting], jobs=[dg.define_asset_job("list", "*")]).get_repository_def()
SENSOR = waiting_sensor("changed", definitions.get_job("list"))


def tick(instance: dg.DagsterInstance, cursor: str | None) -> SensorExecutionData:
    with dg.build_sensor_context(instance=instance, cursor=cursor, repository_def=definitions) as context:
        return SENSOR.evaluate_tick(context)


def rows_of(home: Home) -> list[int]:
    with home.ledger.read() as connection:
        return [row.row_id for row in Selection().find(connection)]


def refuse(home: Home, batch: str = "b1") -> None:
    send(home, f"{batch}-a,hello,1", f"{batch}-b,damn,2", f"{batch}-c,damn,2")
    assert run(home, order, batch=batch).success


def correct(home: Home) -> None:
    line = pd.DataFrame({mending.ROW: [str(rows_of(home)[0])], "note": ["dear"]}, dtype="str")
    assert mending.fix(home, line, "looked up") == 1


def halt(home: Home) -> None:
    send(home, "d,hello,1,red", columns="message_id,note,pieces,colour")
    assert not run(home, order, batch="drifted").success


def set_aside(home: Home) -> None:
    with home.ledger.write() as connection:
        batches.set_state(connection, "b1", "set_aside", "three runs failed")


CHANGES: dict[str, Callable[[Home], object]] = {
    "refused": lambda home: refuse(home, "b2"),
    "refused again": lambda home: run(home, order),
    "corrected": correct,
    "replayed": lambda home: mending.replay(home, Selection(rows=(rows_of(home)[0],)), "corrected"),
    "discarded": lambda home: mending.discard(home, Selection(rows=(rows_of(home)[0],)), "spam"),
    "halted": halt,
    "set aside": set_aside,
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_what_waits_is_another_digest(any_home: Home, change: str) -> None:
    refuse(any_home)
    before = what_waits(any_home)
    assert what_waits(any_home) == before
    CHANGES[change](any_home)
    assert what_waits(any_home) != before


def test_halt_and_its_end_are_two_changes(home: Home) -> None:
    nothing = what_waits(home)
    halt(home)
    halted = what_waits(home)
    batch_orders.discard_halt(home, "drifted", None, "sent by mistake")
    assert len({nothing, halted}) == 2
    assert what_waits(home) == nothing


def test_a_run_is_asked_for_once_for_each_change(named_home: Home, instance: dg.DagsterInstance) -> None:
    first = tick(instance, None)
    assert not first.run_requests, "nothing waits, so there is nothing to list"
    refuse(named_home)
    changed = tick(instance, first.cursor)
    assert len(changed.run_requests or ()) == 1
    assert not tick(instance, changed.cursor).run_requests


def test_what_waits_when_the_sensor_is_started_is_listed(named_home: Home, instance: dg.DagsterInstance) -> None:
    refuse(named_home)
    assert len(tick(instance, None).run_requests or ()) == 1

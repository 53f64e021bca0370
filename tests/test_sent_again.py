"""A message that was sent again, corrected: it takes the place of its refused self, and is never worked on twice."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import pandera.pandas as pa
import sqlalchemy as sa
from shop_workflow import Order, counts, open_halts, order, parcel, quarantined, read_orders, rows, run, send

from orchestration_project.model_output import governed_asset
from orchestration_project.stores.arrivals import Arrivals
from orchestration_project.stores.home import Home
from orchestration_project.stores.schema import AUDIT


def ids(home: Home, batch: str) -> list[str]:
    return rows(home, "order", batch)["message_id"].tolist()


def details(home: Home, subject: str) -> str:
    with home.ledger.read() as connection:
        return connection.execute(sa.select(AUDIT.c.detail).where(AUDIT.c.subject == subject)).scalar_one()


def test_corrected_message_takes_the_place_of_its_refused_self(home: Home):
    send(home, "a,x,1", "b,x,0")
    assert run(home, order, parcel, batch="b1").success
    send(home, "b,x,2", "a,x,3")
    assert run(home, order, parcel, batch="b2").success
    assert (ids(home, "b1"), ids(home, "b2")) == (["a"], ["b"])
    assert rows(home, "parcel", "b2")["kilograms"].tolist() == [1.0]
    assert quarantined(home) == []
    assert [message_id for message_id, _ in quarantined(home, "superseded")] == ["b"]
    assert counts(home) == {"working": 2, "duplicates": 2}
    assert '"took_over":{"b1":1}' in details(home, "order/b2")


def test_message_that_is_refused_again_waits_once(home: Home):
    send(home, "a,x,1", "b,x,0")
    assert run(home, order, batch="b1").success
    send(home, "b,x,-1")
    assert run(home, order, batch="b2").success
    assert len(quarantined(home)) == 1
    assert counts(home) == {"working": 1, "quarantined": 1, "duplicates": 1}


def test_corrected_file_takes_the_place_of_one_that_halted_and_the_halt_is_over(home: Home):
    send(home, "a,x,1,red", "b,x,1,red", columns="message_id,note,pieces,colour")
    assert not run(home, order, batch="b1").success
    assert counts(home) == {"halted": 2}
    send(home, "a,x,1", "b,x,1")
    assert run(home, order, batch="b2").success
    assert ids(home, "b2") == ["a", "b"]
    assert open_halts(home) == []
    assert counts(home) == {"working": 2, "duplicates": 2}


def test_what_is_not_sent_again_stays_halted(home: Home):
    send(home, "a,x,0", "b,x,0", "c,x,0")
    assert not run(home, order, batch="b1").success
    send(home, "a,x,1")
    assert run(home, order, batch="b2").success
    assert [halt[:2] for halt in open_halts(home)] == [("order", "b1")]
    assert counts(home) == {"working": 1, "duplicates": 1, "quarantined": 2}


def test_message_that_was_published_stays_where_it_is_though_a_later_run_is_halted(home: Home):
    send(home, "a,x,1", "b,x,1")
    assert run(home, order, batch="b1").success

    @governed_asset(contract=Order, name="order")
    def stricter(arrivals: Arrivals) -> pd.DataFrame:
        return read_orders(arrivals.rows).assign(pieces=0)

    assert not run(home, stricter, batch="b1").success
    send(home, "a,x,1", "b,x,1")
    assert run(home, order, batch="b2").success
    assert (ids(home, "b1"), ids(home, "b2")) == (["a", "b"], [])


def test_batch_that_is_mended_while_its_messages_are_sent_again_leaves_them_to_the_other(home: Home):
    meanwhile: list[Callable[[], Any]] = []

    class Watched(Order):
        @pa.dataframe_check
        def in_time(cls, frame: pd.DataFrame) -> bool:
            """nobody was quicker"""
            while meanwhile:
                meanwhile.pop()()
            return True

    @governed_asset(contract=Watched, name="order")
    def mended(arrivals: Arrivals) -> pd.DataFrame:
        return read_orders(arrivals.rows).assign(pieces=1)

    send(home, "a,x,0", "b,x,0")
    assert not run(home, order, batch="b1").success
    send(home, "a,x,5")
    meanwhile.append(lambda: run(home, order, batch="b2"))
    assert run(home, mended, batch="b1").success
    assert (ids(home, "b1"), ids(home, "b2")) == (["b"], ["a"])
    assert rows(home, "order", "b2")["pieces"].tolist() == [5]
    assert counts(home) == {"working": 2, "duplicates": 1}
    assert open_halts(home) == []

"""What people order about a whole batch: to run it again, to give it up, to close a halt that stands in its way."""

from collections.abc import Callable

import pandas as pd
import pytest
import shop_workflow
import sqlalchemy as sa
from shop_workflow import (
    Parcel,
    audited,
    counts,
    failure,
    open_halts,
    order,
    parcel,
    quarantined,
    rows,
    run,
    send,
    version,
)

from orchestration_project.core.errors import Refused, UnknownName
from orchestration_project.governance import batch_orders
from orchestration_project.governance.audit_verification import verify_in
from orchestration_project.model_output import governed_asset
from orchestration_project.stores import batches, claims, run_requests
from orchestration_project.stores.halts import record_halt
from orchestration_project.stores.home import Home
from orchestration_project.stores.schema import RUN_REQUESTS

WHY = "looked into it"


def state(home: Home, batch: str = "b1") -> tuple[str, str | None]:
    with home.ledger.read() as connection:
        found = batches.get(connection, batch)
    assert found is not None
    return found.state, found.cause


def requested(home: Home) -> list[tuple[str, str]]:
    with home.ledger.read() as connection:
        query = sa.select(RUN_REQUESTS.c.key, RUN_REQUESTS.c.state).order_by(RUN_REQUESTS.c.key)
        return [(key, found) for key, found in connection.execute(query)]


def halted(home: Home) -> None:
    """A batch `b1` that never published anything: its columns drifted."""
    send(home, "a,x,1,red", columns="message_id,note,pieces,colour")
    assert not run(home, order, parcel).success


def halted_again(home: Home) -> None:
    """A batch `b1` that was published, and is halted since another run: all its rows are refused by now."""
    send(home, "a,hello,1", "b,damn,1")
    assert run(home, order, parcel).success
    with home.ledger.write() as connection:
        halts = {"asset": "order", "partition": "b1", "run_id": "later", "reason": "All rows were refused."}
        record_halt(connection, **halts)


# Retrying


def test_batch_that_was_set_aside_is_requested_again_and_may_be_once(home: Home) -> None:
    send(home, "a,hello,1")
    assert run(home, order, parcel).success
    with home.ledger.write() as connection:
        batches.set_state(connection, "b1", "set_aside", "3 runs failed")
    assert batch_orders.retry_batch(home, "b1", WHY) == "b1/retry/1"
    assert (state(home), requested(home)) == (("working", None), [("b1/retry/1", "requested")])
    assert audited(home)[-1] == ("batch retried", "b1")
    with pytest.raises(Refused, match=r"^A run of batch b1 is requested already\. See: orchestrate status$"):
        batch_orders.retry_batch(home, "b1", WHY)


def test_second_retry_is_another_request(home: Home) -> None:
    send(home, "a,hello,1")
    run(home, order)
    for attempt in (1, 2):
        key = batch_orders.retry_batch(home, "b1", WHY)
        assert key == f"b1/retry/{attempt}"
        with home.ledger.write() as connection:
            run_requests.end(connection, key, "failed", "no luck")


def test_halted_batch_is_retried_and_one_that_is_not_halted_is_refused(home: Home) -> None:
    halted(home)
    assert batch_orders.retry_halted(home, "b1", None, WHY) == "b1/retry/1"
    with pytest.raises(Refused, match=r"^parcel of batch b1 is not halted\. See what is: orchestrate halt list$"):
        batch_orders.retry_halted(home, "b1", "parcel", WHY)


def test_unknown_batch_is_refused_with_the_nearest_key(home: Home) -> None:
    halted(home)
    orders: list[Callable[[], object]] = [
        lambda: batch_orders.retry_batch(home, "b2", WHY),
        lambda: batch_orders.discard_batch(home, "b2", WHY),
        lambda: batch_orders.retry_halted(home, "b2", None, WHY),
        lambda: batch_orders.discard_halt(home, "b2", None, WHY),
    ]
    for give in orders:
        with pytest.raises(UnknownName, match=r"^There is no batch 'b2'\. There are: b1\.$"):
            give()


# Discarding a batch


def test_discarded_batch_is_withdrawn_and_runs_no_more(home: Home) -> None:
    send(home, "a,hello,1", "b,damn,1")
    assert run(home, order, parcel).success
    batch_orders.discard_batch(home, "b1", "it was a test")
    assert state(home) == ("discarded", "it was a test")
    assert (version(home, "order"), version(home, "parcel")) == (None, None)
    assert quarantined(home) == []
    assert counts(home) == {"discarded": 2}
    again = run(home, order, parcel)
    assert not again.success
    assert "Batch b1 was discarded: it was a test. Send its messages again." in failure(again, "order")
    assert "Batch b1 was discarded" in failure(run(home, parcel), "parcel")


def test_messages_of_a_discarded_batch_may_be_sent_anew(home: Home) -> None:
    send(home, "a,hello,1")
    assert run(home, order).success
    batch_orders.discard_batch(home, "b1", WHY)
    send(home, "a,hello,1")
    assert run(home, order, batch="b2").success
    assert rows(home, "order", "b2")["message_id"].tolist() == ["a"]
    with home.ledger.read() as connection:
        assert claims.batch_of(connection, "a") == "b2"


def test_batch_that_is_only_requested_is_called_off_and_one_at_work_is_not_discarded(home: Home) -> None:
    send(home, "a,hello,1")
    run(home, order)
    key = batch_orders.retry_batch(home, "b1", WHY)
    with home.ledger.write() as connection:
        run_requests.begin(connection, key=key, batch="b1", run_id="run-7", silent_seconds=60)
    with pytest.raises(
        Refused, match=r"^Run run-7 works on batch b1\. Stop it in Dagster's UI, or wait for its end\.$"
    ):
        batch_orders.discard_batch(home, "b1", WHY)
    with home.ledger.write() as connection:
        run_requests.end(connection, key, "failed", run_id="run-7")
    batch_orders.retry_batch(home, "b1", WHY)
    batch_orders.discard_batch(home, "b1", WHY)
    assert requested(home) == [("b1/retry/1", "failed"), ("b1/retry/2", "stopped")]


def test_discarded_batch_is_neither_retried_nor_discarded_again(home: Home) -> None:
    halted(home)
    batch_orders.discard_batch(home, "b1", "no use")
    assert open_halts(home) == []
    for give in (batch_orders.retry_batch, batch_orders.discard_batch):
        with pytest.raises(Refused, match=r"^Batch b1 was discarded: no use\. Send its messages again\.$"):
            give(home, "b1", WHY)


# Discarding a halt


def test_halt_of_a_batch_without_a_good_version_is_discarded_with_the_batch(home: Home) -> None:
    halted(home)
    assert batch_orders.discard_halt(home, "b1", None, "a column nobody needs")
    assert open_halts(home) == []
    assert state(home) == ("discarded", "a column nobody needs")
    assert audited(home)[-1] == ("halt discarded", "order/b1")


def test_halt_behind_a_good_version_is_closed_and_that_version_counts_again(home: Home) -> None:
    halted_again(home)
    assert not run(home, parcel).success
    assert not batch_orders.discard_halt(home, "b1", "order", WHY)
    assert run(home, parcel).success
    assert rows(home, "order")["message_id"].tolist() == ["a"]
    assert state(home)[0] == "set_aside", "nothing says that all was made of it"


def test_of_several_halts_one_has_to_be_named(home: Home) -> None:
    halted_again(home)
    with home.ledger.write() as connection:
        record_halt(connection, asset="parcel", partition="b1", run_id="later", reason="Too heavy.")
    with pytest.raises(Refused, match=r"^Batch b1 is halted at order, parcel\. Say which: --asset NAME$"):
        batch_orders.discard_halt(home, "b1", None, WHY)
    batch_orders.discard_halt(home, "b1", "parcel", WHY)
    assert [asset for asset, _, _ in open_halts(home)] == ["order"]


# What stands behind a halt that is discarded


def halt_of(home: Home, asset: str, reason: str = "Too heavy.") -> None:
    with home.ledger.write() as connection:
        record_halt(connection, asset=asset, partition="b1", run_id="later", reason=reason)


def done(home: Home) -> None:
    with home.ledger.write() as connection:
        batches.set_state(connection, "b1", "done")


def made_again_with_a_halt_below(home: Home) -> None:
    """Orders have a second version; parcels stand at the one of the first, behind a halt."""
    assert run(home, order, parcel).success
    done(home)
    assert batch_orders.retry_batch(home, "b1", WHY)
    assert run(home, order).success
    halt_of(home, "parcel")


def test_input_goes_back_to_the_version_that_what_stands_was_computed_from(home: Home) -> None:
    send(home, "a,hello,1", "b,damn,1")
    made_again_with_a_halt_below(home)
    batch_orders.discard_halt(home, "b1", "parcel", WHY)
    found = [version(home, name) for name in ("order", "parcel")]
    assert [one and one.version for one in found] == [1, 1]
    assert (open_halts(home), state(home)) == ([], ("done", None))
    contradictions: list[str] = []
    with home.ledger.read() as connection:
        verify_in(connection, home, contradictions.append, [])
    assert contradictions == []
    assert run(home, order, parcel).success
    found = [version(home, name) for name in ("order", "parcel")]
    assert [(one and one.version, one and dict(one.inputs)) for one in found] == [(3, {}), (2, {"order": 3})]


def test_quarantine_goes_back_with_its_version(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    send(home, "a,hello,1", "b,damn,1", "c,dear,1")
    assert run(home, order, parcel).success
    monkeypatch.setattr(shop_workflow, "impolite", ["hello"])
    assert run(home, order).success
    assert quarantined(home) == [("a", "note_polite")]
    halt_of(home, "parcel")
    batch_orders.discard_halt(home, "b1", "parcel", WHY)
    assert rows(home, "order")["message_id"].tolist() == ["a", "c"]
    assert quarantined(home) == [("b", "note_polite")]
    assert state(home) == ("set_aside", "the halt of parcel was discarded before everything was made of the batch")


def test_version_with_a_message_that_left_is_not_used_again(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    send(home, "a,hello,1", "b,dear,1")
    assert run(home, order, parcel).success
    monkeypatch.setattr(shop_workflow, "impolite", ["hello"])
    assert run(home, order).success
    with home.ledger.write() as connection:
        claims.move(connection, ["a"], "b1", "b7")
    halt_of(home, "parcel")
    with pytest.raises(
        Refused, match=r"^Version 1 of order of batch b1 would be in use again, and 1 of its messages left"
    ):
        batch_orders.discard_halt(home, "b1", "parcel", WHY)
    assert [asset for asset, _, _ in open_halts(home)] == ["parcel"]
    assert rows(home, "order")["message_id"].tolist() == ["b"]


def test_what_is_computed_from_two_versions_of_one_asset_is_refused(home: Home) -> None:
    @governed_asset(contract=Parcel)
    def label(order: pd.DataFrame, parcel: pd.DataFrame) -> pd.DataFrame:
        """What stands on a parcel."""
        return parcel

    send(home, "a,hello,1")
    assert run(home, order, parcel, label).success
    assert run(home, order).success
    refused = run(home, label)
    assert not refused.success
    told = "parcel of batch b1 was computed from version 1 of order, which is at version 2. Materialise parcel again"
    assert told in failure(refused, "label")
    assert run(home, parcel, label).success

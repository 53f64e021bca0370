"""The asset `open_halts`: what is halted or set aside, why, and the command by which it goes on."""

from shop_workflow import order, parcel, rows, run, send

from assets.operations.open_halts import open_halts
from orchestration_project.stores import batches, halts
from orchestration_project.stores.home import Home
from orchestration_project.stores.manifest import UNPARTITIONED
from orchestration_project.stores.measurements import UNLIKE


def halt(home: Home, asset: str, partition: str, reason: str) -> None:
    with home.ledger.write() as connection:
        halts.record_halt(connection, asset=asset, partition=partition, run_id="r", reason=reason)


def test_halts_and_batches_set_aside_are_listed_with_the_way_on(home: Home) -> None:
    send(home, "a,hello,1,red", columns="message_id,note,pieces,colour")
    assert not run(home, order).success
    send(home, "b,hello,1")
    assert run(home, order, parcel, batch="b2").success
    with home.ledger.write() as connection:
        batches.set_state(connection, "b2", "set_aside", "3 runs failed; the last: parcel: ValueError")
    halt(home, "mood", "b3", f"{UNLIKE}: label tilted.")
    halt(home, "handbook", UNPARTITIONED, "All 2 rows were refused.")
    result = run(home, open_halts, batch=None)
    assert result.success
    found = rows(home, "open_halts", UNPARTITIONED).astype("object")
    found = found.where(found.notna(), None)
    assert found[["kind", "asset", "batch", "what_to_do"]].values.tolist() == [
        ["halted", "order", "b1", "Mend the cause; orchestrate halt retry b1 --reason TEXT"],
        ["halted", "mood", "b3", "orchestrate halt pass b3 --reason TEXT"],
        ["halted", "handbook", None, "Mend the cause, and materialise handbook again"],
        ["set aside", None, "b2", "Mend the cause; orchestrate batch retry b2 --reason TEXT"],
    ]
    assert found["reason"][0] == "The columns drifted: unknown column 'colour'."
    (event,) = result.get_asset_materialization_events()
    metadata = event.step_materialization_data.materialization.metadata
    assert (metadata["halted"].value, metadata["set aside"].value) == (3, 1)
    assert "| set aside |  | b2 | 3 runs failed" in str(metadata["what waits"].value)


def test_nothing_that_waits_is_an_empty_table(home: Home) -> None:
    send(home, "b,hello,1")
    assert run(home, order).success
    assert run(home, open_halts, batch=None).success
    assert rows(home, "open_halts", UNPARTITIONED).empty

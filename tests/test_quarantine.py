"""Rows that gates refused: which wait, which were superseded by a later run, on both databases."""

from typing import Any

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestration_project.stores import quarantine
from orchestration_project.stores.ledger import Ledger, insert_new
from orchestration_project.stores.quarantine import RefusedRow
from orchestration_project.stores.schema import CLAIMS, QUARANTINE


def refuse(
    ledger: Ledger, *ids: str | None, asset: str = "feedback", partition: str = "b1", run_id: str = "r1"
) -> None:
    rows = [RefusedRow(message_id, position, "text_not_blank") for position, message_id in enumerate(ids)]
    with ledger.write() as connection:
        insert_new(connection, CLAIMS, [{"message_id": found, "batch": partition} for found in {*ids} if found])
        quarantine.replace_refused(
            connection, asset=asset, partition=partition, run_id=run_id, path=f"{run_id}.parquet", rows=rows
        )


def waiting(ledger: Ledger) -> dict[str, int]:
    with ledger.read() as connection:
        return quarantine.refused_messages(connection)


def refusals(ledger: Ledger, message_id: str) -> list[tuple[str, str, str]]:
    with ledger.read() as connection:
        return quarantine.refusals_of(connection, message_id)


def recorded(ledger: Ledger, *columns: str) -> list[tuple[Any, ...]]:
    query = sa.select(*(QUARANTINE.c[name] for name in columns)).order_by(QUARANTINE.c.row_id)
    with ledger.read() as connection:
        return [tuple(row) for row in connection.execute(query)]


def test_refused_row_leads_to_its_raw_row_and_says_why(ledger: Ledger) -> None:
    refuse(ledger, "m1", "m2")
    columns = ("asset", "partition", "run_id", "message_id", "path", "position", "reason", "state")
    assert recorded(ledger, *columns) == [
        ("feedback", "b1", "r1", "m1", "r1.parquet", 0, "text_not_blank", "open"),
        ("feedback", "b1", "r1", "m2", "r1.parquet", 1, "text_not_blank", "open"),
    ]


def test_later_run_of_the_same_asset_and_batch_supersedes_what_waits(ledger: Ledger) -> None:
    refuse(ledger, "m1", "m2", run_id="r1")
    refuse(ledger, "m2", run_id="r2")
    assert waiting(ledger) == {"b1": 1}
    assert recorded(ledger, "message_id", "run_id", "state") == [
        ("m1", "r1", "superseded"),
        ("m2", "r1", "superseded"),
        ("m2", "r2", "open"),
    ]


def test_run_that_refuses_nothing_empties_the_quarantine_of_its_asset_and_batch_alone(ledger: Ledger) -> None:
    refuse(ledger, "m1")
    refuse(ledger, "m2", asset="issue")
    refuse(ledger, "m3", partition="b2")
    refuse(ledger)
    assert waiting(ledger) == {"b1": 1, "b2": 1}
    assert recorded(ledger, "message_id", "state") == [("m1", "superseded"), ("m2", "open"), ("m3", "open")]


def test_message_that_several_assets_refused_waits_once_and_tells_each_refusal(ledger: Ledger) -> None:
    refuse(ledger, "m1", "m2", asset="sentiment")
    refuse(ledger, "m1", asset="issue")
    assert waiting(ledger) == {"b1": 2}
    assert refusals(ledger, "m1") == [("sentiment", "b1", "text_not_blank"), ("issue", "b1", "text_not_blank")]
    assert refusals(ledger, "m2") == [("sentiment", "b1", "text_not_blank")]


def test_superseded_and_unknown_messages_have_no_refusal(ledger: Ledger) -> None:
    refuse(ledger, "m1")
    refuse(ledger)
    assert refusals(ledger, "m1") == []
    assert refusals(ledger, "m9") == []
    assert waiting(ledger) == {}


def test_row_of_an_asset_without_messages_is_kept_and_is_no_message(ledger: Ledger) -> None:
    refuse(ledger, None, None, asset="summary")
    assert len(recorded(ledger, "row_id")) == 2
    assert sum(waiting(ledger).values()) == 0


runs = st.lists(
    st.tuples(
        st.sampled_from(["feedback", "issue"]),
        st.sampled_from(["b1", "b2"]),
        st.lists(st.sampled_from(["m1", "m2", "m3"]), unique=True),
    ),
    max_size=8,
)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(runs)
def test_what_waits_is_what_the_last_run_of_each_asset_and_batch_refused(
    ledger: Ledger, found: list[tuple[str, str, list[str]]]
) -> None:
    with ledger.write() as connection:
        connection.execute(sa.delete(QUARANTINE))
    last: dict[tuple[str, str], list[str]] = {}
    for number, (asset, partition, names) in enumerate(found):
        ids = [f"{partition}/{name}" for name in names]
        refuse(ledger, *ids, asset=asset, partition=partition, run_id=f"r{number}")
        last[asset, partition] = ids
    messages = {batch: {m for (_, of), ids in last.items() if of == batch for m in ids} for batch in ("b1", "b2")}
    assert waiting(ledger) == {batch: len(ids) for batch, ids in messages.items() if ids}
    assert len(recorded(ledger, "row_id")) == sum(len(ids) for _, _, ids in found), "nothing is ever removed"


def test_rows_about_messages_of_other_batches_are_not_counted_as_its_own(ledger: Ledger) -> None:
    refuse(ledger, "m1", partition="b1", asset="other")
    refuse(ledger, "m1", "m2", partition="b2", asset="alike")
    assert waiting(ledger) == {"b1": 1, "b2": 1}
    assert len(refusals(ledger, "m1")) == 2

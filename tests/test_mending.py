"""What people do about refused rows: they set values right, replay rows in a batch of their own, or discard them."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pytest
import shop_workflow
import sqlalchemy as sa
from conftest import new_home
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shop_workflow import (
    Row,
    audited,
    counts,
    open_halts,
    order,
    parcel,
    quarantined,
    rows,
    run,
    send,
    send_lines,
    version,
)

from orchestration_project.core.errors import Refused, UnknownName
from orchestration_project.governance import batch_orders, mending
from orchestration_project.governance.mending import ROW
from orchestration_project.stores import batches, claims, manifest
from orchestration_project.stores.halts import record_halt
from orchestration_project.stores.home import Home
from orchestration_project.stores.quarantine import QuarantinedRow, Selection
from orchestration_project.stores.schema import ARRIVALS, AUDIT, QUARANTINE, RUN_REQUESTS

EVERYTHING = Selection()


def found(home: Home, state: str | None = "open") -> list[QuarantinedRow]:
    with home.ledger.read() as connection:
        return EVERYTHING.find(connection, state)


def fix(home: Home, *corrections: Row) -> int:
    return mending.fix(home, pd.DataFrame(list(corrections), dtype="str"), "read it again")


def replay(home: Home, selection: Selection = EVERYTHING) -> list[str]:
    return mending.replay(home, selection, "set right")


def holder(home: Home, message_id: str) -> str | None:
    with home.ledger.read() as connection:
        return claims.batch_of(connection, message_id)


def last_detail(home: Home, action: str) -> dict[str, Any]:
    """What the audit log keeps of the last action of a kind."""
    query = sa.select(AUDIT.c.detail).where(AUDIT.c.action == action).order_by(AUDIT.c.sequence.desc()).limit(1)
    with home.ledger.read() as connection:
        return json.loads(connection.execute(query).scalar_one())


def requested(home: Home) -> list[str]:
    with home.ledger.read() as connection:
        return sorted(connection.execute(sa.select(RUN_REQUESTS.c.key)).scalars())


def refuse_one(home: Home) -> QuarantinedRow:
    """A batch `b1` of which one order of two is refused, without a number of pieces."""
    send(home, "a,hello,1", "b,damn,2")
    assert run(home, order, parcel).success
    (row,) = found(home)
    return row


# What is known of a refused row


def test_refused_row_knows_file_line_and_contract(home: Home) -> None:
    row = refuse_one(home)
    assert (row.file, row.line, row.reason, row.state) == ("orders.csv", 3, "note_polite", "open")
    assert len(row.contract) == 12
    assert mending.raw_rows(home, [row]) == {row.row_id: {"message_id": "b", "note": "damn", "pieces": "2"}}


def test_selection_finds_by_number_asset_batch_and_rule(home: Home) -> None:
    send_lines(home, ['{"message_id": "a", "pieces": 1}', '{"message_id": "b", "note": "damn", "pieces": 1}', "{"])
    run(home, order)
    with home.ledger.read() as connection:
        polite = Selection(rule="note_polite", batch="b1", asset="order").find(connection)
        unread = Selection(rule="unparsable").find(connection)
        assert Selection(rule="note_polite", batch="b2").find(connection) == []
        with pytest.raises(UnknownName, match=r"^No refused row of batch b1 has the number 99\. See: orchestrate"):
            Selection(rows=(polite[0].row_id, 99), batch="b1").find(connection)
    assert [row.message_id for row in polite] == ["b"]
    assert [(row.line, row.reason.partition(":")[0]) for row in unread] == [(3, "unparsable")]


# Correcting


def test_corrected_row_goes_through_and_its_batch_keeps_the_rest(home: Home) -> None:
    row = refuse_one(home)
    assert fix(home, {ROW: str(row.row_id), "note": "dear"}) == 1
    (successor,) = replay(home)
    assert holder(home, "b") == successor
    assert run(home, order, parcel, batch=successor).success
    assert rows(home, "order", successor).to_dict("records") == [{"message_id": "b", "note": "dear", "pieces": 2}]
    assert rows(home, "order", "b1")["message_id"].tolist() == ["a"]
    assert counts(home) == {"working": 2}
    assert [action for action, _ in audited(home)][2:4] == ["rows corrected", "rows replayed"]


def test_export_is_corrected_and_read_back_and_what_is_as_it_came_is_no_correction(home: Home) -> None:
    send(home, "a,hello,0", "b,damn,2", "c,fine,1")
    run(home, order)
    table = mending.export(home, EVERYTHING)
    assert table.columns.tolist() == [
        ROW,
        mending.REASON,
        mending.SOURCE,
        mending.UNREAD,
        "message_id",
        "note",
        "pieces",
    ]
    assert table[mending.SOURCE].tolist() == ["orders.csv, line 2", "orders.csv, line 3"]
    assert mending.fix(home, table, "looked through") == 0
    table.loc[0, "pieces"] = "4"
    assert mending.fix(home, table, "counted again") == 1
    assert [row.correction for row in found(home)] == [{"pieces": "4"}, None]
    assert mending.export(home, EVERYTHING)["pieces"].tolist() == ["4", "2"]


def test_audit_names_rows_and_columns_and_no_value(home: Home) -> None:
    row = refuse_one(home)
    fix(home, {ROW: str(row.row_id), "note": "a secret"})
    assert last_detail(home, "rows corrected") == {
        "rows": [row.row_id],
        "reason": "read it again",
        "partition": "b1",
        "columns": ["note"],
    }


def test_correction_survives_another_run_of_the_batch(home: Home) -> None:
    row = refuse_one(home)
    fix(home, {ROW: str(row.row_id), "note": "dear"})
    assert run(home, order, parcel).success
    (again,) = found(home)
    assert (again.row_id != row.row_id, again.correction) == (True, {"note": "dear"})


def test_value_in_the_wrong_column_is_moved_for_all_rows_that_have_it(home: Home) -> None:
    send_lines(
        home,
        ['{"message_id": "a", "pieces": 1, "note": null}']
        + [
            f'{{"message_id": "{name}", "pieces": 0, "note": "{number}"}}' for number, name in enumerate("bcd", start=4)
        ],
    )
    run(home, order)
    assert mending.rename(home, EVERYTHING, "note", "pieces", "columns were swapped") == 3
    (successor,) = replay(home)
    assert run(home, order, batch=successor).success
    assert rows(home, "order", successor)["pieces"].tolist() == [4, 5, 6]
    with pytest.raises(Refused, match="No open row is meant by that"):
        mending.rename(home, EVERYTHING, "note", "pieces", "again")


def test_column_that_no_row_has_is_no_rename(home: Home) -> None:
    refuse_one(home)
    with pytest.raises(
        Refused, match=r"None of the rows has a value in column 'nte'\. They have: message_id, note, pie"
    ):
        mending.rename(home, EVERYTHING, "nte", "note", "typo")


@pytest.mark.parametrize(
    ("corrections", "error", "words"),
    [
        ({"note": "dear"}, Refused, r"^The corrections have no column 'quarantine row'\. Begin with: orchestrate quar"),
        ({ROW: "x", "note": "dear"}, Refused, r"^'x' is no number of a refused row\."),
        ({ROW: "99", "note": "dear"}, UnknownName, r"^No refused row has the number 99\."),
    ],
)
def test_corrections_that_fit_no_row_are_refused(
    home: Home, corrections: Row, error: type[Exception], words: str
) -> None:
    refuse_one(home)
    with pytest.raises(error, match=words):
        fix(home, corrections)
    assert [row.correction for row in found(home)] == [None]


def test_value_that_is_not_of_its_columns_type_is_refused_when_it_is_replayed_and_nothing_is_left(home: Home) -> None:
    send_lines(home, ['{"message_id": "a", "pieces": 0, "note": ""}', '{"message_id": "b", "pieces": 1}'])
    run(home, order)
    (row,) = found(home)
    before = sorted(home.staged.iterdir())
    fix(home, {ROW: str(row.row_id), "pieces": "two"})
    with pytest.raises(
        Refused, match=rf"^Row {row.row_id} is corrected in column 'pieces' to 'two', which is no int64"
    ):
        replay(home)
    assert sorted(home.staged.iterdir()) == before
    assert counts(home) == {"working": 1, "quarantined": 1}
    fix(home, {ROW: str(row.row_id), "pieces": "2"})
    assert len(replay(home)) == 1


# Replaying


def test_replayed_row_is_no_duplicate_of_itself_and_its_old_batch_takes_it_in_no_more(home: Home) -> None:
    row = refuse_one(home)
    (successor,) = replay(home)
    assert counts(home) == {"working": 2}, "one row in each batch"
    assert run(home, order, batch=successor).success
    assert run(home, order, parcel).success
    assert rows(home, "order", "b1")["message_id"].tolist() == ["a"]
    assert counts(home) == {"working": 1, "quarantined": 1}
    (again,) = found(home)
    assert (again.partition, again.file, again.line) == (successor, row.file, row.line), (
        "it remembers where it came from"
    )
    ((replayed,), origin) = found(home, "replayed"), again
    assert (replayed.row_id, replayed.successor) == (row.row_id, origin.partition)


def test_replay_is_requested_with_the_batch(home: Home) -> None:
    refuse_one(home)
    (successor,) = replay(home)
    with home.ledger.read() as connection:
        keys = list(connection.execute(sa.select(RUN_REQUESTS.c.key)).scalars())
        assert batches.get(connection, successor) == batches.Batch(successor, 1, 0, "working", None)
    assert keys == [f"{successor}/replay/1"]


def test_line_that_could_not_be_read_needs_its_columns(home: Home) -> None:
    send_lines(home, ['{"message_id": "a", "pieces": 1, "note": ""}', '{"message_id": "b", "pieces": '])
    run(home, order)
    (row,) = found(home)
    assert mending.unread_text(home, row) == '{"message_id": "b", "pieces": '
    with pytest.raises(
        Refused, match=rf"^Row {row.row_id} \(line 2 of orders\.jsonl\) could not be read: .*Give its col"
    ):
        replay(home)
    fix(home, {ROW: str(row.row_id), "message_id": "b", "note": "", "pieces": "3"})
    (successor,) = replay(home)
    assert run(home, order, batch=successor).success
    assert rows(home, "order", successor)[["message_id", "pieces"]].values.tolist() == [["b", 3]]
    assert holder(home, "b") == successor
    assert holder(home, row.message_id or "") is None, "the id that was made for the line is given up"
    assert counts(home) == {"working": 2}


def test_corrected_id_counts_and_the_old_one_is_given_up(home: Home) -> None:
    row = refuse_one(home)
    fix(home, {ROW: str(row.row_id), "message_id": "B", "note": "dear"})
    (successor,) = replay(home)
    assert run(home, order, batch=successor).success
    assert (holder(home, "b"), holder(home, "B")) == (None, successor)


def test_corrected_id_of_a_known_message_is_a_duplicate(home: Home) -> None:
    row = refuse_one(home)
    fix(home, {ROW: str(row.row_id), "message_id": "a", "note": "dear"})
    (successor,) = replay(home)
    assert run(home, order, batch=successor).success
    assert rows(home, "order", successor).empty
    assert counts(home) == {"working": 1, "duplicates": 1}


def test_rows_of_several_files_and_batches_stay_with_their_own(home: Home) -> None:
    for batch, lines in (("b1", ["a,x,1", "b,damn,2", "c,damn,3"]), ("b2", ["d,damn,4", "e,x,5"])):
        send(home, *lines)
        run(home, order, batch=batch)
    first, second = replay(home)
    with home.ledger.read() as connection:
        assert [batches.get(connection, batch).rows for batch in (first, second)] == [2, 1]  # type: ignore[union-attr]
        query = sa.select(ARRIVALS.c.file_sha256, ARRIVALS.c.batch).where(ARRIVALS.c.batch.in_([first, second]))
        assert len(set(connection.execute(query).all())) == 2
    assert counts(home) == {"working": 5}


def test_batch_of_which_every_row_is_replayed_is_done_and_its_halt_is_over(home: Home) -> None:
    send(home, "a,damn,1", "b,damn,2")
    assert not run(home, order).success
    assert counts(home) == {"quarantined": 2}
    (successor,) = replay(home)
    assert open_halts(home) == []
    with home.ledger.read() as connection:
        assert batches.get(connection, "b1").state == "done"  # type: ignore[union-attr]
    assert counts(home) == {"working": 2}
    assert holder(home, "a") == successor


def test_good_rows_of_a_halted_batch_go_on_when_the_refused_ones_are_replayed(home: Home) -> None:
    send(home, *(f"m{number},{'damn' if number < 30 else 'dear'},1" for number in range(100)))
    assert not run(home, order).success
    assert counts(home) == {"quarantined": 30, "halted": 70}
    replay(home)
    assert run(home, order).success
    assert len(rows(home, "order", "b1")) == 70
    assert open_halts(home) == []


def test_row_that_an_asset_computed_is_not_replayed(home: Home) -> None:
    refuse_one(home)
    with home.ledger.write() as connection:
        connection.execute(sa.update(QUARANTINE).values(asset="parcel", file=None))
    with pytest.raises(
        Refused, match=r"was computed by parcel .* and run its batch again: orchestrate batch retry b1\.$"
    ):
        replay(home)


@pytest.mark.parametrize("again", ["replay", "discard", "fix"])
def test_settled_row_is_not_settled_twice(home: Home, again: str) -> None:
    row = refuse_one(home)
    (successor,) = replay(home)
    chosen = Selection(rows=(row.row_id,))
    orders = {
        "replay": lambda: replay(home, chosen),
        "discard": lambda: mending.discard(home, chosen, "twice"),
        "fix": lambda: fix(home, {ROW: str(row.row_id), "note": "late"}),
    }
    with pytest.raises(Refused, match=rf"^Row {row.row_id} is replayed in batch {successor} and waits no more\."):
        orders[again]()


# Discarding


def test_discarded_row_is_counted_so_and_its_message_may_be_sent_anew(home: Home) -> None:
    refuse_one(home)
    assert mending.discard(home, EVERYTHING, "spam") == 1
    assert counts(home) == {"working": 1, "discarded": 1}
    assert run(home, order, parcel).success
    assert counts(home) == {"working": 1, "discarded": 1}, "another run takes it in no more"
    send(home, "b,dear,2")
    assert run(home, order, batch="b2").success
    assert rows(home, "order", "b2")["message_id"].tolist() == ["b"]
    assert counts(home) == {"working": 2, "discarded": 1}
    assert ("rows discarded", "order/b1") in audited(home)


def test_discarded_row_of_a_computed_asset_stays_discarded_when_it_is_refused_again(home: Home) -> None:
    refuse_one(home)
    with home.ledger.write() as connection:
        connection.execute(sa.update(QUARANTINE).values(file=None))
    mending.discard(home, EVERYTHING, "known")
    run(home, order)
    assert quarantined(home) == []
    assert holder(home, "b") == "b1", "its message was taken in, and stays so"


# Behind a halt


@pytest.fixture(autouse=True)
def polite() -> Iterator[None]:
    """Whatever the shop was told in a test, the next begins as it is."""
    words = shop_workflow.impolite
    yield
    words[:] = ["damn"]


@pytest.fixture
def halted_behind(home: Home, monkeypatch: pytest.MonkeyPatch) -> QuarantinedRow:
    """A batch `b1` of which three orders were published and then all refused, by a shop that became stricter; the row of
    order `a`.
    """
    send(home, "a,hello you,1", "b,hello,2", "c,hello,3")
    assert run(home, order, parcel).success
    monkeypatch.setattr(shop_workflow, "impolite", ["damn", "hello"])
    assert not run(home, order, parcel).success
    assert counts(home) == {"quarantined": 3}
    return found(home)[0]


def test_row_that_is_replayed_leaves_the_version_that_stands_behind_a_halt(
    home: Home, halted_behind: QuarantinedRow
) -> None:
    fix(home, {ROW: str(halted_behind.row_id), "note": "dear"})
    (successor,) = replay(home, Selection(rows=(halted_behind.row_id,)))
    assert (version(home, "order"), version(home, "parcel")) == (None, None)
    assert last_detail(home, "rows replayed")["withdrawn"] == ["order", "parcel"]
    assert requested(home) == [f"{successor}/replay/1", "b1/rest/1"]
    assert run(home, order, parcel, batch=successor).success
    shop_workflow.impolite.remove("hello")
    assert run(home, order, parcel).success
    assert [rows(home, "order", batch)["message_id"].tolist() for batch in ("b1", successor)] == [["b", "c"], ["a"]]
    last = version(home, "order")
    assert (last and last.version, open_halts(home)) == (2, [])


def test_row_that_is_discarded_leaves_it_too_and_so_does_one_that_is_sent_again(
    home: Home, halted_behind: QuarantinedRow
) -> None:
    mending.discard(home, Selection(rows=(halted_behind.row_id,)), "spam")
    assert (version(home, "order"), last_detail(home, "rows discarded")["withdrawn"]) == (None, ["order", "parcel"])
    send(home, "a,dear,1")
    assert run(home, order, batch="b2").success
    shop_workflow.impolite.remove("hello")
    assert run(home, order, parcel).success
    shop_workflow.impolite.append("hello")
    run(home, order)
    assert open_halts(home)[0][:2] == ("order", "b1")
    send(home, "b,dear,1")
    assert run(home, order, batch="b3").success
    assert rows(home, "order", "b3").empty, "what stands behind a halt is published, and the message known"
    assert rows(home, "order")["message_id"].tolist() == ["b", "c"]


def test_batch_that_every_message_leaves_is_over(home: Home, halted_behind: QuarantinedRow) -> None:
    (successor,) = replay(home)
    assert requested(home) == [f"{successor}/replay/1"]
    assert (version(home, "order"), open_halts(home), counts(home)) == (None, [], {"working": 3})


def test_message_that_is_sent_again_leaves_what_was_computed_from_an_earlier_version(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(home, "a,hello,1", "b,dear,2")
    assert run(home, order, parcel).success
    with home.ledger.write() as connection:
        record_halt(connection, asset="parcel", partition="b1", run_id="later", reason="Too heavy.")
    monkeypatch.setattr(shop_workflow, "impolite", ["hello"])
    assert run(home, order).success
    send(home, "a,dear,1")
    assert run(home, order, parcel, batch="b2").success
    assert rows(home, "parcel", "b2")["message_id"].tolist() == ["a"]
    assert (version(home, "parcel"), rows(home, "order")["message_id"].tolist()) == (None, ["b"])
    assert last_detail(home, "messages taken over") == {"partition": "b1", "withdrawn": ["parcel"], "successor": "b2"}
    assert requested(home) == ["b1/rest/1"]


def test_computed_row_is_not_discarded_while_a_version_in_use_has_it(home: Home, halted_behind: QuarantinedRow) -> None:
    with home.ledger.write() as connection:
        connection.execute(sa.update(QUARANTINE).values(file=None))
    with pytest.raises(
        Refused, match=rf"^order of batch b1 refuses row {halted_behind.row_id} by now, and has it in version 1, which"
    ):
        mending.discard(home, EVERYTHING, "spam")
    assert len(found(home)) == 3


# Nothing is lost and nothing leaves twice


STEPS = ["send", "run", "fix", "replay", "discard", "rerun", "stricter", "laxer", "discard halt"]
BEGINNINGS = [["send", "run"], ["send", "run", "stricter", "rerun"]]
"""The second has a halt before a version that stands, more often than not."""

steps = st.builds(list.__add__, st.sampled_from(BEGINNINGS), st.lists(st.sampled_from(STEPS), min_size=3, max_size=12))


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps, st.randoms(use_true_random=False))
def test_whatever_is_done_every_row_is_in_one_state_and_no_message_is_published_twice(
    made_ledger: Path,
    story: list[str],
    random: "st.random.Random",  # pyright: ignore  # Hypothesis' own
) -> None:
    shop_workflow.impolite[:] = ["damn"]
    with TemporaryDirectory() as folder, new_home(Path(folder), made_ledger) as home:
        sent = 0
        for number, step in enumerate(story):
            sent += take(home, step, random, f"own-{number}")
            assert_each_is_in_one_place(home, sent, step)


def take(home: Home, step: str, random: "st.random.Random", new_batch: str) -> int:  # pyright: ignore  # as above
    """One step of a story; returns how many rows it sent."""
    open_rows = found(home)
    chosen = random.sample(open_rows, random.randint(1, len(open_rows))) if open_rows else []
    selection = Selection(rows=tuple(row.row_id for row in chosen))
    halts = open_halts(home)
    if step == "send":
        words = ["dear", "hello", "hello", "hello", "damn"]
        lines = [f"m{random.randint(0, 30)},{random.choice(words)},1" for _ in range(3)]
        send(home, *lines)
        return len(lines)
    if step in ("run", "rerun"):
        with home.ledger.read() as connection:
            keys = batches.all_keys(connection)
            waits = batches.count_states(connection)["waiting"]
        again = keys and (step == "rerun" or not waits)
        run(home, order, parcel, batch=random.choice(keys) if again else new_batch)
    elif step in ("stricter", "laxer"):
        shop_workflow.impolite[:] = ["damn", "hello"] if step == "stricter" else ["damn"]
    elif step == "discard halt" and halts:
        asset, batch, _ = random.choice(halts)
        with suppress(Refused):  # a message of an earlier version left its batch
            batch_orders.discard_halt(home, batch, asset, "enough")
    elif step == "fix" and chosen:
        fix(home, *({ROW: str(row.row_id), "note": "sorry"} for row in chosen))
    elif step == "replay" and chosen:
        replay(home, selection)
    elif step == "discard" and chosen:
        mending.discard(home, selection, "enough")
    return 0


def assert_each_is_in_one_place(home: Home, sent: int, step: str) -> None:
    """Every row is in one state, no message is in use twice, and each that a batch holds is in use or waits there."""
    with home.ledger.read() as connection:
        states = batches.count_states(connection)
        versions = manifest.all_current(connection)
        waits = {(row.partition, row.message_id) for row in EVERYTHING.find(connection)}
        claimed = {batch: claims.held_by(connection, batch) for batch in batches.all_keys(connection)}
    assert sum(states.values()) == sent, (step, states)
    assert min(states.values()) >= 0, (step, states)
    ids = {(version.asset, version.partition): home.warehouse.message_ids(version.path) for version in versions}
    published = Counter((asset, name) for (asset, _), names in ids.items() for name in names)
    assert not [name for name, times in published.items() if times > 1], step
    halted = {batch for _, batch, _ in open_halts(home)}
    for (asset, batch), names in ids.items():
        if asset == "order" and batch not in halted:
            refused = {name for other, name in waits if other == batch}
            assert not names & refused, step
            assert names | refused == claimed[batch], step

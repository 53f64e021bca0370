"""Where a message came in: file, line and batch of each place, and what became of it there."""

from typing import Any

import pandas as pd
import pytest
from shop_workflow import Order, order, read_orders, run, send, send_lines

from orchestration_project.governance import batch_orders, mending
from orchestration_project.model_output import governed_asset
from orchestration_project.stores import arrivals, batches, claims, origins
from orchestration_project.stores.arrivals import Arrivals
from orchestration_project.stores.home import Home
from orchestration_project.stores.origins import Place, Places, places_of
from orchestration_project.stores.quarantine import Selection
from orchestration_project.stores.story import story_of


def places(home: Home, message_id: str) -> list[Place]:
    message = story_of(home, message_id)["message"]
    return places_of(home, message_id, message if len(message) > 2 else None).found


def told(home: Home, message_id: str) -> list[tuple[int | None, str | None, str]]:
    """(line, batch, outcome) of each place."""
    return [(place.line, place.batch, place.outcome) for place in places(home, message_id)]


def state(home: Home, message_id: str) -> str:
    with home.ledger.read() as connection:
        own = claims.batch_of(connection, message_id)
        return batches.state_of(connection, own, message_id) if own else Places(places(home, message_id)).state


def done(home: Home, batch: str) -> None:
    with home.ledger.write() as connection:
        batches.set_state(connection, batch, "done")


def test_published_message_stands_in_its_file_and_line(home: Home) -> None:
    send(home, "m1,thanks,2", "m2,more,1")
    assert run(home, order).success
    (place,) = places(home, "m2")
    assert (place.file, place.line, place.batch, place.outcome) == ("orders.csv", 3, "b1", "published")
    assert len(place.file_sha256) == 64
    assert place.registered_at is not None
    assert place.row == {"message_id": "m2", "note": "more", "pieces": "1"}
    assert state(home, "m2") == "working"
    done(home, "b1")
    assert state(home, "m2") == "done"


def test_message_that_waits_is_known_by_its_id_before_any_batch(home: Home) -> None:
    send(home, "m1,thanks,2")
    assert told(home, "m1") == [(2, None, "waiting")]
    assert state(home, "m1") == "waiting"
    send(home, "7,thanks", columns="ticket_id,note")
    assert told(home, "7") == [(2, None, "waiting")]
    assert places_of(home, "thanks").found == [], "a word of a message is no id"


def test_line_that_names_a_message_and_is_another_one_is_not_its_place(home: Home) -> None:
    send(home, "m1,thanks,2")
    assert run(home, order).success
    send(home, "m2,m1,as I wrote", columns="ticket_id,parent_id,note")
    assert told(home, "m1") == [(2, "b1", "published")]
    assert told(home, "m2") == [(2, None, "waiting")]


def test_id_is_found_in_whichever_column_holds_those_of_the_batch(home: Home) -> None:
    @governed_asset(contract=Order)
    def letter(arrivals: Arrivals) -> pd.DataFrame:
        """Every order, under the number that it was given elsewhere."""
        rows = read_orders(arrivals.rows)
        return rows.rename(columns={"ref": "message_id"})[["message_id", "note", "pieces"]]

    send(home, "7,n1,thanks,1", "8,n1,7,2", columns="ref,writer,note,pieces")
    assert run(home, letter).success
    assert told(home, "7") == [(2, "b1", "published")], "and not the line that says 7"
    assert told(home, "8") == [(3, "b1", "published")]


def test_message_of_a_batch_that_did_not_run_yet_is_in_it(home: Home) -> None:
    send(home, "m1,thanks,2")
    batch = batches.open_next(home)
    assert told(home, "m1") == [(2, batch, "working")]
    assert state(home, "m1") == "working"


def test_refused_row_says_why_and_shows_what_came_in(home: Home) -> None:
    send(home, "m1,damn,2", "m2,thanks,1")
    assert run(home, order).success
    (place,) = places(home, "m1")
    assert (place.line, place.outcome, place.reason) == (2, "quarantined", "note_polite")
    assert place.row["note"] == "damn"
    assert state(home, "m1") == "quarantined"


def test_replayed_row_stands_in_both_batches_under_one_line(home: Home) -> None:
    send(home, "m1,damn,2", "m2,thanks,1")
    assert run(home, order).success
    (found,) = _refused(home)
    mending.fix(home, pd.DataFrame({mending.ROW: [str(found)], "note": ["dear"]}, dtype="str"), "it was a slip")
    (replayed,) = mending.replay(home, Selection(rows=(found,)), "mended")
    assert run(home, order, batch=replayed).success
    assert told(home, "m1") == [(2, "b1", "replayed"), (2, replayed, "published")]
    assert places(home, "m1")[0].successor == replayed


def test_discarded_row_is_known_although_nobody_claims_it_any_more(home: Home) -> None:
    send(home, "m1,damn,2", "m2,thanks,1")
    assert run(home, order).success
    mending.discard(home, Selection(rows=tuple(_refused(home))), "spam")
    with home.ledger.read() as connection:
        assert claims.batch_of(connection, "m1") is None
    assert told(home, "m1") == [(2, "b1", "discarded")]
    assert state(home, "m1") == "discarded"


def test_message_of_a_batch_that_was_given_up_is_discarded(home: Home) -> None:
    send(home, "m1,thanks,2")
    assert run(home, order).success
    batch_orders.discard_batch(home, "b1", "a trial")
    assert told(home, "m1") == [(2, "b1", "discarded")]
    assert state(home, "m1") == "discarded"


def test_message_that_was_sent_twice_counts_once_and_stands_in_every_place(home: Home) -> None:
    send(home, "m1,thanks,2", "m1,thanks,2")
    assert run(home, order).success
    done(home, "b1")
    send(home, "m1,again,1", "m2,new,1")
    assert run(home, order, batch="b2").success
    done(home, "b2")
    assert told(home, "m1") == [(2, "b1", "published"), (3, "b1", "duplicate"), (2, "b2", "duplicate")]
    send(home, "m1,and again,1")
    assert told(home, "m1")[-1] == (2, None, "waiting")


def test_message_that_was_sent_again_corrected_was_taken_over(home: Home) -> None:
    send(home, "m1,damn,2", "m2,thanks,1")
    assert run(home, order).success
    done(home, "b1")
    send(home, "m1,dear,2")
    assert run(home, order, batch="b2").success
    first, second = places(home, "m1")
    assert (first.batch, first.outcome, first.successor) == ("b1", "taken_over", "b2")
    assert (first.reason, second.outcome, second.batch) == ("note_polite", "published", "b2")


def test_message_of_a_halted_batch_that_was_sent_again_was_taken_over(home: Home) -> None:
    send(home, "m1,thanks,2,blue", columns="message_id,note,pieces,colour")
    assert not run(home, order).success
    assert told(home, "m1") == [(2, "b1", "halted")]
    assert state(home, "m1") == "halted"
    send(home, "m1,thanks,2")
    assert run(home, order, batch="b2").success
    assert told(home, "m1") == [(2, "b1", "taken_over"), (2, "b2", "published")]


def test_line_that_could_not_be_read_is_known_by_the_id_that_it_was_given(home: Home) -> None:
    send_lines(home, ['{"message_id": "m1", "note": "thanks", "pieces": 1}', "{broken"])
    assert run(home, order).success
    (message_id,) = [row.message_id for row in _rows(home)]
    assert message_id is not None
    (place,) = places(home, message_id)
    assert (place.line, place.outcome, place.row) == (2, "quarantined", {"raw": "{broken"})
    assert place.reason is not None
    assert place.reason.startswith("unparsable: ")


def test_message_without_an_id_of_its_own_is_found_by_its_words(home: Home) -> None:
    @governed_asset(contract=Order)
    def letter(arrivals: Arrivals) -> pd.DataFrame:
        """Every order, under an id that is made from its words."""
        rows = read_orders(arrivals.rows)
        return rows.assign(message_id=arrivals.identify(rows, by=("note", "pieces")))

    send(home, "thanks a lot,2", "thanks,3", "thanks,4", columns="note,pieces")
    assert run(home, letter).success
    found = home.warehouse.read(_path(home)).to_pylist()
    lines = {row["note"] + str(row["pieces"]): told(home, row["message_id"]) for row in found}
    assert lines == {
        "thanks a lot2": [(2, "b1", "published")],
        "thanks3": [(3, "b1", "published")],
        "thanks4": [(4, "b1", "published")],
    }


def test_file_that_is_gone_leaves_what_the_ledger_knows(home: Home) -> None:
    send(home, "m1,damn,2", "m2,thanks,1")
    assert run(home, order).success
    for staged in home.staged.iterdir():
        staged.unlink()
    found = places_of(home, "m1")
    assert [(place.file, place.line, place.outcome) for place in found.found] == [("orders.csv", 2, "quarantined")]
    assert found.unread == 1
    assert places_of(home, "m2", {"message_id": "m2"}).found == []


def test_only_the_latest_files_of_other_batches_are_looked_through(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origins, "MOST_FILES", 2)
    for number in range(3):
        arrivals.register(home, arrivals.receive_message(home, {"message_id": f"m{number}", "note": "x"}))
    assert (places_of(home, "m0").found, places_of(home, "m0").unread) == ([], 1)
    assert [place.outcome for place in places_of(home, "m2").found] == ["waiting"]


def _rows(home: Home) -> list[Any]:
    with home.ledger.read() as connection:
        return list(Selection().find(connection))


def _refused(home: Home) -> list[int]:
    return [row.row_id for row in _rows(home)]


def _path(home: Home) -> str:
    from orchestration_project.stores import manifest

    with home.ledger.read() as connection:
        found = manifest.current(connection, "letter", "b1")
    assert found is not None
    return found.path

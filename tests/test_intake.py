"""Taking posted messages in: once for each key, all of a body or none, each under the id that the sender is told."""

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from assets.feedback.feedback import ALIASES, parse_times
from orchestration_project.core.settings import Settings
from orchestration_project.serving.intake import (
    KeyReused,
    Unconfirmed,
    recover,
    take_in,
)
from orchestration_project.serving.messages import JSON, BodyRefused, Message, read_messages
from orchestration_project.stores import arrivals, batches, ledger, run_requests
from orchestration_project.stores.formats import MOST_COLUMNS
from orchestration_project.stores.home import Home
from orchestration_project.stores.schema import ARRIVALS, INBOX_KEYS


def post(home: Home, *messages: dict[str, Any], key: str | None = None) -> list[str]:
    """Take messages in as one body; returns the ids that the sender is told."""
    return take_in(home, read_messages(json.dumps(messages).encode(), JSON), key, pytest.fail).message_ids


def post_event(home: Home, values: dict[str, Any], event_id: str = "7", time: str | None = None) -> str:
    (made,) = take_in(home, [Message(1, values, ("/shop", event_id), time)], None, pytest.fail).message_ids
    return made


def rows_of(home: Home) -> list[dict[str, Any]]:
    """Every row that is in a batch, in order."""
    with home.ledger.read() as connection:
        keys = batches.all_keys(connection)
    return [row for key in keys for row in arrivals.read(home, key).rows.to_dict("records")]


def count(home: Home, table: sa.Table) -> int:
    with home.ledger.read() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def files_in(home: Home) -> dict[str, int]:
    """Folder → number of files in it, hidden ones too; only where there are any."""
    found = {folder.name: len(list(folder.iterdir())) for folder in (home.received, home.staged, home.archive)}
    return {name: number for name, number in found.items() if number}


KEPT = {"staged": 1, "archive": 1}


def test_messages_are_in_one_batch_with_their_ids_and_its_run_is_requested(any_home: Home) -> None:
    ids = post(any_home, {"text": "late", "meta": {"a": 1}}, {"text": "early"})
    assert [(row["message_id"], row["text"]) for row in rows_of(any_home)] == [(ids[0], "late"), (ids[1], "early")]
    assert rows_of(any_home)[0]["meta"] == '{"a": 1}'
    with any_home.ledger.read() as connection:
        assert [found.state for found in run_requests.open_requests(connection)] == ["requested"]
    assert files_in(any_home) == KEPT


def test_same_key_and_messages_are_taken_in_once_and_other_messages_refused(any_home: Home) -> None:
    first = post(any_home, {"text": "late"}, {"text": "late"}, key="k1")
    assert post(any_home, {"text": "late"}, {"text": "late"}, key="k1") == first
    assert len(set(first)) == 2
    with pytest.raises(KeyReused, match="other messages"):
        post(any_home, {"text": "early"}, key="k1")
    assert count(any_home, ARRIVALS) == 1
    assert post(any_home, {"text": "late"}, {"text": "late"}, key="k2") != first
    with any_home.ledger.read() as connection:
        kept = [str(value) for row in connection.execute(sa.select(INBOX_KEYS)) for value in row]
    assert not any("k1" in value or "late" in value for value in kept)


def test_same_key_from_many_at_once_is_taken_in_once(any_home: Home) -> None:
    with ThreadPoolExecutor(8) as senders:
        answers = list(senders.map(lambda _: post(any_home, {"text": "late"}, key="k1"), range(8)))
    assert answers == [answers[0]] * 8
    assert count(any_home, ARRIVALS) == 1
    assert files_in(any_home) == KEPT


def test_key_is_forgotten_when_its_time_is_over(home: Home) -> None:
    post(home, {"text": "late"}, key="k1")
    with home.ledger.write() as connection:
        connection.execute(sa.update(INBOX_KEYS).values(kept_until=ledger.now()))
    post(home, {"text": "early"}, key="k1")
    assert count(home, INBOX_KEYS) == 1
    assert count(home, ARRIVALS) == 2


def test_lone_message_is_requested_at_once_and_the_next_wait_for_its_run(home: Home) -> None:
    one = Home(replace(home.settings, batches_at_once=1))
    post(one, {"text": "first"})
    with home.ledger.read() as connection:
        [found] = run_requests.open_requests(connection)
    for text in ("second", "third"):
        post(one, {"text": text})
    one.ledger.close()
    with home.ledger.write() as connection:
        assert [found] == run_requests.open_requests(connection)
        run_requests.end(connection, found.key, "succeeded")
    assert batches.open_next(home) is not None
    assert [row["text"] for row in rows_of(home)] == ["first", "second", "third"]
    assert batches.open_next(home) is None


def test_body_of_more_rows_than_a_batch_holds_is_whole_in_several(home: Home) -> None:
    small = Home(replace(home.settings, batch_rows=2))
    ids = post(small, *({"text": str(number)} for number in range(5)))
    small.ledger.close()
    while batches.open_next(home):
        pass
    assert [row["text"] for row in rows_of(home)] == list("01234")
    assert [row["message_id"] for row in rows_of(home)] == ids


def test_fields_that_no_file_can_hold_together_are_refused_by_line(home: Home) -> None:
    halves = [{f"{half}{number}": 1 for number in range(MOST_COLUMNS // 2)} for half in "ab"]
    post(home, halves[0])
    with pytest.raises(BodyRefused, match="different fields") as refused:
        post(home, *halves)
    assert refused.value.line == 1
    assert count(home, ARRIVALS) == 1
    assert files_in(home) == KEPT
    (row,) = rows_of(home)
    assert len(row) == MOST_COLUMNS // 2 + 1


def lose_answers(home: Home, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Once something was written, the ledger does what it is told and its next answers are lost."""
    dialect = home.ledger._engine.dialect  # pyright: ignore[reportPrivateUsage]
    commit, lost = dialect.do_commit, iter(range(number))

    def commit_unheard(connection: Any) -> None:
        commit(connection)
        if connection.total_changes and next(lost, None) is not None:
            error = sqlite3.OperationalError("lost")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error

    monkeypatch.setattr(dialect, "do_commit", commit_unheard)


def test_what_the_ledger_kept_and_did_not_confirm_is_accepted(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    lose_answers(home, monkeypatch, 1)
    (told,) = post(home, {"text": "late"})
    assert [row["message_id"] for row in rows_of(home)] == [told]
    assert files_in(home) == KEPT


def test_where_nobody_can_tell_whether_it_is_kept_the_sender_hears_so_and_repeats_it(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_answers(home, monkeypatch, 2)
    with pytest.raises(Unconfirmed, match="same Idempotency-Key"):
        post(home, {"text": "late"}, key="k1")
    (told,) = post(home, {"text": "late"}, key="k1")
    recover(home, pytest.fail)
    assert [row["message_id"] for row in rows_of(home)] == [told]
    assert files_in(home) == KEPT


def test_what_a_killed_server_left_unregistered_is_removed_at_the_next_start(home: Home) -> None:
    post(home, {"text": "late"})
    token = "0" * 32
    (home.received / f".{token}-posted.jsonl").write_text('{"text": "ea')
    (home.staged / f"{token}-000000.parquet").touch()
    (home.staged / f".{token}-000001.parquet.1.part").touch()
    recover(home, pytest.fail)
    assert files_in(home) == KEPT
    assert count(home, ARRIVALS) == 1


def test_own_id_counts_then_the_events_then_the_identity_else_each_message_has_its_own(home: Home) -> None:
    assert post(home, {"message_id": " a "}, {"ticket_id": 17}, {"id": None, "review_id": "r"}) == ["a", "17", "r"]
    late = {"text": "late"}
    assert post_event(home, late) == post_event(home, {"text": "other words"})
    assert post_event(home, late, "8") != post_event(home, late)
    assert post_event(home, {"message_id": "a"}) == "a"
    whole = {"text": "late", "account": "c1", "received_at": "2026-05-01T10:00:00Z"}
    assert post(home, whole) == post(home, {**whole, "received_at": "2026-05-01T12:00:00+02:00"})
    assert post(home, whole) != post(home, {**whole, "account": "c2"})
    assert post(home, late) != post(home, late)


def test_made_id_is_the_one_that_the_same_message_has_in_a_file(home: Home) -> None:
    message = {"text": " Late again ", "account": "c1", "received_at": "2026-05-01T12:00:00.5+02:00"}
    [made] = post(home, message)
    arrivals.register(home, arrivals.receive_message(home, message))
    batch = batches.open_next(home)
    assert batch is not None
    found = arrivals.read(home, batch)
    rows = found.rows.assign(received_at=parse_times(found.rows["received_at"]))
    assert list(found.identify(rows, by=("text", "account", "received_at"))) == [made]


def test_names_of_ids_and_times_are_those_of_the_shipped_workflow() -> None:
    assert Settings().inbox_id_names == ("message_id", *ALIASES["message_id"])
    assert Settings().inbox_time_names == ("received_at", *ALIASES["received_at"])


def test_time_of_an_event_fills_received_at_only_where_the_message_has_no_time(home: Home) -> None:
    post_event(home, {"text": "a"}, time="2026-05-01T10:00:00Z")
    post_event(home, {"text": "b", "sent_at": "2026-04-01T10:00:00Z"}, time="2026-05-01T10:00:00Z")
    times = {row["text"]: row.get("received_at") for row in rows_of(home)}
    assert times == {"a": "2026-05-01T10:00:00Z", "b": None}

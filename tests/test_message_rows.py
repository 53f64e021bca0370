"""Which rows of a file are a message."""

from dataclasses import replace

import pyarrow as pa

from orchestration_project.stores.arrivals import keyed_id
from orchestration_project.stores.formats import ERROR, LINE, RAW
from orchestration_project.stores.message_rows import MessageRows

SECRET = b"secret"
NAMES = ("message_id", "id")
SHA = "ab" * 32


def rows(*own: dict[str, object]) -> pa.Table:
    return pa.Table.from_pylist([{LINE: line, ERROR: None, RAW: None, **row} for line, row in enumerate(own, start=2)])


def wanted(message_id: str, *texts: str, places: frozenset[tuple[str, int]] = frozenset()) -> MessageRows:
    return MessageRows(message_id, SECRET, NAMES, places, frozenset(texts))


def test_the_first_id_that_a_row_has_counts() -> None:
    table = rows(
        {"message_id": "1", "id": "9", "n": "2"},
        {"message_id": None, "id": " 1 ", "n": "1"},
        {"message_id": "2", "id": "1"},
    )
    assert wanted("1").among(table, SHA, {"1"}, is_own=True) == [0, 1]


def test_a_file_whose_ids_are_called_otherwise_is_read_by_what_its_batch_claims() -> None:
    table = rows({"number": "1", "pieces": "2"}, {"number": "2", "pieces": "2"}, {"number": "3", "pieces": "1"})
    assert wanted("1").among(table, SHA, {"1", "2", "3"}, is_own=True) == [0]
    assert wanted("1").among(table, SHA, {"1", "7"}, is_own=True) == []


def test_a_refused_row_is_known_by_file_and_line() -> None:
    table = rows({"message_id": None, "text": "a"}, {"message_id": None, "text": "b"})
    assert wanted("m1", places=frozenset({(SHA, 3)})).among(table, SHA, set(), is_own=True) == [1]
    assert wanted("m1", places=frozenset({(SHA, 3)})).among(table, "cd", set(), is_own=True) == []


def test_a_line_that_was_not_read_is_known_by_the_id_made_from_its_place() -> None:
    made = keyed_id(SECRET, [SHA, 3])
    assert wanted(made).among(rows({"text": None}, {"text": None}), SHA, set(), is_own=True) == [1]


def test_an_id_that_was_made_is_made_again() -> None:
    made = keyed_id(SECRET, ["late", "anna", "2026-03-01 09:00:00+00:00"])
    own = {"text": "late", "who": "anna", "at": "2026-03-01T10:00:00+01:00"}
    table = rows({**own, "who": "ben"}, own, {**own, "at": "2026-03-02T10:00:00+01:00"})
    assert wanted(made).among(table, SHA, set(), is_own=True) == [1]
    assert wanted(made, "late").among(table, SHA, set(), is_own=False) == [1]
    assert wanted(made).among(table, SHA, set(), is_own=False) == []


def test_of_two_who_say_the_same_and_nothing_more_each_is_known_by_its_line() -> None:
    table = rows({"text": "late", "who": None}, {"text": "late", "who": None})
    made = keyed_id(SECRET, ["late", None, None, SHA, 3])
    assert wanted(made, "late").among(table, SHA, set(), is_own=True) == [1]


def test_who_says_the_same_in_another_part_of_the_file_and_has_an_id_of_its_own_stays() -> None:
    both = rows({"text": "late", "who": None}, {"text": "late", "who": None})
    own, other = (keyed_id(SECRET, ["late", None, None, SHA, line]) for line in (2, 3))
    one = wanted(own, "late")
    assert one.among(both.slice(0, 1), SHA, {own, other}, is_own=True) == [0]
    assert one.among(both.slice(1, 1), SHA, {own, other}, is_own=True) == []


def test_an_id_made_of_something_else_falls_to_who_says_it_in_its_batch() -> None:
    table = rows({"text": "late"}, {"text": "early"})
    one = wanted("m-unknown", "late")
    assert one.among(table, SHA, set(), is_own=True) == [0]
    assert one.among(table, SHA, set(), is_own=False) == []
    assert replace(one, message_id="given").among(table, SHA, set(), is_own=True) == []

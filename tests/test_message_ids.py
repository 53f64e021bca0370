"""Message ids: given by the sender, or made so that the same message has the same id wherever it comes in."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from received_files import BY, TIME, rows_of, take_in

from orchestration_project.core.settings import Settings
from orchestration_project.stores import arrivals
from orchestration_project.stores.arrivals import Arrivals
from orchestration_project.stores.home import Home


def identified(rows: Sequence[Mapping[str, Any]], digest: str = "d", secret: bytes = b"s") -> list[str]:
    """Ids of rows that came in with one file."""
    frame = pd.DataFrame(list(rows)).astype(object).where(lambda frame: frame.notna(), None)
    origin = pd.DataFrame({"file_sha256": digest, "line": range(1, len(frame) + 1)}, index=frame.index)
    return Arrivals("b", frame, origin, pd.DataFrame(), secret).identify(frame, BY).tolist()


COMPLETE = {"text": "thanks", "account": "7", "received_at": TIME}


def test_given_id_is_kept_without_the_space_around_it() -> None:
    assert identified([{"message_id": " F1 ", **COMPLETE}, {"message_id": "ü 2", **COMPLETE}]) == ["F1", "ü 2"]


def test_blank_id_is_none() -> None:
    [blank, absent] = identified([{"message_id": " ", **COMPLETE}, {"message_id": None, **COMPLETE}])
    assert blank == absent == identified([COMPLETE])[0]


def test_complete_message_has_the_same_id_in_every_file_and_line() -> None:
    other = {**COMPLETE, "text": "other"}
    assert identified([other, COMPLETE], digest="x")[1] == identified([COMPLETE], digest="y")[0]


def test_made_id_depends_on_the_secret_of_the_home() -> None:
    assert identified([COMPLETE], secret=b"a") != identified([COMPLETE], secret=b"b")
    assert re.fullmatch("m-[0-9a-f]{32}", identified([COMPLETE])[0])


@pytest.mark.parametrize("name", BY)
def test_any_other_text_account_or_time_is_another_message(name: str) -> None:
    assert identified([COMPLETE]) != identified([{**COMPLETE, name: "2024-05-01T10:00:01Z"}])


@pytest.mark.parametrize("name", ["account", "received_at"])
@pytest.mark.parametrize("value", [None, "", "  ", "absent column"])
def test_two_customers_who_write_the_same_stay_two_where_account_or_time_is_absent(
    name: str, value: str | None
) -> None:
    row = {key: kept for key, kept in COMPLETE.items() if key != name}
    row |= {} if value == "absent column" else {name: value}
    first, second = identified([row, row])
    assert first != second
    assert identified([row, row]) == [first, second], "the same file again gives the same ids"
    assert not set(identified([row, row], digest="other file")) & {first, second}


def test_values_do_not_run_into_each_other() -> None:
    left = {"text": "a", "account": "bc", "received_at": TIME}
    assert identified([left]) != identified([{**left, "text": "ab", "account": "c"}])


def test_file_with_none_of_the_columns_has_an_id_for_each_line() -> None:
    assert len(set(identified([{"note": "x"}, {"note": "x"}, {"note": "y"}]))) == 3


def test_list_in_a_column_is_content_like_any_other() -> None:
    rows = [{**COMPLETE, "text": ["a", "b"]}, {**COMPLETE, "text": ["a", "c"]}]
    assert len(set(identified(rows))) == 2


def test_some_of_the_rows_have_the_ids_they_have_among_all(home: Home) -> None:
    found = take_in(home, [{"text": "a"}, {"text": "b"}, {"text": "c", "message_id": "F3"}])
    everything = found.identify(found.rows, BY)
    some = found.identify(found.rows.iloc[1:], BY)
    pd.testing.assert_series_equal(some, everything.iloc[1:])


def test_no_rows_have_no_ids(home: Home) -> None:
    found = take_in(home, "nonsense\n")
    assert found.identify(found.rows, BY).tolist() == []


def test_same_file_twice_gives_the_same_ids(any_home: Home) -> None:
    content = rows_of("thanks", "thanks")
    found = take_in(any_home, content, content)
    ids = found.identify(found.rows, BY).tolist()
    assert ids[:2] == ids[2:]
    assert len(set(ids)) == 2


cells = st.none() | st.text(max_size=3)
messages = st.lists(
    st.fixed_dictionaries({"text": cells, "account": cells, "received_at": cells}), min_size=1, max_size=8
)


@settings(deadline=None, max_examples=60)
@given(messages)
def test_ids_are_equal_exactly_where_complete_messages_are(rows: list[dict[str, str | None]]) -> None:
    ids = identified(rows)
    for left, left_id in enumerate(ids):
        for right, right_id in enumerate(ids):
            is_complete = all((value or "").strip() for value in rows[left].values())
            same = left == right or (is_complete and rows[left] == rows[right])
            assert (left_id == right_id) == same


def test_home_that_was_moved_gives_the_same_ids(home: Home, tmp_path: Path) -> None:
    before = take_in(home, [COMPLETE])
    home.ledger.close()
    moved = Home(Settings(home=home.root.rename(tmp_path / "moved")))
    after = arrivals.read(moved, before.batch)
    assert after.identify(after.rows, BY).tolist() == before.identify(before.rows, BY).tolist()
    moved.ledger.close()

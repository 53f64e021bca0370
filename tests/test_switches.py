"""Switches as rows of the ledger: the last word on each, on both databases."""

import re

import pytest
from switched import switch

from orchestration_project.stores import switches
from orchestration_project.stores.home import Home
from orchestration_project.stores.switches import IN_WORDS, STATES, TOLD


def test_what_was_never_switched_has_no_row(any_home: Home) -> None:
    with any_home.ledger.read() as connection:
        assert switches.get(connection, "performer", "reader") is None
        assert switches.taken_out(connection) == []


def test_the_last_word_counts(any_home: Home) -> None:
    switch(any_home, "performer", "reader", "off")
    last = switch(any_home, "performer", "reader", "shadow", reason="looked at")
    with any_home.ledger.read() as connection:
        assert switches.get(connection, "performer", "reader") == last
        assert switches.taken_out(connection) == [last]


def test_what_is_on_again_is_not_taken_out_and_says_who_put_it_back(any_home: Home) -> None:
    switch(any_home, "asset", "mood", "people")
    last = switch(any_home, "asset", "mood", "on")
    with any_home.ledger.read() as connection:
        assert switches.taken_out(connection) == []
        assert switches.get(connection, "asset", "mood") == last


def test_what_has_one_name_and_is_of_two_kinds_has_two_switches(any_home: Home) -> None:
    one, other = switch(any_home, "performer", "mood", "off"), switch(any_home, "asset", "mood", "safe_state")
    with any_home.ledger.read() as connection:
        assert switches.taken_out(connection) == [other, one], "the latest first"
        assert switches.taken_out(connection, {"performer": ("mood",), "version": ("mood",)}) == [one]
        assert switches.taken_out(connection, {"asset": ()}) == []


@pytest.mark.parametrize("state", sorted({state for states in STATES.values() for state in states}))
def test_what_is_told_of_a_switch_is_known_again_among_the_reasons_of_a_row(home: Home, state: str) -> None:
    told = switch(home, "performer", "reader", state).told()  # pyright: ignore[reportArgumentType]
    assert told.startswith(f"reader is {IN_WORDS[state]} since 20")  # pyright: ignore[reportArgumentType]
    assert told.endswith(", by anna: it is wrong")
    assert re.search(TOLD, f"reader: calm 0.30, below 0.50; {told}")
    assert not re.search(TOLD, "the shop is off since yesterday")

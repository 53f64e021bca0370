"""The cascade and its switches: who is asked no more, from which call on, and what becomes of the rows."""

from typing import Any

import pandas as pd
import pytest
from note_workflow import promote
from reviewed_notes import ASSET, SURE, UNSURE, Desk, review_of, states
from scripted_cascades import SAFE, column, decide, decided, failing, messages, scripted
from switched import switch

from orchestration_project.core.errors import ArtifactRefused, NoChampion, PerformerUnavailable
from orchestration_project.performers import turns
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.model import Model
from orchestration_project.performers.performer import Prepared
from orchestration_project.performers.person import Person
from orchestration_project.performers.scripted import Scripted, same_answer
from orchestration_project.stores import breakers, cascades
from orchestration_project.stores.cascades import KnownCascade
from orchestration_project.stores.home import Home
from orchestration_project.stores.schema import BREAKERS

RED, GREEN = same_answer("red", 0.9), same_answer("green", 0.9)


def switching(home: Home, after_calls: int, name: str = "first", state: Any = "off", kind: Any = "performer") -> Any:
    """A script that is switched while it answers its call of that number."""
    calls = [0]

    def script(rows: pd.DataFrame) -> pd.DataFrame:
        calls[0] += 1
        if calls[0] == after_calls:
            switch(home, kind, name, state)
        return RED(rows)

    return script


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Performers are asked about two rows at once."""
    monkeypatch.setattr(turns, "CHUNK_ROWS", 2)


def test_one_that_is_off_is_not_asked_and_the_next_answers(any_home: Home) -> None:
    told = switch(any_home, "performer", "first", "off").told()
    first = scripted("first", RED)
    found = decided(any_home, first, scripted("next", GREEN))
    assert first.asked == 0
    assert column(found, "performer") == ["next"] * 3
    assert column(found, "reason") == [told] * 3
    assert column(found, "accepted") == [True] * 3
    assert column(found, "degraded") == [False] * 3, "nothing failed, and what the next decided stands"
    assert (found.work[0].failure, found.work[0].calls) == (told, 0)


def test_where_all_are_off_the_safe_state_answers(home: Home) -> None:
    switch(home, "performer", "first", "off")
    found = decided(home, scripted("first", RED))
    assert column(found, "decided_by") == ["safe_state"] * 3
    assert column(found, "accepted") == [False] * 3


def test_switches_are_read_between_calls(home: Home, two: None) -> None:
    first = scripted("first", switching(home, after_calls=2))
    found = decided(home, first, scripted("next", GREEN), rows=messages(7))
    assert first.asked == 4, "the call under way is answered, no other begins"
    assert column(found, "performer") == ["first"] * 4 + ["next"] * 3


def test_an_attempt_after_a_failure_is_a_call_too(home: Home) -> None:
    def script(rows: pd.DataFrame) -> pd.DataFrame:
        switch(home, "performer", "first", "off")
        raise PerformerUnavailable("busy")

    first = scripted("first", script)
    found = decided(home, first)
    assert first.asked == 3, "asked once"
    assert found.work[0].calls == 1
    with home.ledger.read() as connection:
        assert breakers.get(connection, "first") is None, "that it was switched off is no failure"


def test_one_that_is_off_claims_no_probe_of_its_circuit(home: Home) -> None:
    away = scripted("first", failing(TimeoutError("slow")))
    for _ in range(home.settings.breaker_failures):
        decide(Cascade(away, safe_state=SAFE), home)
    with home.ledger.write() as connection:
        connection.execute(BREAKERS.update().values(probe_at=BREAKERS.c.opened_at))
        before = breakers.get(connection, "first")
    switch(home, "performer", "first", "off")
    decided(home, away)
    with home.ledger.read() as connection:
        assert breakers.get(connection, "first") == before


def test_one_that_is_on_again_is_asked_again(home: Home) -> None:
    switch(home, "performer", "first", "off")
    switch(home, "performer", "first", "on")
    assert column(decided(home, scripted("first", RED)), "performer") == ["first"] * 3


def test_what_was_decided_while_one_was_off_stands_when_it_is_on_again(home: Home) -> None:
    first, after = scripted("first", RED), scripted("next", GREEN)
    switch(home, "performer", "first", "off")
    stored = decided(home, first, after).frame
    switch(home, "performer", "first", "on")
    found = decided(home, first, after, stored=stored)
    assert (found.reused, first.asked, after.asked) == (3, 0, 3)


def test_what_one_decided_before_it_was_switched_off_stands(home: Home) -> None:
    first = scripted("first", RED)
    stored = decided(home, first).frame
    switch(home, "performer", "first", "off")
    found = decided(home, first, stored=stored)
    assert (found.reused, column(found, "label")) == (3, ["red"] * 3)


def test_a_model_without_a_version_in_use_stands_in_nobodys_way_once_it_is_off(home: Home) -> None:
    cascade = Cascade(Model("mood"), scripted("next", GREEN), safe_state=SAFE)
    with pytest.raises(NoChampion):
        decide(cascade, home)
    switch(home, "performer", "mood model", "off")
    assert column(decide(cascade, home), "performer") == ["next"] * 3


@pytest.mark.parametrize(("kind", "name"), [("performer", "mood model"), ("version", "mood/1")])
def test_a_model_that_is_off_is_not_loaded_and_what_it_can_answer_is_still_known(
    home: Home, kind: Any, name: str
) -> None:
    promote(home)
    cascade = Cascade(Model("mood"), scripted("next", GREEN), safe_state=SAFE)
    with pytest.raises(ArtifactRefused, match=r"The model file .*none is missing"):
        decide(cascade, home)
    told = switch(home, kind, name, "off").told()
    found = decide(cascade, home)
    assert (column(found, "performer"), column(found, "reason")) == (["next"] * 3, [told] * 3)
    assert column(found, "degraded") == [False] * 3
    assert (found.work[0].version, found.work[0].calls, found.work[0].failure) == ("1", 0, told)
    assert found.labels == cascade.labels(home) == {"angry", "calm", "red", "green", "unknown"}


def test_a_model_that_is_on_again_and_cannot_be_loaded_is_refused_by_its_cause(home: Home) -> None:
    promote(home)
    switch(home, "performer", "mood model", "off")

    def script(rows: pd.DataFrame) -> pd.DataFrame:
        switch(home, "performer", "mood model", "on")
        return same_answer("green", 0.1)(rows)

    with pytest.raises(ArtifactRefused, match=r"The model file .*none is missing"):
        decide(Cascade(scripted("first", script), Model("mood"), safe_state=SAFE), home)


def test_what_can_be_answered_is_known_though_a_performer_that_is_off_cannot_be_made_ready(home: Home) -> None:
    cascade = Cascade(Model("mood"), scripted("next", GREEN), safe_state=SAFE)
    with pytest.raises(NoChampion):
        cascade.labels(home)
    switch(home, "performer", "mood model", "off")
    with home.ledger.write() as connection:
        cascades.record(connection, KnownCascade("mood", ("mood model", "next", "safe"), ("angry", "calm"), False))
    assert cascade.labels(home, safe_state=False) == {"angry", "calm", "red", "green"}


def test_a_model_in_shadow_that_cannot_be_loaded_stands_in_nobodys_way(home: Home) -> None:
    promote(home)
    switch(home, "performer", "mood model", "shadow")
    found = decide(Cascade(Model("mood"), scripted("next", GREEN), safe_state=SAFE), home)
    assert column(found, "performer") == ["next"] * 3
    assert [(work.performer, work.version, work.failure) for work in found.work if work.in_shadow] == [
        ("mood model", "1", "ArtifactRefused")
    ]


def test_a_version_that_is_off_is_not_asked_and_another_is(home: Home) -> None:
    class Learnt(Scripted):
        families = ("mood",)

    told = switch(home, "version", "mood/one", "off").told()
    first = Learnt("first", RED, labels=("red",), version="one")
    assert column(decided(home, first, scripted("next", GREEN)), "reason") == [told] * 3
    assert told.startswith("version mood/one is off")
    newer = Learnt("first", RED, labels=("red",), version="two")
    assert column(decided(home, newer), "version") == ["two"] * 3


# In shadow


def test_one_in_shadow_is_asked_and_its_answers_only_recorded(any_home: Home) -> None:
    switch(any_home, "performer", "first", "shadow")
    first = scripted("first", RED)
    found = decided(any_home, first, scripted("next", GREEN))
    assert first.asked == 3
    assert column(found, "label") == ["green"] * 3
    assert column(found, "reason") == [""] * 3
    assert found.shadow is not None
    assert found.shadow[["message_id", "performer", "label", "accepted"]].to_numpy().tolist() == [
        [f"m{number}", "first", "red", True] for number in range(3)
    ]
    assert [(work.performer, work.in_shadow) for work in found.work] == [("next", False), ("first", True)]
    assert "calls of first in shadow" in found.work[1].facts()


def test_one_in_shadow_is_asked_about_the_rows_that_came_to_its_place(home: Home) -> None:
    def only_the_first(rows: pd.DataFrame) -> pd.DataFrame:
        return RED(rows).assign(confidence=[0.9 if name == "m0" else 0.1 for name in rows["message_id"]])

    switch(home, "performer", "next", "shadow")
    found = decided(home, scripted("first", only_the_first), scripted("next", GREEN))
    assert found.shadow is not None
    assert found.shadow["message_id"].tolist() == ["m1", "m2"]


@pytest.mark.parametrize("error", [RuntimeError("broken"), TimeoutError("slow"), NoChampion("gone")])
def test_whatever_ails_one_in_shadow_the_batch_is_decided(home: Home, error: Exception) -> None:
    switch(home, "performer", "first", "shadow")
    found = decided(home, scripted("first", failing(error)), scripted("next", GREEN))
    assert column(found, "performer") == ["next"] * 3
    assert column(found, "degraded") == [False] * 3
    assert found.shadow is not None and found.shadow.empty
    assert found.work[1].failure == type(error).__name__


def test_one_that_goes_into_shadow_meanwhile_decides_no_more(home: Home, two: None) -> None:
    first = scripted("first", switching(home, after_calls=1, state="shadow"))
    found = decided(home, first, scripted("next", GREEN), rows=messages(4))
    assert column(found, "performer") == ["first"] * 2 + ["next"] * 2
    assert found.shadow is None, "in shadow from the next batch on"


def test_one_in_shadow_that_is_switched_off_meanwhile_is_asked_no_more(home: Home, two: None) -> None:
    switch(home, "performer", "first", "shadow")
    first = scripted("first", switching(home, after_calls=1))
    found = decided(home, first, rows=messages(4))
    assert first.asked == 2
    assert found.shadow is not None and len(found.shadow) == 2


class Tried(Scripted):
    """Has another version on trial, which answers green."""

    def on_trial(self, home: Home) -> Prepared | None:
        return Prepared("challenger", 0.5, frozenset({"green"}), GREEN)


def test_a_version_on_trial_is_asked_in_shadow_beside_the_one_in_use(any_home: Home) -> None:
    found = decided(any_home, Tried("first", RED, labels=("red",), version="champion"))
    assert column(found, "label") == ["red"] * 3
    assert found.shadow is not None
    assert found.shadow[["performer", "version", "label"]].drop_duplicates().to_numpy().tolist() == [
        ["first", "challenger", "green"]
    ]


def test_no_version_of_one_that_is_off_is_asked(home: Home) -> None:
    switch(home, "performer", "first", "off")
    found = decided(home, Tried("first", RED, labels=("red",)))
    assert found.shadow is not None and found.shadow.empty


def test_a_version_on_trial_that_cannot_be_read_stands_in_nobodys_way(home: Home) -> None:
    class Lost(Scripted):
        def on_trial(self, home: Home) -> Prepared | None:
            raise ArtifactRefused("its file is gone")

    found = decided(home, Lost("first", RED, labels=("red",)))
    assert (column(found, "label"), found.shadow) == (["red"] * 3, None)
    assert [(work.failure, work.in_shadow) for work in found.work] == [(None, False), ("ArtifactRefused", True)]


# An asset that is sent elsewhere


def test_an_asset_that_is_sent_to_its_safe_state_asks_nobody_else(any_home: Home) -> None:
    told = switch(any_home, "asset", ASSET, "safe_state").told()
    first = scripted("first", RED)
    found = decided(any_home, first, asset=ASSET)
    assert first.asked == 0
    assert column(found, "decided_by") == ["safe_state"] * 3
    assert all(reason.startswith(told) for reason in column(found, "reason"))
    assert column(decided(any_home, first, asset="other"), "performer") == ["first"] * 3


def test_an_asset_that_is_sent_to_its_safe_state_meanwhile_asks_nobody_from_then_on(home: Home, two: None) -> None:
    first = scripted("first", switching(home, 1, name=ASSET, state="safe_state", kind="asset"))
    after = scripted("next", GREEN)
    found = decided(home, first, after, asset=ASSET, rows=messages(4))
    assert (first.asked, after.asked) == (2, 0)
    assert column(found, "decided_by") == ["model"] * 2 + ["safe_state"] * 2


def test_rows_of_an_asset_in_its_safe_state_wait_for_nobody(home: Home) -> None:
    switch(home, "asset", ASSET, "safe_state")
    desk = Desk(home, {"a": SURE, "b": UNSURE})
    desk.publish()
    assert desk.column("decided_by") == {"a": "safe_state", "b": "safe_state"}
    assert states(home) == []


def test_an_asset_that_is_sent_to_people_accepts_nobody_else(any_home: Home) -> None:
    told = switch(any_home, "asset", ASSET, "people").told()
    desk = Desk(any_home, {"a": SURE, "b": UNSURE})
    desk.publish()
    assert desk.column("state") == {"a": "pending", "b": "pending"}
    assert states(any_home) == [("a", "switched", "open"), ("b", "unsure", "open")]
    assert review_of(any_home, "a").proposal["label"] == SURE[0], "people see what is proposed"
    assert desk.row("a")["reason"] == told


def test_what_was_accepted_before_its_asset_was_sent_to_people_stands(home: Home) -> None:
    desk = Desk(home, {"a": SURE})
    desk.publish()
    switch(home, "asset", ASSET, "people")
    desk.publish()
    assert desk.column("state") == {"a": "decided"}


def test_a_row_that_waits_because_a_performer_is_off_says_so(home: Home) -> None:
    switch(home, "performer", "reader", "off")
    desk = Desk(home, {"a": SURE})
    desk.publish()
    assert states(home) == [("a", "switched", "open")]


def test_a_row_whose_answer_only_speaks_of_something_that_is_off_does_not(home: Home) -> None:
    unsure = scripted("reader", same_answer("red", 0.1, "the lamp is off since 2026-01"))
    found = decide(Cascade(unsure, Person(), safe_state=SAFE), home, asset=ASSET)
    assert found.waiting is not None
    assert found.waiting["cause"].tolist() == ["unsure"] * 3

"""Performers that the policy sends into shadow: on each ground, once, and not again on what lies before a person's word."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from learning_home import MODEL, check, decided, in_use
from note_workflow import CHAMPION
from reviewed_notes import actions, sharing
from switched import switch

from orchestration_project.governance import audit
from orchestration_project.governance.disengagement import disengage
from orchestration_project.governance.promotion import Verdict, record_verdict
from orchestration_project.stores import breakers, champions, halts, switches
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.measurements import UNLIKE
from orchestration_project.stores.schema import BREAKERS, OUTBOX


@pytest.fixture
def home(any_home: Home) -> Home:
    """A home whose `mood` is decided by a model with people behind it, under a policy that allows little."""
    in_use(any_home)
    return allowing(
        any_home, 'on_drift = "shadow"\nbreaker_open_minutes = 10\nlatency_seconds = 2\nlatency_batches = 3'
    )


def allowing(home: Home, text: str) -> Home:
    file = Path(home.root) / "limits.toml"
    file.write_text(f"[disengage]\n{text}\n")
    return sharing(home, policy=file)


def state(home: Home) -> str:
    with home.ledger.read() as connection:
        found = switches.get(connection, "performer", MODEL)
    return found.state if found else "on"


def open_circuit(home: Home, minutes_ago: float) -> None:
    with home.ledger.write() as connection:
        breakers.record_failure(connection, MODEL, most_failures=1, first_wait_seconds=30, is_probe=False)
        moved = {"opened_at": now() - timedelta(minutes=minutes_ago)}
        connection.execute(sa.update(BREAKERS).values(**moved))


def halt(home: Home, reason: str, asset: str = "mood") -> None:
    with home.ledger.write() as connection:
        halts.record_halt(connection, asset=asset, partition="b1", run_id="run", reason=reason)


def publish(home: Home, seconds: Sequence[float]) -> None:
    """A batch for each, in which a call of the model took so long."""
    for took in seconds:
        with home.ledger.read() as connection:
            batch = f"b{len(list(audit.entries(connection, print)))}"
        decided(home, batch, {f"{batch}-a": ("calm", "calm")})
        with home.ledger.write() as connection:
            work = {"performer": MODEL, "seconds": took * 2, "calls": 2}
            audit.append(connection, "published", f"mood/{batch}", {"performers": [work]})


def test_where_nothing_speaks_against_anybody_nothing_happens(home: Home) -> None:
    check(home, [True] * 40)
    publish(home, [0.1] * 3)
    assert disengage(home) == []
    assert state(home) == "on"


def test_a_live_error_that_lies_above_the_stated_one(home: Home) -> None:
    check(home, [False] * 12 + [True] * 28)
    (done,) = disengage(home)
    assert (done.state, done.person) == ("shadow", "policy")
    assert done.reason.startswith("mood: live error 30.0 %")
    assert disengage(home) == [], "once"
    assert actions(home)[-1] == "switched"
    with home.ledger.read() as connection:
        assert connection.execute(sa.select(OUTBOX.c.title)).scalars().all() == ["mood model is in shadow"]


def test_a_live_error_of_too_few_checks_or_within_its_interval_is_none(home: Home) -> None:
    check(home, [False] * 5)
    assert disengage(home) == []
    check(home, [True] * 60)
    assert disengage(home) == []


def test_a_live_error_of_versions_that_change_too_fast_for_checks_of_their_own(home: Home) -> None:
    for night in range(3):
        assert disengage(home) == []
        check(home, [False] * 12)
        version = replace(CHAMPION, version=f"night {night}", sha256=f"{night}")
        with home.ledger.write() as connection:
            record_verdict(connection, version, Verdict(True, "no worse"))
    assert [done.name for done in disengage(home)] == [MODEL]


def test_a_version_with_checks_of_its_own_is_not_blamed_for_the_one_before(home: Home) -> None:
    check(home, [False] * 40)
    with home.ledger.write() as connection:
        record_verdict(connection, replace(CHAMPION, version="better", sha256="better"), Verdict(True, "no worse"))
    check(home, [True] * 40)
    assert disengage(home) == []


def test_errors_that_would_be_accepted_no_more_are_no_ground(home: Home) -> None:
    check(home, [False] * 40, confidence=0.6)
    check(home, [True] * 40, confidence=0.9)
    with home.ledger.write() as connection:
        champions.revise(connection, CHAMPION, 0.85, "raised")
    assert disengage(home) == []
    with home.ledger.write() as connection:
        champions.revise(connection, CHAMPION, 0.5, "set back")
    (done,) = disengage(home)
    assert done.reason.startswith("mood: live error 50.0 %")


def test_a_circuit_that_stays_open(home: Home) -> None:
    open_circuit(home, minutes_ago=9)
    assert disengage(home) == []
    open_circuit(home, minutes_ago=11)
    assert [done.reason[:26] for done in disengage(home)] == ["its circuit is open since "]


@pytest.mark.parametrize(
    ("reason", "asset", "expected"),
    [
        (f"{UNLIKE}: label distribution.", "mood", "shadow"),
        (f"{UNLIKE}: row count.", "note", "on"),
        ("All 3 rows were refused by the rule x.", "mood", "on"),
    ],
)
def test_a_drift_of_what_it_decides(home: Home, reason: str, asset: str, expected: str) -> None:
    halt(home, reason, asset)
    disengage(home)
    assert state(home) == expected


def test_calls_that_take_too_long(home: Home) -> None:
    publish(home, [5, 5])
    assert disengage(home) == [], "too few batches"
    publish(home, [0.1])
    assert [done.reason for done in disengage(home)] == [
        "mood: 5 s a call in the last 3 batches, over the limit of 2 s"
    ]


def test_limits_that_the_policy_does_not_set_send_nobody(any_home: Home) -> None:
    in_use(any_home)
    home = allowing(any_home, 'on_live_error = "nothing"\nbreaker_open_minutes = 0')
    check(home, [False] * 40)
    open_circuit(home, 10_000)
    halt(home, f"{UNLIKE}: label distribution.")
    publish(home, [50] * 5)
    assert disengage(home) == []


def test_what_lies_before_a_person_switched_it_on_is_no_ground_any_more(home: Home) -> None:
    check(home, [False] * 40)
    open_circuit(home, minutes_ago=60)
    halt(home, f"{UNLIKE}: label distribution.")
    publish(home, [5] * 3)
    assert len(disengage(home)) == 1
    switch(home, "performer", MODEL, "on")
    assert disengage(home) == []


@pytest.mark.parametrize("taken", ["off", "shadow"])
def test_one_that_is_out_already_is_left_as_it_is(home: Home, taken: Any) -> None:
    switch(home, "performer", MODEL, taken)
    check(home, [False] * 40)
    assert disengage(home) == []
    assert state(home) == taken

"""What each model output can answer, kept for whoever knows no workflow."""

from dataclasses import replace

import pytest
import sqlalchemy as sa
from reviewed_notes import UNSURE, Desk

from orchestration_project.core.errors import UnknownName
from orchestration_project.stores import cascades
from orchestration_project.stores.cascades import KnownCascade
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import Ledger
from orchestration_project.stores.schema import CASCADES

MOOD = KnownCascade("mood", ("rules", "reader", "person", "safe label unknown"), ("angry", "calm"), has_people=True)


def record(ledger: Ledger, *known: KnownCascade) -> None:
    with ledger.write() as connection:
        for cascade in known:
            cascades.record(connection, cascade)


def test_cascade_is_found_by_its_asset(ledger: Ledger) -> None:
    topic = KnownCascade("topic", ("reader",), (), has_people=False)
    record(ledger, topic, MOOD)
    with ledger.read() as connection:
        assert cascades.get(connection, "mood") == MOOD
        assert cascades.require(connection, "topic") == topic
        assert cascades.get(connection, "moon") is None
        assert cascades.every(connection) == [MOOD, topic]


def test_cascade_is_written_again_only_when_it_changed(ledger: Ledger) -> None:
    record(ledger, MOOD)
    query = sa.select(CASCADES.c.recorded_at)
    with ledger.read() as connection:
        before = connection.execute(query).scalar_one()
    record(ledger, MOOD)
    with ledger.read() as connection:
        assert connection.execute(query).scalar_one() == before
    other = replace(MOOD, labels=("angry", "calm", "merry"))
    record(ledger, other)
    with ledger.read() as connection:
        assert cascades.every(connection) == [other]
        assert connection.execute(query).scalar_one() > before


def test_unknown_one_is_refused_with_the_nearest(ledger: Ledger) -> None:
    with ledger.read() as connection, pytest.raises(UnknownName, match=r"'moon' has decided anything yet.$"):
        cascades.require(connection, "moon")
    record(ledger, MOOD)
    with ledger.read() as connection, pytest.raises(UnknownName, match=r"Did you mean 'mood'\?"):
        cascades.require(connection, "moon")


def test_publishing_records_who_is_asked_and_what_they_may_answer(home: Home) -> None:
    Desk(home, {"a": UNSURE}).publish()
    with home.ledger.read() as connection:
        known = cascades.require(connection, "mood")
    assert known.performers == ("reader", "person", "safe label unknown")
    assert known.labels == ("angry", "calm", "merry", "unknown")
    assert known.has_people

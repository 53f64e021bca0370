"""Versions on trial, as rows of the ledger: one of a family at a time, on both databases."""

from dataclasses import replace

from note_workflow import CHAMPION

from orchestration_project.stores import model_versions, trials
from orchestration_project.stores.ledger import Ledger
from orchestration_project.stores.model_versions import ModelVersion

ONE, TWO = CHAMPION, replace(CHAMPION, version="2", sha256="two")


def started(ledger: Ledger, version: ModelVersion, trained_by: str = "") -> trials.Trial:
    with ledger.write() as connection:
        model_versions.record(connection, version)
        return trials.start(connection, version, trained_by)


def test_family_has_none_at_first(ledger: Ledger) -> None:
    with ledger.read() as connection:
        assert trials.of_family(connection, "mood") is None


def test_another_takes_the_place_of_the_first(ledger: Ledger) -> None:
    started(ledger, ONE, "anna")
    second = started(ledger, TWO)
    with ledger.read() as connection:
        assert trials.of_family(connection, "mood") == second
        assert trials.of_family(connection, "topic") is None
    assert (second.version, second.trained_by) == (TWO, "")


def test_trial_ends(ledger: Ledger) -> None:
    started(ledger, ONE)
    with ledger.write() as connection:
        trials.end(connection, "mood")
        assert trials.of_family(connection, "mood") is None

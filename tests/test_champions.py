"""The version in use of each model family, as the ledger records it, on both databases."""

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from orchestration_project.core.errors import NoChampion
from orchestration_project.stores import champions, model_versions
from orchestration_project.stores.ledger import Ledger
from orchestration_project.stores.model_versions import ModelVersion
from orchestration_project.stores.schema import CHAMPIONS

MOOD = ModelVersion(
    family="mood",
    version="v1",
    path="registry/mood/v1.joblib",
    sha256="abc",
    threshold=0.7,
    labels=("cross", "glad"),
    metrics={"macro_f1": 0.8, "n": 20},
    rules={"digest": "d", "threshold": None, "rules": {"shouts": {"asked": 20, "right": 19, "confidence": 0.78}}},
)


def promote(ledger: Ledger, new: ModelVersion = MOOD, **changed: Any) -> ModelVersion:
    new = replace(new, **changed)
    with ledger.write() as connection:
        champions.promote(connection, new)
    return new


def in_use(ledger: Ledger) -> list[ModelVersion]:
    with ledger.read() as connection:
        return champions.in_use(connection)


def test_promoted_version_is_in_use_with_all_that_was_recorded(ledger: Ledger) -> None:
    promote(ledger)
    with ledger.read() as connection:
        assert champions.champion(connection, "mood") == MOOD
        assert champions.require_champion(connection, "mood") == MOOD


def test_version_that_accepts_nothing_has_no_threshold(ledger: Ledger) -> None:
    assert in_use(ledger) == []
    unsure = promote(ledger, threshold=None, rules={})
    assert in_use(ledger) == [unsure]
    assert in_use(ledger)[0].threshold is None


def test_family_without_a_version_names_the_command_that_makes_one(ledger: Ledger) -> None:
    promote(ledger)
    with ledger.read() as connection:
        assert champions.champion(connection, "topic") is None
        with pytest.raises(NoChampion) as refusal:
            champions.require_champion(connection, "topic")
    assert str(refusal.value) == "The model 'topic' has no version in use; run: orchestrate train"


def test_latest_promotion_counts_and_earlier_ones_stay_recorded(ledger: Ledger) -> None:
    promote(ledger, version="v1")
    promote(ledger, version="v2")
    back = promote(ledger, version="v1")
    assert in_use(ledger) == [back]
    with ledger.read() as connection:
        rows = connection.execute(sa.select(CHAMPIONS.c.revision, CHAMPIONS.c.version).order_by(CHAMPIONS.c.revision))
        assert [tuple(row) for row in rows] == [(1, "v1"), (2, "v2"), (3, "v1")]
        assert [found.version for found in champions.history(connection, "mood")] == ["v1", "v2", "v1"]


def test_families_are_listed_by_name_and_do_not_touch_each_other(ledger: Ledger) -> None:
    promote(ledger, family="topic")
    promote(ledger, family="mood", version="v7")
    promote(ledger, family="topic", version="v2")
    assert [(found.family, found.version) for found in in_use(ledger)] == [("mood", "v7"), ("topic", "v2")]


def test_promotion_of_a_transaction_that_failed_changes_nothing(ledger: Ledger) -> None:
    promote(ledger)
    with pytest.raises(OSError, match="no space"), ledger.write() as connection:
        champions.promote(connection, replace(MOOD, version="v2"))
        raise OSError("no space left")
    assert in_use(ledger) == [MOOD]


def revise(ledger: Ledger, threshold: float | None, version: ModelVersion = MOOD) -> None:
    with ledger.write() as connection:
        champions.revise(connection, version, threshold, "checks")


def test_revised_threshold_is_the_one_in_use_and_the_trained_one_stays_recorded(ledger: Ledger) -> None:
    promote(ledger)
    revise(ledger, 0.9)
    assert in_use(ledger) == [replace(MOOD, threshold=0.9)]
    revise(ledger, None)
    assert in_use(ledger) == [replace(MOOD, threshold=None)]
    with ledger.read() as connection:
        assert model_versions.find(connection, "mood", "v1").threshold == 0.7


def test_version_that_is_put_back_accepts_from_the_threshold_it_had_last(ledger: Ledger) -> None:
    promote(ledger)
    revise(ledger, 0.9)
    promote(ledger, version="v2")
    assert in_use(ledger) == [replace(MOOD, version="v2")], "another version has its own"
    promote(ledger)
    assert in_use(ledger) == [replace(MOOD, threshold=0.9)]


def test_version_whose_threshold_was_revised_stands_once_in_the_history(ledger: Ledger) -> None:
    promote(ledger)
    promote(ledger, version="v2")
    for threshold in (0.8, 0.9):
        revise(ledger, threshold, replace(MOOD, version="v2"))
    with ledger.read() as connection:
        found = [(one.version, one.threshold) for one in champions.history(connection, "mood")]
    assert found == [("v2", 0.9), ("v1", 0.7)]


def test_revision_is_what_the_version_is_in_use_since(ledger: Ledger) -> None:
    promote(ledger)
    with ledger.read() as connection:
        promoted = champions.since(connection, "mood")
    revise(ledger, 0.9)
    with ledger.read() as connection:
        revised = champions.since(connection, "mood")
    assert promoted is not None and revised is not None and promoted < revised

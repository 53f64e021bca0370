"""Every version of a model, as the ledger records it, on both databases."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from hypothesis import given
from hypothesis import strategies as st

from orchestration_project.core.errors import UnknownName
from orchestration_project.stores import champions, model_versions
from orchestration_project.stores.ledger import MIGRATIONS, Ledger
from orchestration_project.stores.model_versions import ModelVersion

MOOD = ModelVersion(
    family="mood",
    version="aaaa11112222",
    path="registry/mood/v1.joblib",
    sha256="abc",
    threshold=0.7,
    labels=("cross", "glad"),
    metrics={"macro_f1": 0.8, "n": 20},
    rules={"digest": "d", "threshold": None, "rules": {"shouts": {"asked": 20, "right": 19, "confidence": 0.78}}},
    number=3,
    label_digest="eeff",
    code_version="2",
    libraries={"scikit-learn": "1.9.0"},
    run_id="run-1",
)


def record(ledger: Ledger, **changed: Any) -> ModelVersion:
    new = replace(MOOD, **changed)
    with ledger.write() as connection:
        model_versions.record(connection, new)
    return new


def found(ledger: Ledger, version: str, family: str = "mood") -> ModelVersion:
    with ledger.read() as connection:
        return model_versions.find(connection, family, version)


def test_version_is_kept_once_with_all_that_was_recorded(ledger: Ledger) -> None:
    record(ledger)
    record(ledger, metrics={})
    with ledger.read() as connection:
        assert [version for version, _ in model_versions.recorded(connection, "mood")] == [MOOD]
        assert model_versions.recorded(connection, "topic") == []


def test_newest_version_is_listed_first(ledger: Ledger) -> None:
    names = ["v-one", "v-two", "v-three"]
    for name in names:
        record(ledger, version=name)
    with ledger.read() as connection:
        assert [version.version for version, _ in model_versions.recorded(connection, "mood")] == names[::-1]


def test_version_is_found_by_its_digest_or_the_beginning_of_it(ledger: Ledger) -> None:
    record(ledger)
    other = record(ledger, version="aaaa99992222")
    assert found(ledger, "aaaa11112222") == found(ledger, "aaaa1") == MOOD
    assert found(ledger, "aaaa9") == other


@pytest.mark.parametrize("version", ["aaaa", "bbbb", "aaa", ""])
def test_version_that_is_not_there_or_not_the_only_one_is_refused(ledger: Ledger, version: str) -> None:
    record(ledger)
    record(ledger, version="aaaa99992222")
    with pytest.raises(UnknownName, match=f"The model 'mood' has no one version '{version}'.*aaaa"):
        found(ledger, version)


def test_file_of_another_machine_is_a_record_of_its_own(ledger: Ledger) -> None:
    record(ledger)
    other = record(ledger, sha256="def")
    assert found(ledger, MOOD.version) == other


metrics = st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False) | st.integers(), max_size=3)


@given(
    threshold=st.none() | st.floats(0, 1),
    labels=st.lists(st.text(max_size=5), max_size=4).map(tuple),
    metrics=metrics,
    rules=st.dictionaries(st.text(max_size=5), metrics, max_size=2),
)
def test_record_survives_its_json(
    threshold: float | None, labels: tuple[str, ...], metrics: dict[str, Any], rules: dict[str, Any]
) -> None:
    version = replace(MOOD, threshold=threshold, labels=labels, metrics=metrics, rules=rules)
    assert ModelVersion.from_json(version.to_json()) == version


def test_champions_of_an_older_ledger_stay_in_use(tmp_path: Path, ledger_url: str) -> None:
    url = f"sqlite:///{tmp_path / 'older.db'}" if ledger_url.startswith("sqlite") else ledger_url
    engine = sa.create_engine(url)
    with engine.begin() as connection:  # as an older checkout made it
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        row = "'p', 's', 0.9, '[\"a\"]', '{\"n\": 1}', '{}', '2026-01-01 00:00:00'"
        for revision, version in enumerate(["v1", "v2", "v1"], 1):
            names = "family, revision, version, path, sha256, threshold, labels, metrics, rules, promoted_at"
            values = f"'mood', {revision}, '{version}', {row}"
            connection.exec_driver_sql(f"INSERT INTO champions ({names}) VALUES ({values})")
    engine.dispose()
    ledger = Ledger(url)
    with ledger.read() as connection:
        old = ModelVersion("mood", "v1", "p", "s", 0.9, ("a",), {"n": 1}, {})
        assert champions.history(connection, "mood") == [old, replace(old, version="v2"), old]
        assert champions.in_use(connection) == [old]
        assert sa.inspect(connection).has_table("label_imports")
    ledger.close()

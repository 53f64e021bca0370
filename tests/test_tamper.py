"""A short form of `make tamper`: each of a hundred random tamperings is found, of every kind."""

from pathlib import Path

import pytest
import sqlalchemy as sa
import tamper

from orchestration_project.governance import audit_verification
from orchestration_project.governance.audit_witnesses import WITNESSES
from orchestration_project.stores.schema import CHAMPIONS

COUNT = 100


def test_every_tampering_is_found(tmp_path: Path) -> None:
    with tamper.sample(tmp_path / "home") as (home, heads):
        result = tamper.tamper(home, heads, COUNT, seed=11)
    assert result.missed == []
    assert result.done.total() == COUNT
    assert len(result.done) == len(tamper.ledger_kinds(1)) + len(("edit", "cut", "deletion"))


def test_what_is_missed_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the champions' witness, whatever is done to them goes unseen."""
    without = [one for one in WITNESSES if not one.title.startswith("Champion")]
    monkeypatch.setattr(audit_verification, "WITNESSES", without)
    monkeypatch.setattr(tamper, "TABLES", {"champion": CHAMPIONS})
    with tamper.sample(tmp_path / "home") as (home, heads):
        result = tamper.tamper(home, heads, 40, seed=3)
        with home.ledger.read() as connection:
            assert connection.execute(sa.select(sa.func.count()).select_from(CHAMPIONS)).scalar_one() == 3
    expected = sum(number for name, number in result.done.items() if "champion" in name)
    assert len(result.missed) == expected > 0

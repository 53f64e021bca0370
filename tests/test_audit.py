"""The audit log: its chain shows every edit, gap, other order and cut tail."""

import hashlib
import json
import os
import pwd
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestration_project.governance import audit
from orchestration_project.stores.ledger import Ledger
from orchestration_project.stores.schema import AUDIT, AUDIT_HEAD


@pytest.fixture
def chain(ledger: Ledger) -> Ledger:
    """A ledger with five entries that nobody tampered with."""
    with ledger.write() as connection:
        for number in range(5):
            audit.append(connection, "tested", f"subject {number}", {"number": number}, actor="anna")
        assert audit.breaks(connection) == []
    return ledger


def breaks_after(ledger: Ledger, *statements: sa.Executable) -> list[str]:
    with ledger.write() as connection:
        for statement in statements:
            connection.execute(statement)
    with ledger.read() as connection:
        return audit.breaks(connection)


def at(sequence: int) -> "sa.ColumnElement[bool]":
    return AUDIT.c.sequence == sequence


def test_empty_log_holds(ledger: Ledger) -> None:
    assert breaks_after(ledger) == []


def test_entry_says_who_did_what_to_what_and_follows_the_one_before(chain: Ledger) -> None:
    with chain.read() as connection:
        first, second, *_ = connection.execute(sa.select(AUDIT).order_by(AUDIT.c.sequence)).mappings()
    assert (first["sequence"], first["previous"], second["previous"]) == (1, "", first["digest"])
    assert (first["actor"], first["action"], first["subject"]) == ("anna", "tested", "subject 0")
    assert first["at"].endswith("+00:00")


@pytest.mark.parametrize("column", ["at", "actor", "action", "subject", "detail"])
def test_edit_of_any_word_shows(chain: Ledger, column: str) -> None:
    assert breaks_after(chain, sa.update(AUDIT).where(at(3)).values({column: "other"})) == ["Entry 3 was changed."]


def test_edit_with_a_digest_that_fits_it_shows_at_the_next_entry(chain: Ledger) -> None:
    with chain.read() as connection:
        entry = dict(connection.execute(sa.select(AUDIT).where(at(3))).mappings().one())
    del entry["digest"]
    entry["detail"] = '{"number":99}'
    content = json.dumps(list(entry.values()), ensure_ascii=False, separators=(",", ":")).encode()
    forged = sa.update(AUDIT).where(at(3)).values(**entry, digest=hashlib.sha256(content).hexdigest())
    assert breaks_after(chain, forged) == ["Entry 4 does not follow the entry before it."]


def test_gap_shows(chain: Ledger) -> None:
    assert breaks_after(chain, sa.delete(AUDIT).where(at(3))) == [
        "Entry 3 is missing.",
        "Entry 4 does not follow the entry before it.",
    ]


def test_missing_first_entry_shows(chain: Ledger) -> None:
    assert "Entry 1 is missing." in breaks_after(chain, sa.delete(AUDIT).where(at(1)))


def test_gap_that_was_closed_by_renumbering_shows(chain: Ledger) -> None:
    moved = [sa.update(AUDIT).where(at(number)).values(sequence=number - 1) for number in (4, 5)]
    found = breaks_after(chain, sa.delete(AUDIT).where(at(3)), *moved)
    assert found[0] == "Entry 3 does not follow the entry before it."
    assert found[-1] == "The chain ends at entry 4, its head says 5."


def test_another_order_shows(chain: Ledger) -> None:
    swap = [
        sa.update(AUDIT).where(at(2)).values(sequence=99),
        sa.update(AUDIT).where(at(3)).values(sequence=2),
        sa.update(AUDIT).where(at(99)).values(sequence=3),
    ]
    found = breaks_after(chain, *swap)
    assert {"Entry 2 was changed.", "Entry 3 was changed."} <= set(found)


def test_cut_tail_shows(chain: Ledger) -> None:
    cut = sa.delete(AUDIT).where(AUDIT.c.sequence >= 4)
    assert breaks_after(chain, cut) == ["The chain ends at entry 3, its head says 5."]


def test_emptied_log_shows(chain: Ledger) -> None:
    assert breaks_after(chain, sa.delete(AUDIT)) == ["The chain ends at entry 0, its head says 5."]


def test_appended_entry_without_the_head_shows(chain: Ledger) -> None:
    forged = sa.insert(AUDIT).from_select(
        list(AUDIT.c.keys()), sa.select(sa.literal(6), *list(AUDIT.c)[1:]).where(at(5))
    )
    assert "The chain ends at entry 6, its head says 5." in breaks_after(chain, forged)


def test_missing_head_shows(chain: Ledger) -> None:
    assert breaks_after(chain, sa.delete(AUDIT_HEAD)) == ["The head of the chain is missing."]


def test_every_break_is_named_and_the_rest_still_checked(chain: Ledger) -> None:
    edits = [sa.update(AUDIT).where(at(number)).values(actor="eve") for number in (1, 5)]
    assert breaks_after(chain, *edits) == ["Entry 1 was changed.", "Entry 5 was changed."]


def test_entry_of_a_transaction_that_failed_does_not_exist(chain: Ledger) -> None:
    with pytest.raises(RuntimeError), chain.write() as connection:
        audit.append(connection, "published", "nothing", {})
        raise RuntimeError
    with chain.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(AUDIT)).scalar_one() == 5
        assert audit.breaks(connection) == []


def test_eight_threads_write_one_chain_and_lose_nothing(ledger: Ledger) -> None:
    def write(number: int) -> None:
        with ledger.write() as connection:
            audit.append(connection, "tested", str(number), {})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(160)))
    with ledger.read() as connection:
        assert audit.breaks(connection) == []
        subjects = connection.execute(sa.select(AUDIT.c.subject)).scalars()
        assert sorted(map(int, subjects)) == list(range(160))


details = st.dictionaries(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5),
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    max_size=4,
)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(details)
def test_every_detail_is_kept_and_its_chain_holds(ledger: Ledger, detail: dict[str, Any]) -> None:
    with ledger.write() as connection:
        digest = audit.append(connection, "tested", "detail", detail)
    with ledger.read() as connection:
        kept = connection.execute(sa.select(AUDIT.c.detail).where(AUDIT.c.digest == digest)).scalar_one()
        assert repr(json.loads(kept)) == repr(dict(sorted(detail.items())))
        assert audit.breaks(connection) == []


def test_actor_is_the_user_of_the_process_whatever_the_environment_says(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")
    with ledger.write() as connection:
        audit.append(connection, "tested", "actor", {})
        actor = connection.execute(sa.select(AUDIT.c.actor)).scalar_one()
    assert actor == audit.system_user() == pwd.getpwuid(os.geteuid()).pw_name == Path("/proc/self").owner()


def test_user_without_a_name_is_known_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 3_999_999)
    assert audit.system_user() == "uid 3999999"

"""What entries say against what there is, with a witness for a table of these tests."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from orchestration_project.governance import audit_evidence
from orchestration_project.governance.audit import Entry
from orchestration_project.governance.audit_evidence import Claim, Evidence, Found, NamedFile, Witness
from orchestration_project.stores.home import Home

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)

Rows = dict[tuple[str | int, ...], dict[str, Any]]
Said = list[tuple[tuple[str | int, ...], dict[str, Any] | None]]


def entries(said: Said) -> Iterator[Entry]:
    for sequence, (key, facts) in enumerate(said, start=1):
        detail = json.dumps({"key": key, "facts": facts})
        yield Entry(sequence, "", "anna", "set", "", detail, "", "")


def heard(entry: Entry, detail: Any) -> Iterator[Claim]:
    yield Claim(tuple(detail["key"]), detail["facts"])


def witness(rows: Rows, files: Callable[[Home, sa.Connection], Iterator[NamedFile]] | None = None) -> Witness:
    found = [Found(key, facts, LONG_AGO + timedelta(days=number)) for number, (key, facts) in enumerate(rows.items())]
    lamps = sa.Table("lamps", sa.MetaData())
    named = {} if files is None else {"files": files}
    return Witness("Lamp {0} of {1}", lamps, frozenset({"set"}), heard, lambda _: found, **named)


def judged(home: Home, said: Said, rows: Rows, since: datetime | None = None) -> list[str]:
    found: list[str] = []
    with Evidence([witness(rows)], found.append) as evidence, home.ledger.read() as connection:
        evidence.hear(entries(said))
        evidence.judge(connection, since)
    return found


ON: dict[str, Any] = {"state": "on", "watts": 5}


def test_rows_that_are_as_said_are_no_finding(home: Home) -> None:
    assert judged(home, [(("a", 1), ON)], {("a", 1): ON}) == []
    assert judged(home, [], {}) == []


def test_each_column_that_differs_is_named_with_both_values(home: Home) -> None:
    assert judged(home, [(("a", 1), ON)], {("a", 1): {"state": "off", "watts": 6}}) == [
        "Lamp a of 1 has state 'off', and entry 1 records 'on'.",
        "Lamp a of 1 has watts 6, and entry 1 records 5.",
    ]


def test_columns_that_an_entry_leaves_out_are_not_compared(home: Home) -> None:
    assert judged(home, [(("a", 1), {"watts": 5})], {("a", 1): ON}) == []
    assert len(judged(home, [(("a", 1), {"watts": 4})], {("a", 1): ON})) == 1


def test_order_of_columns_and_keys_does_not_matter(home: Home) -> None:
    said = {"watts": {"b": 1, "a": 2}, "state": "on"}
    assert judged(home, [(("a", 1), said)], {("a", 1): {"state": "on", "watts": {"a": 2, "b": 1}}}) == []


def test_row_without_an_entry_and_entry_without_its_row(home: Home) -> None:
    assert judged(home, [(("a", 1), ON)], {("b", 1): ON}) == [
        "Lamp b of 1 is there, and no entry records it.",
        "Lamp a of 1 is gone, which entry 1 records.",
    ]


def test_last_entry_counts(home: Home) -> None:
    said: Said = [(("a", 1), ON), (("a", 1), {**ON, "state": "off"})]
    assert judged(home, said, {("a", 1): {**ON, "state": "off"}}) == []
    assert judged(home, said, {("a", 1): ON}) == ["Lamp a of 1 has state 'on', and entry 2 records 'off'."]


def test_row_that_an_entry_ended(home: Home) -> None:
    said: Said = [(("a", 1), ON), (("a", 1), None)]
    assert judged(home, said, {}) == []
    assert judged(home, said, {("a", 1): ON}) == ["Lamp a of 1 is there, and entry 2 records that it is gone."]
    assert judged(home, [*said, (("a", 1), ON)], {("a", 1): ON}) == []


def test_rows_older_than_the_log_need_no_entry_and_what_it_says_counts_all_the_same(home: Home) -> None:
    rows: Rows = {("a", 1): ON, ("b", 1): ON, ("c", 1): ON}  # of three days
    second = LONG_AGO + timedelta(days=1)
    assert judged(home, [], rows, since=second) == ["Lamp c of 1 is there, and no entry records it."]
    assert len(judged(home, [(("a", 1), {"watts": 9}), (("c", 1), ON)], rows, since=second)) == 1


def test_keys_of_several_parts_do_not_run_together(home: Home) -> None:
    assert len(judged(home, [(("ab", "c"), ON)], {("a", "bc"): ON})) == 2


def test_entries_of_other_actions_say_nothing(home: Home) -> None:
    found: list[str] = []
    with Evidence([witness({})], found.append) as evidence, home.ledger.read() as connection:
        evidence.hear([Entry(1, "", "anna", "other", "", "no JSON", "", "")])
        evidence.judge(connection)
    assert found == []


@pytest.mark.parametrize("detail", ["no JSON", "[]", "null", '{"key":3}', '{"key":["a",1]}'])
def test_detail_that_cannot_be_read_is_a_finding(home: Home, detail: str) -> None:
    found: list[str] = []
    with Evidence([witness({})], found.append) as evidence, home.ledger.read() as connection:
        evidence.hear([Entry(7, "", "anna", "set", "", detail, "", "")])
        evidence.judge(connection)
    assert found == ["Entry 7, 'set', has a detail that cannot be read."]


def test_more_than_is_kept_in_memory_is_judged_alike(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_evidence, "_MOST_WAITING", 3)
    said: Said = [((f"lamp {number % 20}", 1), {"state": number}) for number in range(100)]
    rows: Rows = {(f"lamp {number}", 1): {"state": 80 + number} for number in range(20)}
    assert judged(home, said, rows) == []
    rows["lamp 7", 1] = {"state": 7}
    assert judged(home, said, rows) == ["Lamp lamp 7 of 1 has state 7, and entry 88 records 87."]


def test_every_file_is_held_to_its_digest(home: Home, tmp_path: Path) -> None:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    good, bad, gone = (tmp_path / name for name in ("good", "bad", "gone"))
    good.touch()
    bad.write_text("more")
    named = [NamedFile(path, empty) for path in (good, bad, gone, tmp_path, Path("\0"))]
    found: list[str] = []
    its = witness({}, lambda home, connection: iter(named))
    with Evidence([its], found.append) as evidence, home.ledger.read() as connection:
        assert evidence.look(home, connection) == 5
    other, missing, folder, no_path = found
    assert other.startswith(f"{bad} has sha256 ") and other.endswith(f"; the ledger names it with {empty}.")
    assert missing == f"{gone} is missing; the ledger names it with sha256 {empty}."
    assert folder.startswith(f"{tmp_path} cannot be read (") and no_path.startswith("\0 cannot be read (")


keys = st.tuples(st.sampled_from("abc"), st.integers(0, 2))
facts = st.fixed_dictionaries({"state": st.sampled_from(["on", "off"]), "watts": st.none() | st.integers(0, 2)})


@given(st.lists(st.tuples(keys, st.none() | facts), max_size=12), st.dictionaries(keys, facts, max_size=6))
def test_nothing_is_found_exactly_when_rows_are_as_said(said: Said, rows: Rows) -> None:
    last = {key: facts for key, facts in said}
    found: list[str] = []
    engine = sa.create_engine("sqlite://")
    with Evidence([witness(rows)], found.append) as evidence, engine.connect() as connection:
        evidence.hear(entries(said))
        evidence.judge(connection)
    engine.dispose()
    assert (found == []) == ({key: facts for key, facts in last.items() if facts is not None} == rows)

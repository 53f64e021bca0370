"""Entries by period, actor, action, asset and version; and as files that others can verify."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration_project.core.errors import FileRefused
from orchestration_project.governance import audit
from orchestration_project.governance.audit import Chain, Entry, Head
from orchestration_project.governance.audit_export import Selection, export, read_lines
from orchestration_project.governance.audit_verification import verify_file
from orchestration_project.stores.ledger import Ledger


def entry(sequence: int = 1, **changed: object) -> Entry:
    found = Entry(sequence, "2026-03-01T10:00:00+00:00", "anna", "published", "note/b1", '{"version":3}', "", "")
    return found._replace(**changed)


def chosen(entries: list[Entry], **selection: object) -> list[int]:
    return [one.sequence for one in Selection(**selection).choose(entries)]  # type: ignore[arg-type]


def test_nothing_set_selects_all() -> None:
    assert chosen([entry(1), entry(2)]) == [1, 2]


def test_period_has_its_beginning_and_not_its_end() -> None:
    entries = [entry(day, at=f"2026-03-0{day}T00:00:00.5+00:00") for day in (1, 2, 3)]
    second, third = (datetime(2026, 3, day, 0, 0, 0, 500_000, UTC) for day in (2, 3))
    assert chosen(entries, since=second) == [2, 3]
    assert chosen(entries, until=third) == [1, 2]
    assert chosen(entries, since=second, until=third) == [2]


def test_person_and_action_are_whole_words() -> None:
    entries = [entry(1), entry(2, actor="annabel"), entry(3, action="not promoted")]
    assert chosen(entries, person="anna") == [1, 3]
    assert chosen(entries, action="not promoted") == [3]
    assert chosen(entries, action="promoted") == []


def test_asset_is_one_of_the_subject_or_the_detail() -> None:
    entries = [entry(1), entry(2, subject="notes/b1"), entry(3, subject="note"), entry(4, subject="b1")]
    entries += [entry(5, subject="b1", detail='{"asset":"note"}'), entry(6, subject="b1", detail="no JSON")]
    assert chosen(entries, asset="note") == [1, 3, 5]


def test_version_is_named_anywhere_in_the_entry() -> None:
    digest = "0a1b2c3d4e5f"
    entries = [
        entry(1),
        entry(2, detail='{"version":33}'),
        entry(3, subject=f"mood/{digest}", detail="{}"),
        entry(4, detail=f'{{"performers":[{{"name":"mood","version":"{digest}"}}]}}'),
        entry(5, detail=f'{{"reason":"{digest}"}}'),
        entry(6, detail="[]"),
    ]
    assert chosen(entries, version="3") == [1]
    assert chosen(entries, version=digest) == chosen(entries, version="0a1b") == [3, 4]
    assert chosen(entries, version="0a1") == []


@pytest.fixture
def chain(ledger: Ledger) -> list[Entry]:
    """Three entries in which something is to be escaped."""
    with ledger.write() as connection:
        for text in ('a "quoted" one', "line\nend\u2028", "Grüße 🙂"):
            audit.append(connection, "tested", text, {"text": text})
        return list(audit.entries(connection, print))


def test_lines_can_be_verified_without_this_project(chain: list[Entry], tmp_path: Path) -> None:
    assert export(tmp_path / "audit.jsonl", chain) == 3
    previous = ""
    for line in (tmp_path / "audit.jsonl").read_bytes().splitlines():
        found = json.loads(line)
        content = [found[name] for name in ("sequence", "at", "actor", "action", "subject", "detail", "previous")]
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        assert found["digest"] == hashlib.sha256(text.encode()).hexdigest()
        assert found["previous"] == previous
        previous = found["digest"]


def test_lines_come_back_as_they_were(chain: list[Entry], tmp_path: Path) -> None:
    export(tmp_path / "audit.jsonl", chain)
    assert list(read_lines(tmp_path / "audit.jsonl")) == chain


def test_parquet_has_every_column_of_every_entry(chain: list[Entry], tmp_path: Path) -> None:
    assert export(tmp_path / "audit.parquet", chain) == 3
    rows = pyarrow.parquet.read_table(tmp_path / "audit.parquet").to_pylist()
    assert [Entry(**row) for row in rows] == chain


def test_export_of_nothing_is_an_empty_file(tmp_path: Path) -> None:
    assert export(tmp_path / "none.jsonl", []) == export(tmp_path / "none.parquet", []) == 0
    assert (tmp_path / "none.jsonl").read_bytes() == b""
    assert pyarrow.parquet.read_table(tmp_path / "none.parquet").column_names == list(Entry._fields)


def test_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match=r"^audit\.csv does not say what it is to be\."):
        export(tmp_path / "audit.csv", [])
    assert list(tmp_path.iterdir()) == []


def test_export_that_fails_leaves_the_older_file(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    export(file, [entry()])
    with pytest.raises(AttributeError):
        export(file, iter([entry(), "no entry"]))  # type: ignore[list-item]
    assert [one.sequence for one in read_lines(file)] == [1]
    assert list(tmp_path.iterdir()) == [file]
    with pytest.raises(FileRefused, match="cannot be written"):
        export(file / "below.jsonl", [])


def test_line_that_is_no_entry_is_refused_by_its_number(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    export(file, [entry()])
    for line in ("no JSON", '{"sequence":2}', "[]"):
        file.write_text(file.read_text().splitlines()[0] + f"\n{line}\n")
        with pytest.raises(FileRefused, match=r"^Line 2 of audit\.jsonl is no audit entry\."):
            list(read_lines(file))
    with pytest.raises(FileRefused, match="cannot be read"):
        list(read_lines(tmp_path / "nowhere.jsonl"))


def test_chain_of_a_file_is_verified(chain: list[Entry], tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    found: list[str] = []
    for kept, first in ((chain, 1), (chain[1:], 2)):
        export(file, kept)
        verified = verify_file(file, found.append, [Head(3, chain[2].digest, "--head")])
        assert (found, verified.first, verified.head[:2]) == ([], first, (3, chain[2].digest))
    export(file, [chain[0], chain[2]._replace(actor="eve")])
    verify_file(file, found.append)
    assert found == ["Entry 2 is missing.", "Entry 3 does not follow the entry before it.", "Entry 3 was changed."]


def test_tail_cut_from_a_file_shows_against_a_head(chain: list[Entry], tmp_path: Path) -> None:
    export(tmp_path / "audit.jsonl", chain[:2])
    found: list[str] = []
    verify_file(tmp_path / "audit.jsonl", found.append, [Head(3, chain[2].digest, "--head")])
    assert found == ["Entry 3 is missing, which was kept in --head; the chain ends at entry 2."]


def test_lines_in_another_order_show(chain: list[Entry], tmp_path: Path) -> None:
    export(tmp_path / "audit.jsonl", [chain[0], chain[2], chain[1]])
    found: list[str] = []
    verify_file(tmp_path / "audit.jsonl", found.append)
    assert "Entry 2 stands after entry 3." in found


texts = st.text(st.characters(codec="utf-8"), max_size=20)


@given(st.lists(st.tuples(texts, texts, texts, texts), max_size=5))
def test_any_entries_are_kept_and_their_chain_holds(contents: list[tuple[str, str, str, str]]) -> None:
    entries: list[Entry] = []
    for sequence, words in enumerate(contents, start=1):
        new = Entry(sequence, "now", *words, entries[-1].digest if entries else "", "")
        entries.append(new._replace(digest=audit.digest_of(new)))
        text = json.dumps(list(new)[:-1], ensure_ascii=False, separators=(",", ":"))
        assert entries[-1].digest == hashlib.sha256(text.encode()).hexdigest()
    found: list[str] = []
    assert list(Chain(found.append).follow(entries)) == entries
    assert found == []

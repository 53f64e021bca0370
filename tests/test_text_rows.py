"""Quotes that are never closed: each costs the line in which it opens, and no other row."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration_project.stores import text_rows
from orchestration_project.stores.formats import ERROR, LINE, RAW, read_slices
from orchestration_project.stores.text_rows import Lines, Records, Unreadable, read_rows

NEVER_CLOSED = "a quote opens in this row and is never closed. "


def rows_of(folder: Path, *lines: str) -> list[dict[str, Any]]:
    path = folder / "orders.csv"
    path.write_text("\n".join(["id,note,pieces", *lines]) + "\n", encoding="utf-8", newline="")
    return [row for table in read_slices(path, 1000) for row in table.to_pylist()]


def errors_of(rows: list[dict[str, Any]]) -> dict[int, str]:
    """Line → text of the rows that cannot be parsed."""
    assert all(row[ERROR].startswith(NEVER_CLOSED) for row in rows if row[ERROR])
    return {row[LINE]: row[RAW] for row in rows if row[ERROR]}


def test_quote_that_is_never_closed_costs_its_own_line(tmp_path: Path) -> None:
    lines = [f"m{number},fine,1" for number in range(10_000)]
    lines[4] = 'm4,"forgot to close,1'
    rows = rows_of(tmp_path, *lines)
    assert errors_of(rows) == {6: 'm4,"forgot to close,1'}
    assert [row[LINE] for row in rows] == list(range(2, 10_002))
    assert [row["id"] for row in rows if not row[ERROR]] == [f"m{number}" for number in range(10_000) if number != 4]


def test_quote_that_only_another_rows_quote_ends_costs_its_own_line(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, 'm0,"forgot,1', "m1,fine,1", 'm2,"well said",1', 'm3,"two\nlines",1', "m4,fine,1")
    assert errors_of(rows) == {2: 'm0,"forgot,1'}
    assert [(row[LINE], row["id"], row["note"]) for row in rows[1:]] == [
        (3, "m1", "fine"),
        (4, "m2", "well said"),
        (5, "m3", "two\nlines"),
        (7, "m4", "fine"),
    ]


def test_every_forgotten_quote_costs_one_line(tmp_path: Path) -> None:
    lines = [f'm{number},"forgot,1' if number % 3 == 0 else f'm{number},"a ""fine"" note",1' for number in range(50)]
    rows = rows_of(tmp_path, *lines)
    assert errors_of(rows) == {number + 2: line for number, line in enumerate(lines) if number % 3 == 0}
    assert len(rows) == 50


def test_quote_that_opens_in_the_last_line_costs_that_line(tmp_path: Path) -> None:
    assert errors_of(rows_of(tmp_path, "m0,fine,1", 'm1,fine,"1')) == {3: 'm1,fine,"1'}


def test_quotes_within_one_line_are_taken_as_they_come(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, 'm0,"Great" she said,1', 'm1,5" screen,1', 'm2,"ends\r\nwell",1')
    assert [(row[ERROR], row["note"]) for row in rows] == [
        (None, "Great she said"),
        (None, '5" screen'),
        (None, "ends\r\nwell"),
    ]


def test_well_quoted_row_of_several_lines_that_is_wrong_elsewhere_stays_one_row(tmp_path: Path) -> None:
    many, cut, good = rows_of(tmp_path, 'm0,"two\nlines",1,2', 'm1,"two\nlines",a\rb', "m2,fine,1")
    assert (many[LINE], many[RAW]) == (2, 'm0,"two\nlines",1,2')
    assert (cut[LINE], cut[RAW]) == (4, 'm1,"two\nlines",a\rb')
    assert (good[LINE], good["id"]) == (6, "m2")


words = st.text("ab ,\n", max_size=6).map(lambda text: f"x{text}x")
records = st.tuples(words, words).map(lambda fields: ('"{}","{}"'.format(*fields), fields))
forgotten = st.sampled_from(['x,"x', '"x', '"x,x', "x,\"it's"]).map(lambda line: (line, None))


@given(written=st.lists(records | forgotten))
def test_wherever_quotes_are_forgotten_every_other_record_is_whole(
    written: list[tuple[str, tuple[str, str] | None]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "records.csv"
    path.write_text("\n".join(["a,b", *(text for text, _ in written)]), encoding="utf-8", newline="")
    rows = [row for table in read_slices(path, 100) for row in table.to_pylist()]
    line = 2
    for row, (text, fields) in zip(rows, written, strict=True):
        assert row[LINE] == line
        assert (row["a"], row["b"], row[RAW]) == ((*fields, None) if fields else (None, None, text))
        line += text.count("\n") + 1


def records_of(path: Path) -> Iterator[tuple[int, str | None]]:
    """(line, text if it cannot be parsed) of every record."""
    with path.open(encoding="utf-8", newline="\n") as file:
        lines = Lines(file)
        records = Records(lines, ",")
        for row in read_rows(lines, lambda: dict.fromkeys(records.read())):
            yield row.line, row.raw


@pytest.fixture
def short_rows(monkeypatch: pytest.MonkeyPatch) -> int:
    """The limit of a row, made small."""
    monkeypatch.setattr(text_rows, "LONGEST_ROW", 1000)
    return 1000


def test_row_that_reaches_the_limit_within_a_quote_costs_its_first_line(tmp_path: Path, short_rows: int) -> None:
    path = tmp_path / "orders.csv"
    path.write_text('x,"opens\n' + "y,fine\n" * short_rows + 'z,"two\nlines"\n')
    found = list(records_of(path))
    assert found[0] == (1, 'x,"opens')
    assert found[1:] == [(number, None) for number in range(2, short_rows + 3)]


def test_line_beyond_the_limit_behind_an_open_quote_is_a_row_of_its_own(tmp_path: Path, short_rows: int) -> None:
    path = tmp_path / "orders.csv"
    path.write_text(f'x,"opens\n{"y" * 3 * short_rows}\nz,fine\n')
    assert list(records_of(path)) == [(1, 'x,"opens'), (2, "y" * short_rows), (3, None)]


def test_file_in_which_no_quote_closes_is_read_a_few_times_at_most(
    tmp_path: Path, short_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line opens a quote, and within a quote each closes it and opens the next."""
    read: list[int] = []
    following = Lines.__next__

    def counted(lines: Lines) -> str:
        line = following(lines)
        read.append(len(line))
        return line

    monkeypatch.setattr(Lines, "__next__", counted)
    path = tmp_path / "orders.csv"
    path.write_text('x","y\n' * 5000)
    found = list(records_of(path))
    assert found == [(number, 'x","y') for number in range(1, 5001)]
    assert sum(read) <= 2 * path.stat().st_size + 3 * short_rows


def test_file_of_one_line_that_opens_a_quote_has_no_readable_record(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text('"a,b')
    with path.open() as file, pytest.raises(Unreadable, match=NEVER_CLOSED):
        Records(Lines(file), ",").read()


# A file that is one row


@pytest.mark.parametrize(
    ("content", "text"),
    [("hello", "hello"), ("two\r\nlines\r\n\n", "two\r\nlines"), ("\ufeffGrüße\n", "Grüße"), (" x ", " x ")],
)
def test_text_file_is_one_row_without_the_line_ends_behind_it(tmp_path: Path, content: str, text: str) -> None:
    path = tmp_path / "letter.txt"
    path.write_text(content, encoding="utf-8", newline="")
    [table] = read_slices(path, 100)
    assert table.to_pylist() == [{LINE: 1, ERROR: None, RAW: None, "text": text}]


@pytest.mark.parametrize("content", ["", "\n\r\n", "\ufeff\n"])
def test_text_file_of_nothing_is_no_row(tmp_path: Path, content: str) -> None:
    path = tmp_path / "letter.txt"
    path.write_text(content, encoding="utf-8", newline="")
    assert list(read_slices(path, 100)) == []


def test_text_file_that_reaches_the_limit_is_an_error_with_its_beginning(tmp_path: Path, short_rows: int) -> None:
    path = tmp_path / "letter.txt"
    for length in (short_rows - 1, short_rows, 10 * short_rows):
        path.write_text("x" * length)
        [[row]] = [table.to_pylist() for table in read_slices(path, 100)]
        assert (row["text"] or row[RAW]) == "x" * min(length, short_rows)
        assert (row[ERROR] is None) == (length < short_rows)

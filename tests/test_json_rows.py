"""JSON files: every object is a row with its line, and what is broken costs itself and is told."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from read_files import rows_in, tables_in

from orchestration_project.core.errors import FileRefused
from orchestration_project.stores import json_rows, text_rows
from orchestration_project.stores.formats import ERROR, LINE, RAW


def outcome(content: str) -> list[tuple[int, Any]]:
    """(line, value of a) of each row; of a broken one its text."""
    return [(row[LINE], row[RAW] if row[ERROR] else row["a"]) for row in rows_in("may.json", content)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('[{"a": 1}, {"a": 2}]', [(1, 1), (1, 2)]),
        ('\n[\n  {"a": 1},\n  {\n    "a": 2\n  }\n]\n', [(3, 1), (4, 2)]),
        ('{"a": 1}', [(1, 1)]),
        ('{"a": 1}\n\n{"a": 2}', [(1, 1), (3, 2)]),
        ('[{"a": 1}]\n[{"a": 2}]', [(1, 1), (2, 2)]),
        ('[{"a": 1}\n{"a": 2},]', [(1, 1), (2, 2)]),
        ('[{"a": "]},{[\\\\\\""}, {"a": "x"}]', [(1, ']},{[\\"'), (1, "x")]),
        ('[{"a": [{"b": []}]}, {"a": {}}]', [(1, '[{"b": []}]'), (1, "{}")]),
        ('[{"a": 1},\r\n{"a": 2},\r{"a": 3}]', [(1, 1), (2, 2), (3, 3)]),
        ("[]", []),
        (" \n", []),
    ],
)
def test_every_object_of_the_file_is_a_row_with_its_line(content: str, expected: list[tuple[int, Any]]) -> None:
    assert outcome(content) == expected


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ('{"b": 1', ['{"b": 1,']),
        ('{"b": {"c": 1}', ['{"b": {"c": 1},']),
        ('{"b": "x}', ['{"b": "x},']),
        ('{"b": [1}', ['{"b": [1}']),
        ('{"b": 1]}', ['{"b": 1']),
        ('{"b": 1}}', ["}"]),
        ("b: 1}", ["b: 1}"]),
        ("7", ["7"]),
        ('"x, y"', ['"x, y"']),
        ('[{"b": 1}]', ['[{"b": 1}]']),
        ('{"b": 1, "b": 2}', ['{"b": 1, "b": 2}']),
        ('{"b": NaN}', ['{"b": NaN}']),
        ('{"b": "\\u0000"}', ['{"b": "\\u0000"}']),
        ('{"b": "\\ud800"}', ['{"b": "\\ud800"}']),
    ],
)
def test_broken_object_costs_itself_and_the_others_stand(broken: str, told: list[str]) -> None:
    rows = rows_in("may.json", f'[{{"a": 1}},\n{broken},\n{{"a": 2}}]')
    assert [row["a"] for row in rows if row.get("a")] == [1, 2]
    errors = [row for row in rows if row[ERROR]]
    assert [row[RAW] for row in errors[: len(told)]] == told
    assert {row[LINE] for row in errors} <= {2, 3}


def test_brace_that_is_missing_within_brackets_costs_what_stands_before_the_next_object_of_the_array() -> None:
    first, *others = outcome('[{"a": [{"b": 1},\n{"c": 2}, {"d": 3}\n]')
    assert first[0] == 1
    assert first[1].startswith('{"a": [{"b": 1}')
    assert len(others) == 1, "that the array is never closed"


def test_array_that_is_cut_off_keeps_its_whole_objects_and_says_so() -> None:
    first, cut, end = rows_in("may.json", '[{"a": 1},\n{"a": "so fa')
    assert (first["a"], cut[RAW], cut[LINE]) == (1, '{"a": "so fa', 2)
    assert end[ERROR] == "the array that opens in line 1 is never closed: the end is missing. Send it whole."


@pytest.mark.parametrize("content", ["<html>", "nothing", "7", '"x"', "}", "a,b\n1,2\n"])
def test_file_that_begins_otherwise_is_refused(content: str) -> None:
    with pytest.raises(FileRefused, match=r"may\.json is no JSON of messages: it begins with .*\. Send \[\{\.\.\.\}, "):
        rows_in("may.json", content)


def test_reserved_key_is_refused() -> None:
    with pytest.raises(FileRefused, match=r"may\.json has a column named _line"):
        rows_in("may.json", '[{"a": 1}, {"_line": 2}]')


def test_columns_and_types_are_those_of_json_lines() -> None:
    rows = [{"a": 1, "b": "x"}, {"a": 2.5}, {"c": [True], "b": None}, {"a": 2**70}]
    of_lines = tables_in("may.jsonl", "\n".join(map(json.dumps, rows)), 2)
    assert tables_in("may.json", json.dumps(rows, indent=0).replace("\n", ""), 2)[0].drop(LINE) == of_lines[0].drop(
        LINE
    )
    of_array = tables_in("may.json", json.dumps(rows), 2)
    assert [table.schema for table in of_array] == [table.schema for table in of_lines]


def test_byte_that_is_no_text_costs_its_own_object() -> None:
    first, bad, last = rows_in("may.json", b'[{"a": 1},\n{"a": "\xff"}, {"a": 2}]')
    assert (first["a"], bad[LINE], bad[RAW], last["a"]) == (1, 2, '{"a": "\\xff"}', 2)
    assert "byte 8 of the row is 0xff" in bad[ERROR]


def test_object_beyond_the_limit_costs_itself_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_rows, "LONGEST_ROW", 1000)
    for long in (
        '{"a": "' + "x" * 2000 + '"}',
        '{"a": {"b": [' + "1," * 2000 + "1]}}",
        "x" * 2000,
        "[" + "{}," * 900 + "{}]",
    ):
        first, bad, last = rows_in("may.json", f'[{{"a": 1}}, {long}, {{"a": 2}}]')
        assert (first["a"], bad[RAW], last["a"]) == (1, long[:1000], 2)
        assert "reaches 1000 characters" in bad[ERROR]


def test_brackets_without_end_are_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "MOST_LEVELS", 100)
    *bad, last = rows_in("may.json", '[{"a": 1}, ' + "[" * 250 + "\n" + '{"a": 2}')
    assert all(row[ERROR] for row in [*bad[1:], last])
    assert "".join(row[RAW] for row in bad[1:]).count("[") == 250


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(codec="utf-8")).filter(lambda text: "\0" not in text),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
objects = st.fixed_dictionaries({"a": values})
broken = st.sampled_from(['{"a" 1}', "7", '"x"', '{"a": NaN}', '{"a": 1, "a": 2}', "[1]", "nope"])


@settings(deadline=None)
@given(
    st.lists(objects | broken, max_size=6),
    st.booleans(),
    st.sampled_from([None, 0, 2]),
    st.integers(1, 40),
)
def test_every_value_of_an_array_is_one_row_whatever_is_read_at_once(
    written: list[dict[str, Any] | str], escaped: bool, indent: int | None, piece: int
) -> None:
    content, lines = "[\n", list[int]()
    for number, value in enumerate(written):
        lines.append(content.count("\n") + 1)
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=escaped, indent=indent)
        content += text + (",\n" if number + 1 < len(written) else "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "_PIECE", piece)
        rows = rows_in("may.json", content + "]", 3)
    assert [row[LINE] for row in rows] == lines
    for row, value in zip(rows, written, strict=True):
        if isinstance(value, str):
            assert (bool(row[ERROR]), row[RAW].strip()) == (True, value)
        else:
            assert row[ERROR] is None
            assert row["a"] == value["a"] or json.loads(row["a"]) == value["a"]

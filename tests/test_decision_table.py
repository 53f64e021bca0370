"""Decision tables: what each cell means, that the first match wins, and what is refused when a table is read."""

import itertools
import math
import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestration_project.core.decision_table import DecisionTable
from orchestration_project.core.errors import TableRefused

INPUTS = ("issue", "confidence")
ROUTES = """rule,sentiment,issue,confidence,text,team,hours
urgent,negative,,,~(?i)lawyer|court,Legal,1
sure-bill,negative,billing|refund,>=0.8,,Finance,4
unsure,,,0.4..0.6,,People,8
praise,!negative,,>0.9,,Marketing,
default,,,,,Customer care,24
"""


def read(
    path: Path, text: str, inputs: tuple[str, ...] = INPUTS, outputs: tuple[str, ...] = ("team",), **options: bool
):
    path.write_text(text, encoding="utf-8")
    return DecisionTable.read(path, inputs, outputs, **options)


@pytest.fixture
def table_path(tmp_path: Path) -> Path:
    return tmp_path / "routes.csv"


@pytest.fixture
def routes(table_path: Path) -> DecisionTable:
    return read(table_path, ROUTES, ("sentiment", "issue", "confidence", "text"), ("team", "hours"))


def rules_for(table: DecisionTable, **values: object) -> list[object]:
    return [None if pd.isna(rule) else rule for rule in table.apply(pd.DataFrame(values))["rule"]]


def test_first_matching_rule_decides(routes: DecisionTable):
    frame = pd.DataFrame(
        {
            "sentiment": ["negative", "negative", "positive", "neutral", None],
            "issue": ["billing", "billing", "app", "app", "refund"],
            "confidence": [0.99, 0.8, 0.5, 0.95, 0.99],
            "text": ["See you in COURT", "too much", "fine", "nice", "hm"],
        },
        index=["e", "d", "d", "b", "a"],
    )
    decided = routes.apply(frame)
    assert decided.index.tolist() == ["e", "d", "d", "b", "a"]
    assert decided.columns.tolist() == ["rule", "team", "hours"]
    assert decided["rule"].tolist() == ["urgent", "sure-bill", "unsure", "praise", "default"]
    assert decided["team"].tolist() == ["Legal", "Finance", "People", "Marketing", "Customer care"]
    assert decided["hours"].tolist() == ["1", "4", "8", "", "24"]


def test_empty_frame_gives_the_columns_and_no_rows(routes: DecisionTable):
    decided = routes.apply(pd.DataFrame({name: [] for name in routes.inputs}))
    assert decided.columns.tolist() == ["rule", "team", "hours"]
    assert len(decided) == 0


NUMBERS_MET = [-math.inf, 4.9, 5.0, 5.1, 7.0, math.inf, None, math.nan]
TEXTS_MET = ["bill", "Bill", "x y", "billing", "", None]


@pytest.mark.parametrize(
    ("cell", "values", "matching"),
    [
        ("5|7", NUMBERS_MET, [5.0, 7.0]),
        ("!5", NUMBERS_MET, [-math.inf, 4.9, 5.1, 7.0, math.inf]),
        (">=5", NUMBERS_MET, [5.0, 5.1, 7.0, math.inf]),
        ("<= 5", NUMBERS_MET, [-math.inf, 4.9, 5.0]),
        ("5..7", NUMBERS_MET, [5.0, 5.1, 7.0]),
        ("-1 .. 4.9", NUMBERS_MET, [4.9]),
        (">0.8", ["0.9", "0.10", "nan", pd.NA], ["0.9"]),
        ("bill", TEXTS_MET, ["bill"]),
        ("bill | x y", TEXTS_MET, ["bill", "x y"]),
        ("!bill", TEXTS_MET, ["Bill", "x y", "billing", ""]),
        ("~bill", TEXTS_MET, ["bill", "billing"]),
        ("~(?i)^bill$|x", TEXTS_MET, ["bill", "Bill", "x y"]),
    ],
)
def test_a_cell_matches_its_values_and_never_null(table_path: Path, cell: str, values: list, matching: list):
    table = read(table_path, f"rule,issue,team\nonly,{cell},a\n", ("issue",), default_required=False)
    rules = rules_for(table, issue=values)
    assert [value for value, rule in zip(values, rules, strict=True) if rule == "only"] == matching


def test_rows_that_a_table_cannot_read_are_refused(table_path: Path):
    table = read(table_path, "rule,confidence,team\nsure,>=0.9,a\nd,,b\n", ("confidence",))
    with pytest.raises(TableRefused, match=r"compares 'confidence' with numbers: .*'high'"):
        table.apply(pd.DataFrame({"confidence": ["high"]}))
    with pytest.raises(TableRefused, match=r"needs 'confidence' in each row\. Did you mean 'confidences'\?"):
        table.apply(pd.DataFrame({"confidences": [1.0]}))


def test_rows_that_no_rule_matches_get_nulls(table_path: Path):
    table = read(table_path, "rule,issue,confidence,team\nr,a,,x\n", default_required=False)
    decided = table.apply(pd.DataFrame({"issue": ["a", "b"], "confidence": [1.0, 1.0]}))
    assert decided.isna().to_numpy().tolist() == [[False, False], [True, True]]


@pytest.mark.parametrize("text", ["'); DROP TABLE rows; --", "' OR true OR '", "$1 ? \\", '"', "ß😀", "a\0b"])
def test_a_cell_is_a_value_and_never_sql(table_path: Path, text: str):
    column, label, pattern = "o'); --", text.replace('"', '""'), re.escape(text).replace('"', '""')
    for cell in (label, f"~^{pattern}$"):
        table = read(table_path, f'rule,{column},team\nr,"{cell}",x\nd,,y\n', (column,))
        assert rules_for(table, **{column: [text, "other"]}) == ["r", "d"]


def test_rows_are_the_rules_in_order(routes: DecisionTable):
    assert [row.rule for row in routes.rows] == ["urgent", "sure-bill", "unsure", "praise", "default"]
    assert routes.rows[1].when["issue"].text == "billing|refund"
    assert routes.rows[1].then == {"team": "Finance", "hours": "4"}


def test_digest_changes_with_content_and_not_with_layout(table_path: Path):
    plain = read(table_path, "rule,issue,confidence,team\nr,a,>1,x\nd,,,y\n").digest
    assert read(table_path, "\ufeffrule, team,confidence,issue\r\n\r\n r,x , >1,a\r\n,,,\r\nd,y,,\r\n").digest == plain
    assert read(table_path, "rule,issue,confidence,team\nr,a,>1,z\nd,,,y\n").digest != plain
    assert len(plain) == 64


def test_check_labels_lists_every_unknown_label_with_the_nearest(table_path: Path):
    table = read(table_path, "rule,issue,confidence,team\nr1,biling|delivery,,x\nr2,!delivry,,x\nr3,~q,,x\nd,,,y\n")
    table.check_labels("issue", {"biling", "delivery", "delivry"})
    with pytest.raises(TableRefused) as refused:
        table.check_labels("issue", {"billing", "delivery"})
    assert str(refused.value).splitlines()[1:] == [
        "rule 'r1', issue 'biling|delivery': there is no label 'biling'. Did you mean 'billing'?",
        "rule 'r2', issue '!delivry': there is no label 'delivry'. Did you mean 'delivery'?",
    ]
    with pytest.raises(ValueError, match="Did you mean 'issue'"):
        table.check_labels("isue", {"billing"})


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("rule,issue,confidence\nd,,", "no column 'team'"),
        ("rule,issue,confidnce,team\nd,,,x", "'confidnce'.*Did you mean 'confidence'"),
        ("rule,issue,issue,confidence,team\nd,,,,x", "may not have this column 'issue'"),
        ("", "no column 'rule'"),
        ("rule,issue,confidence,team", "no rules"),
        ("rule,issue,confidence,team\nr,a,,x\nr,,,x", "rule id 'r' was used above"),
        ("rule,issue,confidence,team\n,a,,x\nd,,,x", "',a,,x' has no rule id"),
        ("rule,issue,confidence,team\nr,a,x\nd,,,x", "'r,a,x' has 3 cells, not 4"),
        ("rule,issue,confidence,team\nr,a,,x", "no default. Add a rule as the last line"),
        ("rule,issue,confidence,team\nr,,>high,x\nd,,,x", "rule 'r', confidence '>high': bounds are numbers"),
        ("rule,issue,confidence,team\nr,,7..3,x\nd,,,x", "rule 'r', confidence '7..3': bounds are numbers"),
        ("rule,issue,confidence,team\nr,a||b,,x\nd,,,x", "rule 'r', issue 'a||b': '' is no label"),
        ("rule,issue,confidence,team\nr,-,,x\nd,,,x", "rule 'r', issue '-': '-' is no label.*or nothing"),
        ("rule,issue,confidence,team\nr,!=a,,x\nd,,,x", "rule 'r', issue '!=a': '=a' is no label"),
        ("rule,issue,confidence,team\nr,!a|b,,x\nd,,,x", "rule 'r', issue '!a|b': '!' takes one label"),
        ("rule,issue,confidence,team\nr,~(a,,x\nd,,,x", r"rule 'r', issue '~\(a': .*missing \).*Correct the regular"),
        (
            "rule,issue,confidence,team\nr,,>1,x\nq,,high,x\nd,,,x",
            "numbers, '>1' .rule 'r'., and text, 'high' .rule 'q'.",
        ),
    ],
)
def test_unsound_tables_are_refused_with_file_rule_and_cell(table_path: Path, lines: str, says: str):
    with pytest.raises(TableRefused, match=says) as refused:
        read(table_path, lines)
    assert str(table_path) in str(refused.value)


def test_what_is_no_readable_table_is_refused(table_path: Path):
    with pytest.raises(TableRefused, match="There is no table"):
        DecisionTable.read(table_path, INPUTS, ("team",))
    table_path.write_bytes("rule,issue,confidence,team\nd,,,Köln".encode("cp1252"))
    with pytest.raises(TableRefused, match="CSV UTF-8"):
        DecisionTable.read(table_path, INPUTS, ("team",))
    with pytest.raises(ValueError, match="repeat a name"):
        DecisionTable.read(table_path, ("team",), ("team",))


@pytest.mark.parametrize(
    ("rules", "hidden", "takers"),
    [
        (["r1,a,", "r2,a|b,", "r3,b,", "d,,"], "r3", "'r2'"),
        (["r1,a,", "r2,!a,", "r3,~x,", "d,,"], "r3", "'r1', 'r2'"),
        (["r1,,<=5", "r2,,>5", "r3,a,1..9", "d,,"], "r3", "'r1', 'r2'"),
        (["r1,a,>5", "r2,!a,>5", "r3,a|b,>6", "d,,"], "r3", "'r1', 'r2'"),
        (["r1,~x,", "r2,~x,>5", "d,,"], "r2", "'r1'"),
        (["d,,", "r1,a,"], "r1", "'d'"),
    ],
)
def test_a_rule_that_earlier_ones_cover_is_refused(table_path: Path, rules: list[str], hidden: str, takers: str):
    text = "\n".join(["rule,issue,confidence,team", *(f"{rule},x" for rule in rules)])
    with pytest.raises(TableRefused, match=re.escape(f"rule '{hidden}' can never match") + f".*[(]{takers}[)]"):
        read(table_path, text)


@pytest.mark.parametrize(
    "rules",
    [
        ["r1,,<5", "r2,,>5", "r3,,4..6", "d,,"],  # 5 itself is left
        ["r1,a,", "r2,~a,", "r3,a|b,", "d,,"],  # a pattern says nothing about a label
        ["r1,a,>5", "r2,!a,>5", "r3,,>6", "d,,"],  # null is left
    ],
)
def test_a_rule_with_something_left_to_match_is_accepted(table_path: Path, rules: list[str]):
    table = read(table_path, "\n".join(["rule,issue,confidence,team", *(f"{rule},x" for rule in rules)]))
    assert len(table.rows) == len(rules)


def test_beyond_a_million_atoms_one_covering_rule_is_still_found(table_path: Path):
    patterns = [f"p{number},~word{number},>{number},x" for number in range(21)]
    read(table_path, "\n".join(["rule,issue,confidence,team", *patterns, "r,a,<0,x", "q,!a,<0,x", "d,,,x"]))
    with pytest.raises(TableRefused, match=r"rule 'late' can never match.*\('p3'\)"):
        read(table_path, "\n".join(["rule,issue,confidence,team", *patterns, "late,~word3,4..8,x", "d,,,x"]))


LABELS = ["a", "b", "c", "other"]
NUMBERS = ["-1", "0", "0.5", "2"]
LABEL_CELLS = st.sampled_from(["", "", "a", "b", "a|b", "b|c|a", "!a", "!c"])
NUMBER_CELLS = st.one_of(
    st.just(""),
    st.builds("{}{}".format, st.sampled_from([">", ">=", "<", "<=", "!", ""]), st.sampled_from(NUMBERS)),
    st.tuples(st.sampled_from(NUMBERS), st.sampled_from(NUMBERS)).map(lambda ends: "..".join(sorted(ends, key=float))),
)
PATTERN_CELLS = st.sampled_from(["", "", "~a", "~^b", "~(?i)C|d"])
TABLES = st.lists(st.tuples(LABEL_CELLS, NUMBER_CELLS, PATTERN_CELLS), min_size=1, max_size=6)
ROWS = st.lists(
    st.tuples(
        st.sampled_from([*LABELS, None]),
        st.one_of(st.none(), st.sampled_from([float(number) for number in NUMBERS]), st.floats(allow_nan=False)),
        st.one_of(st.none(), st.text("abCcdé😀", max_size=4)),
    ),
    max_size=12,
)
PROPERTY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def holds(cell: str, value: str | float | None) -> bool:
    """A slow reading of one cell, on its own feet."""
    if cell == "" or value is None:
        return cell == ""
    if cell[0] == "~":
        return re.search(cell[1:], str(value)) is not None
    if cell[0] == "!":
        return not holds(cell[1:], value)
    if isinstance(value, str):
        return value in cell.split("|")
    if ".." in cell:
        low, high = map(float, cell.split(".."))
        return low <= value <= high
    bound, equal = float(cell.lstrip("<>=")), "=" in cell or cell[0] not in "<>"
    return (cell[0] == "<" and value < bound) or (cell[0] == ">" and value > bound) or (equal and value == bound)


def first_match(rules: Mapping[str, tuple[str, ...]], row: tuple[str | float | None, ...]) -> str | None:
    return next((name for name, cells in rules.items() if all(map(holds, cells, row))), None)


def written(cells: list[tuple[str, ...]]) -> tuple[dict[str, tuple[str, ...]], str]:
    rules = {f"r{number}": row for number, row in enumerate(cells)}
    lines = (",".join([name, *row, "x"]) for name, row in rules.items())
    return rules, "\n".join(["rule,issue,confidence,text,team", *lines])


@PROPERTY
@given(cells=TABLES, rows=ROWS)
def test_apply_equals_a_slow_first_match(table_path: Path, cells: list[tuple[str, ...]], rows: list[tuple]):
    rules, text = written(cells)
    try:
        table = read(table_path, text, ("issue", "confidence", "text"), default_required=False)
    except TableRefused as refused:
        assert "can never match" in str(refused)
        return
    frame = pd.DataFrame(rows, columns=list(table.inputs))
    assert rules_for(table, **frame) == [first_match(rules, row) for row in rows]


@PROPERTY
@given(cells=st.lists(st.tuples(LABEL_CELLS, NUMBER_CELLS, st.just("")), min_size=1, max_size=7))
def test_a_table_is_accepted_exactly_when_every_rule_decides_some_atom(table_path: Path, cells: list[tuple[str, ...]]):
    rules, text = written(cells)
    gaps = [-2.0, -0.5, 0.25, 1.0, 3.0]
    atoms = list(itertools.product([*LABELS, None], [*map(float, NUMBERS), *gaps, None], [None]))
    decided = {first_match(rules, atom) for atom in atoms}
    dead = [name for name in rules if name not in decided]
    try:
        table = read(table_path, text, ("issue", "confidence", "text"), default_required=False)
    except TableRefused as refused:
        assert f"rule '{dead[0]}' can never match" in str(refused)
        return
    assert dead == []
    assert set(table.apply(pd.DataFrame(atoms, columns=list(table.inputs)))["rule"].dropna()) == set(rules)

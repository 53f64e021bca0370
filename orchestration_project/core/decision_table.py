"""Decision tables: rules that a business person keeps as CSV; the first one that matches a row decides it.

A table in the sense of OMG DMN, hit policy "first". Its columns are `rule` (a unique id), the inputs and the outputs:

    rule,sentiment,issue,confidence,team,priority
    angry-bill,negative,billing|refund,>=0.8,Finance,1
    default,,,,Customer care,3

An input cell is one of

    (blank)                        any value, also a missing one
    billing   billing|delivery     equal to it; one of them
    !billing                       anything else
    >=0.8  >0.8  <3  <=3  10..20   a number within; both ends of a range belong to it
    ~(?i)refund|money              text in which DuckDB's regexp_matches (RE2) finds the pattern

and a missing value meets blank cells only. A column in which every cell is a number or a comparison holds numbers
(doubles); any other column holds text, compared exactly.
"""

import csv
import hashlib
import itertools
import json
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from orchestration_project.core.errors import TableRefused, did_you_mean

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection as DuckDB

ATOM_LIMIT = 1_000_000
BOUNDS = (">=", ">", "<=", "<", "between")
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,299})(?:\.[0-9]+)?")  # up to 300 digits: always a finite double


@dataclass(frozen=True)
class Cell:
    """What one input cell demands: the text as written, its test, and what the test compares with, as text."""

    text: str
    test: str  # any, one of, not, matches, or one of BOUNDS
    values: tuple[str, ...] = ()

    def condition(self, column: str, numeric: bool) -> tuple[str, Sequence[str | float]]:
        """The test in SQL with a `?` for each value, and these values."""
        forms = {
            "any": "true",
            "one of": f"{column} IN ({', '.join('?' * len(self.values))})",
            "not": f"{column} <> ?",
            "matches": f"regexp_matches({column}, ?)",
            "between": f"{column} BETWEEN ? AND ?",
        }
        values = [float(value) for value in self.values] if numeric else self.values
        return forms.get(self.test, f"{column} {self.test} ?"), values


@dataclass(frozen=True)
class Rule:
    """One line of a table: when the cell of every input holds, then these outputs, as text."""

    rule: str
    when: Mapping[str, Cell]
    then: Mapping[str, str]


@dataclass(frozen=True)
class DecisionTable:
    """The rules of one file, read and found sound by `DecisionTable.read`.

    `rows` are the rules in order; `numeric` the inputs that hold numbers; `digest` the sha256 (hexadecimal) of all
    cells, which line ends, empty lines, blanks around a cell and the order of the columns do not change.
    """

    path: Path
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    rows: tuple[Rule, ...]
    numeric: frozenset[str]
    digest: str

    @classmethod
    def read(
        cls, path: str | Path, inputs: Sequence[str], outputs: Sequence[str], default_required: bool = True
    ) -> "DecisionTable":
        """Read a table, and refuse one that would surprise whoever wrote it.

        `TableRefused`: other columns; a repeated or blank rule id; a cell of none of the forms above; numbers and text
        in one column; with `default_required`, no rule whose inputs are all blank; a rule that can never match.

        Such a rule's matches are all taken by earlier ones. The check is exact: it walks the product of what the
        columns tell apart (labels and numbers named, any other label, gaps between numbers, missing, each pattern found
        or not whatever the label). If that exceeds 1,000,000, it only looks for one earlier rule that takes everything.
        """
        path, inputs, outputs = Path(path), tuple(inputs), tuple(outputs)
        columns = ("rule", *inputs, *outputs)
        if len(set(columns)) < len(columns):
            raise ValueError(f"The columns {columns} repeat a name. Give every input and output its own.")
        lines = _lines(path, columns)
        if default_required and all(any(line[name] for name in inputs) for line in lines):
            raise TableRefused(f"{path} has no default. Add a rule as the last line, with every input blank.")
        with _duckdb() as connection:
            rows = tuple(
                Rule(
                    line["rule"],
                    {name: _cell(line[name], f"{path}, rule '{line['rule']}', {name}", connection) for name in inputs},
                    {name: line[name] for name in outputs},
                )
                for line in lines
            )
            numeric = frozenset(name for name in inputs if _is_numeric(path, rows, name))
            _check_reachable(path, rows, numeric, connection)
        content = json.dumps([columns, *([line[name] for name in columns] for line in lines)])
        return cls(path, inputs, outputs, rows, numeric, hashlib.sha256(content.encode()).hexdigest())

    def apply(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Decide each row of `frame` by the first rule that matches it, in one statement of an in-memory DuckDB.

        Gives the index of `frame` and the text columns rule and outputs. A row that no rule matches has nulls there,
        which takes a table read with `default_required=False`. An empty frame gives an empty frame with these columns.
        Raises `TableRefused` when the frame lacks an input, or has text where the table compares numbers.
        """
        names = {name: f"c{number}" for number, name in enumerate(self.inputs)}
        values = {names[name]: self._values(frame, name) for name in self.inputs}
        cases: list[str] = []
        parameters: list[str | float] = []
        for number, row in enumerate(self.rows):
            tests = [cell.condition(names[name], name in self.numeric) for name, cell in row.when.items()]
            cases.append(f"WHEN {' AND '.join(condition for condition, _ in tests) or 'true'} THEN {number}")
            parameters += [value for _, operands in tests for value in operands]
        with _duckdb() as connection:
            connection.register("rows", pa.table({"position": np.arange(len(frame)), **values}))
            sql = f"SELECT position, CASE {' '.join(cases)} ELSE {len(cases)} END AS rule FROM rows"
            answer = connection.execute(sql, parameters).fetchnumpy()
        chosen = np.empty(len(frame), dtype=np.int64)
        chosen[answer["position"]] = answer["rule"]
        answers = [[row.rule, *row.then.values()] for row in self.rows] + [[None] * (1 + len(self.outputs))]
        return pd.DataFrame(np.array(answers, dtype=object)[chosen], frame.index, ["rule", *self.outputs], dtype="str")

    def check_labels(self, column: str, known: Collection[str]) -> None:
        """Refuse the table (`TableRefused`) if cells of an input name labels outside `known`; the error lists each."""
        if column not in self.inputs:
            raise ValueError(f"{self.path} has no input '{column}'.{did_you_mean(column, self.inputs)}")
        unknown = [
            f"rule '{row.rule}', {column} '{cell.text}': there is no label '{label}'.{did_you_mean(label, known)}"
            for row in self.rows
            if (cell := row.when[column]).test in ("one of", "not")
            for label in cell.values
            if label not in known
        ]
        if unknown:
            raise TableRefused("\n".join([f"{self.path} names unknown labels. Correct these cells:", *unknown]))

    def _values(self, frame: pd.DataFrame, name: str) -> pa.Array:
        if name not in frame.columns:
            raise TableRefused(f"{self.path} needs '{name}' in each row.{did_you_mean(name, map(str, frame.columns))}")
        values = frame[name]
        if name not in self.numeric:
            return pa.array(values.astype("str"), pa.string(), from_pandas=True)
        try:
            numbers = values.astype(object).where(values.notna(), np.nan).astype("float64")
        except (TypeError, ValueError) as error:
            raise TableRefused(f"{self.path} compares '{name}' with numbers: {error}. Hand over numbers.") from error
        return pa.array(numbers, pa.float64(), from_pandas=True)


def _duckdb():
    import duckdb

    return duckdb.connect(config={"enable_external_access": False, "autoinstall_known_extensions": False})


def _lines(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The cells of each line by column, without the blanks around them."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = [[cell.strip() for cell in line] for line in csv.reader(file)]
    except FileNotFoundError as error:
        raise TableRefused(f"There is no table {path}. Create it with the columns {', '.join(columns)}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise TableRefused(f"{path} is not CSV in UTF-8 ({error}). Save it as 'CSV UTF-8'.") from error
    header, *lines = [line for line in table if any(line)] or [[]]
    for name in header:
        if name not in columns or header.count(name) > 1:
            raise TableRefused(f"{path} may not have this column '{name}'. Remove it.{did_you_mean(name, columns)}")
    if missing := [name for name in columns if name not in header]:
        raise TableRefused(f"{path} has no column '{missing[0]}'. Name it in the first line.")
    if not lines:
        raise TableRefused(f"{path} has no rules. Add a line for each.")
    rules: dict[str, dict[str, str]] = {}
    for line in lines:
        place = f"{path}, line '{','.join(line)}'"
        if len(line) != len(header):
            raise TableRefused(f"{place} has {len(line)} cells, not {len(header)}. Quote a cell that holds a comma.")
        rule = dict(zip(header, line, strict=True))
        if not rule["rule"]:
            raise TableRefused(f"{place} has no rule id. Name it in the column 'rule'.")
        if rule["rule"] in rules:
            raise TableRefused(f"{place}: the rule id '{rule['rule']}' was used above. Choose another.")
        rules[rule["rule"]] = rule
    return list(rules.values())


def _cell(text: str, place: str, connection: "DuckDB") -> Cell:
    import duckdb

    place = f"{place} '{text}'"
    if not text:
        return Cell(text, "any")
    if text.startswith("~"):
        try:
            connection.execute("SELECT regexp_matches('', ?)", [text[1:]]).fetchall()
        except duckdb.Error as error:
            raise TableRefused(f"{place}: {error}. Correct the regular expression (RE2).") from error
        return Cell(text, "matches", (text[1:],))
    if text[0] in "<>" or ".." in text:
        if found := re.fullmatch(rf"([<>]=?)\s*({NUMBER.pattern})", text):
            return Cell(text, found[1], (found[2],))
        found = re.fullmatch(rf"({NUMBER.pattern})\s*\.\.\s*({NUMBER.pattern})", text)
        if found and float(found[1]) <= float(found[2]):
            return Cell(text, "between", (found[1], found[2]))
        raise TableRefused(f"{place}: bounds are numbers, the smaller one first. Write >=0.8 or 10..20.")
    labels = tuple(label.strip() for label in text.removeprefix("!").split("|"))
    if text.startswith("!") and len(labels) > 1:
        raise TableRefused(f"{place}: '!' takes one label. Decide the other labels in rules above this one.")
    for label in labels:
        if label in ("", "-", "*") or label[0] in "!=~<>":
            raise TableRefused(f"{place}: '{label}' is no label. Write a|b, !a, >=0.8, 10..20, ~REGEX, or nothing.")
    return Cell(text, "not" if text.startswith("!") else "one of", labels)


def _is_numeric(path: Path, rows: Sequence[Rule], name: str) -> bool:
    used = {f"'{row.when[name].text}' (rule '{row.rule}')": row.when[name] for row in rows if row.when[name].text}
    bounds = [at for at, cell in used.items() if cell.test in BOUNDS]
    texts = [at for at, cell in used.items() if cell.test == "matches" or not all(map(NUMBER.fullmatch, cell.values))]
    if bounds and texts:
        raise TableRefused(f"{path}, {name} compares numbers, {bounds[0]}, and text, {texts[0]}. Keep it to one.")
    return bool(used) and not texts


def _accepted(cells: Sequence[Cell], numeric: bool, connection: "DuckDB") -> np.ndarray:
    """Which atoms each cell of a column accepts, `(cells, atoms)`; an atom stands for values no cell can tell apart.

    DuckDB answers, as in `apply`, except that every text is taken to fit a pattern.
    """
    named = {value for cell in cells if cell.test != "matches" for value in cell.values}
    if numeric:
        numbers = sorted({float(value) for value in named})
        gaps = [math.nextafter(low, high) for low, high in itertools.pairwise([-math.inf, *numbers, math.inf])]
        atoms = pa.array([None, *sorted({*numbers, *gaps})], pa.float64())
    else:
        atoms = pa.array([None, *sorted(named), "any other " + "".join(sorted(named))], pa.string())
    tests = [("c IS NOT NULL", ()) if cell.test == "matches" else cell.condition("c", numeric) for cell in cells]
    conditions = ", ".join(f"coalesce({condition}, false) AS t{number}" for number, (condition, _) in enumerate(tests))
    parameters = [value for _, operands in tests for value in operands]
    connection.register("atoms", pa.table({"c": atoms}))
    answer = connection.execute(f"SELECT {conditions} FROM atoms", parameters).fetchnumpy()
    return np.array([answer[f"t{number}"] for number in range(len(cells))], dtype=bool)


def _check_reachable(path: Path, rows: Sequence[Rule], numeric: frozenset[str], connection: "DuckDB") -> None:
    axes: list[np.ndarray] = []  # for whatever can vary by itself: which of its atoms each rule accepts
    for name in rows[0].when:
        cells = [row.when[name] for row in rows]
        if any(cell.text for cell in cells):
            axes.append(_accepted(cells, name in numeric, connection))
        for pattern in sorted({cell.values for cell in cells if cell.test == "matches"}):
            axes.append(np.array([[cell.test != "matches" or cell.values != pattern, True] for cell in cells]))
    few = math.prod(axis.shape[1] for axis in axes) <= ATOM_LIMIT
    for row, earlier in zip(rows, _covered_together(axes, len(rows)) if few else _covered_alone(axes), strict=True):
        if earlier:
            names = ", ".join(f"'{rows[number].rule}'" for number in earlier)
            wrong = f"{path}, rule '{row.rule}' can never match: earlier rules take all it matches ({names})"
            raise TableRefused(f"{wrong}. Move it above them, narrow them, or remove it.")


def _covered_together(axes: Sequence[np.ndarray], count: int) -> Iterator[list[int]]:
    """For each rule, the earlier rules that take all of its atoms among them; none if one atom is left."""
    winner = np.full([axis.shape[1] for axis in axes], -1)
    for number in range(count):
        area = np.ix_(*(axis[number] for axis in axes))
        taken = winner[area]
        yield [] if (taken < 0).any() else np.unique(taken).tolist()
        winner[area] = np.where(taken < 0, number, taken)


def _covered_alone(axes: Sequence[np.ndarray]) -> Iterator[list[int]]:
    """For each rule, the earlier rules that take all of its atoms alone."""
    accepted = np.concatenate(axes, axis=1)
    for number, atoms in enumerate(accepted):
        yield np.flatnonzero(~(atoms & ~accepted[:number]).any(axis=1)).tolist()

"""The contract of an asset's rows: what columns there are, what each row must satisfy, and what a frame breaks of it.

    class Feedback(Contract):
        message_id: str = pa.Field(unique=True, description="Stable id.")
        received_at: UtcTime

Two kinds of breach are kept apart. **Drift** (an unknown, missing or retyped column, a rule that cannot be computed)
concerns the whole frame. A **refusal** concerns one row, and names the rule.
"""

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pyarrow
from pandera.errors import SchemaError, SchemaErrorReason, SchemaErrors

UtcTime = Annotated[pd.DatetimeTZDtype, "us", "UTC"]
"""Column type of a moment: microseconds, UTC."""

_PRESENT, _UNIQUE = "not_null", "unique"
_TOGETHER = "multiple_fields_uniqueness"  # pandera's own name for `unique` in a contract's Config
_EXACT_FLOAT = 2**53  # whole numbers up to here are floats without a change
_GREATEST_INT = 2**63 - 1


class Contract(pa.DataFrameModel):
    """Base of every contract. Columns are exactly those named; add a rule with `@pa.check` or `@pa.dataframe_check`."""

    class Config(pa.DataFrameModel.Config):
        strict = True


@dataclass(frozen=True)
class Rule:
    """One rule of a contract, as the UI shows it. `is_presence`: it only says that the column is never null."""

    name: str
    column: str | None
    meaning: str
    is_presence: bool = False


@dataclass(frozen=True)
class Refusal:
    """One row that one rule refuses. `position` counts from 0 in the frame that was checked."""

    position: int
    rule: str
    value: str


@dataclass(frozen=True)
class Checked:
    """What a contract says of a frame. With `drift` no row was judged."""

    frame: pd.DataFrame
    drift: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    refused: frozenset[int] = field(default_factory=lambda: frozenset[int]())

    @property
    def good(self) -> pd.DataFrame:
        """The rows that no rule refuses, numbered from 0."""
        keep = np.ones(len(self.frame), dtype=bool)
        keep[sorted(self.refused)] = False
        return self.frame[keep].reset_index(drop=True)


def columns(contract: type[Contract]) -> dict[str, Any]:
    """Name → pandera column, in the contract's order."""
    return dict(contract.to_schema().columns)


def rules(contract: type[Contract]) -> list[Rule]:
    """Every rule of the contract but the column types, which are drift's business."""
    found: list[Rule] = []
    schema = contract.to_schema()
    for name, column in schema.columns.items():
        if not column.nullable:
            found.append(Rule(_rule_name(name, _PRESENT), name, f"{name} is present", is_presence=True))
        if column.unique:
            found.append(Rule(_rule_name(name, _UNIQUE), name, f"{name} occurs once"))
        found += [Rule(_rule_name(name, check), name, _meaning(check)) for check in column.checks or ()]
    if schema.unique:
        found.append(Rule(_TOGETHER, None, f"{', '.join(schema.unique)} together occur once"))
    found += [Rule(_rule_name(None, check), None, _meaning(check)) for check in schema.checks or ()]
    return found


def version_of(contract: type[Contract]) -> str:
    """Digest of what the contract demands: columns, types, rules and their meaning; 12 hexadecimal digits."""
    demands = [(name, str(column.dtype), column.nullable, column.unique) for name, column in columns(contract).items()]
    content = json.dumps([contract.__name__, demands, [[rule.name, rule.meaning] for rule in rules(contract)]])
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def arrow_schema(contract: type[Contract]) -> pyarrow.Schema:
    """The Arrow types in which the contract's rows are stored, the same for every file, and which may be null."""
    return pyarrow.schema(
        [pyarrow.field(name, _arrow_type(column.dtype), column.nullable) for name, column in columns(contract).items()]
    )


def empty_frame(contract: type[Contract]) -> pd.DataFrame:
    """The contract's columns with no row."""
    return cast(pd.DataFrame, arrow_schema(contract).empty_table().to_pandas())


def check(contract: type[Contract], frame: pd.DataFrame) -> Checked:
    """Hold a frame to a contract.

    The result's frame has the contract's column order and types and a fresh index from 0. A column is retyped only
    where no value changes (whole numbers to floats, text objects to text, a column without values to anything); times
    are cut to microseconds. Anything else is drift.
    """
    frame = frame.reset_index(drop=True)
    wanted = columns(contract)
    drift = [f"unknown column '{name}'" for name in frame.columns.unique() if name not in wanted]
    drift += [f"repeated column '{name}'" for name in frame.columns[frame.columns.duplicated()].unique()]
    drift += [f"missing column '{name}'" for name in wanted if name not in frame.columns]
    if drift:
        return Checked(frame, tuple(drift))
    frame = frame[list(wanted)].copy()
    for name, column in wanted.items():
        retyped = _retyped(frame[name], column.dtype)
        if retyped is None:
            drift.append(f"retyped column '{name}': {frame[name].dtype}, expected {column.dtype}")
        else:
            frame[name] = retyped
    if drift or frame.empty:
        return Checked(frame, tuple(drift))
    try:
        contract.to_schema().validate(frame, lazy=True)
    except SchemaErrors as errors:
        return _judged(frame, errors.schema_errors)
    return Checked(frame)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as dicts by column name."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _judged(frame: pd.DataFrame, errors: list[SchemaError]) -> Checked:
    drift: list[str] = []
    refusals: list[Refusal] = []
    for error in errors:
        name = _broken_rule(error)
        cases = error.failure_cases
        positions = [] if not isinstance(cases, pd.DataFrame) else list(dict.fromkeys(cases["index"].tolist()))
        if error.reason_code == SchemaErrorReason.CHECK_ERROR:
            kind = str(cases).partition("(")[0]  # what stands behind may quote a message
            drift.append(f"rule '{name}' cannot be computed ({kind})")
            continue
        if error.reason_code == SchemaErrorReason.SERIES_CONTAINS_DUPLICATES and _only_nulls_repeat(frame, error):
            continue  # they are refused where the column may not be null, and no two messages share an id where it may
        if not positions or None in positions:
            drift.append(f"rule '{name}' does not hold for the batch")
            continue
        column = error.schema.name if error.schema.name in frame.columns else None
        for position in positions:
            value = frame.at[position, column] if column else None
            refusals.append(Refusal(int(position), name, _shown(value)))
    refusals.sort(key=lambda refusal: (refusal.position, refusal.rule))
    return Checked(frame, tuple(drift), tuple(refusals), frozenset(refusal.position for refusal in refusals))


def _only_nulls_repeat(frame: pd.DataFrame, error: SchemaError) -> bool:
    return not frame[error.schema.name].dropna().duplicated().any()


def _broken_rule(error: SchemaError) -> str:
    column = error.schema.name
    if error.reason_code == SchemaErrorReason.SERIES_CONTAINS_NULLS:
        return _rule_name(column, _PRESENT)
    if error.reason_code == SchemaErrorReason.SERIES_CONTAINS_DUPLICATES:
        return _rule_name(column, _UNIQUE)
    of_column = isinstance(error.schema, pa.Column)
    return _rule_name(str(column) if of_column else None, error.check)


def _rule_name(column: str | None, rule: Any) -> str:
    """The rule's name as Dagster's checks may be called: letters, digits and underscores."""
    own = str(getattr(rule, "name", None) or rule).strip()
    return re.sub(r"[^A-Za-z0-9_]+", "_", f"{column}_{own}" if column else own).strip("_")


def _meaning(rule: Any) -> str:
    return str(rule.description or rule.error or rule.name)


def _arrow_type(dtype: Any) -> pyarrow.DataType:
    kind = str(dtype)
    known = {"float64": pyarrow.float64(), "int64": pyarrow.int64(), "bool": pyarrow.bool_()}
    known["datetime64[us, UTC]"] = pyarrow.timestamp("us", tz="UTC")
    if kind not in known and not kind.startswith("str"):
        raise TypeError(f"A contract column has type {kind}. Use str, float, int, bool or UtcTime.")
    return known.get(kind, pyarrow.string())


def _retyped(series: pd.Series, dtype: Any) -> pd.Series | None:
    """The column in the contract's type; None where that would change a value, or take its absence away."""
    kind: Any = "str" if pyarrow.types.is_string(_arrow_type(dtype)) else str(dtype)
    if series.empty or (series.isna().all() and kind not in ("bool", "int64")):
        return pd.Series(None, series.index, dtype=kind)
    return series.astype(kind) if _keeps_values(series, kind) else None


def _keeps_values(series: pd.Series, kind: str) -> bool:
    present, own = series.dropna(), series.dtype
    has_nulls = len(present) < len(series)
    if kind == "str":
        return own == "str" or all(isinstance(value, str) for value in present)
    if kind == "float64":
        whole = pd.api.types.is_integer_dtype(own)
        exact = whole and bool(present.between(-_EXACT_FLOAT, _EXACT_FLOAT).all())
        return exact or pd.api.types.is_float_dtype(own)
    if kind == "int64":
        return pd.api.types.is_integer_dtype(own) and not has_nulls and bool((present <= _GREATEST_INT).all())
    if kind == "bool":
        return pd.api.types.is_bool_dtype(own) and not has_nulls
    return isinstance(own, pd.DatetimeTZDtype)


def _shown(value: object) -> str:
    """A value cut to a length that fits a table; text of customers is not for logs, so callers choose where it goes."""
    text = str(value)
    return text if len(text) <= 120 else f"{text[:117]}..."

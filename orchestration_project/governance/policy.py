"""How far models are left alone: the policy of `policy.toml`, a dataclass for each of its tables."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from orchestration_project.core.errors import FileRefused, did_you_mean
from orchestration_project.core.settings import variable
from orchestration_project.stores.toml_files import read_toml

ACTOR = "policy"
"""Who acts in the audit log, and switches, where the policy does something by itself."""


def _number(default: float, *, least: float = 0, most: float = float("inf")) -> Any:
    return field(default=default, metadata={"least": least, "most": most})


def _one_of(*names: str) -> Any:
    return field(default=names[0], metadata={"one_of": names})


@dataclass(frozen=True)
class Reviews:
    """Rows that wait for people: until when, how many, and what becomes of one that nobody decides."""

    respond_hours: float = _number(24.0, least=0.001)
    when_overdue: str = _one_of("surest", "safe_state")
    most_open: int = _number(25)
    claim_minutes: float = _number(15.0, least=0.001)


@dataclass(frozen=True)
class Learning:
    """When a new version of a model is trained, and what it takes until it is in use."""

    new_verdicts: int = _number(50, least=1)
    shadow_rows: int = _number(200)
    approval: str = _one_of("nobody", "somebody", "somebody_else")


@dataclass(frozen=True)
class Checks:
    """Accepted answers that people look at blind: how many, until when, and when their number says something."""

    share: float = _number(0.01, most=1)
    per_day: int = _number(20)
    respond_hours: float = _number(72.0, least=0.001)
    window_days: int = _number(28, least=1)
    fewest: int = _number(30, least=1)
    thresholds: str = _one_of("raise", "nothing")


@dataclass(frozen=True)
class Disengage:
    """What sends a performer into shadow without a person; only a person switches it on again."""

    on_live_error: str = _one_of("shadow", "nothing")
    on_drift: str = _one_of("nothing", "shadow")
    breaker_open_minutes: float = _number(60.0)
    latency_seconds: float = _number(0.0)
    latency_batches: int = _number(5, least=1)


@dataclass(frozen=True)
class Policy:
    """Every table of the policy; one that the file leaves out has its defaults."""

    reviews: Reviews = field(default_factory=Reviews)
    checks: Checks = field(default_factory=Checks)
    learning: Learning = field(default_factory=Learning)
    disengage: Disengage = field(default_factory=Disengage)


def read_policy(file: Path) -> Policy:
    """The policy that a file states. FileRefused for a table, key or value that there cannot be."""
    found = read_toml(file, "policy", f"Put it back, or name another with {variable('policy')}.")
    tables = {entry.name: entry.type for entry in fields(Policy)}
    for name in found:
        if name not in tables:
            raise FileRefused(f"{file.name} has the table '{name}'.{did_you_mean(name, tables)}")
    return Policy(**{name: _read(file, name, tables[name], values) for name, values in found.items()})


def _read(file: Path, table: str, kind: Any, values: Any) -> Any:
    if not isinstance(values, dict):
        raise FileRefused(f"{file.name} gives {table} as {values!r}. Write a table [{table}].")
    known = {entry.name: entry for entry in fields(kind)}
    for name, value in values.items():
        if name not in known:
            raise FileRefused(f"{file.name} gives {table} the key '{name}'.{did_you_mean(name, known)}")
        if wrong := _wrong(value, known[name].type, known[name].metadata):
            raise FileRefused(f"{file.name} gives {table}.{name} {value!r}. {wrong}")
    return kind(**{name: float(value) if known[name].type is float else value for name, value in values.items()})


def _wrong(value: Any, kind: Any, limits: Any) -> str | None:
    """What to write in the place of a value that cannot be; None for one that can."""
    if "one_of" in limits:
        return None if value in limits["one_of"] else f"Write one of: {', '.join(limits['one_of'])}."
    is_number = isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
    if is_number and limits["least"] <= value <= limits["most"]:
        return None
    what = "a whole number" if kind is int else "a number"
    above = "" if limits["most"] == float("inf") else f" to {limits['most']:g}"
    return f"Write {what} from {limits['least']:g}{above}."

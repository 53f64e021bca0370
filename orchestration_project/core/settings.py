"""Every setting: its name, default and meaning, in one table. Nothing else reads the environment."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from orchestration_project.core.errors import SettingRefused
from orchestration_project.core.targets import read_targets

PROJECT = Path(__file__).resolve().parents[2]
"""The checkout: the folder that holds `orchestration_project/` and `assets/`."""

LEAST_AUDIT_DAYS = 184
"""Six months of any length."""


def _share(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise ValueError("Set a number from 0 to 1.")
    return number


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError("Set a whole number from 1.")
    return number


def _port(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 65_535:
        raise ValueError("Set a number from 1 to 65535.")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError("Set a number of seconds above 0.")
    return number


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise ValueError("Set names, with commas between them.")
    return names


def _switch(text: str) -> bool:
    if text.lower() not in ("yes", "no"):
        raise ValueError("Set yes or no.")
    return text.lower() == "yes"


def _time_zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("Set an IANA time zone such as Europe/Berlin.") from error
    return text


def _folder(text: str) -> Path:
    try:
        return Path(text).expanduser().resolve()
    except (RuntimeError, OSError) as error:
        raise ValueError("Set the path of a folder.") from error


def _file(text: str) -> Path:
    try:
        return Path(text).expanduser().resolve()
    except (RuntimeError, OSError) as error:
        raise ValueError("Set the path of a file.") from error


def _head_place(text: str) -> str:
    """An http(s) URL, or the absolute path of a file."""
    if text.startswith(("http://", "https://")):
        if not urlsplit(text).hostname:
            raise ValueError("Set an URL that names a host, or the path of a file.")
        return text
    if "://" in text:
        raise ValueError("Set an http or https URL, or the path of a file.")
    return os.fspath(_file(text))


def _audit_days(text: str) -> int:
    number = int(text)
    if number < LEAST_AUDIT_DAYS:
        raise ValueError(
            f"Set at least {LEAST_AUDIT_DAYS} days: logs are kept for six months or longer (EU AI Act, article 26(6))."
        )
    return number


def _setting(default: Any, read: Callable[[str], Any], meaning: str, *, is_secret: bool = False) -> Any:
    metadata = {"read": read, "meaning": meaning, "is_secret": is_secret}
    return field(default=default, repr=not is_secret, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """The settings in force. The variable of a field is `ORCHESTRATE_` and its name in capitals."""

    home: Path = _setting(PROJECT / "home", _folder, "Folder of all data of this project.")
    ledger_url: str = _setting("", str, "SQLAlchemy URL of the ledger; empty: SQLite in the home.")
    registry_url: str = _setting("", str, "MLflow tracking URL of the model registry; empty: SQLite in the home.")
    time_zone: str = _setting("UTC", _time_zone, "Time zone of schedules and of an alert's calendar day.")
    port: int = _setting(3000, _port, "Port of Dagster's UI on 127.0.0.1.")
    batch_rows: int = _setting(50_000, _count, "Most rows of one batch; a larger file becomes several.")
    quarantine_share: float = _setting(0.05, _share, "A batch halts when more than this share of its rows is refused,")
    quarantine_rows: int = _setting(20, _count, "... and at least this many rows are.")
    target_error: float = _setting(0.05, _share, "Stated error among accepted rows; acceptance thresholds keep it.")
    embeddings: bool = _setting(
        False, _switch, "Whether models learn sentence embeddings besides words (make embeddings)."
    )
    follow_up_labels: tuple[str, ...] = _setting(
        ("negative",), _names, "Labels of sentiment whose messages go on to issue, with commas between them."
    )
    accepted_columns: Path = _setting(
        PROJECT / "assets" / "accepted_columns.csv", _file, "File of columns that were accepted besides the contracts'."
    )
    knowledge: Path = _setting(
        PROJECT / "assets" / "samples" / "policies", _folder, "Folder of the documents that the knowledge assets read."
    )
    batches_at_once: int = _setting(
        2, _count, "Batches that are worked on at once; what comes in meanwhile waits for the next."
    )
    attempts: int = _setting(3, _count, "Runs of a batch in a row before it is set aside.")
    retry_seconds: float = _setting(
        10.0, _seconds, "After a run that failed its batch is tried again after about so long, then twice as long."
    )
    lease_seconds: float = _setting(60.0, _seconds, "How long a submitter may take before another submits.")
    heartbeat_seconds: float = _setting(5.0, _seconds, "How often a run says that it lives; silent for 6 times: dead.")
    notify: tuple[str, ...] = _setting(
        (), read_targets, "Apprise URLs that notices go to, with commas or blanks between them.", is_secret=True
    )
    inbox_port: int = _setting(3001, _port, "Port on 127.0.0.1 that takes posted messages.")
    inbox_body_bytes: int = _setting(4_194_304, _count, "Most bytes of one posted body.")
    inbox_backlog_rows: int = _setting(
        1_000_000, _count, "Posted messages are put off while more rows than this wait for a run to begin."
    )
    inbox_key_hours: int = _setting(24, _count, "Hours that an Idempotency-Key is remembered.")
    inbox_id_names: tuple[str, ...] = _setting(
        ("message_id", "id", "ticket_id", "review_id"),
        _names,
        "Fields that may hold a posted message's id; the first that has a value counts.",
    )
    inbox_time_names: tuple[str, ...] = _setting(
        ("received_at", "timestamp", "created_at", "sent_at", "date"),
        _names,
        "Fields that may hold its time; a CloudEvent's time fills the first if all are empty.",
    )
    inbox_identity: tuple[str, ...] = _setting(
        ("text", "account", "received_at"), _names, "Without an id, equal values of all these fields give equal ids."
    )
    performer_seconds: float = _setting(
        300.0, _seconds, "How long a performer may take for one call, its attempts together."
    )
    asset_seconds: float = _setting(
        3600.0,
        _seconds,
        "How long an asset's function may take, and its performers together; limit_seconds of an asset goes before it.",
    )
    breaker_failures: int = _setting(
        3, _count, "Batches in a row in which a performer is away before its circuit opens."
    )
    breaker_wait_seconds: float = _setting(
        30.0, _seconds, "How long a circuit is open before one caller probes; then twice as long, and so on."
    )

    people: Path = _setting(PROJECT / "assets" / "people.toml", _file, "File of the persons, their roles and skills.")
    person: str = _setting("", str, "Person who acts, where the operating-system user may act for several.")
    policy: Path = _setting(PROJECT / "assets" / "policy.toml", _file, "File of how far models are left alone.")
    audit_heads: str = _setting(
        "", _head_place, "File or http(s) URL that is told the audit log's head when a run ends.", is_secret=True
    )
    audit_days: int = _setting(
        730, _audit_days, "Days that audit entries stay in the ledger; audit prune moves older ones into a file."
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Read every setting, or raise SettingRefused for the first that has a value it cannot have."""
        source = os.environ if environment is None else environment
        values: dict[str, Any] = {}
        for entry in fields(cls):
            text = source.get(variable(entry.name), "").strip()
            if not text:
                continue
            try:
                values[entry.name] = entry.metadata["read"](text)
            except ValueError as error:
                hint = str(error) if str(error).startswith("Set ") else f"Set {_kind(entry.type)}."
                shown_text = "not shown, for it may hold secrets" if entry.metadata["is_secret"] else repr(text)
                raise SettingRefused(f"{variable(entry.name)} is {shown_text}. {hint}") from error
        return cls(**values)


def _kind(annotation: object) -> str:
    return {int: "a whole number", float: "a number"}.get(annotation, "another value")  # type: ignore[call-overload]


def variable(name: str) -> str:
    """Name of the environment variable that holds a setting.

    >>> variable("batch_rows")
    'ORCHESTRATE_BATCH_ROWS'
    """
    return f"ORCHESTRATE_{name.upper()}"


def settings_table() -> list[tuple[str, str, str]]:
    """Rows of (variable, default, meaning), as the README shows them."""
    rows: list[tuple[str, str, str]] = []
    for entry in fields(Settings):
        default = shown(entry.default)
        rows.append((variable(entry.name), default, entry.metadata["meaning"]))
    return rows


def shown(value: Any) -> str:
    """The value of a setting as it is written in its variable."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Path):
        return str(value.relative_to(PROJECT) if value.is_relative_to(PROJECT) else value)
    return ",".join(value) if isinstance(value, tuple) else str(value)


def dagster_home() -> str:
    """The `DAGSTER_HOME` this process runs with; empty when it is not set."""
    return os.environ.get("DAGSTER_HOME", "")

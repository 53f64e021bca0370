"""Settings: what the environment may say, and what is refused by name, with its value and what to set."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration_project.core.errors import SettingRefused
from orchestration_project.core.settings import PROJECT, Settings, dagster_home, settings_table, variable

SHARE, COUNT, SECONDS = "Set a number from 0 to 1.", "Set a whole number from 1.", "Set a number of seconds above 0."
NUMBER, WHOLE, PORT = "Set a number.", "Set a whole number.", "Set a number from 1 to 65535."
SWITCH = "Set yes or no."
NAMES = "Set names, with commas between them."
URLS = "Set Apprise URLs such as jsons://HOST/PATH"
ZONE = "Set an IANA time zone such as Europe/Berlin."
SIX_MONTHS = "Set at least 184 days: logs are kept for six months or longer (EU AI Act, article 26(6))."

REFUSED: dict[str, list[tuple[str, str]]] = {
    "home": [("~nobody-has-this-name/home", "Set the path of a folder.")],
    "time_zone": [(text, ZONE) for text in ("Berlin", "Europe", "../UTC", "UTC+1", "/etc/localtime", "Z" * 300)],
    "port": [("0", PORT), ("65536", PORT), ("-1", PORT), ("http", WHOLE), ("3000.0", WHOLE)],
    "batch_rows": [("0", COUNT), ("-5", COUNT), ("many", WHOLE), ("1e3", WHOLE), ("9" * 5000, WHOLE)],
    "quarantine_share": [("7", SHARE), ("-0.1", SHARE), ("nan", SHARE), ("inf", SHARE), ("5%", NUMBER)],
    "quarantine_rows": [("0", COUNT), ("twenty", WHOLE)],
    "target_error": [("1.01", SHARE), ("nan", SHARE), ("0,05", NUMBER)],
    "embeddings": [("true", SWITCH), ("1", SWITCH)],
    "follow_up_labels": [(",", NAMES), (", ,", NAMES)],
    "accepted_columns": [("~nobody-has-this-name/columns.csv", "Set the path of a file.")],
    "knowledge": [("~nobody-has-this-name/handbook", "Set the path of a folder.")],
    "batches_at_once": [("0", COUNT), ("two", WHOLE)],
    "attempts": [("0", COUNT), ("2.5", WHOLE)],
    "retry_seconds": [("0", SECONDS), ("inf", SECONDS), ("soon", NUMBER)],
    "lease_seconds": [("0", SECONDS), ("-1", SECONDS), ("nan", SECONDS), ("inf", SECONDS), ("1 min", NUMBER)],
    "heartbeat_seconds": [("0", SECONDS), ("inf", SECONDS), ("fast", NUMBER)],
    "notify": [
        (",", f"{URLS}, with commas or blanks between them."),
        ("hunter2", f"{URLS}; URL 1 of 1 is none."),
        ("json://example.org, jsno://me:hunter2@example.org", f"{URLS}; URL 2 of 2 is none."),
        ("json://me:hunter2@", f"{URLS}; URL 1 of 1 is none."),
    ],
    "inbox_port": [("0", PORT), ("inbox", WHOLE)],
    "inbox_body_bytes": [("0", COUNT), ("4 MB", WHOLE)],
    "inbox_backlog_rows": [("0", COUNT), ("1e6", WHOLE)],
    "inbox_key_hours": [("0", COUNT), ("0.5", WHOLE)],
    "inbox_id_names": [(",", NAMES)],
    "inbox_time_names": [(",", NAMES)],
    "inbox_identity": [(",", NAMES)],
    "performer_seconds": [("0", SECONDS), ("inf", SECONDS), ("1 min", NUMBER)],
    "asset_seconds": [("-1", SECONDS), ("nan", SECONDS)],
    "breaker_failures": [("0", COUNT), ("2.5", WHOLE)],
    "breaker_wait_seconds": [("0", SECONDS), ("soon", NUMBER)],
    "people": [("~nobody-has-this-name/people.toml", "Set the path of a file.")],
    "policy": [("~nobody-has-this-name/policy.toml", "Set the path of a file.")],
    "audit_heads": [
        ("ftp://hunter2@example.org", "Set an http or https URL, or the path of a file."),
        ("https://", "Set an URL that names a host, or the path of a file."),
        ("~nobody-has-this-name/heads", "Set the path of a file."),
    ],
    "audit_days": [("183", SIX_MONTHS), ("0", SIX_MONTHS), ("a year", WHOLE)],
}
"""Setting → values that it cannot have, each with what to set instead."""

ACCEPTED: dict[str, tuple[str, Any]] = {
    "home": ("/srv/../srv/data", Path("/srv/data")),
    "ledger_url": ("postgresql+psycopg://me@host/db", "postgresql+psycopg://me@host/db"),
    "registry_url": ("https://mlflow.example", "https://mlflow.example"),
    "time_zone": ("Europe/Berlin", "Europe/Berlin"),
    "port": ("65535", 65_535),
    "batch_rows": ("1", 1),
    "quarantine_share": ("0", 0.0),
    "quarantine_rows": ("7", 7),
    "target_error": ("1", 1.0),
    "embeddings": ("Yes", True),
    "follow_up_labels": ("negative, neutral,,negative", ("negative", "neutral")),
    "accepted_columns": ("/srv/../srv/columns.csv", Path("/srv/columns.csv")),
    "knowledge": ("/srv/../srv/handbook", Path("/srv/handbook")),
    "batches_at_once": ("8", 8),
    "attempts": ("12", 12),
    "retry_seconds": ("0.1", 0.1),
    "lease_seconds": ("0.5", 0.5),
    "heartbeat_seconds": ("1e2", 100.0),
    "notify": (
        "json://a.example,mailto://me:hunter2@b.example?to=c@d.example,e@f.example  json://a.example",
        ("json://a.example", "mailto://me:hunter2@b.example?to=c@d.example,e@f.example"),
    ),
    "inbox_port": ("8080", 8080),
    "inbox_body_bytes": ("1000", 1000),
    "inbox_backlog_rows": ("5", 5),
    "inbox_key_hours": ("48", 48),
    "inbox_id_names": ("number", ("number",)),
    "inbox_time_names": ("at, when", ("at", "when")),
    "inbox_identity": ("text", ("text",)),
    "performer_seconds": ("2.5", 2.5),
    "asset_seconds": ("90", 90.0),
    "breaker_failures": ("5", 5),
    "breaker_wait_seconds": ("10", 10.0),
    "people": ("/srv/../srv/people.toml", Path("/srv/people.toml")),
    "person": ("anna", "anna"),
    "policy": ("/srv/../srv/policy.toml", Path("/srv/policy.toml")),
    "audit_heads": ("https://me:hunter2@example.org/heads", "https://me:hunter2@example.org/heads"),
    "audit_days": ("184", 184),
}

TEXT_IS_ENOUGH = {"ledger_url", "registry_url", "person"}
"""Any text is a URL until somebody connects, or a name until somebody acts: then it is refused."""


SECRET = {"notify", "audit_heads"}
"""Settings whose value is never shown."""


def names() -> list[str]:
    return [entry.name for entry in dataclasses.fields(Settings)]


def read(name: str, text: str) -> Any:
    return getattr(Settings.from_environment({variable(name): text}), name)


def test_every_setting_is_tried_here() -> None:
    assert list(ACCEPTED) == names()
    assert REFUSED.keys() == set(names()) - TEXT_IS_ENOUGH


@pytest.mark.parametrize(("name", "text", "hint"), [(name, *case) for name, cases in REFUSED.items() for case in cases])
def test_a_value_it_cannot_have_is_refused_with_name_value_and_what_to_set(name: str, text: str, hint: str) -> None:
    with pytest.raises(SettingRefused) as refusal:
        read(name, text)
    assert str(refusal.value) == f"{variable(name)} is {shown(name, text)}. {hint}"


def shown(name: str, text: str) -> str:
    return "not shown, for it may hold secrets" if name in SECRET else repr(text)


def test_settings_shown_as_a_whole_hold_no_secret() -> None:
    found = Settings.from_environment({"ORCHESTRATE_NOTIFY": "json://me:hunter2@example.org"})
    assert found.notify == ("json://me:hunter2@example.org",)
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_value_it_can_have_is_read_with_its_type_and_changes_nothing_else(name: str) -> None:
    text, value = ACCEPTED[name]
    found = Settings.from_environment({variable(name): f"  {text}\n", "HOME": "/elsewhere"})
    assert found == dataclasses.replace(Settings(), **{name: value})
    assert type(getattr(found, name)) is type(value) or isinstance(value, Path)


@pytest.mark.parametrize("name", ACCEPTED)
def test_blank_is_the_default(name: str) -> None:
    assert Settings.from_environment({variable(name): " \t"}) == Settings()


def test_of_several_bad_values_the_first_setting_is_named() -> None:
    with pytest.raises(SettingRefused, match="ORCHESTRATE_PORT is 'x'"):
        Settings.from_environment({"ORCHESTRATE_ATTEMPTS": "x", "ORCHESTRATE_PORT": "x"})


def test_home_is_absolute_wherever_the_process_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    assert read("home", "data") == tmp_path / "data"
    assert read("home", "~/data") == tmp_path / "user" / "data"
    assert Settings().home == PROJECT / "home"


def test_settings_come_from_the_environment_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATE_ATTEMPTS", "9")
    assert Settings.from_environment().attempts == 9
    monkeypatch.setenv("DAGSTER_HOME", "/srv/dagster")
    assert dagster_home() == "/srv/dagster"
    monkeypatch.delenv("DAGSTER_HOME")
    assert dagster_home() == ""


def test_the_table_has_a_row_for_each_setting_and_names_no_folder_of_this_machine() -> None:
    rows = settings_table()
    assert [row[0] for row in rows] == [f"ORCHESTRATE_{name.upper()}" for name in names()]
    assert all(meaning for _, _, meaning in rows)
    assert ("ORCHESTRATE_HOME", "home", "Folder of all data of this project.") in rows
    defaults = {name: default for name, default, _ in rows}
    assert defaults["ORCHESTRATE_QUARANTINE_SHARE"] == "0.05"
    assert defaults["ORCHESTRATE_FOLLOW_UP_LABELS"] == "negative"


@given(st.sampled_from(names()), st.text(max_size=40))
def test_any_text_is_a_value_or_a_refusal_that_names_it(name: str, text: str) -> None:
    try:
        Settings.from_environment({variable(name): text})
    except SettingRefused as refusal:
        said = str(refusal)
        assert said.startswith(f"{variable(name)} is {shown(name, text.strip())}. Set ")
        assert said.endswith(".")

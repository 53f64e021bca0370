"""The tables that the audit log is held against, a `Witness` each.

To add one: have each audit entry that makes, changes or ends a row give in its detail what stands in the row, write
what the entries said and what the rows are as below, and put the witness into `WITNESSES`: an erasure then leaves its
table alone. An entry that changes a row a second time (a correction, an erasure that rewrites a file) is one more action
of the same witness, and gives the new facts. Moments are compared as ISO 8601 text in UTC.

Reviews have none: they come, are claimed, passed on and closed by themselves; what a person decided is the verdict.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from orchestration_project.governance.audit import Entry
from orchestration_project.governance.audit_evidence import Claim, Found, Key, NamedFile, Witness
from orchestration_project.stores import manifest, model_versions
from orchestration_project.stores.home import Home
from orchestration_project.stores.manifest import Version
from orchestration_project.stores.schema import (
    CHAMPIONS,
    ERASURES,
    LABEL_IMPORTS,
    MANIFEST,
    MODEL_VERSIONS,
    SWITCHES,
    TRIALS,
    VERDICTS,
)
from orchestration_project.stores.verdicts import Verdict

Detail = Mapping[str, Any]

FORGOTTEN = "forgotten"
"""Action of the entry that says which files an erasure wrote anew."""


def keyed(facts: Mapping[str, Any], key: Iterable[str]) -> tuple[Key, dict[str, Any]]:
    """The facts of a row, those of its key as the key."""
    names = tuple(key)
    return tuple(facts[name] for name in names), {name: facts[name] for name in facts if name not in names}


def said_under(name: str, key: Iterable[str]) -> Callable[[Entry, Detail], Iterator[Claim]]:
    """What entries say that have all facts of the row under this name of their detail; others say nothing."""

    def said(_entry: Entry, detail: Detail) -> Iterator[Claim]:
        if name in detail:
            yield Claim(*keyed(detail[name], key))

    return said


def rows_of(table: sa.Table, key: Iterable[str], since: str) -> Callable[[sa.Connection], Iterator[Found]]:
    """Every row of a table with all its columns; `since` is the column that says when it was written."""

    def rows(connection: sa.Connection) -> Iterator[Found]:
        for row in _stream(connection, sa.select(table)).mappings():
            yield Found(*keyed({str(name): _as_json(value) for name, value in row.items()}, key), row[since])

    return rows


def files_of(table: sa.Table, folder: Callable[[Home], Path]) -> Callable[[Home, sa.Connection], Iterator[NamedFile]]:
    """Every file that a table names by `path`, in this folder, and `sha256`."""

    def files(home: Home, connection: sa.Connection) -> Iterator[NamedFile]:
        for row in _stream(connection, sa.select(table.c.path, table.c.sha256)):
            yield NamedFile(folder(home) / row[0], row[1])

    return files


_OF_A_VERSION = ("asset", "partition", "version")
_OF_A_MODEL = ("family", "version", "sha256")
_FACTS = ("run_id", "file", "file_sha256", "file_rows", "inputs", "published_at")


def _published(entry: Entry, detail: Detail) -> Iterator[Claim]:
    for version in _versions_in(entry, detail):
        key = (*_place(entry, version), version["version"])
        yield Claim(key, {name: version[name] for name in _FACTS if name in version})


def _versions_in(entry: Entry, detail: Detail) -> "list[Detail]":
    """What an entry says of versions: of the one that was published, or of those that an erasure wrote anew."""
    if entry.action == FORGOTTEN:
        return detail["versions"]
    return [detail] if "version" in detail else []


def _versions(connection: sa.Connection) -> Iterator[Found]:
    for row in _stream(connection, sa.select(*manifest.COLUMNS)):
        version = Version(*row)
        yield Found(*keyed(version.facts(), _OF_A_VERSION), version.published_at)


def _made_current(entry: Entry, detail: Detail) -> Iterator[Claim]:
    if entry.action != "published":
        batch = detail.get("partition", entry.subject.rpartition("/")[2])
        for asset in detail.get("withdrawn", ()):
            yield Claim((asset, batch), None)
        for asset, number in detail.get("restored", {}).items():
            yield Claim((asset, batch), {"version": number})
    elif "version" in detail:
        yield Claim(_place(entry, detail), {"version": detail["version"]})


def _current(connection: sa.Connection) -> Iterator[Found]:
    columns = MANIFEST.c.asset, MANIFEST.c.partition, MANIFEST.c.version, MANIFEST.c.published_at
    for row in _stream(connection, sa.select(*columns).where(MANIFEST.c.is_current)):
        yield Found((row[0], row[1]), {"version": row[2]}, row[3])


def _place(entry: Entry, detail: Detail) -> tuple[str, str]:
    """Asset and partition of an entry; one that was written before they stood in the detail has them as its subject."""
    if "partition" in detail:
        return detail["asset"], detail["partition"]
    asset, _, partition = entry.subject.partition("/")
    return asset, partition


def _models(connection: sa.Connection) -> Iterator[Found]:
    for row in _stream(connection, sa.select(*model_versions.COLUMNS, MODEL_VERSIONS.c.recorded_at)):
        facts = model_versions.facts(model_versions.from_row(row), row[-1])
        yield Found(*keyed(facts, _OF_A_MODEL), row[-1])


def _tried(_entry: Entry, detail: Detail) -> Iterator[Claim]:
    if "trial" in detail:
        yield Claim(*keyed(detail["trial"], ["family"]))
    elif "trial_ended" in detail:
        yield Claim((detail["trial_ended"]["family"],), None)


def _imported(entry: Entry, detail: Detail) -> Iterator[Claim]:
    found = detail["imports"] if entry.action == FORGOTTEN else [detail] if "import_id" in detail else []
    for one in found:
        yield Claim(*keyed({name: value for name, value in one.items() if name != "findings"}, ["import_id"]))


def _decided(_entry: Entry, detail: Detail) -> Iterator[Claim]:
    for facts in detail.get("verdicts", ()):
        yield Claim(*keyed(facts, ["verdict_id"]))


def _verdicts(connection: sa.Connection) -> Iterator[Found]:
    for row in _stream(connection, sa.select(VERDICTS)).mappings():
        verdict = Verdict(**row)
        yield Found(*keyed(verdict.facts(), ["verdict_id"]), verdict.decided_at)


def _as_json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _stream(connection: sa.Connection, query: "sa.Select[*tuple[Any, ...]]") -> "sa.CursorResult[*tuple[Any, ...]]":
    return connection.execute(query, execution_options={"yield_per": 2000})


WITNESSES = (
    Witness(
        "Version {2} of {0} of {1} in the manifest",
        MANIFEST,
        frozenset({"published", FORGOTTEN}),
        _published,
        _versions,
        files_of(MANIFEST, lambda home: home.warehouse.root),
    ),
    Witness(
        "The current version of {0} of {1} in the manifest",
        MANIFEST,
        frozenset(
            {
                "published",
                "batch discarded",
                "halt discarded",
                "rows replayed",
                "rows discarded",
                "messages taken over",
            }
        ),
        _made_current,
        _current,
    ),
    Witness(
        "Champion {1} of {0}",
        CHAMPIONS,
        frozenset({"promoted", "threshold set"}),
        said_under("champion", ("family", "revision")),
        rows_of(CHAMPIONS, ("family", "revision"), "promoted_at"),
    ),
    Witness(
        "Version {1} of the model {0}",
        MODEL_VERSIONS,
        frozenset({"promoted", "not promoted", "on trial"}),
        said_under("model", _OF_A_MODEL),
        _models,
        files_of(MODEL_VERSIONS, lambda home: home.root),
    ),
    Witness(
        "Label import {0}",
        LABEL_IMPORTS,
        frozenset({"labels imported", FORGOTTEN}),
        _imported,
        rows_of(LABEL_IMPORTS, ["import_id"], "imported_at"),
        files_of(LABEL_IMPORTS, lambda home: home.root),
    ),
    Witness("Verdict {0}", VERDICTS, frozenset({"verdict", FORGOTTEN}), _decided, _verdicts),
    Witness(
        "The switch of the {0} {1}",
        SWITCHES,
        frozenset({"switched"}),
        said_under("switch", ("kind", "name")),
        rows_of(SWITCHES, ("kind", "name"), "switched_at"),
    ),
    Witness(
        "The version of {0} that is on trial",
        TRIALS,
        frozenset({"on trial", "promoted", "not promoted", "switched"}),
        _tried,
        rows_of(TRIALS, ["family"], "started_at"),
    ),
    Witness(
        "The erasure of message {0}",
        ERASURES,
        frozenset({FORGOTTEN}),
        said_under("erasure", ["message_id"]),
        rows_of(ERASURES, ["message_id"], "erased_at"),
    ),
)

WITNESSED = tuple(dict.fromkeys(witness.table for witness in WITNESSES))
"""Tables that the audit log is held against."""

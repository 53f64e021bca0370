"""Erasure: what a message said goes from everywhere, and the audit log still holds.

1. The row stays with its ids, labels, who decided and how surely. Text and account become `[erased]`, or null.
2. New files are written beside the old ones. Then goes what lies outside of the ledger: archived files, notices, logs,
   Dagster's databases. One ledger transaction names the new files, blanks the ledger's rows, and appends the entry
   `forgotten` with the new facts of each file. Last the old files go, and what the databases keep of deleted rows. A
   crash on the way loses nothing: the same order again finishes it.
3. Nothing is erased while a run works on a batch that has the message.
4. The digests of the files that are gone stay in the chain; each file of a batch is salted, so that they tell nothing.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from orchestration_project.core.erasing import Words
from orchestration_project.core.errors import Refused
from orchestration_project.governance import (
    audit,
    audit_quotes,
    erased_elsewhere,
    erased_files,
    erased_models,
    erased_rows,
    people,
)
from orchestration_project.governance.audit_witnesses import FORGOTTEN
from orchestration_project.governance.erased_files import Rewritten
from orchestration_project.governance.erased_models import Learnt, Named
from orchestration_project.governance.erasure_traces import Traces, find
from orchestration_project.governance.people import Person
from orchestration_project.governance.policy import read_policy
from orchestration_project.stores import erasures, run_requests
from orchestration_project.stores.audited import details_of
from orchestration_project.stores.erasures import Erasure
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.run_requests import RunRequest
from orchestration_project.stores.schema import AUDIT

MOST_ROUNDS = 4
"""What a run of another batch publishes meanwhile may quote the message: it is looked for until nothing is found."""


@dataclass
class Forgotten:
    """What became of an order: place → how many files or rows were erased there, what was not reached, a sentence each,
    the versions of models that learnt the message, and the runs that were requested. `before` is an earlier erasure of it.
    """

    message_id: str
    places: Counter[str] = field(default_factory=lambda: Counter[str]())
    unreached: list[str] = field(default_factory=lambda: list[str]())
    models: list[Learnt] = field(default_factory=lambda: list[Learnt]())
    requests: list[str] = field(default_factory=lambda: list[str]())
    before: Erasure | None = None

    @property
    def is_new(self) -> bool:
        """Whether there was anything to erase, or the message was not known as erased."""
        return self.before is None or self.places.total() > 0

    def commands(self) -> list[str]:
        """What trains anew the models that learnt it."""
        return [f"orchestrate train --model {family}" for family in sorted({one.family for one in self.models})]


def forget(home: Home, message_id: str, why: str) -> Forgotten:
    """Erase what a message said, as whoever acts, who has the role privacy. Once more finds what came since, or finishes
    what broke off.

    UnknownName for a message that nobody knows, Refused while a run works on a batch that has it.
    """
    person = people.require(home.settings, "privacy")
    traces, written = _look(home, message_id, Words())
    with home.ledger.read() as connection:
        result = Forgotten(message_id, before=erasures.get(connection, message_id))
    is_more = _erase(home, traces, written, why, person, result)
    for _ in range(MOST_ROUNDS if is_more else 0):
        try:
            traces, written = _look(home, message_id, traces.words)
            if not _erase(home, traces, written, why, person, result):
                break
        except Refused:  # a run began, which was asked for here or waited: that is told below
            break
    _clean(home, message_id, traces.words, result)
    _tell_unreached(home, traces, written.missing, result)
    return result


def _look(home: Home, message_id: str, known: Words) -> tuple[Traces, Rewritten]:
    """Find the message, and write anew every file that has something of it."""
    traces = find(home, message_id, known)
    with home.ledger.read() as connection:
        _refuse_working(connection, traces)
    return traces, erased_files.write_anew(home, traces)


def _erase(home: Home, traces: Traces, written: Rewritten, why: str, person: Person, result: Forgotten) -> bool:
    """Erase what one look found, of which the files are written anew; returns whether there was anything."""
    try:
        policy = read_policy(home.settings.policy)
        found = erased_elsewhere.erase(home, traces, written, result.unreached) + written.counts()
        shipped = erased_models.shipped_with(traces, result.unreached)
        with home.ledger.write() as connection:
            _refuse_working(connection, traces)
            learnt = erased_models.versions_that_learnt(
                connection, [before.import_id for before, _ in written.imports], shipped
            )
            learnt |= erased_models.versions_that_learnt_verdicts(connection, traces.message_id)
            erased_files.name(connection, traces, written)
            tokens = {taken.token for taken in written.arrivals}
            blanked = erased_rows.blank(connection, traces, policy, tokens)
            found += blanked.counts
            known = erasures.get(connection, traces.message_id)
            named = {tuple(pair) for detail in _entries(connection, traces.message_id) for pair in detail["models"]}
            result.models = erased_models.with_use(connection, {*named, *learnt})
            if not found.total() and known is not None:
                written.discard()
                return False
            erasure = Erasure(traces.message_id, why, person.name, now(), dict(sorted((+found).items())))
            erasures.put(connection, erasure)
            detail = _detail(home, traces, written, erasure, learnt)
            detail |= {"verdicts": [verdict.facts() for verdict in blanked.verdicts]}
            audit.append(connection, FORGOTTEN, f"message {traces.message_id}", detail, person.name)
    except BaseException:
        written.discard()
        raise
    result.places += found
    result.requests += blanked.requests
    return bool(found.total())


def _detail(home: Home, traces: Traces, written: Rewritten, erasure: Erasure, learnt: set[Named]) -> dict[str, Any]:
    """What the audit log keeps: the new facts of each file, and which files are to be removed."""
    return {
        "erasure": erasure.facts(),
        "batches": sorted(traces.batches),
        "versions": [after.facts() for _, after in written.versions],
        "imports": [after.facts() for _, after in written.imports],
        "replaced": written.replaced(home),
        "models": sorted(learnt),
    }


def _clean(home: Home, message_id: str, words: Words, result: Forgotten) -> None:
    """Remove the old files, also those that an order which broke off left, and what the ledger keeps of deleted rows.

    A run of another batch that works still may be about to read one of them.
    """
    with home.ledger.read() as connection:
        old = {path for detail in _entries(connection, message_id) for path in detail["replaced"]}
        working = _working(connection)
    left = sorted(path for path in old if (home.root / path).exists())
    for found in working:
        result.unreached.append(
            f"Run {found.run_id or found.key} works: what it has read already it may publish, and {len(left)} old files "
            "stay for it. Run this again when it has ended."
        )
    for path in left if not working else ():
        (home.root / path).unlink(missing_ok=True)
    unnamed = 0 if working else erased_elsewhere.remove_unnamed(home, message_id, words, result.unreached)
    result.places += Counter({"files that nothing names": unnamed})
    if trouble := home.ledger.clean():
        result.unreached.append(f"{trouble} Run this again when nobody uses it.")


def _tell_unreached(home: Home, traces: Traces, missing: list[str], result: Forgotten) -> None:
    """Add what no order of this project reaches, and what it must not change."""
    result.unreached += audit_quotes.quotes(home, traces.words)
    with home.ledger.read() as connection:
        targets = erased_rows.told_targets(connection, traces.message_id)
    for path in missing:
        result.unreached.append(
            f"{path} is named in the ledger, and is gone or damaged. Put it back, and run this again."
        )
    for family, file in erased_models.shipped_with(traces, result.unreached).items():
        result.unreached.append(
            f"{file}, the labels that {family} ships with, has it. Take it out there and commit it."
        )
    if targets:
        result.unreached.append(f"Notices that spoke of it were delivered to {', '.join(targets)}. Ask for it there.")
    if not home.ledger_url.startswith("sqlite"):
        result.unreached.append("PostgreSQL's own log and its backups keep it until its server drops them.")
    result.unreached.append("What was exported, and backups of the home, are not known here.")
    result.unreached = list(dict.fromkeys(result.unreached))


def _working(connection: sa.Connection, batch: str | None = None) -> list[RunRequest]:
    return [found for found in run_requests.open_requests(connection, batch) if found.state != "requested"]


def _refuse_working(connection: sa.Connection, traces: Traces) -> None:
    for batch in sorted(traces.batches):
        for found in _working(connection, batch):
            raise Refused(
                f"Run {found.run_id or found.key} works on batch {batch}, which has message {traces.message_id}. "
                "Wait for its end, or stop it in Dagster's UI, and repeat this."
            )


def _entries(connection: sa.Connection, message_id: str) -> list[dict[str, Any]]:
    """The details of the entries that erased a message, oldest first."""
    its = (AUDIT.c.action == FORGOTTEN, AUDIT.c.subject == f"message {message_id}")
    return details_of(connection, *its)

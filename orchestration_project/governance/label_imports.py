"""A team's own labels are taken in: looked through, stored, and audited in the transaction that makes them count."""

import hashlib
from dataclasses import dataclass

from orchestration_project.core.errors import FileRefused, Refused
from orchestration_project.governance import audit, people
from orchestration_project.governance.label_findings import Findings, find_problems
from orchestration_project.stores import labels
from orchestration_project.stores.families import Family
from orchestration_project.stores.home import Home
from orchestration_project.stores.label_files import LabelFile

ACTION = "labels imported"


@dataclass(frozen=True)
class Outcome:
    """An import, what was found in its file, and whether it is new: the same file twice in a row changes nothing."""

    entry: labels.Import
    findings: Findings
    is_new: bool


def import_labels(
    home: Home, family: Family, file: LabelFile, *, replaces: bool = False, reason: str | None = None
) -> Outcome:
    """Take the labels of a file in: added to the family's, or in their place.

    What `find_problems` finds is refused without a `reason`, and labels that the family does not have with one too
    (FileRefused); then nothing is stored. The audit entry has counts, and no text of a message.
    """
    if reason is not None and not reason.strip():
        raise Refused("--force has no reason. Write why these labels are taken against the findings.")
    person = people.require(home.settings, "trainer")
    rows = file.learnt
    content = labels.to_parquet(rows)
    sha256 = hashlib.sha256(content).hexdigest()
    with home.ledger.read() as connection:
        recorded = labels.imports(connection, family.name)
    if any(entry.sha256 == sha256 for entry in recorded):
        labels.store(home, family.name, content)  # puts a lost file back
    present = None if replaces else labels.current(home, family)
    findings = find_problems(file, present)
    last = recorded[-1] if recorded else None
    if last and last.sha256 == sha256 and last.replaces >= replaces:
        return Outcome(last, findings, is_new=False)
    _refuse(file, family, findings, is_forced=reason is not None)
    reason = reason if findings.problems() else None
    with home.ledger.write() as connection:
        if labels.imports(connection, family.name) != recorded:
            raise Refused(f"Somebody else imported labels of {family.name} meanwhile. Import {file.name} again.")
        path = labels.store(home, family.name, content)
        entry = labels.record(
            connection,
            family=family.name,
            source=file.name,
            path=path,
            sha256=sha256,
            rows=len(rows),
            replaces=replaces,
            reason=reason,
        )
        detail = {**entry.facts(), "findings": findings.counts()}
        audit.append(connection, ACTION, family.name, detail, person.name)
    return Outcome(entry, findings, is_new=True)


def _refuse(file: LabelFile, family: Family, findings: Findings, *, is_forced: bool) -> None:
    if refusal := findings.refusal(file.name, family.name, is_forced=is_forced):
        raise FileRefused(refusal)
    if file.rows.empty:
        raise FileRefused(f"{file.name} has no labelled row. Write a label in each row that a model is to learn.")
    if len(findings.labels) < 2:
        raise FileRefused(
            f"With {file.name} every message of {family.name} has the label '{next(iter(findings.labels))}'. "
            "Label messages with two labels or more."
        )

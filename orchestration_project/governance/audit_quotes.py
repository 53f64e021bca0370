"""Where the audit log quotes a message that is erased, also in the files into which it was pruned. It cannot be changed."""

from collections.abc import Iterable, Iterator

from orchestration_project.core.erasing import Words, erased_text
from orchestration_project.core.errors import FileRefused, Refused
from orchestration_project.governance import audit
from orchestration_project.governance.audit import Entry
from orchestration_project.governance.audit_archives import archives
from orchestration_project.governance.audit_export import read_lines
from orchestration_project.stores.home import Home


def quotes(home: Home, words: Words) -> list[str]:
    """A sentence for each place that quotes it, and for each that could not be looked through."""
    if not words.said:
        return []
    told: list[str] = []
    with home.ledger.read() as connection:
        found = list(
            _quoting(audit.entries(connection, lambda flaw: told.append(_unread("The audit log", flaw))), words)
        )
        try:
            pruned = archives(connection)
        except Refused as refusal:
            told.append(_unread("What was pruned from the audit log", str(refusal)))
            pruned = []
    if found:
        told.append(f"The audit log quotes it and cannot be changed: entries {_numbers(found)}.")
    for archive in pruned:
        file, found = home.root / archive.file, list[int]()
        if not file.exists():
            told.append(
                f"Entries {archive.first} to {archive.sequence} of the audit log, which may quote it, were pruned into "
                f"{archive.file}. It is not in the home any more."
            )
            continue
        try:
            for sequence in _quoting(read_lines(file), words):
                found.append(sequence)
        except FileRefused as refusal:
            told.append(_unread(archive.file, str(refusal)))
        if found:
            told.append(
                f"{archive.file}, pruned from the audit log, quotes it and cannot be changed: entries {_numbers(found)}."
            )
    return told


def _quoting(entries: Iterable[Entry], words: Words) -> Iterator[int]:
    return (entry.sequence for entry in entries if erased_text(entry.detail, "", words) != entry.detail)


def _numbers(sequences: Iterable[int]) -> str:
    return ", ".join(map(str, sequences))


def _unread(place: str, flaw: str) -> str:
    return f"{place} may quote it, and was not looked through to its end: {flaw}"

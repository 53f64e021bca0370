"""The audit log that quotes a message is named, also where it was pruned."""

import json
from datetime import timedelta

import pytest
import sqlalchemy as sa

from orchestration_project.core.erasing import Words
from orchestration_project.governance import audit
from orchestration_project.governance.audit_archives import prune
from orchestration_project.governance.audit_quotes import quotes
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.schema import AUDIT

WORDS = Words(["The parcel drowned near Zanzibar"])


def append(home: Home, why: str) -> None:
    with home.ledger.write() as connection:
        audit.append(connection, "batch retried", "b1", {"why": why})


@pytest.fixture
def pruned(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home whose log has three entries that were pruned, of which the second quotes it, and one more that does."""
    with monkeypatch.context() as earlier:
        earlier.setattr(audit, "now", lambda: now() - timedelta(days=2 * home.settings.audit_days))
        for why in ("one", "Look: The parcel drowned near Zanzibar", "three"):
            append(home, why)
    assert prune(home) is not None
    append(home, "The parcel drowned near Zanzibar, again")
    return home


ARCHIVE = "audit/000000000001-000000000003.jsonl"


def test_entries_that_quote_it_are_named_in_the_log_and_in_what_was_pruned(pruned: Home) -> None:
    assert quotes(pruned, WORDS) == [
        "The audit log quotes it and cannot be changed: entries 5.",
        f"{ARCHIVE}, pruned from the audit log, quotes it and cannot be changed: entries 2.",
    ]
    assert quotes(pruned, Words(["Nobody said this at all"])) == []
    assert quotes(pruned, Words()) == []


def test_an_archive_that_is_elsewhere_is_named(pruned: Home) -> None:
    (pruned.root / ARCHIVE).unlink()
    assert quotes(pruned, WORDS)[1:] == [
        f"Entries 1 to 3 of the audit log, which may quote it, were pruned into {ARCHIVE}. It is not in the home any more."
    ]


def test_an_archive_that_is_damaged_is_named_with_what_was_found_before(pruned: Home) -> None:
    file = pruned.root / ARCHIVE
    file.write_text("".join([*file.read_text().splitlines(keepends=True)[:2], "{\n"]))
    unread, found = quotes(pruned, WORDS)[1:]
    assert unread.startswith(f"{ARCHIVE} may quote it, and was not looked through to its end: Line 3 of ")
    assert found.endswith("entries 2.")


def test_what_cannot_be_read_of_the_log_is_told(pruned: Home) -> None:
    with pruned.ledger.write() as connection:
        its = AUDIT.c.action == audit.PRUNED
        connection.execute(sa.update(AUDIT).where(its).values(detail=json.dumps({"archives": [{"what": 1}]})))
    unread, _ = quotes(pruned, WORDS)
    assert unread.startswith("What was pruned from the audit log may quote it, and was not looked through to its end: ")

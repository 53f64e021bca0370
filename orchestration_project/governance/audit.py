"""The audit log: one hash-chained entry for each decision batch and each action, written in the transaction of what it
records.

Each entry's digest covers its content and the digest before it, so an edit, a gap or another order shows when the chain
is verified.
"""

import hashlib
import json
import os
import pwd
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from orchestration_project.stores.ledger import now
from orchestration_project.stores.schema import AUDIT, AUDIT_HEAD

_CONTENT = ("sequence", "at", "actor", "action", "subject", "detail", "previous")


def append(
    connection: sa.Connection, action: str, subject: str, detail: Mapping[str, Any], actor: str | None = None
) -> str:
    """Add one entry in the caller's transaction; returns its digest.

    The actor defaults to the operating-system user.
    """
    head = connection.execute(sa.select(AUDIT_HEAD.c.sequence, AUDIT_HEAD.c.digest)).one()
    entry = {
        "sequence": head.sequence + 1,
        "at": now().isoformat(),
        "actor": actor or system_user(),
        "action": action,
        "subject": subject,
        "detail": json.dumps(detail, sort_keys=True, separators=(",", ":"), ensure_ascii=False),
        "previous": head.digest,
    }
    digest = _digest(entry)
    connection.execute(sa.insert(AUDIT).values(**entry, digest=digest))
    connection.execute(sa.update(AUDIT_HEAD).values(sequence=entry["sequence"], digest=digest))
    return digest


def breaks(connection: sa.Connection) -> list[str]:
    """Where the chain does not hold, in words; empty when it holds."""
    found: list[str] = []
    previous, sequence = "", 0
    for row in connection.execute(sa.select(AUDIT).order_by(AUDIT.c.sequence)).mappings():
        sequence += 1
        if row["sequence"] != sequence:
            found.append(f"entry {sequence} is missing")
            sequence = row["sequence"]
        if row["previous"] != previous:
            found.append(f"entry {sequence} does not follow the entry before it")
        if row["digest"] != _digest({name: row[name] for name in _CONTENT}):
            found.append(f"entry {sequence} was changed")
        previous = row["digest"]
    head = connection.execute(sa.select(AUDIT_HEAD.c.sequence, AUDIT_HEAD.c.digest)).one_or_none()
    if head is None:
        found.append("the head of the chain is missing")
    elif (head.sequence, head.digest) != (sequence, previous):
        found.append(f"the chain ends at entry {sequence}, its head says {head.sequence}")
    return found


def system_user() -> str:
    """The operating-system user this process runs as, whatever the environment says; its number where it has no
    name.
    """
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"uid {os.geteuid()}"


def _digest(entry: Mapping[str, Any]) -> str:
    content = json.dumps([entry[name] for name in _CONTENT], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()

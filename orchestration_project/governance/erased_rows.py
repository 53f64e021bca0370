"""The ledger's rows without what a message said: reviews, verdicts, refused rows, notices, and whatever quotes it.

1. What people decided stays, and holds whatever the row says from now on. A review that waits ends: nobody can decide it.
   Its row takes the default of a review that is overdue.
2. A refused row that waits is discarded.
3. A notice that speaks of the message keeps its figures. Its title and its body go whole where they tell anything of it.
4. Rows that the audit log is held against, and the log itself, are not touched here: what they quote the log quotes too,
   and `audit_quotes` names it.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from orchestration_project.core.erasing import ERASED, erased_value
from orchestration_project.governance.audit_witnesses import WITNESSED
from orchestration_project.governance.erasure_traces import Traces
from orchestration_project.governance.policy import Policy
from orchestration_project.governance.review_orders import request_run
from orchestration_project.stores import reviews, verdicts
from orchestration_project.stores.ledger import now
from orchestration_project.stores.reviews import ANY_CONTENT, ASKED_FOR, Review
from orchestration_project.stores.schema import (
    AUDIT,
    AUDIT_HEAD,
    DELIVERIES,
    INBOX_KEYS,
    METADATA,
    OUTBOX,
    QUARANTINE,
    REVIEWS,
    VERDICTS,
)
from orchestration_project.stores.verdicts import Verdict

_LEFT = {table.name for table in (*WITNESSED, AUDIT, AUDIT_HEAD, REVIEWS, OUTBOX)}


@dataclass(frozen=True)
class Blanked:
    """What was blanked: place → how many rows, the verdicts as they are now, and the keys of runs that were requested."""

    counts: Counter[str]
    verdicts: list[Verdict]
    requests: list[str]


def blank(connection: sa.Connection, traces: Traces, policy: Policy, tokens: set[str]) -> Blanked:
    """Blank them in the caller's transaction. `tokens` are those that the message was received under."""
    counts: Counter[str] = Counter()
    waiting: list[Review] = []
    for review in reviews.select(connection, REVIEWS.c.message_id == traces.message_id):
        if review.state == "open":
            waiting.append(review)
        reason = ERASED if review.proposal.get("reason") else ""
        values = {"proposal": {**review.proposal, "reason": reason}, "why": None, "content_digest": ANY_CONTENT}
        if any(getattr(review, name) != value for name, value in values.items()):
            reviews.update(connection, [review.review_id], **values)
            counts["reviews"] += 1
    said = sa.or_(VERDICTS.c.note.is_not(None), VERDICTS.c.content_digest != ANY_CONTENT)
    told = [one.verdict_id for one in verdicts.select(connection, VERDICTS.c.message_id == traces.message_id, said)]
    its = VERDICTS.c.verdict_id.in_(told)
    connection.execute(sa.update(VERDICTS).where(its).values(note=None, content_digest=ANY_CONTENT))
    counts["verdicts"] += len(told)
    counts["refused rows"] += _blank_refused(connection, traces)
    for notice_id, values in notices(connection, traces):
        connection.execute(sa.update(OUTBOX).where(OUTBOX.c.notice_id == notice_id).values(**values))
        counts["notices"] += 1
    if tokens:
        connection.execute(sa.delete(INBOX_KEYS).where(INBOX_KEYS.c.token.in_(tokens)))
    counts["other rows of the ledger"] += _blank_others(connection, traces)
    return Blanked(counts, verdicts.select(connection, its), _end(connection, waiting, policy))


def notices(connection: sa.Connection, traces: Traces) -> Iterator[tuple[int, dict[str, str | Any]]]:
    """(number, what has to stand in title, body and facts) of each notice that tells something of the message."""
    for row in connection.execute(sa.select(OUTBOX)).mappings().all():
        message_ids = row["facts"].get("message_ids", ())
        speaks = traces.message_id in message_ids or traces.message_id in f"{row['key']}/".split("/")
        facts = erased_value(row["facts"], traces.message_id, traces.words, speaks=speaks)
        title, body = (_told(row[name], traces, row["facts"], facts if speaks else None) for name in ("title", "body"))
        values = {"title": title, "body": body, "facts": facts}
        if any(row[name] != value for name, value in values.items()):
            yield row["notice_id"], values


def told_targets(connection: sa.Connection, message_id: str) -> list[str]:
    """The targets to which a notice that spoke of the message was delivered."""
    query = sa.select(OUTBOX.c.facts, DELIVERIES.c.target).join(
        DELIVERIES, DELIVERIES.c.notice_id == OUTBOX.c.notice_id
    )
    found = connection.execute(query.where(DELIVERIES.c.state == "delivered"))
    return sorted({target for facts, target in found if message_id in facts.get("message_ids", ())})


def _told(text: str, traces: Traces, before: dict[str, Any], after: dict[str, Any] | None) -> str:
    """A notice's title or body: without the words, or, where it speaks of the message and tells more of it, nothing."""
    if after is None:
        return traces.words.erased(text)
    gone = _phrases(before) - _phrases(after) - {traces.message_id}
    is_told = traces.words.are_echoed_in(text) or any(phrase in text for phrase in gone)
    return ERASED if is_told else text


def _phrases(facts: dict[str, Any]) -> set[str]:
    """The texts that stand in lists of the facts."""
    lists = (value for value in facts.values() if isinstance(value, list))
    return {inner for value in lists for inner in value if isinstance(inner, str) and inner}


def _blank_refused(connection: sa.Connection, traces: Traces) -> int:
    number = 0
    for row in traces.refused:
        values: dict[str, Any] = {}
        unread = f"unparsable: {ERASED}"
        if row.reason.startswith("unparsable:") and row.reason != unread:
            values["reason"] = unread
        if row.correction is not None:
            values["correction"] = sa.null()
        if row.state == "open":
            values["state"] = "discarded"
        if values:
            connection.execute(sa.update(QUARANTINE).where(QUARANTINE.c.row_id == row.row_id).values(**values))
            number += 1
    return number


def _blank_others(connection: sa.Connection, traces: Traces) -> int:
    """Whatever else quotes it: reasons, causes, errors, tags."""
    number = 0
    for table in METADATA.sorted_tables if traces.words.said else ():
        key = [column for column in table.primary_key]
        texts = [
            column for column in table.c if not column.primary_key and isinstance(column.type, sa.String | sa.JSON)
        ]
        for column in texts if table.name not in _LEFT else ():
            as_text = sa.cast(column, sa.String)
            is_told = sa.or_(*(as_text.contains(probe, autoescape=True) for probe in traces.words.probes))
            for row in connection.execute(sa.select(*key, column).where(is_told)).all():
                value = row[-1]
                erased = erased_value(value, traces.message_id, traces.words)
                if erased != value:
                    its = [own == part for own, part in zip(key, row, strict=False)]
                    connection.execute(sa.update(table).where(*its).values({column.name: erased}))
                    number += 1
    return number


def _end(connection: sa.Connection, waiting: list[Review], policy: Policy) -> list[str]:
    """End the reviews that wait, as `overdue_reviews` does where nobody decided in time."""
    requests: dict[tuple[str, str], str | None] = {}
    for review in waiting:
        has_verdict = bool(verdicts.of_review(connection, review.review_id))
        state = "decided" if has_verdict else "closed" if review.cause in ASKED_FOR else "overdue"
        values: dict[str, Any] = {"state": state, "closed_at": now(), "claimed_by": None, "claimed_until": None}
        if state == "overdue":
            default = policy.reviews.when_overdue
            values["proposal"] = {**review.proposal, "reason": ERASED, "default": default}
            requests[review.asset, review.partition] = request_run(connection, review, "")
        reviews.update(connection, [review.review_id], **values)
    return [key for key in requests.values() if key is not None]

"""Reviews that nobody decided in time: they take the policy's default, which accepts nothing, and somebody is told.

A check on an accepted answer ends then without a verdict, and so does a review beside a row that could not wait; an
appeal goes to a lead, and waits on; a review that was reopened is decided as it was, for its verdict stands.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from orchestration_project.governance import audit
from orchestration_project.governance.policy import ACTOR, Policy, read_policy
from orchestration_project.governance.review_orders import request_run
from orchestration_project.stores import outbox, reviews, verdicts
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.outbox import Notice
from orchestration_project.stores.reviews import Review
from orchestration_project.stores.schema import REVIEWS

_C = REVIEWS.c


def expire(home: Home) -> list[Review]:
    """Give the reviews that nobody decided in time what the policy says; returns them."""
    with home.ledger.read() as connection:
        if not reviews.select(connection, _C.state == "open", _C.respond_by < now(), limit=1):
            return []
    policy = read_policy(home.settings.policy)
    with home.ledger.write() as connection:
        late = reviews.select(connection, _C.state == "open", _C.respond_by < now())
        grouped: defaultdict[tuple[str, str], list[Review]] = defaultdict(list)
        for review in late:
            grouped[review.asset, review.partition].append(review)
        for (asset, batch), own in grouped.items():
            _expire(connection, asset, batch, own, policy)
    return late


def _expire(connection: sa.Connection, asset: str, batch: str, late: Sequence[Review], policy: Policy) -> None:
    reviewed = {verdict.review_id for verdict in verdicts.of_batch(connection, asset, batch)}
    appeals = [review for review in late if review.cause == "appeal"]
    reopened = [review for review in late if review.cause != "appeal" and review.review_id in reviewed]
    beside = [review for review in late if review.cause in reviews.BESIDE and review not in reopened]
    undecided = [review for review in late if review.cause not in reviews.ASKED_FOR and review not in reopened]
    reviews.update(connection, [review.review_id for review in beside], state="closed", closed_at=now())
    reviews.update(connection, [review.review_id for review in reopened], state="decided", closed_at=now())
    later = now() + timedelta(hours=policy.reviews.respond_hours)
    reviews.update(connection, [review.review_id for review in appeals], needs_lead=True, respond_by=later)
    default = policy.reviews.when_overdue
    for review in undecided:
        proposal = {**review.proposal, "default": default}
        reviews.update(connection, [review.review_id], state="overdue", closed_at=now(), proposal=proposal)
    request = request_run(connection, undecided[0], "") if undecided else None
    checks, urgent = ([one for one in beside if one.cause == cause] for cause in (reviews.CHECK, reviews.URGENT))
    numbers = {"undecided": undecided, "urgent": urgent, "reopened": reopened, "checks": checks, "appeals": appeals}
    detail: dict[str, Any] = {name: [review.review_id for review in own] for name, own in numbers.items() if own}
    audit.append(
        connection, "reviews overdue", f"{asset}/{batch}", {**detail, "default": default, "request": request}, ACTOR
    )
    lines = [f"- {len(own)} {name}" for name, own in numbers.items() if own]
    lines += [f"- What follows: {_default_told(default)}"] if undecided else []
    lines += ["- What follows: the verdicts stand that were to be looked at again"] if reopened else []
    lines += ["- What follows: the appeals wait for a lead"] if appeals else []
    notice = Notice(
        f"overdue/{asset}/{batch}/{late[0].review_id}/{late[0].respond_by.isoformat()}",
        f"Reviews of {asset} that nobody decided in time: {len(late)}",
        "\n".join([*lines, "- Look: orchestrate review list --state overdue"]),
        {"asset": asset, "batch": batch, **detail},
    )
    outbox.record(connection, asset=outbox.OF_A_RUN, partition=batch, notices=[notice])


def _default_told(default: str) -> str:
    return "the safe state answers" if default == "safe_state" else "the surest answer stands, not accepted"

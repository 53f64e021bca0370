"""What people do about reviews: take one, decide it, pass it on, appeal.

1. A person sees and decides reviews of the assets among their skills; one that was escalated takes the role lead too.
2. Whoever is shown a review has it in hand for a while; nobody else decides it meanwhile. The second answer is refused,
   and names who was first.
3. A verdict is one transaction with its audit entry, which quotes no note, and with the request of the run that
   applies it. Who finds it wrong reopens the review: the verdict stands until another corrects it, and both stay.
4. What nobody decides in time, `overdue_reviews` ends.
5. Nobody judges a message that was erased: no verdict, no appeal, nothing reopened.
"""

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from orchestration_project.core.errors import Refused, UnknownName, did_you_mean
from orchestration_project.governance import audit, people
from orchestration_project.governance.open_reviews import PROPOSED
from orchestration_project.governance.people import Person
from orchestration_project.governance.policy import Policy, read_policy
from orchestration_project.stores import batches, cascades, erasures, reviews, run_requests, verdicts
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.reviews import ANY_CONTENT, CAUSES, Review
from orchestration_project.stores.schema import REVIEWS

_C = REVIEWS.c


@dataclass(frozen=True)
class Decided:
    """A verdict that was recorded; `request` asks for the run that applies it, None where nothing depends on it."""

    verdict_id: int
    review: Review
    request: str | None


def next_review(home: Home, asset: str | None = None) -> Review | None:
    """The most pressing review for whoever acts, which is then theirs in hand; None when none waits for them.

    What was assigned to them comes first; what they have in hand already, before that; what they passed, not again.
    UnknownName for an asset that decides nothing.
    """
    policy = read_policy(home.settings.policy)
    with home.ledger.write() as connection:
        if asset is not None:
            cascades.require(connection, asset)
        person = people.require(home.settings, "reviewer", skill=asset)
        wanted = [_C.state == "open"] if asset is None else [_C.state == "open", _C.asset == asset]
        found = [one for one in reviews.select(connection, *wanted) if _is_for(one, person, policy)]
        if not found:
            return None
        found.sort(key=lambda one: (one.claimed_by != person.name, one.assigned_to != person.name))  # stable
        return _claim(connection, found[0], person, policy)


def decide(home: Home, review_id: int, label: str, note: str | None = None) -> Decided:
    """Record a verdict, with its audit entry and the request of a run of what depends on it.

    Refused for a review that somebody else decided or has in hand, UnknownName for a label that the asset cannot have.
    """
    policy = read_policy(home.settings.policy)
    with home.ledger.write() as connection:
        review = require_review(connection, review_id)
        person = _entitled(home, review)
        erasures.refuse_erased(connection, review.message_id)
        _refuse_ended(connection, review)
        _refuse_claimed(review, person, policy)
        _require_label(connection, review.asset, label)
        is_as_answered = (
            verdicts.current_of_row(connection, review) is None
            and review.proposal["accepted"]
            and review.proposal["label"] == label
        )
        verdict_id = verdicts.record(connection, review, label=label, person=person.name, note=note)
        reviews.update(connection, [review_id], state="decided", closed_at=now(), claimed_by=person.name)
        request = None if is_as_answered else request_run(connection, review, person.name)
        detail = {"review": review_id, "verdict": verdict_id, "label": label, "cause": review.cause}
        detail |= {"proposed": review.proposal["label"], "blind": review.is_blind, "request": request}
        detail |= {"verdicts": [one.facts() for one in verdicts.of_row(connection, review)]}
        audit.append(connection, "verdict", review.subject, detail, person.name)
    return Decided(verdict_id, review, request)


def skip(home: Home, review_id: int) -> None:
    """Leave a review to others: whoever acts is not shown it again."""
    with home.ledger.write() as connection:
        review = require_review(connection, review_id)
        person = _entitled(home, review)
        _refuse_ended(connection, review)
        passed = [*dict.fromkeys([*review.passed_by, person.name])]
        free = {"claimed_by": None, "claimed_until": None} if review.claimed_by == person.name else {}
        free |= {"assigned_to": None} if review.assigned_to == person.name else {}
        reviews.update(connection, [review_id], passed_by=passed, **free)


def assign(home: Home, review_id: int, name: str) -> None:
    """Give a review to a person, who is shown it first; takes the role lead. UnknownName for nobody of that name."""
    lead = people.require(home.settings, "lead")
    with home.ledger.write() as connection:
        review = require_review(connection, review_id)
        _refuse_ended(connection, review)
        known = [*people.read_people(home.settings.people).persons, lead]
        able = {one.name for one in known if _may_decide(review, one)}
        if name not in able:
            raise UnknownName(
                f"Nobody called '{name}' may decide review {review_id} of {review.asset}.{did_you_mean(name, able)}"
            )
        passed = [one for one in review.passed_by if one != name]
        reviews.update(connection, [review_id], assigned_to=name, passed_by=passed, claimed_by=None, claimed_until=None)
        audit.append(connection, "review assigned", review.subject, {"review": review_id, "to": name}, lead.name)


def escalate(home: Home, review_id: int, reason: str) -> None:
    """Hand a review to whoever has the role lead."""
    with home.ledger.write() as connection:
        review = require_review(connection, review_id)
        person = _entitled(home, review)
        _refuse_ended(connection, review)
        reviews.update(connection, [review_id], needs_lead=True, assigned_to=None, claimed_by=None, claimed_until=None)
        audit.append(
            connection, "review escalated", review.subject, {"review": review_id, "reason": reason}, person.name
        )


def reopen(home: Home, review_id: int, reason: str) -> None:
    """Have a decided review decided again. The verdict stands until then."""
    policy = read_policy(home.settings.policy)
    with home.ledger.write() as connection:
        review = require_review(connection, review_id)
        person = _entitled(home, review)
        erasures.refuse_erased(connection, review.message_id)
        if review.state != "decided":
            raise Refused(f"Review {review_id} is {review.state} and has no verdict that could be wrong.")
        reviews.update(
            connection,
            [review_id],
            state="open",
            closed_at=None,
            claimed_by=None,
            claimed_until=None,
            passed_by=[],
            respond_by=now() + timedelta(hours=policy.reviews.respond_hours),
        )
        audit.append(
            connection, "review reopened", review.subject, {"review": review_id, "reason": reason}, person.name
        )


def appeal(home: Home, asset: str, partition: str, message_id: str, decision: dict[str, Any], why: str) -> int:
    """Have a person look at what was decided on a message; returns the review's number. The decision stands meanwhile.

    `decision` is the row as it is published. Refused where a review of the row waits already.
    """
    person = people.acting(home.settings)
    policy = read_policy(home.settings.policy)
    with home.ledger.write() as connection:
        if not cascades.require(connection, asset).has_people:
            raise Refused(
                f"No person decides about {asset}: its cascade has no Person(). Nothing can be appealed there."
            )
        erasures.refuse_erased(connection, message_id)
        its = (_C.partition == partition) & (_C.asset == asset) & (_C.message_id == message_id)
        if waiting := reviews.select(connection, its, _C.state == "open"):
            raise Refused(f"Review {waiting[0].review_id} of {message_id} waits already. See: orchestrate review list")
        row: dict[str, Any] = {
            "asset": asset,
            "partition": partition,
            "message_id": message_id,
            "content_digest": ANY_CONTENT,
        }
        row |= {"cause": "appeal", "why": why, "proposal": {name: decision[name] for name in PROPOSED}}
        row["respond_by"] = now() + timedelta(hours=policy.reviews.respond_hours)
        reviews.insert(connection, [row])
        (review,) = reviews.select(connection, its, _C.state == "open")
        detail = {"review": review.review_id, "message_id": message_id}
        audit.append(connection, "appealed", review.subject, detail, person.name)
    return review.review_id


def require_review(connection: sa.Connection, review_id: int) -> Review:
    """The review of that number; UnknownName when there is none."""
    found = reviews.get(connection, review_id)
    if found is None:
        raise UnknownName(f"There is no review {review_id}. See what waits: orchestrate review list")
    return found


def request_run(connection: sa.Connection, review: Review, person: str) -> str | None:
    """Ask for the run that applies what was decided; None for a batch that was given up."""
    found = batches.get(connection, review.partition)
    if found is not None and found.state == "discarded":
        return None
    batches.set_state(connection, review.partition, "working")
    return run_requests.request_after_verdict(connection, batch=review.partition, asset=review.asset, person=person)


def facts(review: Review) -> dict[str, Any]:
    """A review as it is shown and exported: without the answer where it is to be decided blind."""
    shown = asdict(review)
    if review.is_blind and review.state == "open":
        shown["proposal"] = {}
    return {**shown, "why_here": CAUSES[review.cause]}


def _entitled(home: Home, review: Review) -> Person:
    """Whoever acts, if they may decide the review."""
    if review.needs_lead:
        people.require(home.settings, "lead", skill=review.asset)
    return people.require(home.settings, "reviewer", skill=review.asset)


def _may_decide(review: Review, person: Person) -> bool:
    roles = {"reviewer", "lead"} if review.needs_lead else {"reviewer"}
    return roles <= set(person.roles) and person.has_skill(review.asset)


def _is_for(review: Review, person: Person, policy: Policy) -> bool:
    return (
        _may_decide(review, person)
        and person.name not in review.passed_by
        and review.assigned_to in (None, person.name)
        and not review.is_claimed_by_other(person.name, policy.reviews.claim_minutes)
    )


def _claim(connection: sa.Connection, review: Review, person: Person, policy: Policy) -> Review:
    until = now() + timedelta(minutes=policy.reviews.claim_minutes)
    reviews.update(connection, [review.review_id], claimed_by=person.name, claimed_until=until)
    return require_review(connection, review.review_id)


def _refuse_ended(connection: sa.Connection, review: Review) -> None:
    if review.state == "decided":
        last = verdicts.of_review(connection, review.review_id)[-1]
        moment = last.decided_at.isoformat(timespec="seconds")
        raise Refused(
            f"{last.person} decided review {review.review_id} first, at {moment}: {last.label}. "
            f"If that is wrong: orchestrate review reopen {review.review_id} --reason TEXT"
        )
    if review.state == "closed":
        raise Refused(f"Review {review.review_id} is closed: nothing waits for it. See: orchestrate review list")


def _refuse_claimed(review: Review, person: Person, policy: Policy) -> None:
    if review.claimed_until and review.is_claimed_by_other(person.name, policy.reviews.claim_minutes):
        until = review.claimed_until.isoformat(timespec="minutes")
        raise Refused(f"{review.claimed_by} has review {review.review_id} in hand until {until}. Take another.")


def _require_label(connection: sa.Connection, asset: str, label: str) -> None:
    known = cascades.require(connection, asset).labels
    if label not in known:
        raise UnknownName(f"{asset} has no label '{label}'.{did_you_mean(label, known)}")

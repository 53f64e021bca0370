"""The verbs about reviews: `review next|list|show|decide|skip|assign|escalate|reopen|live-error`, and `appeal`."""

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestration_project.cli.printing import AsJson, note, say, say_json, say_table
from orchestration_project.cli.reasons import Reason, stated
from orchestration_project.core.errors import Refused, UnknownName, did_you_mean

if TYPE_CHECKING:
    from orchestration_project.stores.home import Home
    from orchestration_project.stores.reviews import Review

app = typer.Typer(help="Rows that wait for people: see one, decide it, pass it on.", no_args_is_help=True)

MOST_REVIEWS = 40
"""Reviews that `list` prints."""

Number = Annotated[int, typer.Argument(metavar="REVIEW", help="Its number.")]
OfAsset = Annotated[str | None, typer.Option("--asset", metavar="NAME", help="Only of this asset.")]


@app.command(name="next")
def next_one(asset: OfAsset = None, as_json: AsJson = False) -> None:
    """Show the most pressing review that you may decide; it is yours in hand for a while.

    Example: orchestrate review next --asset issue
    """
    from orchestration_project.governance import review_orders
    from orchestration_project.stores.home import prepared_home

    home = prepared_home()
    found = review_orders.next_review(home, asset)
    if found is not None:
        _show(home, found, as_json)
    elif as_json:
        say_json(None)
    else:
        say("No review waits for you.")


@app.command(name="list")
def listed(
    asset: OfAsset = None,
    state: Annotated[str, typer.Option(metavar="STATE", help="open, decided, overdue, closed or all.")] = "open",
    cause: Annotated[str | None, typer.Option(metavar="CAUSE", help="Such as unsure, check or appeal.")] = None,
    as_json: AsJson = False,
) -> None:
    """The reviews, the most pressing first, and how many are here for which cause.

    Example: orchestrate review list --cause appeal --state all
    """
    from typing import get_args

    from orchestration_project.governance.review_orders import facts
    from orchestration_project.stores import cascades, reviews
    from orchestration_project.stores.home import prepared_home
    from orchestration_project.stores.reviews import CAUSES

    for value, known in ((state, (*get_args(reviews.State), "all")), (cause, tuple(CAUSES))):
        if value is not None and value not in known:
            raise UnknownName(f"No review can be '{value}'.{did_you_mean(value, known)}")
    with prepared_home().ledger.read() as connection:
        if asset is not None:
            cascades.require(connection, asset)
        found = reviews.matching(connection, asset=asset, state=None if state == "all" else state, cause=cause)
    if as_json:
        say_json([facts(one) for one in found])
        return
    if not found:
        say("No review waits." if state == "open" else "There is no such review.")
        return
    columns = ("review", "asset", "message", "proposed", "why here", "respond by", "with")
    say_table(columns, [_line(one) for one in found[:MOST_REVIEWS]])
    if len(found) > MOST_REVIEWS:
        note(f"{len(found) - MOST_REVIEWS:,} more. See all of them with --json, or some with --asset, --cause.")
    counts = Counter((one.asset, CAUSES[one.cause]) for one in found)
    say_table(("asset", "why here", "reviews"), [(*names, number) for names, number in counts.most_common()])


@app.command()
def show(review: Number, as_json: AsJson = False) -> None:
    """All that is known of one review: the message, the proposal, why it is here, what became of it.

    Example: orchestrate review show 12
    """
    from orchestration_project.governance.review_orders import require_review
    from orchestration_project.stores.home import prepared_home

    home = prepared_home()
    with home.ledger.read() as connection:
        found = require_review(connection, review)
    _show(home, found, as_json)


@app.command()
def decide(
    review: Number,
    label: Annotated[str, typer.Argument(metavar="LABEL", help="What is right.")],
    why: Annotated[str | None, typer.Option("--note", metavar="TEXT", help="What others should know.")] = None,
) -> None:
    """Decide a review. What depends on it follows in a run that names you.

    A running project does the work; where none runs, this command does.

    Example: orchestrate review decide 12 billing
    """
    from orchestration_project.cli.work import run_unless_project_does
    from orchestration_project.governance import review_orders
    from orchestration_project.stores.home import prepared_home

    home = prepared_home()
    decided = review_orders.decide(home, review, label, why)
    say(f"{decided.review.message_id}: {decided.review.asset} is {label}.")
    if decided.request is not None:
        run_unless_project_does(home)


@app.command()
def skip(review: Number) -> None:
    """Leave a review to others; you are not shown it again.

    Example: orchestrate review skip 12
    """
    from orchestration_project.governance import review_orders
    from orchestration_project.stores.home import prepared_home

    review_orders.skip(prepared_home(), review)
    say(f"Review {review} is left to others.")


@app.command()
def assign(review: Number, person: Annotated[str, typer.Argument(metavar="PERSON", help="As in people.toml.")]) -> None:
    """Give a review to a person, who is shown it first.

    Example: orchestrate review assign 12 anna
    """
    from orchestration_project.governance import review_orders
    from orchestration_project.stores.home import prepared_home

    review_orders.assign(prepared_home(), review, person)
    say(f"Review {review} waits for {person}.")


@app.command()
def escalate(review: Number, reason: Reason) -> None:
    """Hand a review to a lead.

    Example: orchestrate review escalate 12 --reason "It may become a legal case"
    """
    from orchestration_project.governance import review_orders
    from orchestration_project.stores.home import prepared_home

    review_orders.escalate(prepared_home(), review, stated(reason))
    say(f"Review {review} waits for a lead.")


@app.command()
def reopen(review: Number, reason: Reason) -> None:
    """Have a decided review decided again; the verdict stands until then.

    Example: orchestrate review reopen 12 --reason "It was about delivery"
    """
    from orchestration_project.governance import review_orders
    from orchestration_project.stores.home import prepared_home

    review_orders.reopen(prepared_home(), review, stated(reason))
    say(f"Review {review} is open again.")


@app.command(name="live-error")
def shown_live_error(asset: OfAsset = None, as_json: AsJson = False) -> None:
    """How often accepted answers are wrong, by random checks that people decided blind, beside the stated error.

    Example: orchestrate review live-error --asset issue
    """
    from orchestration_project.governance.live_errors import live_errors
    from orchestration_project.stores.home import prepared_home

    found = live_errors(prepared_home(), asset)
    if as_json:
        say_json([one.facts() for one in found])
        return
    if not found:
        say("Nothing is checked: no cascade that decided anything has a Person().")
        return
    columns = ("asset", "performer", "day", "live error", "wrong", "wait", "unanswered")
    lines = [
        (one.asset, one.performer or "all", one.day or "all", one.told(), one.found.errors, one.waiting, one.unanswered)
        for one in found
    ]
    say_table(columns, lines)


def appeal(
    message_id: Annotated[str, typer.Argument(metavar="MESSAGE_ID", help="As in the tables and alerts.")],
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="What is wrong, for whoever decides.")],
    asset: OfAsset = None,
) -> None:
    """Have a person look at what was decided on a message. The decision stands until then.

    What became of it: orchestrate review list --cause appeal --state all

    Example: orchestrate appeal F0062 --asset issue --why "The customer says that it was delivered"
    """
    from orchestration_project.governance import review_orders
    from orchestration_project.stores.home import prepared_home
    from orchestration_project.stores.story import story_of

    home = prepared_home()
    decisions = {one["asset"]: one for one in story_of(home, message_id)["decisions"]}
    if not decisions:
        raise Refused(f"Nothing was decided on {message_id}. See: orchestrate explain {message_id}")
    if asset is None and len(decisions) > 1:
        raise Refused(f"{message_id} was decided on by {', '.join(decisions)}. Say which: --asset NAME")
    if asset is not None and asset not in decisions:
        raise UnknownName(f"{asset} decided nothing on {message_id}.{did_you_mean(asset, decisions)}")
    one = decisions[asset or next(iter(decisions))]
    number = review_orders.appeal(home, one["asset"], one["batch"], message_id, one, stated(why))
    say(f"Review {number} waits for a person.")


def _line(review: "Review") -> tuple[Any, ...]:
    from orchestration_project.stores.reviews import CAUSES

    proposed = "" if review.is_blind and review.state == "open" else review.proposal["label"]
    holder = review.claimed_by or review.assigned_to or ("a lead" if review.needs_lead else "")
    due = review.respond_by.isoformat(sep=" ", timespec="minutes")[:16]
    return (review.review_id, review.asset, review.message_id, proposed, CAUSES[review.cause], due, holder)


def _show(home: "Home", review: "Review", as_json: bool) -> None:
    from orchestration_project.governance.review_orders import facts
    from orchestration_project.performers.similar_verdicts import message_of, similar_verdicts
    from orchestration_project.stores import cascades, verdicts

    with home.ledger.read() as connection:
        labels = cascades.require(connection, review.asset).labels
        given = verdicts.of_review(connection, review.review_id)
    message, found = message_of(home, review), facts(review)
    alike = similar_verdicts(home, review, message)
    if as_json:
        say_json({**found, "message": message, "labels": labels, "similar": alike, "verdicts": [*map(vars, given)]})
        return
    say_table((f"review {review.review_id}", review.asset), list(message.items()))
    proposal = found["proposal"]
    rows = [("why it is here", found["why_here"]), ("what the appeal says", review.why)]
    rows += [("proposed", proposal.get("label")), ("how sure", _rounded(proposal.get("confidence")))]
    rows += [("or else", proposal.get("runner_up")), ("why", proposal.get("reason"))]
    rows += [("state", review.state), ("respond by", review.respond_by.isoformat(sep=" ", timespec="minutes"))]
    rows += [("with", review.claimed_by or review.assigned_to), ("for a lead", "yes" if review.needs_lead else None)]
    say_table(("", ""), [row for row in rows if row[1]])
    if given:
        columns = ("verdict", "by", "at", "stands", "note")
        lines = [
            (one.label, one.person, one.decided_at.isoformat(sep=" ", timespec="minutes"), one.is_current, one.note)
            for one in given
        ]
        say_table(columns, lines)
    if alike:
        columns = ("label", "text", "message_id", "person")
        say_table(
            ("verdict", "a similar message", "message", "by"), [tuple(one[name] for name in columns) for one in alike]
        )
    say(f"Labels: {', '.join(labels)}")
    if review.state in ("open", "overdue"):
        say(f"Decide: orchestrate review decide {review.review_id} LABEL")


def _rounded(confidence: float | None) -> str | None:
    return None if confidence is None else f"{confidence:.2f}"

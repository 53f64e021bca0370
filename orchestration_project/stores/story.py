"""The whole story of one message: what came in, what each asset made of it and why, who decided, what was alerted and
delivered.

1. `story_of` reads what is in use: the message, the decisions on it, rows of other assets, refusals, alerts.
2. `whole_story` adds where it came from, every performer's answer, reviews and verdicts, versions and deliveries.
3. While a check is open that is to be decided blind, the whole story keeps back what was answered, and all that was made
   of the answer.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow
import pyarrow.compute
import sqlalchemy as sa

from orchestration_project.stores import (
    batches,
    cascades,
    claims,
    deliveries,
    manifest,
    outbox,
    quarantine,
    reviews,
    run_requests,
    verdicts,
)
from orchestration_project.stores.ancestry import Ancestry
from orchestration_project.stores.answers import answers_on, parts_of, with_versions
from orchestration_project.stores.halts import halted_since, open_halts
from orchestration_project.stores.home import Home
from orchestration_project.stores.manifest import Version
from orchestration_project.stores.origins import Places, places_of
from orchestration_project.stores.reviews import CAUSES, Review
from orchestration_project.stores.schema import REVIEWS

DECISION_FIELDS = ("label", "confidence", "accepted", "decided_by", "performer", "version", "reason")

ANSWER_FIELDS = ("label", "confidence", "accepted", "reason")
"""Of a decision, what a person who checks it blind must not see."""

Why = Callable[[Mapping[str, Any], Mapping[str, Any]], str]
"""The reason of a decision on a message, in more words than the row keeps."""


@dataclass(frozen=True)
class _Found:
    """What a version in use says of a message: rows of its own, and rows that speak of it among others."""

    version: Version
    own: list[dict[str, Any]]
    mentions: list[dict[str, Any]]


@dataclass(frozen=True)
class _Read:
    """The story of a message, and what was read for it. `places` is where it came in, where that had to be looked up."""

    story: dict[str, Any]
    found: list[_Found]
    notices: list[dict[str, Any]]
    places: Places | None = None


def story_of(home: Home, message_id: str) -> dict[str, Any]:
    """A message's story: message, source (the asset that has it), decisions, records (rows of other assets), halted (the
    halts behind which one of these is still read), quarantined, alerts (titles).

    UnknownName, with the nearest known id, when no message has this id, not even one that waits or was given up.
    """
    return _read(home, message_id).story


def whole_story(home: Home, message_id: str, why: Why = lambda decision, _: str(decision["reason"])) -> dict[str, Any]:
    """All that is known of a message: `story_of` and, besides,

    state (one of `batches.STATES`), batch (its key, state, cause and runs), came_in (`origins.Place`, each), unread_files,
    versions (of the assets in use that have it: asset, version, run_id, published_at, inputs), model_outputs (asked,
    shadow, reviews of each), mentions (rows of assets that speak of it among others), notices with their deliveries,
    withheld (the open check, and the assets that it keeps back; None: nothing is).
    """
    read = _read(home, message_id)
    story, message = read.story, read.story["message"]
    for decision in story["decisions"]:
        decision["reason"] = why(decision, message)
    batch: str | None = message["batch"]
    published = {name: value for name, value in message.items() if name != "batch"} if len(message) > 2 else None
    places = read.places or places_of(home, message_id, published)
    shadows = {found.version.asset: found.own for found in read.found}
    with home.ledger.read() as connection:
        own = claims.batch_of(connection, message_id)
        story |= {
            "state": batches.state_of(connection, own, message_id) if own else places.state,
            "batch": _batch(connection, batch),
            **_came_in(places),
            "model_outputs": [
                _model_output(connection, decision, message_id, shadows.get(manifest.shadow_of(decision["asset"]), []))
                for decision in story["decisions"]
            ],
            "mentions": [{"asset": found.version.asset, **row} for found in read.found for row in found.mentions],
            "notices": _told(connection, read.notices),
        }
        speaking = {story["source"]} | {
            row["asset"] for rows in ("decisions", "records", "mentions") for row in story[rows]
        }
        told = ("asset", "version", "run_id", "published_at", "inputs")
        story["versions"] = [
            {name: getattr(found.version, name) for name in told}
            for found in read.found
            if found.version.asset in speaking
        ]
        return _withhold(connection, story, batch)


def _read(home: Home, message_id: str) -> _Read:
    with home.ledger.read() as connection:
        batch = claims.batch_of(connection, message_id)
    if batch is None:
        return _read_unclaimed(home, message_id)
    with home.ledger.read() as connection:
        current = manifest.all_current(connection, batch)
        source = manifest.first_published(connection, batch)
        halted = halted_since(connection, batch)
        refused = quarantine.refusals_of(connection, message_id)
        notices = _notices_of(connection, message_id)
    every = [_find(home, version, message_id) for version in current]
    message: dict[str, Any] = {"message_id": message_id}
    decisions: list[dict[str, Any]] = []
    records: list[dict[str, Any]] = []
    for found in every:
        asset = found.version.asset
        for row in found.own:
            if {"decided_by", "performer"} <= row.keys():
                fields = {name: row[name] for name in DECISION_FIELDS}
                decisions.append({"asset": asset, **fields, "batch": batch, "run_id": found.version.run_id})
            elif asset == source:
                message = row
            else:
                records.append({"asset": asset, **row})
    shadows = {manifest.shadow_of(decision["asset"]) for decision in decisions}
    told = {found.version.asset for found in every if found.own}
    story = {
        "message": {**message, "batch": batch},
        "source": source,
        "decisions": decisions,
        "records": [record for record in records if record["asset"] not in shadows],
        "halted": [vars(halt) for halt in halted if halt.asset in told],
        "quarantined": [{"asset": asset, "batch": found, "reason": reason} for asset, found, reason in refused],
        "alerts": [notice["title"] for notice in notices],
    }
    return _Read(story, every, notices)


def _read_unclaimed(home: Home, message_id: str) -> _Read:
    """The story of a message that no batch holds: it waits, or was given up."""
    places = places_of(home, message_id)
    with home.ledger.read() as connection:
        if not places.found:
            raise claims.unknown(connection, message_id)
        batch = places.found[-1].batch
        current = manifest.all_current(connection, batch) if batch else []
        notices = _notices_of(connection, message_id)
    empty: dict[str, Any] = {name: [] for name in ("decisions", "records", "halted", "quarantined", "alerts")}
    story = {"message": {"message_id": message_id, "batch": batch}, "source": None, **empty}
    return _Read(story, [_find(home, version, message_id) for version in current], notices, places)


def _find(home: Home, version: Version, message_id: str) -> _Found:
    table = home.warehouse.read(version.path)
    return _Found(version, _rows_of(table, message_id), _mentions(table, message_id))


def _rows_of(table: pyarrow.Table, message_id: str) -> list[dict[str, Any]]:
    if "message_id" not in table.column_names:
        return []
    return table.filter(pyarrow.compute.field("message_id") == message_id).to_pylist()


def _mentions(table: pyarrow.Table, message_id: str) -> list[dict[str, Any]]:
    """The rows whose `message_ids`, a list or its JSON, has the message; without that column."""
    if "message_ids" not in table.column_names:
        return []
    lists = (json.loads(ids) if isinstance(ids, str) else ids or () for ids in table["message_ids"].to_pylist())
    found = [place for place, ids in enumerate(lists) if message_id in ids]
    return table.drop_columns(["message_ids"]).take(found).to_pylist() if found else []


def _came_in(places: Places) -> dict[str, Any]:
    return {"came_in": [dict(vars(place)) for place in places.found], "unread_files": places.unread}


def _batch(connection: sa.Connection, key: str | None) -> dict[str, Any] | None:
    found = batches.get(connection, key) if key else None
    if found is None:
        return None
    opened_at = batches.opened_at(connection, [found.batch])[found.batch]
    runs = run_requests.all_of(connection, found.batch)
    state = found.standing(is_halted=bool(open_halts(connection, found.batch)))
    return {"batch": found.batch, "state": state, "cause": found.cause, "opened_at": opened_at, "runs": runs}


def _notices_of(connection: sa.Connection, message_id: str) -> list[dict[str, Any]]:
    return [notice for notice in outbox.recorded(connection) if message_id in notice["facts"].get("message_ids", ())]


def _told(connection: sa.Connection, notices: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The notices, each with its deliveries; `delivered_at` is of the home's own file."""
    own = ("key", "title", "asset", "batch", "recorded_at", "delivered_at")
    found = {notice["key"]: {name: notice[name] for name in own} for notice in notices}
    for notice in found.values():
        notice["deliveries"] = []
    shown = ("delivery_id", "target", "state", "attempts", "delivered_at", "next_attempt_at", "last_error")
    for delivery in reversed(deliveries.recorded(connection) if found else []):
        if delivery.key in found:
            found[delivery.key]["deliveries"].append({name: getattr(delivery, name) for name in shown})
    return list(found.values())


def _model_output(
    connection: sa.Connection, decision: dict[str, Any], message_id: str, in_shadow: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Who was asked in which order and what each answered; of a row that a person decided, what it was before that."""
    asset, batch = decision["asset"], decision["batch"]
    its = (REVIEWS.c.asset == asset, REVIEWS.c.partition == batch, REVIEWS.c.message_id == message_id)
    found = sorted(reviews.select(connection, *its), key=lambda review: review.review_id)
    before = decision
    if decision["decided_by"] == "person" and decision["label"] is not None:
        proposals = [one.proposal for one in found if one.proposal.get("decided_by") != "person"]
        before = {**dict.fromkeys(DECISION_FIELDS), "accepted": False, "reason": "", **(proposals or [{}])[-1]}
    cascade = cascades.get(connection, asset)
    performers = cascade.performers if cascade else (str(before["performer"]),)
    asked = tuple(name for name in performers if not (cascade and cascade.has_people and name == "person"))
    told = parts_of(str(before["reason"] or ""), asked, asset)
    is_pending = before is not decision or any(_waits(one) for one in found)
    answers = answers_on(before, asked, told, is_pending=is_pending)
    answers = with_versions(connection, answers, asset, batch)
    return {
        "asset": asset,
        "asked": [vars(answer) for answer in answers],
        "besides": list(told.besides),
        "shadow": [{name: value for name, value in row.items() if name != "message_id"} for row in in_shadow],
        "reviews": [_review(connection, one) for one in found],
    }


def _waits(review: Review) -> bool:
    return review.state == "open" and review.cause not in reviews.ASKED_FOR


def _review(connection: sa.Connection, review: Review) -> dict[str, Any]:
    names = ("review_id", "cause", "state", "why", "probability", "needs_lead")
    names += ("assigned_to", "opened_at", "respond_by")
    shown = {name: getattr(review, name) for name in names}
    given = [
        {name: getattr(one, name) for name in ("verdict_id", "person", "label", "note", "is_current", "decided_at")}
        for one in verdicts.of_review(connection, review.review_id)
    ]
    proposed = {name: review.proposal.get(name) for name in ("label", "confidence", "performer", "version", "default")}
    return {
        **shown,
        "closed_at": review.closed_at,
        "why_here": CAUSES[review.cause],
        "proposed": proposed,
        "verdicts": given,
    }


def _withhold(connection: sa.Connection, story: dict[str, Any], batch: str | None) -> dict[str, Any]:
    """Keep back what a blind check that is open is about, every row that was made of it, and all notices: they may tell."""
    checks = {
        output["asset"]: review["review_id"]
        for output in story["model_outputs"]
        for review in output["reviews"]
        if review["cause"] == "check" and review["state"] == "open"
    }
    if not checks or batch is None:
        return {**story, "withheld": None}
    below = Ancestry(connection, batch).below(checks) - checks.keys()
    for decision in story["decisions"]:
        if decision["asset"] in checks:
            decision |= dict.fromkeys(ANSWER_FIELDS)
    for output in story["model_outputs"]:
        if output["asset"] in checks:
            output |= {"asked": [], "besides": [], "shadow": []}
            for review in output["reviews"]:
                review["proposed"] = {}
    for rows in ("decisions", "model_outputs", "records", "mentions", "versions", "halted", "quarantined"):
        story[rows] = [row for row in story[rows] if row["asset"] not in below]
    withheld = {"reviews": sorted(checks.values()), "assets": sorted(below | checks.keys())}
    return {**story, "notices": [], "alerts": [], "withheld": withheld}

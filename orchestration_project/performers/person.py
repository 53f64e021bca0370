"""People as performers: a row that nobody before them is sure of waits as a review, and the batch goes on without it.

1. A verdict stands first, also over an accepted answer: nobody is asked about its row. It holds for what the person was
   shown; a row whose content has changed since is decided anew.
2. A row waits when no performer accepted it. At most as many of an asset wait as the policy allows, those first that got
   no answer, then the least sure; each further row keeps the surest answer, not accepted.
3. A row whose review nobody decided in time takes the default that was recorded with it: the surest answer, not
   accepted, or the safe state's. A verdict may still come.
4. What cannot wait (`Person(at_once=…)`) goes on with the surest answer, not accepted, and has a review beside.
5. Of the rows that others accepted some are drawn for a check (see `random_checks`); their answers stand meanwhile.
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pandas as pd

from orchestration_project.governance.policy import Policy, read_policy
from orchestration_project.governance.random_checks import Chance, chance_of, drawable
from orchestration_project.performers.familiarity import UNKNOWN_KIND
from orchestration_project.performers.performer import Kind, Performer, Prepared
from orchestration_project.stores import reviews, verdicts
from orchestration_project.stores.home import Home
from orchestration_project.stores.reviews import ANY_CONTENT, ASKED_FOR, BESIDE, CHECK, URGENT, Review
from orchestration_project.stores.verdicts import Verdict

PERSON = "person"

URGENT_TOLD = "it cannot wait for a person"

Known = TypeVar("Known", Verdict, Review)
Urgent = Callable[[pd.DataFrame], pd.Series]


class Person(Performer):
    """Whoever has the reviewer role and the asset's skill. Stands behind all other performers of a cascade.

    `at_once` says of the rows that performers see, shape (n, …), which cannot wait, bool of shape (n,); None: all can.
    """

    kind: Kind = PERSON
    name = PERSON

    def __init__(self, *, at_once: Urgent | None = None) -> None:
        self.at_once = at_once

    def prepare(self, home: Home) -> Prepared:
        def answer(rows: pd.DataFrame) -> pd.DataFrame:
            raise TypeError("A person answers by a verdict, and is not called.")

        return Prepared("", None, frozenset(), answer)


@dataclass(frozen=True)
class Said:
    """What people have said so far about an asset's rows in a batch, by message: verdicts, and reviews for which rows
    wait, or that are overdue. `room` is how many rows more may wait, `chance` how likely an accepted row is drawn for a
    check (None: none is). All by the `policy` as it stands now.
    """

    verdicts: Mapping[str, Verdict] = field(default_factory=lambda: dict[str, Verdict]())
    waiting: Mapping[str, Review] = field(default_factory=lambda: dict[str, Review]())
    overdue: Mapping[str, Review] = field(default_factory=lambda: dict[str, Review]())
    policy: Policy = field(default_factory=Policy)
    room: int = 0
    chance: Chance | None = None


def hear(home: Home, asset: str, partition: str) -> Said:
    """Read what people have said about an asset's rows in a batch."""
    policy = read_policy(home.settings.policy)
    with home.ledger.read() as connection:
        known = reviews.of_batch(connection, asset, partition)
        room = policy.reviews.most_open - reviews.open_count(connection, asset, without=BESIDE)
        found = verdicts.current_of_batch(connection, asset, partition)
        chance = chance_of(connection, policy.checks, asset, partition)
    return Said(
        {verdict.message_id: verdict for verdict in found},
        {review.message_id: review for review in known if review.state == "open" and review.cause not in ASKED_FOR},
        {review.message_id: review for review in known if review.state == "overdue"},
        policy,
        max(room, 0),
        chance,
    )


def content_digests(rows: pd.DataFrame, secret: bytes) -> pd.Series:
    """What identifies what was shown of each row, whoever was to decide it: a digest, keyed so that nobody without the
    home's secret can tell a text from it.
    """
    shown = [name for name in sorted(rows.columns) if name != "message_id"]
    values = zip(*(rows[name] for name in shown), strict=True) if shown else ((),) * len(rows)
    digests = [hmac.new(secret, json.dumps([shown, row], default=str).encode(), hashlib.sha256) for row in values]
    return pd.Series([digest.hexdigest() for digest in digests], rows.index, dtype="str")


def apply_verdicts(frame: pd.DataFrame, rows: pd.DataFrame, said: Said, secret: bytes) -> pd.Series:
    """Write the verdicts into the frame; returns which rows have one, bool of shape (n,)."""
    found = _still_of(rows, said.verdicts, secret)
    settled, its = pd.Series(frame.index.isin(list(found)), frame.index), found.values()
    frame.loc[settled, "label"] = [verdict.label for verdict in its]
    frame.loc[settled, "performer"] = [verdict.person for verdict in its]
    frame.loc[settled, "version"] = [f"verdict {verdict.verdict_id}" for verdict in its]
    frame.loc[settled, "reason"] = [verdict.note or "" for verdict in its]
    frame.loc[settled, "confidence"] = float("nan")
    frame.loc[settled, "accepted"] = True
    frame.loc[settled, "degraded"] = False
    frame.loc[settled, "state"] = "decided"
    frame.loc[settled, "decided_by"] = PERSON
    return settled


def let_wait(
    frame: pd.DataFrame,
    rows: pd.DataFrame,
    undecided: pd.Series,
    said: Said,
    secret: bytes,
    at_once: Urgent | None = None,
) -> tuple[pd.DataFrame, float]:
    """Have the undecided rows of the frame wait, as many as may; returns these, shape (n, 5): message_id,
    content_digest, cause, runner_up, probability. Behind them stand those that cannot wait (cause `urgent`), and accepted
    rows that are drawn for a check, with this cause and the probability of it, which others have not. Second comes this
    probability, also where nothing was drawn. A row that was overdue takes its default: where that is the safe state's
    answer, the row loses its label.
    """
    frame.loc[undecided, "state"] = "decided"
    places = frame.index[undecided]
    places = places.difference(_take_defaults(frame, rows.loc[places], said, secret), sort=False)
    urgent = places[:0] if at_once is None else places[at_once(rows.loc[places]).to_numpy(dtype="bool")]
    add_reason(frame, urgent, URGENT_TOLD)
    places = places.difference(urgent, sort=False)
    has_one = frame.loc[places, "message_id"].isin(said.waiting.keys())
    others = frame.loc[places[~has_one], "confidence"].sort_values(na_position="first", kind="stable").index
    add_reason(frame, others[said.room :], "too many rows wait for people already")
    chosen = places[has_one].append(others[: said.room]).sort_values()
    frame.loc[chosen, "state"] = "pending"
    unanswered = chosen[frame.loc[chosen, "label"].isna()]
    frame.loc[unanswered, ["decided_by", "performer"]] = PERSON
    drawn, probability = _draw(frame, said.chance, secret)
    asked = chosen.append([urgent, drawn])
    causes = _causes(frame.loc[asked]).mask(asked.isin(urgent), URGENT).mask(asked.isin(drawn), CHECK)
    waiting = frame.loc[asked, ["message_id", "runner_up"]].assign(
        content_digest=content_digests(rows.loc[asked], secret),
        cause=causes,
        probability=pd.Series(probability, drawn).reindex(asked),
    )
    return waiting, probability


def goes_to_safe_state(frame: pd.DataFrame, rows: pd.DataFrame, said: Said, secret: bytes) -> pd.Series:
    """Which rows the safe state answers because nobody decided them in time, bool of shape (n,): no other performer is
    asked about them again.
    """
    late = _still_of(rows, said.overdue, secret)
    return pd.Series(frame.index.isin([place for place, one in late.items() if _is_safe_default(one)]), frame.index)


def _draw(frame: pd.DataFrame, chance: Chance | None, secret: bytes) -> tuple[pd.Index, float]:
    """Which accepted rows are drawn for a check, and how likely each of the accepted ones was."""
    if chance is None:
        return frame.index[:0], 0.0
    own = frame[drawable(frame)]
    probability = chance.probability(len(own))
    return own.index[chance.draw(own["message_id"], own["message_digest"], probability, secret)], probability


def _is_safe_default(review: Review) -> bool:
    return review.proposal.get("default") == "safe_state"


def _take_defaults(frame: pd.DataFrame, rows: pd.DataFrame, said: Said, secret: bytes) -> pd.Index:
    """Give the rows whose review is overdue their default; returns these."""
    found = _still_of(rows, said.overdue, secret)
    late = rows.index[rows.index.isin(list(found))]
    told = [f"no verdict by {review.respond_by.isoformat(timespec='minutes')}" for review in found.values()]
    add_reason(frame, late, pd.Series(told, late, dtype="str"))
    is_safe = [_is_safe_default(review) for review in found.values()]
    frame.loc[late[is_safe], "label"] = None
    frame.loc[late[is_safe], "confidence"] = float("nan")
    return late


def _still_of(rows: pd.DataFrame, known: Mapping[str, Known], secret: bytes) -> dict[Any, Known]:
    """Place of each row → what is known of its message, where that still says what was shown; in the rows' order."""
    own = rows[rows["message_id"].isin(known.keys())]
    places = zip(own.index, own["message_id"], content_digests(own, secret), strict=True)
    found = [(place, known[message_id], digest) for place, message_id, digest in places]
    return {place: one for place, one, digest in found if one.content_digest in (ANY_CONTENT, digest)}


def add_reason(frame: pd.DataFrame, rows: pd.Index, reason: str | pd.Series) -> None:
    """Put a reason behind those a row already has; an empty one adds nothing."""
    before = frame.loc[rows, "reason"]
    added = pd.Series(reason, rows, dtype="str")
    joined = (before + "; " + added).where(before != "", added)
    frame.loc[rows, "reason"] = joined.where(added != "", before)


def _causes(rows: pd.DataFrame) -> pd.Series:
    causes = pd.Series("unsure", rows.index, dtype="str")
    causes = causes.mask(rows["disagreed"], "disagreement")
    causes = causes.mask(rows["reason"].str.contains(UNKNOWN_KIND, regex=False), "unknown_kind")
    causes = causes.mask(rows["switched"], "switched")
    return causes.mask(rows["degraded"], "failure")

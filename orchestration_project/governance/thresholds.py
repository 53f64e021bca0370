"""From which confidence on the answers of a model are accepted: as it was proven in training, or higher, where random checks
or a person say so.

1. Checks count that were drawn of answers of the version in use since it accepts from its threshold, as far back as the
   policy's days go.
2. They may raise the threshold, and never lower it (see `core/live_threshold`).
3. A person with the role approver may set it, not below what was proven in training.
4. Each change is a revision of the version in use, one transaction with its audit entry and a notice to whoever runs the
   project. It counts for what is decided from then on; what was accepted before stands.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from orchestration_project.core.errors import Conflict, Refused
from orchestration_project.core.live_threshold import Choice, choose_again
from orchestration_project.governance import audit, people
from orchestration_project.governance.answered_checks import checks_since, in_numbers
from orchestration_project.governance.live_errors import estimate_told, live_error_told, too_thin
from orchestration_project.governance.policy import ACTOR, Checks, read_policy
from orchestration_project.stores import champions, model_versions, outbox
from orchestration_project.stores.families import performer_of
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.model_versions import ModelVersion
from orchestration_project.stores.outbox import Notice


@dataclass(frozen=True)
class Rechoice:
    """What the checks say about the threshold of a version in use. `proven` is what it was trained to; `is_applied` says
    whether what they say is done, as the policy has it.
    """

    version: ModelVersion
    proven: float | None
    choice: Choice
    stated: float
    fewest: int
    is_applied: bool

    def told(self) -> str:
        """What becomes of the threshold, and why, in words."""
        was, found = in_words(self.version.threshold), live_error_told(self.choice.found, self.stated)
        if self.choice.outcome == "too thin":
            return f"{was} stands, {too_thin(self.choice.found, self.fewest)}"
        if self.choice.outcome == "stands":
            return f"{was} stands: {found}"
        if not self.is_applied:
            return f"{was} stands, as the policy says, though the stated error is broken: {found}"
        if self.choice.outcome == "raised":
            then = estimate_told(self.choice.then)
            return f"raised from {was} to {in_words(self.choice.threshold)}, where it is {then}: {found}"
        return f"accepts nothing any more, for no threshold above {was} is shown to keep it: {found}"


def rechoices(home: Home) -> list[Rechoice]:
    """What the checks say about the threshold of each model in use; nothing is changed."""
    policy = read_policy(home.settings.policy).checks
    with home.ledger.read() as connection:
        used = champions.in_use(connection)
        return [_rechoice(connection, home, version, policy) for version in used]


def raise_threshold(connection: sa.Connection, seen: ModelVersion, threshold: float | None, told: str) -> None:
    """Have a version accept from a threshold that its checks ask for, in the caller's transaction; `seen` is the version in
    use as it was when they were counted. Conflict where another one, or another threshold, is in use by now.
    """
    used = champions.require_champion(connection, seen.family)
    if (used.name, used.threshold) != (seen.name, seen.threshold):
        raise Conflict(
            f"{used.name} accepts from {in_words(used.threshold)} by now, and the checks were counted for {seen.name} "
            f"from {in_words(seen.threshold)} on. Run it again."
        )
    _set(connection, used, threshold, told, ACTOR)


def set_threshold(home: Home, family: str, threshold: float, reason: str) -> ModelVersion:
    """Have the version in use accept from this confidence on, as whoever acts; returns it as it was. NotEntitled without
    the role approver, Refused for a threshold below what was proven in training.
    """
    person = people.require(home.settings, "approver")
    with home.ledger.write() as connection:
        used = champions.require_champion(connection, family)
        proven = model_versions.find(connection, family, used.version).threshold
        if proven is None:
            raise Refused(
                f"{used.name} accepts nothing: at no threshold its training proved the stated error. "
                "Label more messages, and run: orchestrate train"
            )
        if not proven <= threshold <= 1:
            raise Refused(
                f"{used.name} cannot accept from {threshold:g}: its training proved the stated error from {proven:g} on. "
                f"Give a number from {proven:g} to 1."
            )
        if threshold == used.threshold:
            raise Refused(f"{used.name} accepts from {threshold:g} already.")
        _set(connection, used, threshold, reason, person.name)
        return used


def in_words(threshold: float | None) -> str:
    """A threshold as a sentence gives it."""
    return "no confidence" if threshold is None else f"{threshold:g}"


def _rechoice(connection: sa.Connection, home: Home, version: ModelVersion, policy: Checks) -> Rechoice:
    proven = model_versions.find(connection, version.family, version.version).threshold
    since = max(_in_use_since(connection, version), now() - timedelta(days=policy.window_days))
    checks, said = checks_since(connection, since)
    performer, stated = performer_of(version.family), home.settings.target_error
    answered = [
        one
        for one in checks
        if one.review_id in said
        and (one.proposal["performer"], one.proposal["version"]) == (performer, version.version)
    ]
    choice = choose_again(in_numbers(answered, said), version.threshold, stated=stated, fewest=policy.fewest)
    is_applied = choice.is_new and policy.thresholds == "raise"
    return Rechoice(version, proven, choice, stated, policy.fewest, is_applied)


def _in_use_since(connection: sa.Connection, version: ModelVersion) -> datetime:
    since = champions.since(connection, version.family)
    if since is None:
        raise LookupError(f"{version.name} is in use, and its family has no revision.")
    return since


def _set(connection: sa.Connection, used: ModelVersion, threshold: float | None, reason: str, person: str) -> None:
    champion = champions.revise(connection, used, threshold, reason)
    detail: dict[str, Any] = {"was": used.threshold, "reason": reason}
    detail["champion"] = {**champion, "promoted_at": champion["promoted_at"].isoformat()}
    audit.append(connection, "threshold set", used.name, detail, person)
    outbox.record(connection, asset=outbox.OF_A_RUN, partition="", notices=[_notice(used, champion, person)])


def _notice(used: ModelVersion, champion: Mapping[str, Any], person: str) -> Notice:
    what = "nothing" if champion["threshold"] is None else f"from {champion['threshold']:g}"
    back = f"orchestrate model threshold {used.family} {in_words(used.threshold)} --reason TEXT"
    lines = [f"Why: {champion['reason']}", f"Who: {person}", f"Before: from {in_words(used.threshold)}"]
    lines += ["What follows: less sure answers go to the next performer, to people or to the safe state"]
    lines += [f"Back: {back}"] * (used.threshold is not None)
    key = f"threshold/{used.name}/{champion['revision']}"
    body = "\n".join(f"- {line}" for line in lines)
    return Notice(key, f"The {used.family} model accepts {what}", body, {"threshold": champion["threshold"]})

"""Which version of a model may be in use: what a person ordered, what the evaluation shows, and the record of it.

1. The first version of a family is promoted; the one in use already stays.
2. A version that answers other labels than the one in use is promoted only when the label set was replaced
   (`orchestrate labels import --replace`) and a person ordered it (`--new-labels`).
3. A version that is worse on the same holdout beyond chance stays out, unless a person ordered this very version
   `--even-if-worse`.
4. A rollback puts the version before back in use, whatever was measured.
5. A version that was switched off stays out, whoever orders it, until somebody switches it on.
6. A version that may be in use by these rules, and never was, goes on trial first, as the policy asks: it answers in
   shadow beside the one in use, until it gave so many answers there, is not worse on what people decided meanwhile, and
   somebody approves of it by ordering its promotion. Another version takes its place only when a person orders that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import sqlalchemy as sa

from orchestration_project.core.comparison import OVERALL, Difference, worse
from orchestration_project.core.errors import Conflict, Refused
from orchestration_project.core.settings import Settings
from orchestration_project.governance import audit, people
from orchestration_project.governance.policy import Learning
from orchestration_project.governance.trial_results import TrialResult
from orchestration_project.stores import batches, champions, model_versions, switches, trials
from orchestration_project.stores.audited import details_of
from orchestration_project.stores.model_versions import ModelVersion
from orchestration_project.stores.schema import AUDIT
from orchestration_project.stores.switches import Switch
from orchestration_project.stores.trials import Trial

_TAG = "orchestrate/"

LEAST_DECIDED = 30
"""Rows that people decided, fewer of which show nothing about a version on trial."""

PERSON_TAG = f"{_TAG}person"
"""Run tag that names who ordered the run."""

AUTOMATION = {"dagster/schedule_name", "dagster/sensor_name"}
"""Tags of a run that no person launched."""

Action = Literal["train", "promote", "rollback"]


@dataclass(frozen=True)
class Order:
    """What a person asked of the run that chooses a champion, and why; it travels in the run's tags.

    `version` is the digest of the version to put in use; empty: the one that was just trained. `person` is who ordered
    it; empty: nobody did, a schedule trains.
    """

    action: Action = "train"
    version: str = ""
    reason: str = ""
    new_labels: bool = False
    even_if_worse: bool = False
    person: str = ""

    def to_tags(self) -> dict[str, str]:
        """The run tags that say it."""
        tags = {"order": self.action, "version": self.version, "reason": self.reason, "person": self.person}
        tags |= {"new_labels": "yes" * self.new_labels, "even_if_worse": "yes" * self.even_if_worse}
        return {f"{_TAG}{name}": value for name, value in tags.items() if value}

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> Self:
        """What `to_tags` wrote; without such tags an ordinary training. An unknown action raises Refused."""
        found = {name: tags.get(f"{_TAG}{name}", "") for name in ("order", "version", "reason", "person")}
        flags = {name: bool(tags.get(f"{_TAG}{name}")) for name in ("new_labels", "even_if_worse")}
        actions: dict[str, Action] = {"": "train", "train": "train", "promote": "promote", "rollback": "rollback"}
        if found["order"] not in actions:
            known = ", ".join(action for action in actions if action)
            raise Refused(f"The run tag {_TAG}order is '{found['order']}'. Set one of: {known}.")
        return cls(actions[found["order"]], found["version"], found["reason"], **flags, person=found["person"])


@dataclass(frozen=True)
class Verdict:
    """Whether the candidate is put in use, and why; if it is not, whether it is on trial from now on, or still."""

    is_promoted: bool
    reason: str
    is_on_trial: bool = False
    even_if_worse: bool = False


@dataclass(frozen=True)
class Terms:
    """What it takes until a candidate is in use, as `policy` says: `trial` is the one of its family that runs, `result`
    what the candidate has shown in it. `was_in_use`: it need not be tried; `is_replaced`: the version in use was switched
    off, so that nobody waits for a trial beside it; `has_lost`: it was tried, and was worse.
    """

    policy: Learning
    trial: Trial | None = None
    result: TrialResult = TrialResult()
    was_in_use: bool = False
    is_replaced: bool = False
    has_lost: bool = False


def judge_candidate(
    order: Order,
    candidate: ModelVersion,
    incumbent: ModelVersion | None,
    differences: Sequence[Difference],
    *,
    labels_replaced: bool,
    switch: Switch | None,
    terms: Terms,
) -> Verdict:
    """Hold a candidate to the rules above.

    `switch` is the last word on the candidate; None: it never was switched. `differences` are those of its F1 against the
    incumbent's on the same holdout; empty when the incumbent's file can no longer be read, so that it decides nothing any
    more and stands in nobody's way.
    """
    named = f"{candidate.family} {candidate.version}"
    if switch is not None and switch.state == "off":
        return Verdict(False, f"{switch.told()}. Run first: orchestrate switch version {named} on --reason TEXT")
    if incumbent is None:
        return Verdict(True, _with(order, "the first version of its family"))
    if (incumbent.version, incumbent.sha256) == (candidate.version, candidate.sha256):
        return Verdict(False, "the same labels and code gave the version in use")
    if order.action == "rollback":
        if not terms.was_in_use:
            promote = f"orchestrate model promote {named} --reason TEXT"
            return Verdict(False, f"it never was in use, and nobody can go back to it. Run: {promote}")
        return Verdict(True, _with(order, f"back from {incumbent.version}"))
    verdict = _judge_differences(order, candidate, incumbent, differences, labels_replaced=labels_replaced)
    if terms.was_in_use or not verdict.is_promoted:
        return verdict
    return _judge_trial(order, candidate, incumbent, verdict, terms, is_comparable=bool(differences))


def _judge_differences(
    order: Order,
    candidate: ModelVersion,
    incumbent: ModelVersion,
    differences: Sequence[Difference],
    *,
    labels_replaced: bool,
) -> Verdict:
    if set(candidate.labels) != set(incumbent.labels):
        return _judge_new_labels(order, candidate, incumbent, labels_replaced)
    if not differences:
        return Verdict(True, _with(order, f"the version in use, {incumbent.version}, can no longer be read"))
    overall = next(found for found in differences if found.label == OVERALL)
    told = f"macro-F1 on the same holdout {_interval(overall)} against {incumbent.version}"
    if not (found := worse(differences)):
        return Verdict(True, _with(order, f"not worse: {told}"))
    which = ", ".join(f"{_name(one)} {_interval(one)}" for one in found[:3])
    if order.even_if_worse:
        return Verdict(True, _with(order, f"by order, though worse: {which}"))
    return Verdict(False, f"worse than {incumbent.version} on the same holdout: {which}")


def _judge_trial(
    order: Order,
    candidate: ModelVersion,
    incumbent: ModelVersion,
    verdict: Verdict,
    terms: Terms,
    *,
    is_comparable: bool,
) -> Verdict:
    """Rule 6. Where nothing can be compared (another label set, a version in use that cannot be read) nobody waits for
    answers in shadow; approval is asked for all the same.
    """
    policy, trial = terms.policy, terms.trial
    wanted = policy.shadow_rows if is_comparable and not terms.is_replaced else 0
    if not wanted and policy.approval == "nobody":
        return verdict
    if trial is None or not trial.is_of(candidate):
        if terms.has_lost and not order.person:
            return Verdict(False, "it was on trial before, and was worse; only a person has it tried again")
        if trial is not None and not order.person:
            since = trial.started_at.isoformat(timespec="minutes")
            return Verdict(False, f"{trial.version.version} is on trial since {since}; {candidate.version} may be next")
        told = f"on trial from now on: {verdict.reason}"
        return Verdict(False, told, is_on_trial=True, even_if_worse=order.even_if_worse)
    if terms.result.answers < wanted:
        return Verdict(False, f"still on trial: {terms.result.told(wanted)}", True)
    is_shown = terms.result.decided >= LEAST_DECIDED and not (order.even_if_worse or trial.even_if_worse)
    if is_shown and (found := worse(terms.result.differences)):
        which = ", ".join(f"{_name(one)} {_interval(one)}" for one in found[:3])
        return Verdict(
            False, f"worse than the version in use on {terms.result.decided} rows that people decided: {which}"
        )
    if policy.approval != "nobody" and order.action != "promote":
        told = f"its trial is over, and it waits for approval: {how_to_approve(trial, incumbent)}"
        return Verdict(False, told, is_on_trial=True)
    if policy.approval == "somebody_else" and order.person == trial.trained_by:
        return Verdict(False, f"{order.person} had it trained, and may not approve of it. Ask another approver", True)
    told = f"{terms.result.answers:,} answers in shadow" if wanted else "approved"
    return Verdict(True, f"{verdict.reason}; {told}")


def how_to_approve(trial: Trial, used: ModelVersion | None) -> str:
    """The command by which somebody approves of the version on trial, with the options that its promotion wants beside the
    version in use.
    """
    version = trial.version
    options = " --even-if-worse" * trial.even_if_worse
    options += " --new-labels" * (used is not None and set(used.labels) != set(version.labels))
    return f"orchestrate model promote {version.family} {version.version}{options} --reason TEXT"


def by_whom(settings: Settings, order: Order, tags: Mapping[str, str]) -> Order:
    """The order with whoever gave it: who its tags name; who acts, where a person launched the run without them; nobody
    for a schedule or a sensor.
    """
    if order.person or AUTOMATION & tags.keys():
        return order
    return replace(order, person=people.acting(settings).name)


def require_role(settings: Settings, order: Order) -> None:
    """NotEntitled where whoever gave an order may not: to put a version in use takes the role approver, to train one by
    hand the role trainer. A schedule needs none.
    """
    if order.person or order.action != "train":
        asked = replace(settings, person=order.person or settings.person)
        people.require(asked, "trainer" if order.action == "train" else "approver")


def record_verdict(connection: sa.Connection, candidate: ModelVersion, verdict: Verdict, person: str = "") -> None:
    """Keep the candidate's record, and put it in use, or on trial, where the verdict says so; batches that were refused
    may try again once one is in use. All are audited, in the caller's transaction; `person` is who ordered it, empty where a schedule trained.
    """
    known = champions.champion(connection, candidate.family)
    detail: dict[str, Any] = {"reason": verdict.reason, "model": model_versions.record(connection, candidate)}
    subject = candidate.name
    detail |= {"ordered_by": person}
    trial = trials.of_family(connection, candidate.family)
    is_tried = trial is not None and trial.is_of(candidate)
    if verdict.is_on_trial:
        if not is_tried:
            trained_by = _trained_by(connection, candidate, person)
            begun = trials.start(connection, candidate, trained_by, even_if_worse=verdict.even_if_worse)
            audit.append(connection, "on trial", subject, {**detail, "trial": begun.facts()}, person or None)
        return
    if verdict.is_promoted:
        _refuse_switched(connection, candidate)
    if trial is not None and (is_tried or verdict.is_promoted):
        trials.end(connection, candidate.family)
        detail |= {"trial_ended": trial.facts()}
    if verdict.is_promoted:
        champion = champions.promote(connection, candidate, verdict.reason)
        detail |= {"champion": {**champion, "promoted_at": champion["promoted_at"].isoformat()}}
        detail |= {"batches_resumed": batches.resume_refused(connection, cause=f"promotion-{candidate.version}")}
        audit.append(connection, "promoted", subject, detail, person or None)
    elif "trial_ended" in detail or known is None or (known.name, known.sha256) != (candidate.name, candidate.sha256):
        audit.append(connection, "not promoted", subject, detail, person or None)


def has_lost_trial(connection: sa.Connection, version: ModelVersion) -> bool:
    """Whether a version was on trial, and thrown out for being worse; what was pruned from the log is forgotten."""
    return any("trial_ended" in detail for detail in _entries_on(connection, version, "not promoted"))


def _trained_by(connection: sa.Connection, version: ModelVersion, person: str) -> str:
    """Who had a version trained: whoever ordered the run that recorded it first."""
    first = next(iter(_entries_on(connection, version, "not promoted", "on trial", "promoted")), {})
    return first.get("ordered_by", person)


def _entries_on(connection: sa.Connection, version: ModelVersion, *actions: str) -> list[dict[str, Any]]:
    return details_of(connection, AUDIT.c.subject == version.name, AUDIT.c.action.in_(actions))


def _refuse_switched(connection: sa.Connection, version: ModelVersion) -> None:
    """Raise Conflict where somebody switched the version off since it was judged."""
    found = switches.get(connection, "version", version.name)
    if found is not None and found.state == "off":
        raise Conflict(f"{found.told()}.")


def _judge_new_labels(order: Order, candidate: ModelVersion, incumbent: ModelVersion, labels_replaced: bool) -> Verdict:
    new, gone = set(candidate.labels) - set(incumbent.labels), set(incumbent.labels) - set(candidate.labels)
    told = "; ".join(f"{word} {', '.join(sorted(names))}" for word, names in (("new", new), ("gone", gone)) if names)
    if not labels_replaced:
        return Verdict(
            False,
            f"it answers other labels than {incumbent.version} ({told}), and the label set was not replaced. "
            f"Run: orchestrate labels import FILE --model {candidate.family} --replace",
        )
    if not order.new_labels:
        return Verdict(
            False,
            f"it answers other labels than {incumbent.version} ({told}). "
            f"Run: orchestrate train --model {candidate.family} --new-labels REASON",
        )
    return Verdict(True, _with(order, f"another label set ({told})"))


def _with(order: Order, told: str) -> str:
    return f"{told}: {order.reason}" if order.reason else told


def _name(found: Difference) -> str:
    return "macro-F1" if found.label == OVERALL else f"F1 of {found.label}"


def _interval(found: Difference) -> str:
    return f"{found.difference:+.3f} (95 % {found.low:+.3f} to {found.high:+.3f})"

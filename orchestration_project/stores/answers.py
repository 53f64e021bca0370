"""What each performer of a cascade answered on one row, as far as it is recorded.

The row keeps the answer that stands, and in its reason the doubts, failures and switches of those before it; which
version each was, and from which confidence it accepts, stands in the audit log. Nothing else is kept of an answer that
did not stand, so what is missing is told as `not recorded`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import sqlalchemy as sa

from orchestration_project.stores.audited import published_details
from orchestration_project.stores.schema import MODEL_VERSIONS
from orchestration_project.stores.switches import TOLD

Outcome = Literal[
    "accepted", "kept", "proposed", "not accepted", "no answer", "failed", "switched off", "not recorded", "not asked"
]
"""`kept`: nobody was sure, and this was the surest answer, or the safe state's. `proposed`: it waits for a person."""


@dataclass(frozen=True)
class Answer:
    """What one performer answered; `threshold` is the confidence from which it accepts (None: nothing, or not known)."""

    performer: str
    outcome: Outcome
    version: str | None = None
    label: str | None = None
    confidence: float | None = None
    threshold: float | None = None
    why: str = ""


@dataclass(frozen=True)
class Told:
    """A reason in its parts: what each performer said, what was said of the asset or the row, and what the performer
    whose answer was accepted said itself.
    """

    of: Mapping[str, str]
    besides: tuple[str, ...]
    own: str


def parts_of(reason: str, performers: Sequence[str], asset: str) -> Told:
    """The parts of a reason, which the cascade joined.

    >>> parts_of("rules: no rule matches; for late", ("rules", "model"), "issue")
    Told(of={'rules': 'rules: no rule matches'}, besides=(), own='for late')
    """
    found: dict[str, str] = {}
    besides: list[str] = []
    own: list[str] = []
    depth_of: str | None = None
    for part in filter(None, reason.split("; ")):
        speaker = _speaker(part, performers, found)
        if speaker is not None:
            found[speaker], depth_of = part, speaker
        elif depth_of is not None and found[depth_of].count("(") > found[depth_of].count(")"):
            found[depth_of] += f"; {part}"  # what stands in brackets may hold the mark that parts are joined with
        elif part.startswith((f"{asset} is sent to ", "no verdict by ", "too many rows wait")):
            besides.append(part)
        else:
            own.append(part)
    return Told(found, tuple(besides), "; ".join(own))


def answers_on(
    decision: Mapping[str, Any], performers: Sequence[str], told: Told, *, is_pending: bool = False
) -> list[Answer]:
    """The answer of each performer, in the order in which they are asked, the safe state last.

    `decision` is the row as the performers left it: label, confidence, accepted, performer, version. One whose performer
    the cascade does not have any more stands last.
    """
    names = list(performers)
    if decision["performer"] not in names and decision["label"] is not None:
        names.append(decision["performer"])
    stands = names.index(decision["performer"]) if decision["performer"] in names else len(names)
    found: list[Answer] = []
    for place, name in enumerate(names):
        if place == stands and decision["label"] is not None:
            outcome: Outcome = "accepted" if decision["accepted"] else "proposed" if is_pending else "kept"
            named = {field: decision[field] for field in ("version", "label", "confidence")}
            threshold, doubt = _doubt(told.of.get(name, "").removeprefix(f"{name}: "))
            found.append(Answer(name, outcome, threshold=threshold, why=told.own or doubt, **named))
        elif name in told.of:
            found.append(_parsed(name, told.of[name]))
        else:
            is_behind = place > stands or place == len(performers) - 1  # nobody but the safe state need be asked then
            found.append(Answer(name, "not asked" if is_behind else "not recorded"))
    return found


def with_versions(connection: sa.Connection, answers: Iterable[Answer], asset: str, batch: str) -> list[Answer]:
    """The answers with each performer's version and threshold, from the audit log, else from the record of the models'
    versions.
    """
    works = [work for detail in published_details(connection, batch, asset) for work in detail.get("performers", ())]
    works = [work for work in works if not work.get("in_shadow")]
    found: list[Answer] = []
    for answer in answers:
        own = [work for work in works if work["performer"] == answer.performer]
        same = [work for work in own if answer.version in (None, work["version"])]
        was_asked = answer.outcome not in ("not asked", "not recorded", "switched off")
        version = answer.version or (same[0]["version"] or None if same and was_asked else None)
        threshold = next((work["threshold"] for work in same if "threshold" in work), None) if was_asked else None
        if threshold is None and version is not None:
            threshold = _recorded_threshold(connection, answer.performer, version)
        threshold = answer.threshold if threshold is None else threshold
        found.append(replace(answer, version=version, threshold=threshold))
    return found


def _recorded_threshold(connection: sa.Connection, performer: str, version: str) -> float | None:
    columns = MODEL_VERSIONS.c
    query = sa.select(columns.family, columns.threshold).where(columns.version == version)
    found = connection.execute(query.order_by(columns.recorded_at.desc())).all()
    return next((threshold for family, threshold in found if performer == f"{family} model"), None)


def _speaker(part: str, performers: Sequence[str], before: Mapping[str, str]) -> str | None:
    """Whose words a part of a reason is; None where it is nobody's."""
    named = [name for name in performers if part.startswith((f"{name}: ", f"{name} "))]
    if named:
        return max(named, key=len)
    version = re.match(r"version ([^/]+)/\S+ is ", part)
    if version is None:
        return None
    of_family = [name for name in performers if name.startswith(f"{version[1]} ") and name not in before]
    return of_family[0] if of_family else None


def _parsed(name: str, part: str) -> Answer:
    if re.search(TOLD, part):
        return Answer(name, "switched off", why=part)
    if not part.startswith(f"{name}: "):
        return Answer(name, "failed", why=part)
    said = part.removeprefix(f"{name}: ")
    sure = re.match(r"(?P<label>.+?) (?P<confidence>[01]\.\d\d), (?:below [01]\.\d\d|no threshold is set)", said)
    if sure:
        threshold, why = _doubt(said)
        confidence = float(sure["confidence"])
        return Answer(name, "not accepted", None, sure["label"], confidence, threshold, why)
    unsure = re.fullmatch(r"(?P<label>.+) without a measured confidence", said)
    if unsure:
        return Answer(name, "not accepted", label=unsure["label"], why="without a measured confidence")
    return Answer(name, "no answer", why="" if said == "no answer" else said)


def _doubt(said: str) -> tuple[float | None, str]:
    """From which confidence a performer accepts, and what else it said behind its answer.

    >>> _doubt("late 0.41, below 0.70 (for rain)")
    (0.7, 'for rain')
    """
    below = re.match(r".+? [01]\.\d\d, below ([01]\.\d\d)(?: \((.*)\))?$", said, re.DOTALL)
    if below:
        return float(below[1]), below[2] or ""
    behind = re.match(r".+? [01]\.\d\d, (.+)", said, re.DOTALL)
    return None, behind[1] if behind else said

"""What a version of a model on trial has shown on live batches, held against the version in use: how often both answered
alike, label by label, and how right each was on the rows that people decided.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from orchestration_project.core.comparison import Difference, paired_bootstrap
from orchestration_project.core.statistics import exact_interval
from orchestration_project.stores import cascades, champions, manifest, verdicts
from orchestration_project.stores.home import Home
from orchestration_project.stores.model_versions import ModelVersion
from orchestration_project.stores.reviews import Review
from orchestration_project.stores.schema import REVIEWS, VERDICTS
from orchestration_project.stores.warehouse import by_asset

_ANSWERS = """
SELECT tried.batch, tried.message_id, tried.label, tried.decided, decision.performer, used.label
FROM "{shadow}" tried JOIN "{asset}" decision USING (batch, message_id)
LEFT JOIN "{shadow}" used ON used.batch = tried.batch AND used.message_id = tried.message_id
    AND used.performer = tried.performer AND used.version = ?
WHERE tried.performer = ? AND tried.version = ?
"""
"""What a version answered on trial, beside what was decided and what the version in use, itself in shadow, answered."""


@dataclass(frozen=True)
class Agreement:
    """Of the rows on which the version in use answered a label: how many the version on trial answered alike, and the
    share with its 95 % interval.
    """

    label: str
    alike: int
    rows: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class TrialResult:
    """What a version has shown in shadow so far. `differences` are those of its F1 against the version in use on the
    `decided` rows that people decided: `all` first, then each label; empty without such rows.
    """

    answers: int = 0
    agreements: Sequence[Agreement] = field(default_factory=lambda: list[Agreement]())
    decided: int = 0
    differences: Sequence[Difference] = field(default_factory=lambda: list[Difference]())


def result_of(home: Home, version: ModelVersion, performer: str) -> TrialResult:
    """What a version has shown in shadow, as the performer of that name."""
    with home.ledger.read() as connection:
        assets = [known.asset for known in cascades.every(connection) if performer in known.asked]
        current = manifest.all_current(connection)
        used = champions.champion(connection, version.family)
        said = {asset: _decided_by_people(connection, asset, performer) for asset in assets}
    files = by_asset((one.asset, one.path) for one in current if (home.warehouse.root / one.path).is_file())
    answered: list[tuple[str, str]] = []
    judged: list[tuple[str, str, str]] = []
    answers = 0
    for asset in assets:
        shadow = f"{asset}_shadow"
        if shadow not in files:
            continue
        with home.warehouse.connect({name: files[name] for name in (asset, shadow) if name in files}) as warehouse:
            rows = warehouse.execute(
                _ANSWERS.format(shadow=shadow, asset=asset), [used and used.version, performer, version.version]
            ).fetchall()
        for batch, message_id, label, decided, by, beside in rows:
            answers += 1
            proposed, verdict = said[asset].get((batch, message_id), (None, None))
            own = decided if by == performer and verdict is None else None
            before = next((one for one in (proposed, own, beside) if one is not None), None)
            if before is not None:
                answered.append((before, label))
            if before is not None and verdict is not None:
                judged.append((verdict, label, before))
    differences = paired_bootstrap(*zip(*judged, strict=True)) if judged else []
    return TrialResult(answers, _agreements(answered), len(judged), differences)


def _decided_by_people(
    connection: sa.Connection, asset: str, performer: str
) -> Mapping[tuple[str, str], tuple[str | None, str]]:
    """(batch, message) → what the performer had proposed (None: it had not), and what a person decided."""
    reviewed = sa.select(VERDICTS.c.review_id).where(VERDICTS.c.asset == asset)
    query = sa.select(REVIEWS).where(REVIEWS.c.review_id.in_(reviewed))
    reviews = {row["review_id"]: Review(**row) for row in connection.execute(query).mappings()}
    found: dict[tuple[str, str], tuple[str | None, str]] = {}
    for verdict in verdicts.select(connection, VERDICTS.c.asset == asset, VERDICTS.c.is_current):
        proposal = reviews[verdict.review_id].proposal if verdict.review_id in reviews else {}
        own = proposal.get("label") if proposal.get("performer") == performer else None
        found[verdict.partition, verdict.message_id] = (own, verdict.label)
    return found


def _agreements(answered: Sequence[tuple[str, str]]) -> list[Agreement]:
    found: list[Agreement] = []
    for label in sorted({before for before, _ in answered}):
        own = [after for before, after in answered if before == label]
        alike = own.count(label)
        low, high = exact_interval(alike, len(own))
        found.append(Agreement(label, alike, len(own), alike / len(own), low, high))
    return found

"""What a version of a model on trial has shown on live batches, held against the version in use: how often both answered
alike, label by label, and how right each was on the rows that people decided.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from orchestration_project.core.comparison import Difference, paired_bootstrap
from orchestration_project.core.statistics import exact_interval
from orchestration_project.stores import cascades, champions, manifest, verdicts
from orchestration_project.stores.families import performer_of
from orchestration_project.stores.home import Home
from orchestration_project.stores.reviews import Review
from orchestration_project.stores.schema import REVIEWS, VERDICTS
from orchestration_project.stores.trials import Trial
from orchestration_project.stores.warehouse import by_asset

_ANSWERS = """
SELECT tried.batch, tried.message_id, tried.label, tried.decided, decision.performer, used.label
FROM "{shadow}" tried JOIN "{asset}" decision USING (batch, message_id)
LEFT JOIN "{shadow}" used ON used.batch = tried.batch AND used.message_id = tried.message_id
    AND used.performer = tried.performer AND used.version = ?
WHERE tried.performer = ? AND tried.version = ?
"""
"""What a version answered on trial, beside what was decided and what the version in use, itself in shadow, answered."""

_COUNT = f"SELECT count(*) FROM ({_ANSWERS})"


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
    `decided` rows that people decided: `all` first, then each label; empty without such rows. `lost` are the files, named
    in the manifest, that are gone with what stood in them.
    """

    answers: int = 0
    agreements: Sequence[Agreement] = field(default_factory=lambda: list[Agreement]())
    decided: int = 0
    differences: Sequence[Difference] = field(default_factory=lambda: list[Difference]())
    lost: tuple[str, ...] = ()

    def told(self, wanted: int) -> str:
        """How many answers it gave of those wanted, and what is lost of them."""
        lost = f"; lost with their file: those of {', '.join(self.lost)}" if self.lost else ""
        return f"{self.answers:,} of {wanted:,} answers in shadow{lost}"


@dataclass(frozen=True)
class _Files:
    """What was published of one model output since a trial began: decisions, and what was answered in shadow."""

    asset: str
    paths: Mapping[str, Sequence[str]]
    lost: Sequence[str]

    @property
    def can_be_read(self) -> bool:
        """Whether anything is left of both."""
        return len(self.paths) == 2


def counted(home: Home, trial: Trial) -> TrialResult:
    """How many answers the version gave in its trial, without what they show."""
    with home.ledger.read() as connection:
        outputs = _outputs(home, connection, trial)
    answers = [row for files in outputs for row in _asked(home, files, _COUNT, trial, None)]
    return TrialResult(sum(number for (number,) in answers), lost=_lost(outputs))


def trouble(home: Home, trial: Trial) -> str:
    """Why the version cannot be asked any more, as a sentence; empty where it can."""
    if (home.root / trial.version.path).is_file():
        return ""
    return f"Its file {trial.version.path} is gone, and it answers no more. Put it back, or run: orchestrate train"


def result_of(home: Home, trial: Trial) -> TrialResult:
    """What the version has shown in its trial, by the answers that were published since it began."""
    performer = performer_of(trial.version.family)
    with home.ledger.read() as connection:
        outputs = _outputs(home, connection, trial)
        used = champions.champion(connection, trial.version.family)
        said = {files.asset: _decided_by_people(connection, files.asset, performer) for files in outputs}
    answered: list[tuple[str, str]] = []
    judged: list[tuple[str, str, str]] = []
    answers = 0
    for files in outputs:
        rows = _asked(home, files, _ANSWERS, trial, used and used.version)
        for batch, message_id, label, decided, by, beside in rows:
            answers += 1
            proposed, verdict = said[files.asset].get((batch, message_id), (None, None))
            own = decided if by == performer and verdict is None else None
            before = next((one for one in (proposed, own, beside) if one is not None), None)
            if before is not None:
                answered.append((before, label))
            if before is not None and verdict is not None:
                judged.append((verdict, label, before))
    differences = paired_bootstrap(*zip(*judged, strict=True)) if judged else []
    return TrialResult(answers, _agreements(answered), len(judged), differences, _lost(outputs))


def _outputs(home: Home, connection: sa.Connection, trial: Trial) -> list[_Files]:
    """Of each model output that asks the model, the batches on which somebody was asked in shadow since the trial began."""
    performer, current = performer_of(trial.version.family), manifest.all_current(connection)
    found: list[_Files] = []
    for asset in [known.asset for known in cascades.every(connection) if performer in known.asked]:
        table = manifest.shadow_of(asset)
        shadow = [one for one in current if one.asset == table and one.published_at >= trial.started_at]
        batches = {one.partition for one in shadow}
        its = [*shadow, *(one for one in current if one.asset == asset and one.partition in batches)]
        lost = [one.path for one in its if not (home.warehouse.root / one.path).is_file()]
        found.append(_Files(asset, by_asset((one.asset, one.path) for one in its if one.path not in lost), lost))
    return found


def _asked(home: Home, files: _Files, query: str, trial: Trial, used: str | None) -> list[tuple[Any, ...]]:
    if not files.can_be_read:
        return []
    with home.warehouse.connect(files.paths) as warehouse:
        named = query.format(shadow=manifest.shadow_of(files.asset), asset=files.asset)
        values = [used, performer_of(trial.version.family), trial.version.version]
        return warehouse.execute(named, values).fetchall()


def _lost(outputs: Sequence[_Files]) -> tuple[str, ...]:
    return tuple(path for files in outputs for path in files.lost)


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

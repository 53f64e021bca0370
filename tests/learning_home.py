"""A home in which notes came in, a mood model decided on them, another version answered in shadow, and people decided:
written as steps and people write it, without them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pyarrow
from note_workflow import CHAMPION

from orchestration_project.governance.promotion import Verdict, record_verdict
from orchestration_project.stores import cascades, manifest, reviews, verdicts
from orchestration_project.stores.cascades import KnownCascade
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.model_versions import ModelVersion

MODEL = "mood model"
CHALLENGER = replace(CHAMPION, version="challenger", sha256="challenger")
LABELS = ("angry", "calm")


def in_use(home: Home) -> None:
    """The champion decides `mood`, with people behind it."""
    with home.ledger.write() as connection:
        record_verdict(connection, CHAMPION, Verdict(True, "the first"))
        cascades.record(connection, KnownCascade("mood", (MODEL, "person", "unknown"), LABELS, True))


def on_trial(home: Home, version: ModelVersion = CHALLENGER, trained_by: str = "") -> None:
    with home.ledger.write() as connection:
        record_verdict(connection, version, Verdict(False, "on trial from now on", is_on_trial=True), trained_by)


def publish(home: Home, asset: str, batch: str, rows: Sequence[Mapping[str, Any]]) -> None:
    file = home.warehouse.write(asset, batch, "run", pyarrow.Table.from_pylist(list(rows)))
    with home.ledger.write() as connection:
        before = manifest.current(connection, asset, batch)
        manifest.publish(
            connection,
            asset=asset,
            partition=batch,
            run_id="run",
            file=file,
            replaces=before.version if before else 0,
            inputs={},
        )


def decided(home: Home, batch: str, answers: Mapping[str, tuple[str, str]], *, version: str = "challenger") -> None:
    """A batch of notes: message → what the version in use decided, and what the other answered in shadow."""
    publish(home, "note", batch, [{"message_id": name, "text": f"text of {name}"} for name in answers])
    own = [{"message_id": name, "label": label, "performer": MODEL} for name, (label, _) in answers.items()]
    publish(home, "mood", batch, own)
    shadow = [
        {"message_id": name, "performer": MODEL, "version": version, "label": other, "decided": label}
        for name, (label, other) in answers.items()
    ]
    publish(home, "mood_shadow", batch, shadow)


def say(
    home: Home, batch: str, message_id: str, label: str, *, proposed: str | None = "calm", person: str = "anna"
) -> int:
    """A person decides on a message of which the model in use had answered something; returns the verdict's number."""
    row: dict[str, Any] = {"asset": "mood", "partition": batch, "message_id": message_id, "content_digest": message_id}
    row |= {"cause": "unsure", "respond_by": now() + timedelta(hours=1)}
    with home.ledger.write() as connection:
        reviews.insert(
            connection, [{**row, "proposal": {"label": proposed, "performer": MODEL if proposed else "person"}}]
        )
        review = max(reviews.of_batch(connection, "mood", batch), key=lambda found: found.review_id)
        return verdicts.record(connection, review, label=label, person=person, note=None)


def check(home: Home, results: Sequence[bool], *, confidence: float = 0.9, version: str = CHAMPION.version) -> None:
    """Random checks on answers that a version gave and that were accepted, which people found right or wrong."""
    proposal = {"label": "calm", "performer": MODEL, "version": version, "confidence": confidence, "accepted": True}
    with home.ledger.write() as connection:
        for right in results:
            number = len(reviews.select(connection))
            row: dict[str, Any] = {"asset": "mood", "partition": "b1", "message_id": f"m{number}", "content_digest": ""}
            row |= {"cause": "check", "probability": 0.1, "respond_by": now(), "proposal": proposal}
            reviews.insert(connection, [row])
            review = max(reviews.select(connection), key=lambda one: one.review_id)
            verdicts.record(connection, review, label="calm" if right else "angry", person="anna", note=None)

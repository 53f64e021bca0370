"""What a step does about people: rows that wait get reviews as they are published, and verdicts that it applied show in
the lineage.
"""

from collections.abc import Collection, Iterator
from typing import Any

import dagster as dg
import pandas as pd
import sqlalchemy as sa

from orchestration_project.governance.open_reviews import keep_reviews, keep_urgent
from orchestration_project.governance.random_checks import keep_checks
from orchestration_project.model_output.partitions import BATCHES
from orchestration_project.performers.cascade import Cascade, Decisions
from orchestration_project.performers.person import PERSON
from orchestration_project.stores import cascades
from orchestration_project.stores.cascades import KnownCascade
from orchestration_project.stores.reviews import CHECK, URGENT

VERDICTS = dg.AssetSpec(
    "verdicts",
    partitions_def=BATCHES,
    group_name="people",
    kinds={"human"},
    description="What people decided: on rows that models were not sure of, on random checks, on appeals.",
)
"""People in the lineage. A run that applies verdicts materialises it, and every output that they decide hangs on it."""


def record_reviews(
    connection: sa.Connection,
    cascade: Cascade,
    asset: str,
    partition: str,
    decisions: Decisions,
    published: Collection[str],
) -> None:
    """Keep what the cascade can answer, and a review for each row that waits or is drawn for a check, in the transaction
    that publishes.

    `published` are the messages of the rows that passed the gate; one that was refused waits in quarantine instead.
    """
    names = tuple(performer.name for performer in (*cascade.performers, cascade.safe_state))
    known = KnownCascade(asset, names, tuple(sorted(decisions.labels)), cascade.has_people)
    cascades.record(connection, known)
    if decisions.waiting is None:
        return
    policy, frame = decisions.policy, decisions.frame
    asked = decisions.waiting[decisions.waiting["message_id"].isin(published)]
    is_check, is_urgent = asked["cause"] == CHECK, asked["cause"] == URGENT
    its: dict[str, Any] = {"asset": asset, "partition": partition}
    keep_reviews(connection, policy, **its, frame=frame, waiting=asked[~is_check & ~is_urgent])
    keep_urgent(connection, policy, **its, frame=frame, urgent=asked[is_urgent])
    its["frame"] = frame[frame["message_id"].isin(published)]
    keep_checks(connection, policy, **its, drawn=asked[is_check], probability=decisions.probability)


def people_facts(decisions: Decisions) -> dict[str, int]:
    """How many rows wait for people, how many they decided, and how many are drawn for a check, now or by an earlier
    run, for metadata and audit; nothing without people.
    """
    if decisions.waiting is None:
        return {}
    drawn = int((decisions.waiting["cause"] == CHECK).sum())
    return {
        "waiting_for_people": int((decisions.frame["state"] == "pending").sum()),
        "decided_by_people": len(_by_people(decisions)),
        "drawn_for_checks": drawn,
    }


def verdict_events(asset: str, partition: str, decisions: Decisions) -> Iterator[dg.AssetMaterialization]:
    """An event of the asset `verdicts` where the step of an asset applied some: those on that asset."""
    its = _by_people(decisions)
    if len(its):
        reviewers = ", ".join(sorted(set(its["performer"])))
        metadata: dict[str, Any] = {"on": asset, "verdicts": len(its), "reviewers": reviewers}
        yield dg.AssetMaterialization(VERDICTS.key, partition=partition, metadata=metadata)


def _by_people(decisions: Decisions) -> pd.DataFrame:
    frame = decisions.frame
    return frame[(frame["decided_by"] == PERSON) & (frame["state"] == "decided")]

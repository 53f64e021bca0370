"""The random checks of some days and what people said of them: what live errors and thresholds are estimated from."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
import sqlalchemy as sa

from orchestration_project.core.live_threshold import Checked
from orchestration_project.stores import reviews, verdicts
from orchestration_project.stores.reviews import CHECK, Review
from orchestration_project.stores.schema import REVIEWS, VERDICTS


def checks_since(connection: sa.Connection, since: datetime) -> tuple[list[Review], dict[int, str]]:
    """The checks that were drawn after a moment, and number of each that was answered → the label that was said last."""
    drawn = (REVIEWS.c.cause == CHECK, REVIEWS.c.opened_at > since)
    numbers = sa.select(REVIEWS.c.review_id).where(*drawn)
    said = verdicts.select(connection, VERDICTS.c.review_id.in_(numbers))
    return reviews.select(connection, *drawn), {one.review_id: one.label for one in said}


def in_numbers(answered: Sequence[Review], said: Mapping[int, str]) -> Checked:
    """Checks, each of which was answered, as arrays."""
    return Checked(
        np.array([one.proposal["confidence"] for one in answered], dtype="float64"),
        np.array([said[one.review_id] != one.proposal["label"] for one in answered], dtype="bool"),
        np.array([one.probability for one in answered], dtype="float64"),
    )

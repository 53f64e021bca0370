"""Messages like one that waits, on which people have decided: so that like is decided alike."""

from collections import defaultdict
from typing import Any

import pyarrow.compute as pc

from orchestration_project.core.errors import ArtifactRefused
from orchestration_project.stores import manifest, verdicts
from orchestration_project.stores.home import Home
from orchestration_project.stores.reviews import Review
from orchestration_project.stores.schema import VERDICTS
from orchestration_project.stores.story import story_of

MOST_LOOKED_AT = 500
"""Of the asset's verdicts, the latest that are held against a message."""

MOST_SHOWN = 3

LEAST_SIMILARITY = 0.1
"""Cosine of the TF-IDF of words and pairs of words; what is less like it says nothing."""


def message_of(home: Home, review: Review) -> dict[str, Any]:
    """What came in, as the row of a review is about it."""
    return story_of(home, review.message_id)["message"]


def similar_verdicts(home: Home, review: Review, message: dict[str, Any]) -> list[dict[str, Any]]:
    """The most similar messages with a verdict of the same asset, the most similar first: message_id, text, label,
    person, similarity (0 to 1).
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    with home.ledger.read() as connection:
        own = (VERDICTS.c.asset == review.asset, VERDICTS.c.is_current, VERDICTS.c.message_id != review.message_id)
        found = verdicts.select(connection, *own)[-MOST_LOOKED_AT:]
    texts = _texts(home, found)
    known = [verdict for verdict in found if texts.get(verdict.message_id)]
    wanted = _text(message)
    if not known or not wanted.strip():
        return []
    vectors = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\w+").fit_transform(
        [wanted, *(texts[verdict.message_id] for verdict in known)]
    )
    similar = (vectors[1:] @ vectors[0].T).toarray()[:, 0]
    ranked = sorted(zip(similar.tolist(), known, strict=True), key=lambda pair: -pair[0])[:MOST_SHOWN]
    return [
        {
            "message_id": verdict.message_id,
            "text": texts[verdict.message_id],
            "label": verdict.label,
            "person": verdict.person,
            "similarity": round(similarity, 3),
        }
        for similarity, verdict in ranked
        if similarity >= LEAST_SIMILARITY
    ]


def _texts(home: Home, found: list[verdicts.Verdict]) -> dict[str, str]:
    """Message → its text, of those whose batch can still be read."""
    by_batch: defaultdict[str, list[str]] = defaultdict(list)
    for verdict in found:
        by_batch[verdict.partition].append(verdict.message_id)
    texts: dict[str, str] = {}
    for batch, message_ids in by_batch.items():
        with home.ledger.read() as connection:
            source = manifest.first_published(connection, batch)
            version = manifest.current(connection, source, batch) if source else None
        if version is None:
            continue
        try:
            table = home.warehouse.read(version.path)
        except ArtifactRefused:
            continue  # it is no help that could be missed
        rows = table.filter(pc.field("message_id").isin(message_ids)).to_pylist()
        texts |= {row["message_id"]: _text(row) for row in rows}
    return texts


def _text(message: dict[str, Any]) -> str:
    """The longest text of a message: what it says."""
    values = [value for name, value in message.items() if isinstance(value, str) and name != "message_id"]
    return max(values, key=len, default="")

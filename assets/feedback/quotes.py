"""Messages to quote: a few that speak for many, in the customers' own words."""

import re
from collections.abc import Sequence

import numpy as np

from assets.feedback.themes import stop_words

TOKEN = re.compile(r"\w+|[^\w\s]")


def quotes(
    message_ids: Sequence[str], texts: Sequence[str], count: int = 3, diversity: float = 0.3, sample: int = 500
) -> list[str]:
    """Choose the ids of up to `count` messages that represent all texts without saying the same thing twice.

    Each choice has the highest `(1 - diversity) * relevance - diversity * redundancy`: its TF-IDF cosine to the
    centroid, and to the nearest message chosen before (maximal marginal relevance: Carbonell & Goldstein, 1998).
    `diversity` goes from 0, closest to the centroid, to 1, least alike; outside, `ValueError`. Ties go to the earlier
    message. A text that repeats a chosen one, but for case and space, is not chosen.

    Texts of fewer than three words are considered only when there is nothing longer, blank ones never; of what is left
    at most `sample`, evenly spaced. No texts give `[]`.
    """
    if not 0 <= diversity <= 1:
        raise ValueError(f"diversity is {diversity}. Choose a number from 0 to 1.")
    said = [(message_id, " ".join(text.lower().split())) for message_id, text in zip(message_ids, texts, strict=True)]
    said = [(message_id, text) for message_id, text in said if text]
    said = [(message_id, text) for message_id, text in said if text.count(" ") >= 2] or said
    if len(said) > sample:
        said = [said[position] for position in np.linspace(0, len(said) - 1, sample).astype(int)]
    if not said:
        return []
    similarity = _similarity([text for _, text in said])
    relevance = similarity.mean(axis=1) / np.sqrt(similarity.mean())  # the centroid's length is the root of that mean
    redundancy = np.zeros(len(said))
    is_open = np.ones(len(said), dtype=bool)
    chosen: list[str] = []
    while len(chosen) < count and is_open.any():
        score = (1 - diversity) * relevance - diversity * redundancy
        best = int(np.argmax(np.where(is_open, score, -np.inf)))
        message_id, text = said[best]
        chosen.append(message_id)
        redundancy = np.maximum(redundancy, similarity[best])
        is_open &= np.array([other != text for _, other in said])
    return chosen


def _similarity(texts: Sequence[str]) -> np.ndarray:
    """TF-IDF cosines between texts that are not blank, shape `(n, n)`."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    ignored = stop_words()

    def tokens(text: str) -> list[str]:
        every = TOKEN.findall(text)
        return [token for token in every if len(token) > 1 and token not in ignored] or every  # emoji alone count

    # scikit-learn takes a function here; pyright infers the type from the default, a string
    weights = TfidfVectorizer(analyzer=tokens).fit_transform(texts)  # pyright: ignore[reportArgumentType]
    return (weights @ weights.T).toarray()

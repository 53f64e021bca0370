"""VADER's word list as the safe state of sentiment: needs no training, knows English only, claims no confidence."""

from functools import cache
from typing import Any

import pandas as pd

from orchestration_project.performers.performer import Kind, Performer, Prepared
from orchestration_project.stores.home import Home

NEUTRAL_BAND = 0.05
"""VADER's own limits: a compound score from -0.05 to 0.05 is neutral (Hutto & Gilbert 2014)."""

MOST_CHARACTERS = 5_000
"""Of a text, so much is read: VADER takes minutes for 200,000 characters."""


class Lexicon(Performer):
    """Reads the tone of a text from the words in it."""

    name = "lexicon"
    kind: Kind = "safe_state"

    def prepare(self, home: Home) -> Prepared:
        return Prepared("vader-3.3", None, frozenset({"negative", "neutral", "positive"}), answer)


def answer(rows: pd.DataFrame) -> pd.DataFrame:
    """A label for each row's `text`, with the score that led to it as the reason."""
    texts = rows["text"].str[:MOST_CHARACTERS]
    scores = texts.map(lambda text: float(_analyzer().polarity_scores(text)["compound"])).astype("float64")
    label = pd.Series("neutral", rows.index, dtype="str")
    label = label.mask(scores > NEUTRAL_BAND, "positive").mask(scores < -NEUTRAL_BAND, "negative")
    reason = scores.map(lambda score: f"compound score {score:+.2f}").astype("str")
    return pd.DataFrame({"label": label, "confidence": float("nan"), "reason": reason})


@cache
def _analyzer() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()

"""Whom this workflow asks where no performer is sure: people, but for what cannot wait."""

from dataclasses import replace

import pandas as pd

from assets.feedback.route_table import read_table
from orchestration_project.performers.person import Person

MOST_URGENT = "1"


def is_urgent(rows: pd.DataFrame) -> pd.Series:
    """Which texts a rule of `route.csv` gives the highest priority for their words, bool of shape (n,); whatever their
    issue turns out to be.
    """
    table = read_table()
    rules = [row for row in table.rows if row.then["priority"] == MOST_URGENT and row.when["text"].text]
    by_words = tuple(replace(row, when={"text": row.when["text"]}) for row in rules)
    return replace(table, inputs=("text",), rows=by_words).apply(rows)["rule"].notna()


PERSON = Person(at_once=is_urgent)

"""Rows as a table on an asset's page in Dagster's UI."""

from collections.abc import Sequence

import pandas as pd

MOST_SHOWN = 100
"""Rows of the table in the UI; the asset has all."""


def as_markdown(frame: pd.DataFrame, names: Sequence[str]) -> str:
    """These columns of the first rows, as Markdown; moments without seconds, null as nothing."""
    shown = frame[list(names)].head(MOST_SHOWN)
    moments = shown.select_dtypes("datetimetz").columns
    shown = shown.assign(**{name: shown[name].dt.strftime("%Y-%m-%d %H:%M UTC") for name in moments})
    cells = shown.astype("object").where(shown.notna(), "").astype("str").to_numpy().tolist()
    lines = [[name.replace("_", " ") for name in names], ["---"] * len(names), *cells]
    return "\n".join(f"| {' | '.join(_cell(text) for text in line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "/").split())

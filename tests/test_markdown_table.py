"""Rows as a table of Markdown: whatever stands in a cell, it is one line of one table."""

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from assets.operations.markdown_table import MOST_SHOWN, as_markdown


@given(texts=st.lists(st.none() | st.text(), max_size=MOST_SHOWN + 5))
def test_any_text_keeps_lines_and_columns(texts: list[str | None]) -> None:
    frame = pd.DataFrame({"why_not": pd.Series(texts, dtype="str"), "number": range(len(texts))})
    lines = as_markdown(frame, ["why_not", "number"]).split("\n")
    assert lines[0] == "| why not | number |"
    assert len(lines) == 2 + min(len(texts), MOST_SHOWN)
    assert {line.count("|") for line in lines} == {3}


def test_moments_stand_without_seconds_and_null_as_nothing() -> None:
    moments = pd.Series([pd.Timestamp("2026-03-01 12:30:59", tz="UTC"), None], dtype="datetime64[us, UTC]")
    assert as_markdown(pd.DataFrame({"at": moments}), ["at"]).split("\n")[2:] == ["| 2026-03-01 12:30 UTC |", "|  |"]

"""Corrections of refused rows as CSV: the file that `orchestrate quarantine export` wrote, or the text of one."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration_project.core.errors import FileRefused, Refused

if TYPE_CHECKING:
    import pandas as pd


def read_corrections(file: Path) -> "pd.DataFrame":
    """The corrections of a file, all text; an empty cell is null. FileRefused for what is no CSV."""
    return _read(file, str(file))


def parse_corrections(text: str) -> "pd.DataFrame":
    """The same from the text of a CSV, its columns in the first line."""
    if not text.strip():
        raise Refused(
            "The corrections are empty. Begin with the columns, as orchestrate quarantine export writes them."
        )
    return _read(io.StringIO(text.strip() + "\n"), "The text")


def _read(source: "Path | io.StringIO", name: str) -> "pd.DataFrame":
    import pandas as pd

    try:
        return pd.read_csv(source, dtype="str", keep_default_na=False, na_values=[""], encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise FileRefused(
            f"{name} cannot be read as CSV: {error}. Write it with: orchestrate quarantine export"
        ) from error

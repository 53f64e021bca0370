"""Columns of inbound files that somebody accepted besides those of a contract: under another name, or to be left out.

They stand in a CSV file under version control, so that what a project takes in is reviewed like its code:

    asset,column,name,reason
    feedback,kanal,channel,"the German shop calls it so"
    feedback,colour,,"of no use to us"

A blank `name` leaves the column out.
"""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration_project.core.errors import Refused, TableRefused
from orchestration_project.stores.files import write_file

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("asset", "column", "name", "reason")


def read_accepted(file: Path) -> dict[str, dict[str, str]]:
    """Asset → column → the name that it is taken in under; "" leaves it out. A file that is not there accepts nothing.

    TableRefused for other columns, a blank asset or column, and one that stands twice.
    """
    found: dict[str, dict[str, str]] = {}
    for number, line in enumerate(_lines(file), start=2):
        own = found.setdefault(line["asset"], {})
        if not line["asset"] or not line["column"]:
            raise TableRefused(f"Line {number} of {file} names no asset or no column. Fill both.")
        if line["column"] in own:
            raise TableRefused(f"Line {number} of {file} repeats '{line['column']}' of {line['asset']}. Keep one.")
        own[line["column"]] = line["name"]
    return found


def accept(file: Path, *, asset: str, column: str, name: str, reason: str) -> None:
    """Add a line to the file, or make it; whole or not at all. Refused for a column that is accepted already."""
    if column in read_accepted(file).get(asset, {}):
        raise Refused(f"The column '{column}' of {asset} is accepted already. Change its line in {file}.")
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    lines = [[line[entry] for entry in COLUMNS] for line in _lines(file)]
    writer.writerows([COLUMNS, *lines, [asset, column, name, reason]])
    write_file(file, stream.getvalue().encode())


def with_accepted(rows: "pd.DataFrame", accepted: Mapping[str, str]) -> "pd.DataFrame":
    """Rows (n, any columns) under the accepted names, without what is left out. Where a row has both an accepted column
    and one of its name, the latter's value counts unless it is absent.
    """
    frame = rows.copy()
    for column, name in accepted.items():
        if column not in frame:
            continue
        values = frame.pop(column)
        if not name:
            continue
        if name in frame:
            own = frame[name].astype("object")
            values = own.where(own.notna(), values).infer_objects()
        frame[name] = values
    return frame


def _lines(file: Path) -> list[dict[str, str]]:
    if not file.exists():
        return []
    with file.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise TableRefused(f"{file} has other columns. Give it these: {', '.join(COLUMNS)}.")
        return [{name: (line[name] or "").strip() for name in COLUMNS} for line in reader]

"""Corrections as CSV: from a file, from text, and what is none."""

from pathlib import Path

import pytest

from orchestration_project.core.errors import FileRefused, Refused
from orchestration_project.governance.corrections import parse_corrections, read_corrections

TEXT = 'quarantine row,note,pieces\n7,"dear, dear",01\n8,,NA\n'
MEANT = [{"quarantine row": "7", "note": "dear, dear", "pieces": "01"}, {"quarantine row": "8", "pieces": "NA"}]


def test_text_and_file_say_the_same_as_text_with_nulls(tmp_path: Path) -> None:
    file = tmp_path / "corrected.csv"
    file.write_text(TEXT, encoding="utf-8-sig")
    for found in (parse_corrections(TEXT), parse_corrections(f"\n{TEXT}\n"), read_corrections(file)):
        assert [{k: v for k, v in row.items() if isinstance(v, str)} for row in found.to_dict("records")] == MEANT


def test_what_is_no_csv_is_refused_with_the_way_to_one(tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match=r"nowhere\.csv cannot be read as CSV: .*orchestrate quarantine export$"):
        read_corrections(tmp_path / "nowhere.csv")
    with pytest.raises(FileRefused, match=r"^The text cannot be read as CSV"):
        parse_corrections('a,b\n1,2,3,4\n5,"')
    with pytest.raises(Refused, match=r"^The corrections are empty\."):
        parse_corrections("  \n")

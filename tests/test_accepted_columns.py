"""Columns that were accepted besides a contract's: the file that names them, and what it does to rows that come in."""

from pathlib import Path

import pandas as pd
import pytest

from orchestration_project.core.errors import Refused, TableRefused
from orchestration_project.stores.accepted_columns import accept, read_accepted, with_accepted


def add(file: Path, column: str, name: str = "") -> None:
    accept(file, asset="order", column=column, name=name, reason="the other shop, calls it so")


def test_accepted_columns_are_kept_in_order_with_their_reasons(tmp_path: Path) -> None:
    file = tmp_path / "accepted.csv"
    assert read_accepted(file) == {}
    add(file, "Stück", "pieces")
    add(file, "colour")
    assert read_accepted(file) == {"order": {"Stück": "pieces", "colour": ""}}
    assert file.read_text(encoding="utf-8").splitlines()[1] == 'order,Stück,pieces,"the other shop, calls it so"'


def test_column_is_accepted_once(tmp_path: Path) -> None:
    file = tmp_path / "accepted.csv"
    add(file, "colour")
    before = file.read_bytes()
    with pytest.raises(Refused, match=r"^The column 'colour' of order is accepted already\. Change its line in"):
        add(file, "colour", "note")
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("asset,column\n", r"has other columns\. Give it these: asset, column, name, reason\.$"),
        ("asset,column,name,reason\norder,,x,y\n", r"^Line 2 of .* names no asset or no column\. Fill both\.$"),
        ("asset,column,name,reason\no,c,,y\no,c,x,y\n", r"^Line 3 of .* repeats 'c' of o\. Keep one\.$"),
    ],
)
def test_file_that_cannot_be_meant_is_refused(tmp_path: Path, content: str, words: str) -> None:
    file = tmp_path / "accepted.csv"
    file.write_text(content)
    with pytest.raises(TableRefused, match=words):
        read_accepted(file)


def test_rows_come_under_the_accepted_names(tmp_path: Path) -> None:
    rows = pd.DataFrame({"kanal": ["mail", "chat"], "colour": ["red", "blue"], "text": ["a", "b"]})
    found = with_accepted(rows, {"kanal": "channel", "colour": "", "absent": "text"})
    assert found.to_dict("list") == {"text": ["a", "b"], "channel": ["mail", "chat"]}
    assert list(rows.columns) == ["kanal", "colour", "text"], "what came in stays as it was"


def test_value_under_the_contracts_own_name_counts_first() -> None:
    rows = pd.DataFrame({"channel": ["mail", None], "kanal": ["post", "chat"]})
    assert with_accepted(rows, {"kanal": "channel"})["channel"].tolist() == ["mail", "chat"]

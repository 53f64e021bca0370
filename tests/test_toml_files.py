"""TOML files that people write."""

from pathlib import Path

import pytest

from orchestration_project.core.errors import FileRefused
from orchestration_project.stores.toml_files import read_toml


def test_a_file_is_read_as_it_says(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text("[reviews]\nhours = 8")
    assert read_toml(file, "list of rules", "Write one.") == {"reviews": {"hours": 8}}


def test_a_missing_file_is_refused_with_what_it_is_called_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileRefused) as refusal:
        read_toml(tmp_path / "none.toml", "list of rules", "Write one.")
    assert str(refusal.value) == f"There is no list of rules {tmp_path / 'none.toml'}. Write one."


@pytest.mark.parametrize("content", [b"[reviews", b"name = '\xff'"])
def test_what_is_no_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "rules.toml"
    file.write_bytes(content)
    with pytest.raises(FileRefused, match=r"^rules\.toml is not TOML \(.+\)\. Write one\.$"):
        read_toml(file, "list of rules", "Write one.")

"""The policy file: what it may say, and that the shipped one says the defaults."""

from pathlib import Path

import pytest

from orchestration_project.core.errors import FileRefused
from orchestration_project.core.settings import PROJECT
from orchestration_project.governance.policy import Checks, Policy, Reviews, read_policy


def write(folder: Path, text: str) -> Path:
    file = folder / "policy.toml"
    file.write_text(text)
    return file


def test_shipped_policy_says_the_defaults() -> None:
    assert read_policy(PROJECT / "assets" / "policy.toml") == Policy()


def test_what_the_file_leaves_out_has_its_default(tmp_path: Path) -> None:
    policy = read_policy(write(tmp_path, "[reviews]\nrespond_hours = 8\nwhen_overdue = 'safe_state'"))
    assert policy.reviews == Reviews(respond_hours=8.0, when_overdue="safe_state")
    assert isinstance(policy.reviews.respond_hours, float)
    assert policy.checks == Checks(share=0.01, per_day=20)
    assert read_policy(write(tmp_path, "[checks]\nshare = 1")).checks == Checks(share=1.0)
    assert read_policy(write(tmp_path, "")) == Policy()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[reviews", "is not TOML"),
        ("[review]", "has the table 'review'. Did you mean 'reviews'?"),
        ("reviews = 3", "gives reviews as 3. Write a table [reviews]."),
        ("[reviews]\nrespond_hour = 3", "the key 'respond_hour'. Did you mean 'respond_hours'?"),
        ("[reviews]\nrespond_hours = 0", "reviews.respond_hours 0. Write a number from 0.001."),
        ("[reviews]\nrespond_hours = '8'", "reviews.respond_hours '8'. Write a number"),
        ("[reviews]\nrespond_hours = nan", "reviews.respond_hours nan. Write a number"),
        ("[reviews]\nmost_open = 1.5", "reviews.most_open 1.5. Write a whole number from 0."),
        ("[reviews]\nmost_open = true", "reviews.most_open True. Write a whole number"),
        ("[checks]\nshare = 1.5", "checks.share 1.5. Write a number from 0 to 1."),
        ("[checks]\nper_day = -1", "checks.per_day -1. Write a whole number from 0."),
        ("[checks]\nfewest = 0", "checks.fewest 0. Write a whole number from 1."),
        ("[checks]\nwindow = 7", "the key 'window'. Did you mean 'window_days'?"),
        ("[reviews]\nwhen_overdue = 'accept'", "'accept'. Write one of: surest, safe_state."),
    ],
)
def test_unknown_key_or_value_is_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(FileRefused) as refusal:
        read_policy(write(tmp_path, text))
    assert told in str(refusal.value)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match=r"There is no policy .*ORCHESTRATE_POLICY"):
        read_policy(tmp_path / "none.toml")

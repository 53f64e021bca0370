"""What is said of a version that was trained or promoted: which is in use, and what became of the other."""

from typing import Any

import pytest
from learning_home import publish

from orchestration_project.cli.judgements import judgement_of
from orchestration_project.core.errors import UnknownName
from orchestration_project.stores import manifest
from orchestration_project.stores.home import Home


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (
            {"version": "v1", "is_new": True, "is_on_trial": False, "reason": "the first version of its family"},
            "mood v1 is in use: the first version of its family.",
        ),
        (
            {"version": "v0", "is_new": False, "is_on_trial": True, "reason": "on trial from now on: not worse"},
            "mood v0 stays in use. v1: on trial from now on: not worse.",
        ),
        (
            {"version": "v0", "is_new": False, "is_on_trial": False, "reason": "worse than v0 on the same holdout"},
            "mood v0 stays in use. v1: worse than v0 on the same holdout.",
        ),
        (
            {"version": "v1", "is_new": False, "is_on_trial": False, "reason": "the same labels and code gave it"},
            "mood v1 stays in use: the same labels and code gave it.",
        ),
    ],
)
def test_nobody_is_told_that_a_candidate_is_in_use_which_is_not(home: Home, row: dict[str, Any], told: str) -> None:
    publish(home, "mood_champion", manifest.UNPARTITIONED, [{"candidate": "v1", **row}])
    found = judgement_of(home, "mood")
    assert found.told() == told
    assert (found.in_use, found.is_on_trial) == (row["version"], row["is_on_trial"])


def test_model_of_which_nothing_was_judged_is_refused(home: Home) -> None:
    with pytest.raises(UnknownName, match=r"No version of the model 'mood' was judged yet\. Run: orchestrate train"):
        judgement_of(home, "mood")

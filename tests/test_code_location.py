"""A code server that is gone is started again, and only that. With Dagster itself: `test_chaos.py` kills it."""

from typing import Any

import pytest

from orchestration_project.dispatch.code_location import UNREACHABLE, reload_unreachable


class Answers:
    """Dagster's answers about its locations, and the names that it was told to load again."""

    def __init__(self, **errors: dict[str, Any] | None) -> None:
        self.entries = [{"name": name, "locationOrLoadError": error} for name, error in errors.items()]
        self.reloaded: list[str] = []

    def __call__(self, query: str, **variables: Any) -> dict[str, Any]:
        if "reloadRepositoryLocation" in query:
            self.reloaded.append(variables["name"])
            return {"__typename": "WorkspaceLocationEntry"}
        return {"locationEntries": self.entries}


@pytest.mark.parametrize("error", UNREACHABLE)
def test_location_that_is_not_reached_is_loaded_again(error: str) -> None:
    lost = {"__typename": "PythonError", "className": error}
    answers = Answers(mine=lost, other={"__typename": "RepositoryLocation"})
    assert reload_unreachable(answers) == ["mine"] == answers.reloaded


def test_location_that_is_loading_or_whose_code_raises_is_left_alone() -> None:
    answers = Answers(loading=None, broken={"__typename": "PythonError", "className": "SyntaxError"})
    assert reload_unreachable(answers) == [] == answers.reloaded

"""Brings Dagster's code server back. `dagster dev` starts one, and starts none again when that has died: sensors and
runs would stand still until somebody presses Reload in the UI.
"""

from collections.abc import Callable
from typing import Any

UNREACHABLE = ("DagsterUserCodeUnreachableError", "DagsterUserCodeProcessError")
"""Errors of a location whose server is gone; what its code raises is not among them."""

_LOCATIONS = """
query {
  workspaceOrError {
    ... on Workspace {
      locationEntries { name locationOrLoadError { __typename ... on PythonError { className } } }
    }
  }
}
"""
_RELOAD = """
mutation($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) { __typename } }
"""


def reload_unreachable(ask: Callable[..., dict[str, Any]]) -> list[str]:
    """Have Dagster start every code server that it does not reach; returns the names of their locations.

    `ask` puts a query with its variables to Dagster's web server, and returns its one answer.
    """
    entries = ask(_LOCATIONS).get("locationEntries", [])
    lost = [
        entry["name"]
        for entry in entries
        if (found := entry["locationOrLoadError"]) and found.get("className") in UNREACHABLE
    ]
    for name in lost:
        ask(_RELOAD, name=name)
    return lost

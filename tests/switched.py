"""Switches that tests turn without asking who may."""

from typing import Any

from orchestration_project.stores import switches
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.switches import Kind, State, Switch

WHY = "it is wrong"


def switch(home: Home, kind: Kind, name: str, state: State, **more: Any) -> Switch:
    found = Switch(kind, name, state, more.pop("successor", None), "anna", more.pop("reason", WHY), now())
    with home.ledger.write() as connection:
        switches.put(connection, found)
    return found

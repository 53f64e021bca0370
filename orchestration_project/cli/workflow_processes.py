"""What needs the workflows, which the command line never imports: a module of `dispatch` in a process of its own, on the
home as it is or on a copy. It writes what it found, or why there is nothing, as JSON.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration_project.cli.printing import note, progress
from orchestration_project.core.errors import OrchestrationError, Refused

if TYPE_CHECKING:
    from orchestration_project.stores.home import Home


class NoOutcome(OrchestrationError):
    """The process ended without an outcome."""


def outcome_on_a_copy(home: "Home", module: str, doing: str, arguments: list[str], order: object = None) -> Any:
    """What a module found on a copy of the home. Its arguments are the code location, where it answers, the path of the
    order as JSON unless there is none, and these.
    """
    from orchestration_project.cli.dagster_commands import LOCATION
    from orchestration_project.stores.home_copy import copy_of

    with tempfile.TemporaryDirectory(prefix="drill-") as folder, progress("Copying the home") as show:
        copy = copy_of(home, Path(folder))
        copy.ledger.close()
        show(doing)
        answer, ordered = copy.root / "answer.json", copy.root / "order.json"
        if order is not None:
            ordered.write_text(json.dumps(order), encoding="utf-8")
            arguments = [str(ordered), *arguments]
        named = {"ORCHESTRATE_HOME": folder, "ORCHESTRATE_LEDGER_URL": "", "DAGSTER_HOME": str(copy.dagster)}
        return outcome(module, [LOCATION, str(answer), *arguments], answer, folder, named)


def outcome(module: str, arguments: list[str], answer: Path, folder: str, named: Mapping[str, str]) -> Any:
    """What a module wrote that ran in a process of its own; Refused with its sentence where it was refused."""
    ended = subprocess.run(
        [sys.executable, "-m", f"orchestration_project.dispatch.{module}", *arguments],
        cwd=folder,
        env={**os.environ, **named},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode != 0:
        note(ended.stderr)
        raise NoOutcome(f"It ended with exit status {ended.returncode}. What it wrote stands above.")
    content: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    if "refused" in content:
        raise Refused(content["refused"])
    return content

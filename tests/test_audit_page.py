"""The page on the audit log names every action that the project writes into it, and no other."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from orchestration_project.core.settings import PROJECT
from orchestration_project.dispatch.run_history import ACTIONS

PAGE = PROJECT / "docs" / "audit.md"

BY_NAME = {("mending", "_audit"), ("run_history", "_add")}
"""Functions (module, name) that are given their action: the calls of the first are read, the second has ACTIONS."""


def on_the_page() -> set[str]:
    """The actions in the first column of the table under "What is recorded"."""
    (table,) = re.findall(r"## What is recorded\n(.*?)\n## ", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    return {action for cell in cells for action in re.findall("`(.+?)`", cell)}


def actions_of(file: Path) -> Iterator[str]:
    """What a module gives as action to `audit.append`, or to a function of its own that hands it on."""
    functions = [node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.FunctionDef)]
    for function in functions:
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            if ast.unparse(call.func) not in ("audit.append", "_audit"):
                continue
            action = call.args[1]
            if isinstance(action, ast.Constant):
                yield str(action.value)
            elif ast.unparse(action).isupper():
                module = ".".join(file.relative_to(PROJECT).with_suffix("").parts)
                yield getattr(import_module(module), ast.unparse(action))
            else:
                assert (file.stem, function.name) in BY_NAME, f"{file}:{call.lineno}: give the action as it is written"


def test_page_names_every_action_that_is_written_and_no_other() -> None:
    files = [file for folder in ("orchestration_project", "assets") for file in (PROJECT / folder).rglob("*.py")]
    written = {action for file in files for action in actions_of(file)} | ACTIONS.keys()
    assert {"published", "rows replayed", "forgotten", "run began"} <= written
    assert on_the_page() == written

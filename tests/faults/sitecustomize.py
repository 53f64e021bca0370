"""Kills the process that reaches a named point, once. Python imports this by itself when this folder is on PYTHONPATH.

ORCHESTRATE_TEST_KILL names a file. While there is none, nothing happens. A test arms it by writing "POINT worker" (that
process alone is killed) or "POINT everything" (its whole process group is); whoever reaches the point first takes the
file away and kills with SIGKILL. The product has no hook for this: functions are wrapped as their modules are imported.
"""

import functools
import importlib.abc
import importlib.machinery
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

Wanted = Callable[..., bool]


def any_call(*arguments: Any, **named: Any) -> bool:
    return True


def is_mood_file(temporary: Path, final: Path) -> bool:
    return final.parent.parent.name == "mood"


def is_mood_outcome(home: Any, outcome: Any, *arguments: Any, **named: Any) -> bool:
    return outcome.asset == "mood"


def is_mood_event(instance: Any, event: Any, **named: Any) -> bool:
    found = event.dagster_event
    return found is not None and found.is_step_materialization and found.asset_key.to_user_string() == "mood"


POINTS: dict[str, tuple[str, str, str, Wanted]] = {
    # where messages come in: the code server, in which the sensor runs, or the command line
    "received": ("orchestration_project.stores.arrivals", "register", "before", any_call),
    "arrival registered": ("orchestration_project.stores.arrivals", "_move", "before", any_call),
    "claimed": ("orchestration_project.stores.run_requests", "request", "before", any_call),
    "requested": ("orchestration_project.stores.batches", "open_next", "after", any_call),
    "due and requested": ("orchestration_project.stores.batches", "open_due", "after", any_call),
    "leased": (
        "dagster._core.definitions.partitions.definition.dynamic",
        "DynamicPartitionsDefinition.build_add_request",
        "before",
        any_call,
    ),
    # where runs are submitted: the daemon
    "run ids reserved": ("dagster._daemon.sensor", "_submit_run_requests", "before", any_call),
    "run created": ("dagster._daemon.sensor", "_create_sensor_run", "after", any_call),
    "run queued": (
        "dagster._core.run_coordinator.queued_run_coordinator",
        "QueuedRunCoordinator.submit_run",
        "after",
        any_call,
    ),
    "run leaves the queue": (
        "dagster._core.launcher.default_run_launcher",
        "DefaultRunLauncher.launch_run",
        "before",
        any_call,
    ),
    "run launched": ("dagster._core.launcher.default_run_launcher", "DefaultRunLauncher.launch_run", "after", any_call),
    # where the work is done: the run worker
    "run began in Dagster": ("orchestration_project.dispatch.executor", "_begin", "before", any_call),
    "run began": ("orchestration_project.dispatch.executor", "_begin", "after", any_call),
    "Parquet renamed": ("orchestration_project.stores.warehouse", "publish_file", "after", is_mood_file),
    "ledger committed": ("orchestration_project.model_output.publication", "publish", "after", is_mood_outcome),
    "before Dagster's own event": (
        "dagster._core.instance.methods.event_methods",
        "EventMethods.handle_new_event",
        "before",
        is_mood_event,
    ),
    "outcome unrecorded": ("orchestration_project.dispatch.executor", "finish", "before", any_call),
    "outcome recorded": ("orchestration_project.dispatch.executor", "finish", "after", any_call),
}


def kill_if_armed(file: Path, point: str) -> None:
    try:
        armed, _, whom = file.read_text().rpartition(" ")
        if armed != point:
            return
        file.rename(file.with_suffix(f".{os.getpid()}"))
    except FileNotFoundError:
        return
    if whom == "everything":
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def wrapped(function: Callable[..., Any], file: Path, point: str, when: str, wanted: Wanted) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        if when == "before" and wanted(*arguments, **named):
            kill_if_armed(file, point)
        result = function(*arguments, **named)
        if when == "after" and wanted(*arguments, **named):
            kill_if_armed(file, point)
        return result

    return call


class Wrapping(importlib.abc.Loader):
    """A module's own loader, and the wrapping of its functions once it is loaded."""

    def __init__(self, loader: importlib.abc.Loader, file: Path) -> None:
        self.loader = loader
        self.file = file

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        for point, (where, path, when, wanted) in POINTS.items():
            if where == module.__name__:
                *owners, name = path.split(".")
                owner = functools.reduce(getattr, owners, module)
                setattr(owner, name, wrapped(getattr(owner, name), self.file, point, when, wanted))


class Finder(importlib.abc.MetaPathFinder):
    """Finds the modules that have a point, as Python would, and has their functions wrapped."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.modules = {where for where, *_ in POINTS.values()}

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name not in self.modules:
            return None
        for finder in sys.meta_path:
            if finder is not self and (spec := finder.find_spec(name, path, target)) is not None:
                assert spec.loader is not None
                spec.loader = Wrapping(spec.loader, self.file)
                return spec
        return None


if "ORCHESTRATE_TEST_KILL" in os.environ:
    sys.meta_path.insert(0, Finder(Path(os.environ["ORCHESTRATE_TEST_KILL"])))

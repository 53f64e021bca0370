"""Why a step failed, in words that may stand in the ledger, in `status` and in the audit: they quote no message.

What we say is quoted: the sentence of an OrchestrationError, or of a dg.Failure that this package raised. Any other
error may repeat a message ("could not convert string to float: 'my card…'"): told are its type and the line of our code
or an asset's where it arose. Dagster's own log of the run holds it whole.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from orchestration_project.core.errors import OrchestrationError

PACKAGE = Path(__file__).parents[1]
PROJECT = PACKAGE.parent
STANDARD_LIBRARY = Path(os.__file__).parent

_FRAME = re.compile(r'\s*File "(?P<path>[^"]+)", line (?P<line>\d+)')


def cause_of(failed: dg.DagsterEvent) -> str:
    """What went wrong, of a step's failure event."""
    data = failed.step_failure_data
    errors = list(_chain(data.error))
    own = data.user_failure_data
    if own is not None and own.description and _is_raised_here(errors):
        return own.description
    for error in errors:
        if sentence := _own_sentence(error):
            return sentence
    innermost_first = errors[::-1]
    kind = next((error.cls_name for error in innermost_first if error.cls_name), "unknown cause")
    place = next(filter(None, map(_place, innermost_first)), None)
    return f"{kind}{f' in {place}' if place else ''}; the run's log in Dagster has the rest"


def _chain(error: SerializableErrorInfo | None) -> Iterator[SerializableErrorInfo]:
    """An error and its causes, outermost first."""
    while error is not None:
        yield error
        error = error.cause


def _is_raised_here(errors: list[SerializableErrorInfo]) -> bool:
    """Whether the chain's dg.Failure was raised by this package, not by code that it called."""
    frames = next((_frames(error) for error in errors if error.cls_name == dg.Failure.__name__), [])
    return bool(frames) and frames[0][0].is_relative_to(PACKAGE)


def _own_sentence(error: SerializableErrorInfo) -> str | None:
    """What an OrchestrationError says: the first line; notes that others added to it stand below."""
    name, _, sentence = error.message.partition("\n")[0].partition(": ")
    return sentence if name in _own_names() else None


def _own_names() -> set[str]:
    """The full name of every OrchestrationError, as Python writes it before the message."""
    found: set[str] = set()
    waiting: list[type[OrchestrationError]] = [OrchestrationError]
    while waiting:
        kind = waiting.pop()
        found.add(f"{kind.__module__}.{kind.__qualname__}")
        waiting += kind.__subclasses__()
    return found


def _place(error: SerializableErrorInfo) -> str | None:
    """The innermost line in an error's stack that is no library's, as `assets/feedback/route.py:12`."""
    for path, line in _frames(error):
        if not _is_library(path):
            return f"{path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path}:{line}"
    return None


def _is_library(path: Path) -> bool:
    if path.is_relative_to(PACKAGE):  # also where it is installed beside libraries
        return False
    is_installed = not {"site-packages", "dist-packages"}.isdisjoint(path.parts)
    return is_installed or path.is_relative_to(STANDARD_LIBRARY) or not path.is_absolute()


def _frames(error: SerializableErrorInfo) -> list[tuple[Path, str]]:
    """File and line of each call in an error's stack, innermost first."""
    found = [_FRAME.match(frame) for frame in reversed(error.stack)]
    return [(Path(frame["path"]), frame["line"]) for frame in found if frame]

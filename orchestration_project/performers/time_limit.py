"""A time limit for a call that cannot be broken off.

The call runs in a thread of its own, and when the time is over it is left behind: its answer, should one come, is
thrown away. Python can end no thread. That is right for both kinds of call that there are:

- A network call that hangs waits in the operating system. Left behind, it costs a connection and a stack, and ends when
  its client's own time limit or the process does.
- A call that computes, such as scikit-learn's, always ends, for it is asked about `CHUNK_ROWS` rows at most. Left
  behind, it takes a core until then. A process of its own could be killed, and would cost every batch seconds of
  imports and the models' memory a second time.

At most `MOST_LEFT_BEHIND` calls of a performer are left behind in a process; while they go on it is not asked.
"""

import atexit
import contextvars
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from orchestration_project.core.errors import PerformerTimeout, PerformerUnavailable

T = TypeVar("T")

MOST_LEFT_BEHIND = 4
"""Calls of one performer in one process."""

EXIT_SECONDS = 5.0
"""How long a process that ends waits for calls left behind: DuckDB aborts one in which it is still at work (its issue
13904). A call that hangs keeps no process longer than that.
"""

_left: list[threading.Thread] = []
_lock = threading.Lock()


def left_behind(name: str) -> int:
    """How many calls of a performer go on in this process though their time is over."""
    with _lock:
        _left[:] = [thread for thread in _left if thread.is_alive()]
        return sum(thread.name == name for thread in _left)


def within(seconds: float, call: Callable[[], T], name: str) -> T:
    """What a call gives or raises; PerformerTimeout when it takes longer, PerformerUnavailable when too many of `name`,
    the performer whose call it is, were left behind.
    """
    if seconds <= 0:
        raise PerformerTimeout(f"{name} had no time left.")
    if left_behind(name) >= MOST_LEFT_BEHIND:
        raise PerformerUnavailable(f"{name} was not asked: {MOST_LEFT_BEHIND} calls of it that hang still go on.")
    outcome: Future[T] = Future()
    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(_settle, outcome, call), name=name, daemon=True)
    thread.start()
    wait([outcome], min(seconds, threading.TIMEOUT_MAX))
    if outcome.done():
        return outcome.result()
    with _lock:
        _left.append(thread)
    raise PerformerTimeout(f"{name} gave no answer within {seconds:.3g} s.")


def _settle(outcome: "Future[T]", call: Callable[[], T]) -> None:
    try:
        outcome.set_result(call())
    except BaseException as error:  # noqa: BLE001  # raised again by `result`, in the thread that waits
        outcome.set_exception(error)


@atexit.register
def _wait_for_left_behind() -> None:
    until = time.monotonic() + EXIT_SECONDS
    for thread in _left:
        thread.join(max(0.0, until - time.monotonic()))

"""Which failures of a performer may pass, in one table: those are asked again, every other is not.

What none of these libraries raise, such as the errors of a client of one's own, a performer raises as
PerformerUnavailable where trying again may help.
"""

import errno
import socket
from collections.abc import Callable
from dataclasses import dataclass
from http.client import IncompleteRead
from typing import Any
from urllib.error import HTTPError, URLError

from orchestration_project.core.errors import PerformerUnavailable

PASSING_STATUSES = (408, 425, 429, 500, 502, 503, 504)
"""Answers of a web server that it may not give the next time: too late, too many, overloaded, under repair."""

PASSING_ERRNOS = (
    *(errno.EAGAIN, errno.EINTR, errno.EBUSY, errno.EMFILE, errno.ENFILE, errno.ENOBUFS),
    *(errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH),
)
"""Errors of the operating system about a network that is away, or about what others use up at the moment."""


@dataclass(frozen=True)
class Passing:
    """A class of errors, and which of them may pass."""

    error: type[BaseException]
    may_pass: Callable[[Any], bool]


TRANSIENT = (
    Passing(PerformerUnavailable, lambda error: True),
    Passing(TimeoutError, lambda error: True),
    Passing(ConnectionError, lambda error: True),
    Passing(IncompleteRead, lambda error: True),
    Passing(HTTPError, lambda error: error.code in PASSING_STATUSES),
    Passing(URLError, lambda error: isinstance(error.reason, BaseException) and is_transient(error.reason)),
    Passing(socket.gaierror, lambda error: error.errno == socket.EAI_AGAIN),
    Passing(OSError, lambda error: error.errno in PASSING_ERRNOS),
)
"""The first row whose class an error is says whether it may pass; one that no row knows may not."""


def is_transient(error: BaseException) -> bool:
    """Whether asking again may help."""
    return next((row.may_pass(error) for row in TRANSIENT if isinstance(error, row.error)), False)

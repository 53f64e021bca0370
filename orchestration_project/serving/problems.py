"""Answers that say what is wrong, as application/problem+json (RFC 9457), and which error becomes which."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse

from orchestration_project.core.errors import FileRefused, LedgerUnavailable, Refused
from orchestration_project.serving.backlog import BacklogFull
from orchestration_project.serving.intake import KeyReused
from orchestration_project.serving.messages import BodyRefused

PROBLEM = "application/problem+json"
RETRY_SECONDS = 5
"""When a sender that was put off is to try again."""

EXPECTED = (Refused, LedgerUnavailable, OSError)
"""What taking in may raise, each with an answer of its own."""


class Problem(JSONResponse):
    """An answer that says what is wrong."""

    media_type = PROBLEM

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
        super().__init__({**content, **members}, status, headers)


def problem_of(error: Exception) -> Problem:
    """The answer to what taking in raised; nothing was kept then. An error that is not `EXPECTED` is a fault of ours."""
    later = {"Retry-After": str(RETRY_SECONDS)}
    if isinstance(error, BodyRefused):
        place = {"line": error.line, "field": error.field}
        return Problem(400, str(error), errors=[{key: value for key, value in place.items() if value is not None}])
    if isinstance(error, FileRefused):
        return Problem(400, str(error), errors=[{}])
    if isinstance(error, KeyReused):
        return Problem(422, str(error))
    if isinstance(error, BacklogFull):
        return Problem(429, str(error), headers=later)
    if isinstance(error, Refused):
        return Problem(503, str(error), headers=later)
    if isinstance(error, LedgerUnavailable):
        what = "The ledger cannot be written now: it is locked, full or out of reach. Nothing was kept; send it again."
        return Problem(503, what, headers=later)
    if isinstance(error, OSError):
        cause = error.strerror or type(error).__name__
        return Problem(503, f"The home cannot be written now: {cause}. Nothing was kept; send it again.", headers=later)
    return Problem(500, f"The server failed ({type(error).__name__}); its log says where. Send it again.")

"""The posted message: `POST /inbox` as an ASGI application.

A message is accepted (202) once it is durable: its rows flushed to disk and its arrival committed. Whatever else is
answered, nothing of the body is kept.
"""

import asyncio
import logging
import re
from functools import partial

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from orchestration_project.core.errors import LedgerUnavailable
from orchestration_project.serving.backlog import waiting_rows
from orchestration_project.serving.cloud_events import EVENT, EVENTS, HEADERS, read_binary_event, read_events
from orchestration_project.serving.intake import Accepted, take_in
from orchestration_project.serving.messages import JSON, JSON_LINES, Message, read_messages
from orchestration_project.serving.openapi import KEY, description
from orchestration_project.serving.problems import EXPECTED, RETRY_SECONDS, Problem, problem_of
from orchestration_project.stores.home import Home

ACCEPTED = (JSON, JSON_LINES, EVENT, EVENTS)
BODY_SECONDS = 60.0
"""How long a sender may take to send a body."""

MOST_BODIES = 32
"""Bodies that are read or taken in at once; the next are put off, so that memory stays bounded."""

MOST_WRITERS = 4
"""Bodies that are parsed and written at once."""

_LOG = logging.getLogger(__name__)


class _Full(Exception):
    """A body is larger than the setting allows."""


def inbox_app(home: Home, body_seconds: float = BODY_SECONDS) -> Starlette:
    """The application that takes messages into this home."""
    inbox = _Inbox(home, body_seconds)
    document = description(home.settings)

    async def openapi(request: Request) -> Response:
        return JSONResponse(document)

    async def health(request: Request) -> Response:
        try:
            waiting = await to_thread.run_sync(inbox.count_waiting)
        except EXPECTED as error:
            return _put_off(error)
        most = home.settings.inbox_backlog_rows
        return JSONResponse({"status": "ok" if waiting < most else "full", "waiting": waiting, "most": most})

    return Starlette(
        routes=[
            Route("/inbox", inbox.post, methods=["POST"]),
            Route("/openapi.json", openapi, methods=["GET"]),
            Route("/health", health, methods=["GET"]),
        ],
        exception_handlers={HTTPException: _no_such_thing, Exception: _failed},
    )


class _Inbox:
    def __init__(self, home: Home, body_seconds: float) -> None:
        self._home = home
        self._body_seconds = body_seconds
        self._bodies = 0
        self._limiter: CapacityLimiter | None = None

    async def post(self, request: Request) -> Response:
        if refusal := _refusal(request):
            return refusal
        if self._bodies >= MOST_BODIES:
            what = f"{MOST_BODIES} bodies are being taken in. Send this one again later."
            return Problem(503, what, headers={"Retry-After": str(RETRY_SECONDS)})
        self._bodies += 1
        try:
            return await self._take_in(request)
        finally:
            self._bodies -= 1

    def count_waiting(self) -> int:
        with self._home.ledger.read() as connection:
            return waiting_rows(connection)

    async def _take_in(self, request: Request) -> Response:
        most = self._home.settings.inbox_body_bytes
        try:
            async with asyncio.timeout(self._body_seconds):
                body = await _body(request, most)
        except _Full:
            return Problem(413, f"The body has more than {most:,} bytes. Send fewer messages at once.")
        except TimeoutError:
            return Problem(408, f"The body did not come within {self._body_seconds:g} seconds. Send it again.")
        except ClientDisconnect:
            return Problem(400, "The body stopped half-way. Send it again.")  # nobody is left to read it
        if self._limiter is None:
            self._limiter = CapacityLimiter(MOST_WRITERS)
        try:
            accepted = await to_thread.run_sync(partial(self._accept, request, body), limiter=self._limiter)
        except EXPECTED as error:
            return _put_off(error)
        return JSONResponse({"message_ids": accepted.message_ids, "rows": accepted.rows}, 202)

    def _accept(self, request: Request, body: bytes) -> Accepted:
        return take_in(self._home, _messages(request, body), request.headers.get("idempotency-key"), _LOG.warning)


def _messages(request: Request, body: bytes) -> list[Message]:
    media_type = _media_type(request)
    if media_type in (EVENT, EVENTS):
        return read_events(body, media_type)
    if _is_binary_event(request):
        return read_binary_event(body, request.headers)
    return read_messages(body, media_type)


def _refusal(request: Request) -> Problem | None:
    """Why a request is refused before its body is read; None for one that is read."""
    if "origin" in request.headers:
        return Problem(403, "The request comes from a web page, which may not post. Send it from a program.")
    media_type = _media_type(request)
    charset = _charset(request)
    if media_type not in ACCEPTED or charset not in (None, "utf-8", "utf8"):
        what = f"The body is {request.headers.get('content-type') or 'of no type'!r:.80}"
        accepted = f"Send {', '.join(ACCEPTED[:-1])} or {ACCEPTED[-1]}, in UTF-8."
        return Problem(415, f"{what}. {accepted}", headers={"Accept-Post": ", ".join(ACCEPTED)})
    if request.headers.get("content-encoding", "identity") != "identity":
        return Problem(415, "The body is compressed. Send it as it is.", headers={"Accept-Encoding": "identity"})
    if media_type == JSON_LINES and _is_binary_event(request):
        return Problem(415, f"A CloudEvent in binary mode is one message. Send its data as {JSON}.")
    keys = request.headers.getlist("idempotency-key")
    if len(keys) > 1 or not all(re.fullmatch(KEY, key) for key in keys):
        what = "Idempotency-Key is to be one text of 1 to 255 ASCII characters."
        return Problem(400, what, errors=[{"field": "Idempotency-Key"}])
    return None


async def _body(request: Request, most_bytes: int) -> bytes:
    """The whole body. _Full as soon as it is known to be larger; never more than that is held."""
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > most_bytes:
        raise _Full
    body = bytearray()
    async for piece in request.stream():
        if len(body) + len(piece) > most_bytes:
            raise _Full
        body += piece
    return bytes(body)


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _charset(request: Request) -> str | None:
    """The declared encoding, in lower case."""
    for parameter in request.headers.get("content-type", "").split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip('"').lower()
    return None


def _is_binary_event(request: Request) -> bool:
    return any(name in request.headers for name in HEADERS)


def _put_off(error: Exception) -> Problem:
    """The answer to what taking in raised. Where the ledger is, and what ails it, is told to the log, not to senders."""
    if isinstance(error, LedgerUnavailable):
        _LOG.error("%s", error)
    return problem_of(error)


async def _no_such_thing(request: Request, error: Exception) -> Response:
    """The answer to another path or method than there is."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        return Problem(405, f"{request.method} is not for {request.url.path}. Use {allowed}.", headers=error.headers)
    return Problem(error.status_code, f"There is nothing at {request.url.path}. See /openapi.json.")


async def _failed(request: Request, error: Exception) -> Response:
    return problem_of(error)

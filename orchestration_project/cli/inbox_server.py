"""The verb `serve-inbox`: takes posted messages in, and submits their runs at once."""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orchestration_project.cli.printing import note, say
from orchestration_project.core.errors import Refused
from orchestration_project.core.redaction import redact

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette

    from orchestration_project.stores.home import Home

REQUEST_SECONDS = 5
"""How long a stopping server waits for the requests that it is answering."""

SUBMISSION_SECONDS = 3.0
"""How long it then waits for the run that it is submitting; what that leaves undone, the sensor does."""


def serve_inbox() -> None:
    """Take messages in at POST /inbox, on 127.0.0.1; `orchestrate up` does it too.

    Their runs are submitted to the running project at once; where none runs, they wait for one.

    Example: orchestrate serve-inbox
    """
    from orchestration_project.cli.running import let_every_stop_be_an_interrupt, refuse_taken_port
    from orchestration_project.serving.intake import recover
    from orchestration_project.stores.home import prepared_home

    home = prepared_home()
    with only_inbox_server(home):
        refuse_taken_port(home.settings.inbox_port, "ORCHESTRATE_INBOX_PORT")
        let_every_stop_be_an_interrupt()
        recover(home, note)
        _serve(home)


@contextmanager
def only_inbox_server(home: "Home") -> Generator[None]:
    """No other server takes messages in meanwhile; Refused where one does."""
    from filelock import FileLock, Timeout

    lock = FileLock(home.root / "inbox.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise Refused(f"The inbox of {home.root} is served already. Stop that first: Ctrl-C where it runs.") from error
    try:
        yield
    finally:
        lock.release()


def start_inbox(home: "Home") -> "subprocess.Popen[bytes]":
    """Start `orchestrate serve-inbox` in a session of its own, so that an interrupt reaches it once, through us."""
    return subprocess.Popen(
        [sys.executable, "-m", "orchestration_project.cli.main", "serve-inbox"],
        cwd=home.root,
        env={**os.environ, "ORCHESTRATE_HOME": str(home.root), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


class RedactedLines(logging.Formatter):
    """Lines of the server's log, also of an error that quotes what was posted, without addresses and numbers."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, with the error's stack below it."""
        return redact(super().format(record))


def log_to_console() -> None:
    """Send what this process logs to its console, redacted."""
    handler = logging.StreamHandler()
    handler.setFormatter(RedactedLines("inbox: %(message)s"))
    logging.basicConfig(handlers=[handler])


def web_server(app: "Starlette", port: int) -> "uvicorn.Server":
    """A server of this machine alone, which logs where this process does."""
    import uvicorn

    return uvicorn.Server(
        uvicorn.Config(
            app,
            host="127.0.0.1",
            port=port,
            log_config=None,  # else uvicorn writes by handlers of its own, and nothing is redacted
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=REQUEST_SECONDS,
        )
    )


def _serve(home: "Home") -> None:
    from orchestration_project.dispatch.dispatcher import Dispatcher
    from orchestration_project.serving.inbox_app import inbox_app

    port = home.settings.inbox_port
    log_to_console()
    stop = threading.Event()
    dispatcher = threading.Thread(target=Dispatcher(home, note).run, args=[stop], name="dispatcher", daemon=True)
    server = web_server(inbox_app(home), port)
    dispatcher.start()
    say(f"Messages go to http://127.0.0.1:{port}/inbox (described at /openapi.json). Stop with Ctrl-C.")
    try:
        server.run()
    except KeyboardInterrupt:
        note("The inbox stopped. What was answered with 202 is kept.")
    finally:
        stop.set()
        dispatcher.join(SUBMISSION_SECONDS)

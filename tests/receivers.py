"""A real HTTP receiver of notices on 127.0.0.1, for tests: it keeps what came in, and answers as it is told."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LOOPBACK = "127.0.0.1"


@dataclass
class Received:
    """One request: its headers, path and body."""

    headers: dict[str, str]
    path: str
    body: str

    @property
    def key(self) -> str:
        return self.headers["Idempotency-Key"]

    @property
    def title(self) -> str:
        return json.loads(self.body)["title"]

    @property
    def message(self) -> str:
        return json.loads(self.body)["message"]


@dataclass
class Receiver:
    """What a receiver got, and with which statuses it answers next; then 200."""

    port: int
    answers: list[int] = field(default_factory=list)
    requests: list[Received] = field(default_factory=list)
    accepted: list[Received] = field(default_factory=list)
    hold: threading.Event | None = None

    @property
    def url(self) -> str:
        return f"json://{LOOPBACK}:{self.port}/notices"

    @property
    def titles(self) -> list[str]:
        return [one.title for one in self.accepted]


@contextmanager
def receiving(answers: list[int] | None = None, *, port: int = 0) -> Iterator[Receiver]:
    """A receiver that listens; port 0: any that is free."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            one = Received(dict(self.headers), self.path, body)
            found.requests.append(one)
            if found.hold is not None:
                found.hold.wait(60)
            status = found.answers.pop(0) if found.answers else 200
            if status == 200:
                found.accepted.append(one)
            with suppress(ConnectionError):  # whoever sent it was killed
                self.send_response(status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

        do_GET = do_POST

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer((LOOPBACK, port), Handler)
    server.daemon_threads = True
    found = Receiver(server.server_port, answers or [])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

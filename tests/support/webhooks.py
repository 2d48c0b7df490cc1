"""A customer's server: real HTTP on a thread, which answers as a test asks."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from tests.support.processes import eventually


@dataclass(frozen=True)
class Asked:
    """One request: ``query`` as it came, ``parameters`` decoded, in order."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: str

    @property
    def parameters(self) -> dict[str, str]:
        text = self.body if self.method == "POST" else self.query
        return dict(parse_qsl(text, keep_blank_values=True))


@dataclass(frozen=True)
class Reply:
    """What to answer.

    Attributes:
        delay_s: Wait before the first byte.
        drips: Send the body byte by byte, one each ``delay_s``.
        drops: Close the connection instead of answering.
    """

    status: int = 200
    content_type: str | None = "text/plain"
    body: bytes | str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    drips: bool = False
    drops: bool = False

    @property
    def content(self) -> bytes:
        return self.body.encode() if isinstance(self.body, str) else self.body


Answerer = Callable[[Asked], Reply]


class WebhookServer:
    """Answers by path; every request is kept.

    ``on`` sets what a path answers, a ``Reply`` or a function of the request; a path
    without one answers 404.
    """

    def __init__(self) -> None:
        self.requests: list[Asked] = []
        self._answers: dict[str, Reply | Answerer] = {}
        self._is_ending = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer._serve(self)

            do_POST = do_HEAD = do_GET

            def log_message(self, format: str, *args: object) -> None:
                pass  # Requests are kept, not printed.

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def on(self, path: str, answer: Reply | Answerer) -> None:
        self._answers[path] = answer

    def asked(self, path: str, method: str | None = None) -> list[Asked]:
        """Return what was asked of a path, oldest first."""
        return [
            asked
            for asked in list(self.requests)
            if asked.path == path and method in (None, asked.method)
        ]

    def wait_for(self, path: str, count: int = 1, deadline_s: float = 20.0) -> Asked:
        """Return the request number ``count`` of a path, once it has come."""
        eventually(
            lambda: len(self.asked(path)) >= count, f"a request of {path}", deadline_s
        )
        return self.asked(path)[count - 1]

    def forget(self) -> None:
        self.requests.clear()
        self._answers.clear()

    def close(self) -> None:
        self._is_ending.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        length = int(handler.headers.get("Content-Length") or 0)
        body = handler.rfile.read(length).decode()
        headers = {name.lower(): value for name, value in handler.headers.items()}
        asked = Asked(handler.command, parts.path, parts.query, headers, body)
        self.requests.append(asked)
        answer = self._answers.get(parts.path, Reply(404))
        reply = answer if isinstance(answer, Reply) else answer(asked)
        # A caller who hangs up, or a test that ends, leaves no thread behind.
        with contextlib.suppress(OSError):
            self._send(handler, reply)

    def _send(self, handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        if not reply.drips:
            self._is_ending.wait(reply.delay_s)
        if reply.drops:
            handler.close_connection = True
            return
        handler.send_response(reply.status)
        if reply.content_type is not None:
            handler.send_header("Content-Type", reply.content_type)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(reply.content)))
        handler.end_headers()
        if handler.command == "HEAD":
            return
        if not reply.drips:
            handler.wfile.write(reply.content)
            return
        for byte in reply.content:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            time.sleep(reply.delay_s)


@contextlib.contextmanager
def webhook_server() -> Iterator[WebhookServer]:
    """Run a server on a free port."""
    server = WebhookServer()
    try:
        yield server
    finally:
        server.close()

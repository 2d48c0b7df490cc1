"""The HTTP listener: uvicorn inside our loop, on a socket that we bound ourselves.

The socket is bound first and alone, so that a port that is taken is reported before
anything heavy is loaded; signals stay with the service.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import nullcontext
from typing import TYPE_CHECKING

import uvicorn

from emulator.errors import ListenError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from emulator.api.connections import HttpLimits

BACKLOG = 128


def bind_http(host: str, port: int) -> socket.socket:
    """Return a bound TCP socket.

    Raises:
        ListenError: Names address, port and setting.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setblocking(False)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise ListenError(
            f"HTTP cannot listen on {host}:{port}: {error.strerror} "
            "(settings http.bind, http.port)"
        ) from error
    return sock


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers; tells when it is up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()

    def capture_signals(self) -> nullcontext[None]:  # type: ignore[override]
        return nullcontext()


class HttpServer:
    """Serves one application on one socket."""

    def __init__(self, app: FastAPI, sock: socket.socket, limits: HttpLimits) -> None:
        from emulator.api.connections import bounded_protocol

        self._sock = sock
        self._server = _Server(
            uvicorn.Config(
                app,
                http=bounded_protocol(limits),
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                timeout_graceful_shutdown=1,
                server_header=False,
            )
        )
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The bound port."""
        port: int = self._sock.getsockname()[1]
        return port

    async def start(self) -> None:
        """Begin to serve; return once the listener is open."""
        self._task = asyncio.create_task(
            self._server.serve(sockets=[self._sock]), name="http"
        )
        up = asyncio.create_task(self._server.is_up.wait())
        await asyncio.wait([up, self._task], return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        if self._task.done():
            self._task.result()

    async def stop(self) -> None:
        """Finish open requests, at most a second, and close the listener."""
        if self._task is not None:
            self._server.should_exit = True
            await self._task
        self._sock.close()

"""What a stranger may make the HTTP listener hold: bounds that uvicorn does not have.

Its own limit counts requests and leaves every connection open. Here a connection too
many is told so and closed, and one whose request does not get complete is closed, too.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope

    from emulator.config import HttpSettings

logger = logging.getLogger("emulator.api")

# What a full listener says, by HTTP's words and in the form of every error.
_RETRY_AFTER_S: Final = 1
# Connections too many that are still told why; more are closed without a word.
_MAX_REFUSED: Final = 32


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """See ``HttpSettings``."""

    max_connections: int
    unfinished_request_s: float


def limits_of(settings: HttpSettings) -> HttpLimits:
    """Return the limits of the settings."""
    return HttpLimits(settings.max_connections, settings.unfinished_request_s)


def bounded_protocol(bounds: HttpLimits) -> type[H11Protocol]:
    """Return the protocol of a listener whose connections are bounded together."""

    class Bounded(_BoundedProtocol):
        limits = bounds

    return Bounded


class _BoundedProtocol(H11Protocol):
    """One connection."""

    limits: HttpLimits
    _look_timer: asyncio.TimerHandle | None = None
    # Its request and what is yet to be written, at the last look.
    _seen: tuple[object, int] = (None, 0)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        most = self.limits.max_connections
        others = len(self.connections)
        super().connection_made(transport)
        if others >= most + _MAX_REFUSED:
            transport.abort()
            return
        if others >= most:
            self.app = _refusal(most)
        self._look_later()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._look_timer is not None:
            self._look_timer.cancel()
        super().connection_lost(exc)

    def _look_later(self) -> None:
        wait_s = self.limits.unfinished_request_s
        self._look_timer = self.loop.call_later(wait_s, self._look)

    def _look(self) -> None:
        """Close what waits for its peer as it did at the last look.

        A peer that sends byte by byte is not waited for either: the whole request has
        to be there, or what was written has to get less.
        """
        cycle = self.cycle
        waits = cycle is None or cycle.response_complete or cycle.more_body
        stalls = self.flow.write_paused
        queued = self.transport.get_write_buffer_size() if stalls else 0
        if (waits or stalls) and self._seen == (cycle, queued):
            logger.info("closing an HTTP connection whose peer does not go on")
            self.transport.abort()
            return
        self._seen = (cycle, queued)
        self._look_later()


def _refusal(most: int) -> Callable[..., Awaitable[None]]:
    """Return the application of a connection too many."""
    message = f"{most} HTTP connections are open (http.max_connections)"
    error = {"error": {"code": "capacity", "message": message}}
    body = json.dumps(error).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"retry-after", b"%d" % _RETRY_AFTER_S),
        (b"connection", b"close"),
    ]

    async def refuse(_: Scope, __: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    return refuse

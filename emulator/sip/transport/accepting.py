"""Takes connections, and counts them from the first packet: before a handshake."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Final

logger = logging.getLogger(__name__)

BACKLOG: Final = 512
# A flood must not keep the loop from its timers.
MAX_ACCEPTS_PER_TURN: Final = 64
# A peer that begins a TLS connection and says nothing holds its place so long.
HANDSHAKE_TIMEOUT_S: Final = 5.0
# Without a free file descriptor the kernel keeps a connection waiting, and would wake
# us for it without end.
PAUSE_S: Final = 0.5


class Acceptor:
    """One listening socket.

    Args:
        make: Makes the protocol of a connection; it calls what it is given when the
            connection is made, and counts it from then on.
        has_room: Says whether one more may be taken; else it is closed at once.
    """

    def __init__(
        self,
        listener: socket.socket,
        make: Callable[[Callable[[], None]], asyncio.Protocol],
        tls: ssl.SSLContext | None,
        has_room: Callable[[], bool],
    ) -> None:
        self._listener = listener
        self._make = make
        self._tls = tls
        self._has_room = has_room
        self._is_refusing = False
        self._opening: set[socket.socket] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        listener.listen(BACKLOG)
        self._resume()

    @property
    def opening(self) -> int:
        """Connections whose handshake is not over."""
        return len(self._opening)

    async def close(self) -> None:
        """Stop listening, and drop what is in its handshake."""
        if self._pause is not None:
            self._pause.cancel()
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _resume(self) -> None:
        self._pause = None
        asyncio.get_running_loop().add_reader(self._listener, self._readable)

    def _readable(self) -> None:
        for _ in range(MAX_ACCEPTS_PER_TURN):
            try:
                accepted, peer = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._wait_for_descriptors(error)
                return
            self._take(accepted, peer)

    def _wait_for_descriptors(self, error: OSError) -> None:
        logger.warning(
            "no SIP connection can be taken: %s; raise ulimit -n or lower "
            "sip.limits.max_connections",
            error.strerror,
        )
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listener)
        self._pause = loop.call_later(PAUSE_S, self._resume)

    def _take(self, accepted: socket.socket, peer: tuple[str, int]) -> None:
        if not self._has_room():
            accepted.close()
            if not self._is_refusing:
                logger.warning(
                    "refusing connections, the first from %s: too many are open "
                    "(sip.limits.max_connections)",
                    peer[0],
                )
            self._is_refusing = True
            return
        self._is_refusing = False
        accepted.setblocking(False)
        self._opening.add(accepted)
        task = asyncio.create_task(self._open(accepted, peer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self, accepted: socket.socket, peer: tuple[str, int]) -> None:
        made = partial(self._opening.discard, accepted)
        timeout_s = HANDSHAKE_TIMEOUT_S if self._tls else None
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self._make(made),
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=timeout_s,
            )
        except OSError as error:
            # That is also what a TLS handshake fails with.
            logger.info("no connection from %s: %s", peer[0], error)
            accepted.close()
        finally:
            made()

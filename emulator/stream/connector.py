"""TCP and TLS towards a bot, below the WebSocket: names, sockets, certificates.

The caller owns the deadline. Whatever goes wrong, no socket is left open, and the
reason is in the platform's words (``dial_errors``).
"""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from typing import Any

from emulator.errors import TransportError
from emulator.stream import dial_errors

# Bounds what one read can bring in: 16 kB of two-byte frames already take 20 ms. Over a
# path of 30 ms it still carries 25 times the rate of 8 kHz audio.
RECEIVE_BUFFER_BYTES = 16 * 1024
# Bounds the stale audio that the kernel holds for a bot that does not read.
SEND_BUFFER_BYTES = 64 * 1024


class DialFailed(TransportError):
    """A bot could not be reached; ``text`` is the platform's, without its code."""

    def __init__(self, text: str, http_status: int | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.http_status = http_status


class Connector:
    """Opens one TCP connection; remembers how far it came, for the error's text."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._ip: str | None = None
        self._own = ""

    async def connect(self) -> socket.socket:
        """Return a connected, non-blocking socket.

        Addresses are tried in the resolver's order; the first one's failure is told,
        as Go's dialer does.

        Raises:
            DialFailed: No address could be reached.
        """
        first_failure: DialFailed | None = None
        for family, address in await self._resolve():
            self._ip = address[0]
            try:
                sock = await _open(family, address)
                self._own = dial_errors.endpoint(*sock.getsockname()[:2])
                return sock
            except OSError as error:
                failure = DialFailed(
                    dial_errors.connect_failed(self._ip, self._port, error.errno)
                )
                first_failure = first_failure or failure
        raise first_failure or DialFailed(dial_errors.lookup_failed(self._host))

    async def _resolve(self) -> list[tuple[int, Any]]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM
            )
        except (OSError, UnicodeError) as error:
            raise DialFailed(dial_errors.lookup_failed(self._host)) from error
        return [(family, address) for family, _, _, _, address in found]

    def timed_out(self) -> DialFailed:
        """Return the failure for a deadline that passed at the present stage."""
        if self._ip is None:
            return DialFailed(dial_errors.lookup_timed_out(self._host))
        return DialFailed(dial_errors.timed_out(self._ip, self._port))

    def broken(self, error: OSError) -> DialFailed:
        """Return the failure for a connection that broke while it was upgraded."""
        if isinstance(error, ssl.SSLCertVerificationError):
            text = dial_errors.certificate_refused(error.verify_code, self._host)
        elif isinstance(error, ssl.SSLError):
            text = dial_errors.tls_failed(error.reason)
        elif error.errno is None:
            # Ours say which end it was; TLS says nothing when the bot ends it.
            text = str(error) or dial_errors.TLS_EOF
        else:
            bots = dial_errors.endpoint(self._ip or self._host, self._port)
            text = dial_errors.connection_lost(self._own, bots, error.errno)
        return DialFailed(text)


async def _open(family: int, address: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def tls_context(verify: bool, ca_file: str | None) -> ssl.SSLContext:
    """Return a client context; the first of each kind is built off the loop.

    Reading the system's certificates takes tens of milliseconds, which every call of
    the worker would hear.

    Raises:
        DialFailed: ``ca_file`` cannot be read.
    """
    try:
        return await asyncio.to_thread(_tls_context, verify, ca_file)
    except OSError as error:
        raise DialFailed(f"x509: cannot read {ca_file}: {error}") from error


@functools.lru_cache(maxsize=8)
def _tls_context(verify: bool, ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def shut_down(sock: socket.socket) -> None:
    """End both directions; whoever holds the descriptor sees the end and closes it."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # It was closed, or never connected.

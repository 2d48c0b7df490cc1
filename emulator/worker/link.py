"""The link between control and a worker: messages over a stream socketpair.

Both ends use it. Writing never waits; what the other end does not read is bounded. What
is sent in one turn of the loop goes out together: each write wakes the other end.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import cast

from emulator.errors import LocalProtocolError
from emulator.worker.messages import Message, MessageReader, pack_message

# Thousands of messages: an end that is so far behind does not read any more.
MAX_UNREAD_BYTES = 4 << 20


class Link(asyncio.Protocol):
    """One end of the link.

    Args:
        on_message: Called with each message, in order.
        on_lost: Called once with the reason when the link is gone: the other end has
            closed or died, does not read, or sent what no end of ours sends.
    """

    def __init__(
        self, on_message: Callable[[Message], None], on_lost: Callable[[str], None]
    ) -> None:
        self._on_message = on_message
        self._on_lost = on_lost
        self._reader = MessageReader()
        self._transport: asyncio.WriteTransport | None = None
        self._unwritten = bytearray()
        self._greeting: Message | None = None
        self._lost_reason = ""

    async def open(self, sock: socket.socket, greeting: Message | None = None) -> None:
        """Take up one end of a socketpair, which the link then owns.

        Messages may arrive before this returns; ``greeting`` goes out before that.
        """
        self._greeting = greeting
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: self, sock=sock)

    def send(self, message: Message) -> None:
        """Write a message in this turn; one to an end that is gone is dropped."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        unread_bytes = transport.get_write_buffer_size() + len(self._unwritten)
        if unread_bytes > MAX_UNREAD_BYTES:
            self._abort("does not read its messages")
            return
        if not self._unwritten:
            asyncio.get_running_loop().call_soon(self._write)
        self._unwritten += pack_message(message)

    def _write(self) -> None:
        written, self._unwritten = self._unwritten, bytearray()
        transport = self._transport
        if written and transport is not None and not transport.is_closing():
            transport.write(written)

    def close(self) -> None:
        """Close after what is queued has been written."""
        self._write()
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.WriteTransport, transport)
        if self._greeting is not None:
            self.send(self._greeting)

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._reader.feed(data):
                self._on_message(message)
        except LocalProtocolError as error:
            self._abort(str(error))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._on_lost(self._lost_reason or (str(exc) if exc else "ended"))

    def _abort(self, reason: str) -> None:
        self._lost_reason = reason
        if self._transport is not None:
            self._transport.abort()

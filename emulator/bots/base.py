"""What every reference bot stands on: a conversation, its hooks and its verbs."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    import asyncio

SAMPLE_BYTES = 2
# The documented minimum of one message, and a multiple of its 320 (200 ms at 8 kHz).
MESSAGE_BYTES = 3200


class Socket(Protocol):
    """The part of a WebSocket connection that a bot uses."""

    @property
    def transport(self) -> asyncio.Transport:
        """The TCP connection, for bots that mistreat it."""

    async def send(self, message: str | bytes) -> None:
        """Send one text or binary message."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close with a code and a reason."""

    async def wait_closed(self) -> None:
        """Return when the connection is gone."""


class Bot:
    """One conversation with one caller.

    A bot overrides the hooks ``on_…``; they are awaited one after another, in the
    order of the messages. The attributes hold what ``start`` said, from ``on_start``
    on.

    Attributes:
        stream_sid: To be repeated in everything that is sent.
        sample_rate_hz: Of the audio both ways: int16 little-endian mono.
        custom_parameters: Of the URL and the call's SIP headers.
        directory: Where a bot that writes files shall do so.
        refuses_with: HTTP status for a bot that does not even take the call.
        answers_after_s: How long such a bot lets the upgrade wait.
    """

    refuses_with: ClassVar[int | None] = None
    answers_after_s: ClassVar[float] = 0.0

    def __init__(self, socket: Socket, directory: Path) -> None:
        self.socket = socket
        self.directory = directory
        self.stream_sid = ""
        self.sample_rate_hz = 8000
        self.custom_parameters: Mapping[str, str] = {}

    # -- hooks

    async def on_start(self) -> None:
        """``start`` has come."""

    async def on_media(self, audio: bytes) -> None:
        """The caller's next samples."""

    async def on_dtmf(self, digit: str) -> None:
        """The caller has pressed a key."""

    async def on_mark(self, name: str) -> None:
        """Everything sent before mark ``name`` has been heard."""

    async def on_stop(self, reason: str) -> None:
        """The stream is over; replies do not arrive any more."""

    async def on_end(self) -> None:
        """The socket is gone; called once, whatever happened before."""

    # -- verbs

    async def play(self, audio: bytes) -> None:
        """Send samples, in one message, to be heard after what was sent before."""
        payload = base64.b64encode(audio).decode("ascii")
        await self.send_event("media", media={"payload": payload})

    async def speak(self, audio: bytes) -> None:
        """Send samples in messages short enough that a clear cuts soon."""
        for start in range(0, len(audio), MESSAGE_BYTES):
            await self.play(audio[start : start + MESSAGE_BYTES])

    async def mark(self, name: str) -> None:
        """Ask to be told when everything sent so far has been heard."""
        await self.send_event("mark", mark={"name": name})

    async def clear(self) -> None:
        """Drop what was sent and is not playing yet."""
        await self.send_event("clear")

    async def hang_up(self, code: int = 1000, reason: str = "") -> None:
        """Close the socket; the flow goes on to its next applet."""
        await self.socket.close(code, reason)

    async def send_event(self, event: str, **body: Any) -> None:
        """Send any message of the protocol."""
        await self.send_json(event=event, stream_sid=self.stream_sid, **body)

    async def send_json(self, **message: Any) -> None:
        """Send any JSON object."""
        await self.socket.send(json.dumps(message))

"""Runs a reference bot: one WebSocket server, one bot object per stream."""

from __future__ import annotations

import asyncio
import base64
import binascii
import errno
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from emulator.bots import BOTS
from emulator.bots.base import Bot
from emulator.errors import ListenError

logger = logging.getLogger("emulator.bots")

Report = Callable[[str], None]
# The platform never sends more than a chunk of audio and its envelope.
MAX_MESSAGE_BYTES = 1 << 20
MAX_LINE_CHARS = 1000
# A caller that does not answer a close is left so soon, or no bot could be stopped.
CLOSE_TIMEOUT_S = 1.0


class RunningBot:
    """A bot that listens on ``port``; ends its streams with 1001 when closed."""

    def __init__(self, server: Server) -> None:
        self._server = server
        # Also when port 0 was asked for.
        self.port: int = next(iter(server.sockets)).getsockname()[1]

    async def wait(self) -> None:
        """Serve until ``close``, or until this is cancelled."""
        await self._server.wait_closed()

    async def close(self) -> None:
        """End every stream and stop listening."""
        self._server.close()
        await self._server.wait_closed()

    async def __aenter__(self) -> RunningBot:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


async def serve_bot(
    name: str,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    report: Report = logger.info,
    directory: Path | None = None,
) -> RunningBot:
    """Listen for streams, each with a new bot of the kind ``name``.

    Args:
        name: A key of ``BOTS``.
        port: 0 lets the system choose.
        report: Is given one line when a stream starts, stops and closes.
        directory: Where bots write files; the working directory by default.

    Raises:
        ListenError: The port cannot be had.
        KeyError: There is no bot of that name.
    """
    kind = BOTS[name]
    where = directory if directory is not None else Path()

    def tell(line: str) -> None:
        report(_printable(line))

    async def talk(socket: ServerConnection) -> None:
        await _Conversation(kind(socket, where), socket, tell).run()

    async def answer(socket: ServerConnection, request: Request) -> Response | None:
        await asyncio.sleep(kind.answers_after_s)
        if kind.refuses_with is None:
            return None
        tell(f"refused {request.path} with {kind.refuses_with}")
        return socket.respond(kind.refuses_with, f"{name} takes no calls\n")

    try:
        server = await serve(
            talk,
            host,
            port,
            process_request=answer,
            max_size=MAX_MESSAGE_BYTES,
            close_timeout=CLOSE_TIMEOUT_S,
        )
    except OSError as error:
        raise _listen_error(host, port, error) from error
    return RunningBot(server)


def _printable(line: str) -> str:
    """Return ``line`` fit for a terminal: what a caller sent may be anything."""
    shown = line[:MAX_LINE_CHARS]
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown)


def _listen_error(host: str, port: int, error: OSError) -> ListenError:
    if error.errno == errno.EADDRINUSE:
        return ListenError(f"port {port} on {host} is taken; choose one with --port")
    return ListenError(
        f"cannot listen on {host} port {port}: {error.strerror}; "
        "choose another with --host and --port"
    )


class _Conversation:
    """Reads one socket and calls the bot's hooks; a bad message is skipped."""

    def __init__(self, bot: Bot, socket: ServerConnection, report: Report) -> None:
        self._bot = bot
        self._socket = socket
        self._report = report
        self._handlers: Mapping[str, Callable[[Any], Awaitable[None]]] = {
            "start": self._start,
            "media": self._media,
            "dtmf": self._dtmf,
            "mark": self._mark,
            "stop": self._stop,
        }

    async def run(self) -> None:
        """Serve the stream to its end."""
        try:
            async for message in self._socket:
                await self._take(message)
        except ConnectionClosed:
            pass  # How it closed is told below.
        finally:
            await self._bot.on_end()
            code, reason = self._socket.close_code, self._socket.close_reason
            self._report(f"{self._name} closed {code} {reason or ''}".rstrip())

    async def _take(self, message: str | bytes) -> None:
        try:
            event = json.loads(message)
            handler = self._handlers.get(event["event"])
            body = event.get(event["event"])
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            self._report(f"{self._name} skipped a message that is no event")
            return
        if handler is None:
            return
        try:
            await handler(body)
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            self._report(f"{self._name} skipped {event['event']}: {error!r}")

    async def _start(self, body: Any) -> None:
        bot = self._bot
        bot.stream_sid = str(body["stream_sid"])
        bot.sample_rate_hz = int(body["media_format"]["sample_rate"])
        bot.custom_parameters = dict(body.get("custom_parameters") or {})
        given = json.dumps(bot.custom_parameters, ensure_ascii=False)
        self._report(
            f"{self._name} start from {body.get('from')} to {body.get('to')} {given}"
        )
        await bot.on_start()

    async def _media(self, body: Any) -> None:
        try:
            audio = base64.b64decode(body["payload"], validate=True)
        except binascii.Error as error:
            raise ValueError("payload is no base64") from error
        await self._bot.on_media(audio)

    async def _dtmf(self, body: Any) -> None:
        await self._bot.on_dtmf(str(body["digit"]))

    async def _mark(self, body: Any) -> None:
        await self._bot.on_mark(str(body["name"]))

    async def _stop(self, body: Any) -> None:
        self._report(f"{self._name} stop {body['reason']}")
        await self._bot.on_stop(str(body["reason"]))

    @property
    def _name(self) -> str:
        return self._bot.stream_sid or "(no start)"

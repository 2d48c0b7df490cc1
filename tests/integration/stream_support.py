"""A recording sink, and loopback servers that misbehave on purpose."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvloop
import websockets
from websockets.asyncio.server import ServerConnection, serve

from emulator.clock import SystemClock
from emulator.events import EVENT_KINDS, JsonValue
from emulator.ids import IdSource
from emulator.stream.client import StreamClient
from emulator.stream.interface import StreamOutcome, StreamRequest
from emulator.stream_options import StreamOptions, profile_options

REQUEST = StreamRequest(
    stream_sid="5" * 32,
    call_sid="c" * 32,
    account_sid="acme1",
    url="",
    from_="09900000000",
    to="04400000000",
)
# Nothing in these tests may take longer; a hang fails with a clear place.
PATIENCE_S = 20.0


class Recorder:
    """A sink that keeps everything, and plays marks at once when told to."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.audio = bytearray()
        self.marks: list[str] = []
        self.clears = 0
        self.outcomes: list[StreamOutcome] = []
        self.opened = asyncio.Event()
        self.ended = asyncio.Event()
        self.client: StreamClient | None = None
        self.echoes_marks = True
        self._changed = asyncio.Condition()

    def stream_opened(self) -> None:
        self.opened.set()

    def bot_audio(self, pcm: bytes | memoryview) -> None:
        self.audio += pcm

    def bot_mark(self, name: str) -> None:
        self.marks.append(name)
        if self.echoes_marks and self.client is not None:
            self.client.mark_played(name)

    def bot_clear(self) -> None:
        self.clears += 1

    def stream_happened(
        self, kind: str, at_s: float, data: Mapping[str, JsonValue]
    ) -> None:
        assert kind in EVENT_KINDS
        self.events.append((kind, dict(data)))

    def stream_ended(self, ended: StreamOutcome) -> None:
        self.outcomes.append(ended)
        self.ended.set()

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.events]

    def data(self, kind: str) -> list[dict[str, Any]]:
        return [data for found, data in self.events if found == kind]

    def rules(self) -> list[str]:
        return [str(data["rule"]) for data in self.data("note")]

    @property
    def outcome(self) -> StreamOutcome:
        assert len(self.outcomes) == 1, self.outcomes
        return self.outcomes[0]


def make_stream(
    url: str, options: StreamOptions | None = None, **changes: Any
) -> tuple[StreamClient, Recorder]:
    """Return a client that is not started yet, and its sink."""
    sink = Recorder()
    request = replace(REQUEST, url=url, **changes)
    client = StreamClient(
        request, options or StreamOptions(), sink, SystemClock(), IdSource(1)
    )
    sink.client = client
    return client, sink


async def until(condition: Callable[[], object]) -> None:
    """Wait until ``condition`` holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 (conditions have no event)
            await asyncio.sleep(0.002)


async def finish(sink: Recorder) -> StreamOutcome:
    """Wait for the outcome."""
    async with asyncio.timeout(PATIENCE_S):
        await sink.ended.wait()
    return sink.outcome


async def dial_to_the_end(
    url: str, options: StreamOptions | None = None, **changes: Any
) -> Recorder:
    """Start a stream and wait for its outcome."""
    client, sink = make_stream(url, options, **changes)
    client.start()
    await finish(sink)
    return sink


def quick(**knobs: Any) -> StreamOptions:
    """Return options with a short handshake limit."""
    return profile_options("observed", **{"handshake_timeout_s": 0.2, **knobs})


@asynccontextmanager
async def raw_server(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    context: ssl.SSLContext | None = None,
) -> AsyncIterator[str]:
    """Serve bare TCP, or TLS; the URL of it."""

    async def guarded(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    scheme = "ws" if context is None else "wss"
    try:
        yield f"{scheme}://127.0.0.1:{port}/media"
    finally:
        server.close()
        await server.wait_closed()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """Return the head of an HTTP request."""
    return await reader.readuntil(b"\r\n\r\n")


async def accept_upgrade(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer the upgrade as RFC 6455 §4.2.2 says, for bots of bare frames."""
    head = (await read_request(reader)).decode()
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
    key = fields["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
    writer.write(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode()
    )
    await writer.drain()


def frame(opcode: int, payload: bytes = b"", *, first: int = 0x80) -> bytes:
    """Return an unmasked frame; ``first`` holds FIN and the reserved bits."""
    size = len(payload)
    if size < 126:
        head = bytes([first | opcode, size])
    elif size < 1 << 16:
        head = bytes([first | opcode, 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([first | opcode, 127]) + size.to_bytes(8, "big")
    return head + payload


@asynccontextmanager
async def bot_server(
    talk: Callable[[ServerConnection], Coroutine[Any, Any, None]],
    context: ssl.SSLContext | None = None,
    **settings: Any,
) -> AsyncIterator[str]:
    """Serve a bot that is a coroutine; the URL of it."""

    async def guarded(socket: ServerConnection) -> None:
        try:
            await talk(socket)
        except websockets.ConnectionClosed:
            pass

    server = await serve(guarded, "127.0.0.1", 0, ssl=context, **settings)
    port = next(iter(server.sockets)).getsockname()[1]
    scheme = "ws" if context is None else "wss"
    try:
        yield f"{scheme}://127.0.0.1:{port}/media"
    finally:
        server.close()
        await server.wait_closed()


def make_certificate(folder: Path) -> Path:
    """Return a self-signed certificate for 127.0.0.1 and its key, in one PEM file."""
    key, chain, both = folder / "key.pem", folder / "cert.pem", folder / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", chain,
         "-days", "2", "-subj", "/CN=bot", "-addext",
         "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    both.write_text(key.read_text() + chain.read_text())
    return both


def server_context(certificate: Path) -> ssl.SSLContext:
    """Return what a TLS server needs to show ``certificate``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def open_sockets() -> int:
    """Return how many sockets this process has open."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        except OSError:
            continue
    return count


async def _watched(scenario: Coroutine[Any, Any, None]) -> None:
    before = open_sockets()
    await scenario
    me = asyncio.current_task()
    try:
        async with asyncio.timeout(PATIENCE_S):
            while (  # noqa: ASYNC110 (the system tells nobody)
                open_sockets() > before or asyncio.all_tasks() != {me}
            ):
                await asyncio.sleep(0.002)
    except TimeoutError:
        leaked = [task.get_name() for task in asyncio.all_tasks() if task is not me]
        raise AssertionError(
            f"{open_sockets() - before} sockets and tasks {leaked} leaked"
        ) from None


def play(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario on each event loop that a worker may have.

    A leaked socket or task, or a complaint of the loop, fails it.
    """
    for new_loop in (asyncio.new_event_loop, uvloop.new_event_loop):
        complaints: list[dict[str, Any]] = []

        async def main(complaints: list[dict[str, Any]] = complaints) -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: complaints.append(context))
            await _watched(scenario())

        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(main())
        assert complaints == []

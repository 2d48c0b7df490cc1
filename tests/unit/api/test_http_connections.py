"""The HTTP listener on a real socket: what strangers may make it hold."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from emulator.api.connections import HttpLimits
from emulator.api.server import HttpServer, bind_http

MOST = 3
GET = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def app() -> FastAPI:
    made = FastAPI()

    @made.get("/ping")
    async def ping() -> str:
        return "pong"

    @made.post("/body")
    async def body(request: Request) -> int:
        return len(await request.body())

    @made.get("/much")
    async def much() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * 65_536
                await asyncio.sleep(0)

        return StreamingResponse(pieces())

    @made.get("/slow")
    async def slow() -> str:
        await asyncio.sleep(0.7)
        return "done"

    return made


class Visitors:
    """Connections to a listener, closed at the end."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: list[Stream] = []

    async def connect(self) -> Stream:
        stream = await asyncio.open_connection("127.0.0.1", self._port)
        self._streams.append(stream)
        return stream

    async def leave(self) -> None:
        for _, writer in self._streams:
            writer.close()
        for _, writer in self._streams:
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@asynccontextmanager
async def listening(unfinished_request_s: float = 30.0) -> AsyncIterator[Visitors]:
    limits = HttpLimits(MOST, unfinished_request_s)
    server = HttpServer(app(), bind_http("127.0.0.1", 0), limits)
    await server.start()
    visitors = Visitors(server.port)
    try:
        yield visitors
    finally:
        await visitors.leave()
        await server.stop()


async def ask(stream: Stream, request: bytes = GET) -> bytes:
    reader, writer = stream
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    return head + await reader.readexactly(length)


async def is_closed(stream: Stream, within_s: float = 20.0) -> bool:
    try:
        async with asyncio.timeout(within_s):
            while await stream[0].read(65_536):
                pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


def test_a_connection_too_many_gets_503_and_those_before_it_go_on() -> None:
    async def scenario() -> None:
        async with listening() as visitors:
            held = [await visitors.connect() for _ in range(MOST)]
            assert b"200 OK" in await ask(held[0])
            surplus = await visitors.connect()
            answer = await ask(surplus)
            head, _, body = answer.partition(b"\r\n\r\n")
            assert b"503" in head and b"retry-after: 1" in head
            error = json.loads(body)["error"]
            assert error["code"] == "capacity"
            assert "http.max_connections" in error["message"]
            assert await is_closed(surplus)
            assert b"200 OK" in await ask(held[-1])
            held[0][1].close()
            # The listener hears of it in its own time.
            answer = b""
            async with asyncio.timeout(20):
                while b"200 OK" not in answer:
                    answer = await ask(await visitors.connect())

    run(scenario)


def test_a_crowd_of_silent_connections_is_bounded() -> None:
    async def scenario() -> None:
        async with listening() as visitors:
            crowd = [await visitors.connect() for _ in range(200)]
            still_open = crowd
            async with asyncio.timeout(20):
                while len(still_open) > MOST + 32:
                    still_open = [s for s in crowd if not await is_closed(s, 0.01)]
            assert len(still_open) == MOST + 32

    run(scenario)


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        b"GET /ping HTTP/1.1\r\nHost",
        b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc",
        b"GET /much HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_a_peer_that_does_not_go_on_is_closed(request_: bytes) -> None:
    async def scenario() -> None:
        async with listening(unfinished_request_s=0.3) as visitors:
            stream = await visitors.connect()
            stream[1].write(request_)
            if b"much" in request_:
                await asyncio.sleep(1.2)  # It does not read.
            assert await is_closed(stream)

    run(scenario)


def test_a_peer_that_drips_its_request_is_closed() -> None:
    async def scenario() -> None:
        async with listening(unfinished_request_s=0.3) as visitors:
            stream = await visitors.connect()
            with pytest.raises(ConnectionError):
                for _ in range(100):
                    stream[1].write(b"G")
                    await stream[1].drain()
                    await asyncio.sleep(0.02)

    run(scenario)


def test_whoever_waits_for_a_slow_answer_gets_it() -> None:
    async def scenario() -> None:
        async with listening(unfinished_request_s=0.2) as visitors:
            stream = await visitors.connect()
            request = GET.replace(b"/ping", b"/slow")
            assert b"done" in await ask(stream, request)

    run(scenario)

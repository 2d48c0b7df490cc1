"""The link: both ways, bounded, and honest about its end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

from emulator.worker import link as link_module
from emulator.worker.link import Link
from emulator.worker.messages import Alive, Message, MessageReader, Ping, Pong


class End:
    """One end and what it has heard."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.lost: list[str] = []
        self.news = asyncio.Event()
        self.link = Link(self._receive, self._lose)

    def _receive(self, message: Message) -> None:
        self.messages.append(message)
        self.news.set()

    def _lose(self, reason: str) -> None:
        self.lost.append(reason)
        self.news.set()

    async def wait(self) -> None:
        async with asyncio.timeout(5):
            await self.news.wait()
        self.news.clear()


def with_socketpair(
    scenario: Callable[[socket.socket, socket.socket], Awaitable[None]],
) -> None:
    async def run() -> None:
        ours, theirs = socket.socketpair()
        await scenario(ours, theirs)

    asyncio.run(run())


def test_messages_go_both_ways_after_the_greeting() -> None:
    async def scenario(ours: socket.socket, theirs: socket.socket) -> None:
        host, child = End(), End()
        await child.link.open(theirs, greeting=Alive(7))
        await host.link.open(ours)
        await host.wait()
        host.link.send(Ping(1))
        await child.wait()
        child.link.send(Pong(1))
        await host.wait()
        assert host.messages == [Alive(7), Pong(1)]
        assert child.messages == [Ping(1)]
        host.link.close()
        await child.wait()
        assert child.lost == ["ended"]
        child.link.send(Pong(2))

    with_socketpair(scenario)


def test_an_end_that_does_not_read_is_given_up(monkeypatch: object) -> None:
    async def scenario(ours: socket.socket, theirs: socket.socket) -> None:
        host = End()
        await host.link.open(ours)
        for number in range(1_000_000):
            host.link.send(Ping(number))
            if number % 1000 == 0:
                await asyncio.sleep(0)
            if host.lost:
                break
        assert host.lost == ["does not read its messages"]
        theirs.close()

    before = link_module.MAX_UNREAD_BYTES
    link_module.MAX_UNREAD_BYTES = 10_000
    try:
        with_socketpair(scenario)
    finally:
        link_module.MAX_UNREAD_BYTES = before


def test_a_corrupt_link_is_given_up() -> None:
    async def scenario(ours: socket.socket, theirs: socket.socket) -> None:
        host = End()
        await host.link.open(ours)
        theirs.sendall(b"\xff\xff\xff\xff")
        await host.wait()
        assert host.lost == ["worker link frame of 4294967295 bytes"]
        theirs.close()

    with_socketpair(scenario)


def test_what_is_sent_in_one_turn_is_one_write_in_order() -> None:
    async def scenario(ours: socket.socket, theirs: socket.socket) -> None:
        host = End()
        await host.link.open(ours)
        theirs.setblocking(False)
        host.link.send(Ping(1))
        host.link.send(Ping(2))
        host.link.close()
        loop = asyncio.get_running_loop()
        first = await loop.sock_recv(theirs, 1 << 16)
        assert list(MessageReader().feed(first)) == [Ping(1), Ping(2)]
        await host.wait()
        assert host.lost == ["ended"]
        theirs.close()

    with_socketpair(scenario)

"""The link at the edges that no socket can be made to hit on purpose."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from picows import WSTransport

from emulator.stream.assembler import Binary
from emulator.stream.link import BotLink
from emulator.stream.url import parse_bot_url
from emulator.stream_options import StreamOptions


class Owner:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def link_opened(self) -> None:
        self.told.append("opened")

    def message_arrived(self, message: bytes | Binary) -> None:
        self.told.append("message")

    def bot_closed(self) -> None:
        self.told.append("closed")

    def may_write_again(self) -> None:
        self.told.append("writable")

    def bot_floods(self) -> None:
        self.told.append("floods")


class LateTransport:
    """A connection whose upgrade succeeds in the instant after the deadline."""

    is_aborted = False

    def disconnect(self, graceful: bool = True) -> None:
        self.is_aborted = not graceful


def test_an_upgrade_in_the_instant_of_the_deadline_is_refused_and_forgotten() -> None:
    async def run() -> None:
        owner, late = Owner(), LateTransport()
        options = StreamOptions(handshake_timeout_s=0.01)
        link = BotLink(parse_bot_url("ws://127.0.0.1:1/", options), options, owner)
        transport = cast(WSTransport, late)
        try:
            async with asyncio.timeout(0) as deadline:
                link._deadline = deadline
                await asyncio.sleep(1)
        except TimeoutError:
            pass
        link.connected(transport)
        link.frame_arrived(transport, cast(Any, None))
        link.disconnected(transport)
        assert late.is_aborted
        assert owner.told == []
        assert link.end is None

    asyncio.run(run())


def test_a_link_that_never_opened_takes_orders_and_does_nothing() -> None:
    async def run() -> None:
        owner = Owner()
        options = StreamOptions()
        link = BotLink(parse_bot_url("ws://127.0.0.1:1/", options), options, owner)
        link.send(b"{}")
        link.close()
        await link.wait_closed()
        assert owner.told == []

    asyncio.run(run())

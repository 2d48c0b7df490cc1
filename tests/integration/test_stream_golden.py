"""A scripted call's whole exchange, byte by byte, in both profiles.

``tests/data/stream/<profile>.txt`` holds one message per line: ``>`` to the bot, ``<``
from it, ``=`` what the call does in between. To accept a change on purpose, delete the
file: a run without it writes it, and fails so that somebody reads the difference.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection

from emulator.ids import IdSource
from emulator.stream.client import StreamClient
from emulator.stream.interface import StreamRequest
from emulator.stream_options import profile_options
from tests.integration.stream_support import (
    Recorder,
    bot_server,
    finish,
    make_stream,
    play,
    until,
)

DATA = Path(__file__).parent.parent / "data" / "stream"
AT = datetime(2025, 10, 26, 6, 30, tzinfo=UTC)
URL_TAIL = "?sample-rate=8000&key1=value<1>&b=2"


def request(url: str) -> StreamRequest:
    ids = IdSource(7)
    return StreamRequest(
        stream_sid=ids.sid(AT),
        call_sid=ids.sid(AT),
        account_sid="exotel1",
        url=url + URL_TAIL,
        from_="sip:08060000509",
        to="01500000321",
        custom_parameters={"UUI": "7&8", "Custom-Header": "Salesbot"},
    )


class ScriptedCall:
    """Both sides of one call, step by step; the next follows when the last arrived."""

    def __init__(self, client: StreamClient, sink: Recorder, sid: str) -> None:
        self.lines: list[str] = []
        self._client = client
        self._sink = sink
        self._sid = sid
        self._bot: ServerConnection | None = None

    async def serve(self, socket: ServerConnection) -> None:
        self._bot = socket
        while True:
            text = await socket.recv()
            assert isinstance(text, str)
            self.lines.append(f"> {text}")

    async def expect(self, count: int) -> None:
        await until(lambda: len(self.sent()) == count)

    def sent(self) -> list[str]:
        return [line for line in self.lines if line.startswith(">")]

    async def bot_says(self, event: str, **body: object) -> None:
        assert self._bot is not None
        text = json.dumps({"event": event, "stream_sid": self._sid, **body})
        self.lines.append(f"< {text}")
        await self._bot.send(text)

    async def run(self) -> None:
        client, sink = self._client, self._sink
        sink.echoes_marks = False
        client.start()
        await self.expect(2)
        for number in range(3):
            client.send_audio(bytes([number, 0xFF]) * (client.chunk_bytes // 2))
        await self.expect(5)
        await self.bot_says("media", media={"payload": "AAAA" * 1280})
        await self.bot_says("mark", mark={"name": "<hello>"})
        await until(lambda: sink.marks)
        client.mark_played("<hello>")
        await self.expect(6)
        client.send_digit("#", 120)
        await self.expect(7)
        await self.bot_says("clear")
        await until(lambda: sink.clears)
        client.send_audio(bytes(client.chunk_bytes))
        await self.expect(8)
        self.lines.append("= the caller hangs up")
        client.close("callended")
        outcome = await finish(sink)
        self.lines.append(
            f"= {outcome.status} by {outcome.disconnected_by}, "
            f"close {outcome.close_code} by {outcome.closed_first}"
        )


@pytest.mark.parametrize("profile", ["observed", "documented"])
def test_the_whole_exchange_is_the_golden_one(profile: str) -> None:
    golden = DATA / f"{profile}.txt"

    async def scenario() -> None:
        calls: list[ScriptedCall] = []

        async def bot(socket: ServerConnection) -> None:
            await calls[0].serve(socket)

        async with bot_server(bot) as url:
            wanted = request(url)
            # The applet's limits under test are those of the newer form.
            options = profile_options(
                profile, custom_params_max=25, custom_params_max_chars=800
            )
            client, sink = make_stream(
                wanted.url, options, **{
                    name: getattr(wanted, name)
                    for name in ("stream_sid", "call_sid", "account_sid", "from_",
                                 "to", "custom_parameters")
                },
            )  # fmt: skip
            calls.append(ScriptedCall(client, sink, wanted.stream_sid))
            await calls[0].run()
        text = "\n".join(calls[0].lines) + "\n"
        if not golden.exists():
            golden.write_text(text)
            pytest.fail(f"{golden} was missing and is written now: read it")
        assert text == golden.read_text()

    play(scenario)

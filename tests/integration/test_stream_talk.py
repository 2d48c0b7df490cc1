"""Whole conversations: our client on picows, bots on websockets, real sockets."""

from __future__ import annotations

import asyncio
import gc
import json
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from emulator.bots.server import serve_bot
from emulator.stream.client import StreamClient
from emulator.stream_options import profile_options
from tests.integration.stream_support import (
    bot_server,
    finish,
    make_stream,
    play,
    until,
)


class Listener:
    """A bot that keeps every message and says what it is told to."""

    def __init__(self, *says: str | bytes) -> None:
        self.heard: list[dict[str, Any]] = []
        self.raw: list[str] = []
        self.code: int | None = None
        self.headers: dict[str, str] = {}
        self.path = ""
        self._says = says

    async def __call__(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        self.headers = dict(socket.request.headers.raw_items())
        self.path = socket.request.path
        for message in self._says:
            await socket.send(message)
        try:
            async for text in socket:
                assert isinstance(text, str)
                self.raw.append(text)
                self.heard.append(json.loads(text))
        finally:
            await socket.wait_closed()
            self.code = socket.close_code

    def events(self) -> list[str]:
        return [message["event"] for message in self.heard]


def say(event: str, **body: Any) -> str:
    return json.dumps({"event": event, "stream_sid": "5" * 32, **body})


def test_an_echo_bot_returns_the_callers_audio() -> None:
    async def scenario() -> None:
        lines: list[str] = []
        async with await serve_bot("echo", report=lines.append) as bot:
            client, sink = make_stream(f"ws://127.0.0.1:{bot.port}/media?queue=7")
            client.start()
            await sink.opened.wait()
            spoken = [bytes([n, n + 1]) * 160 for n in range(50)]
            for chunk in spoken:
                client.send_audio(chunk)
            await until(lambda: len(sink.audio) == 16_000)
            assert bytes(sink.audio) == b"".join(spoken)
            client.close("callended")
            outcome = await finish(sink)
            await until(lambda: len(lines) == 3)
        assert outcome.status == "completed"
        assert outcome.disconnected_by == "user"
        assert (outcome.close_code, outcome.closed_first) == (1006, "platform")
        assert lines == [
            f'{"5" * 32} start from 09900000000 to 04400000000 {{"queue": "7"}}',
            f"{'5' * 32} stop callended",
            f"{'5' * 32} closed 1006",
        ]

    play(scenario)


def test_the_timeline_tells_the_stream_from_dialling_to_close() -> None:
    async def scenario() -> None:
        async with await serve_bot("echo") as bot:
            url = f"ws://key:secret@127.0.0.1:{bot.port}/media"
            client, sink = make_stream(url)
            client.start()
            await sink.opened.wait()
            client.send_audio(bytes(320))
            await until(lambda: sink.audio)
            client.send_digit("#", 120)
            client.close("stopped")
            await finish(sink)
        assert sink.kinds() == [
            "stream.connecting",
            "stream.opened",
            "stream.sent",
            "stream.sent",
            "stream.media_to_bot",
            "note",
            "stream.media_from_bot",
            "stream.sent",
            "stream.sent",
            "stream.closed",
        ]
        (connecting,) = sink.data("stream.connecting")
        assert connecting["url"] == f"ws://***@127.0.0.1:{bot.port}/media"
        assert "secret" not in str(sink.events)
        sent = sink.data("stream.sent")
        assert [data["event"] for data in sent] == [
            "connected",
            "start",
            "dtmf",
            "stop",
        ]
        assert sent[1]["start"]["call_sid"] == "c" * 32
        (closed,) = sink.data("stream.closed")
        assert closed["close_code"] == 1006
        assert closed["audio_to_bot_ms"] == closed["audio_from_bot_ms"] == 20
        assert closed["notes"] == {"media.small": 1}

    play(scenario)


def test_the_upgrade_request_is_the_observed_one() -> None:
    async def scenario() -> None:
        bot = Listener()
        async with bot_server(bot, compression="deflate") as url:
            url = url.replace("ws://", "ws://key:to%40ken@") + "?a=1&sample-rate=8000"
            client, sink = make_stream(url)
            client.start()
            await sink.opened.wait()
            client.close("stopped")
            await finish(sink)
        assert {name.lower() for name in bot.headers} == {
            "host",
            "user-agent",
            "authorization",
            "upgrade",
            "connection",
            "sec-websocket-key",
            "sec-websocket-version",
        }
        assert bot.headers["User-Agent"] == "Go-http-client/1.1"
        assert bot.headers["Authorization"] == "Basic a2V5OnRvQGtlbg=="
        assert bot.headers["Host"] == url.split("@")[1].split("/")[0]
        assert bot.path == "/media?a=1&sample-rate=8000"

    play(scenario)


def test_further_upgrade_headers_are_sent_by_knob() -> None:
    async def scenario() -> None:
        bot = Listener()
        options = profile_options(
            "observed", user_agent="Test/1", upgrade_headers={"X-Key": "7"}
        )
        async with bot_server(bot) as url:
            client, sink = make_stream(url, options)
            client.start()
            await sink.opened.wait()
            client.close("stopped")
            await finish(sink)
        assert bot.headers["X-Key"] == "7"
        assert bot.headers["User-Agent"] == "Test/1"

    play(scenario)


def test_messages_reach_the_bot_in_order_with_their_counters() -> None:
    async def scenario() -> None:
        bot = Listener(say("mark", mark={"name": "m1"}))
        async with bot_server(bot) as url:
            client, sink = make_stream(url)
            client.start()
            await until(lambda: sink.marks)
            client.send_audio(bytes(320))
            client.send_digit("7", 80)
            client.send_audio(bytes(320))
            client.close("callended")
            await finish(sink)
        assert bot.events() == [
            "connected",
            "start",
            "mark",
            "media",
            "dtmf",
            "media",
            "stop",
        ]
        numbers = [message.get("sequence_number") for message in bot.heard]
        assert numbers == [None, "1", "2", "3", "4", "5", "6"]
        assert bot.heard[-1]["stop"]["reason"] == "callended"

    play(scenario)


@pytest.mark.parametrize(
    ("mode", "code"), [("abrupt", 1006), ("normal", 1000)], ids=["abrupt", "normal"]
)
def test_stop_arrives_before_the_socket_ends(mode: str, code: int) -> None:
    async def scenario() -> None:
        # A bot that talks all the time: unread data must not turn the end into a
        # reset that overtakes stop.
        payload = say("media", media={"payload": "A" * 4268})
        bot = Listener(*[payload] * 100)
        async with bot_server(bot) as url:
            client, sink = make_stream(
                url, profile_options("observed", close_mode=mode)
            )
            client.start()
            await sink.opened.wait()
            for _ in range(20):
                client.send_audio(bytes(320))
            client.close("callended")
            outcome = await finish(sink)
            await until(lambda: bot.code is not None)
        assert bot.events()[-1] == "stop"
        assert len(bot.heard) == 23
        assert bot.code == outcome.close_code == code
        assert outcome.closed_first == "platform"

    play(scenario)


def test_the_url_sets_rate_and_parameters() -> None:
    async def scenario() -> None:
        bot = Listener()
        async with bot_server(bot) as url:
            client, sink = make_stream(
                f"{url}?sample-rate=16000&b=1&a=2", custom_parameters={"UUI": "7"}
            )
            assert (client.chunk_bytes, client.sample_rate_hz) == (640, 16000)
            client.start()
            await sink.opened.wait()
            client.close("stopped")
            await finish(sink)
        start = bot.heard[1]["start"]
        assert start["media_format"]["sample_rate"] == "16000"
        assert list(start["custom_parameters"].items()) == [
            ("UUI", "7"),
            ("a", "2"),
            ("b", "1"),
        ]

    play(scenario)


def test_a_clear_reaches_the_sink_and_is_not_answered() -> None:
    async def scenario() -> None:
        bot = Listener(say("clear"))
        async with bot_server(bot) as url:
            client, sink = make_stream(url)
            client.start()
            await until(lambda: sink.clears)
            client.close("stopped")
            await finish(sink)
        assert bot.events() == ["connected", "start", "stop"]
        assert sink.data("stream.received") == [{"event": "clear"}]

    play(scenario)


def test_calls_after_the_end_do_nothing() -> None:
    async def scenario() -> None:
        async with await serve_bot("echo") as bot:
            client, sink = make_stream(f"ws://127.0.0.1:{bot.port}/")
            client.start()
            await sink.opened.wait()
            client.close("stopped")
            client.close("callended")
            client.send_audio(bytes(320))
            await finish(sink)
            client.send_audio(bytes(320))
            client.send_digit("1", 100)
            client.mark_played("x")
            client.close("stopped")
            await asyncio.sleep(0.05)
        assert sink.outcome.disconnected_by == "NA"
        assert sink.outcome.stats["media_to_bot"] == 0

    play(scenario)


def test_many_streams_to_one_bot_leave_nothing_behind() -> None:
    async def scenario() -> None:
        async with await serve_bot("echo") as bot:
            streams = [make_stream(f"ws://127.0.0.1:{bot.port}/") for _ in range(50)]
            for client, _ in streams:
                client.start()
            for client, sink in streams:
                await sink.opened.wait()
                client.send_audio(bytes(320))
            for client, sink in streams:
                await until(lambda: sink.audio)  # noqa: B023
                client.close("callended")
            for _, sink in streams:
                assert (await finish(sink)).status == "completed"

    play(scenario)


@pytest.mark.slow
def test_a_thousand_streams_leave_no_object_behind() -> None:
    async def scenario() -> None:
        async with await serve_bot("echo") as bot:
            for _ in range(10):
                streams = [
                    make_stream(f"ws://127.0.0.1:{bot.port}/") for _ in range(50)
                ]
                for client, _sink in streams:
                    client.start()
                for client, sink in streams:
                    await sink.opened.wait()
                    client.send_audio(bytes(320))
                    client.close("callended")
                for _client, sink in streams:
                    await finish(sink)
        del streams, client, _client, sink, _sink
        # Their tasks are done; one turn of the loop lets go of the last callback.
        await asyncio.sleep(0)
        gc.collect()
        left = [item for item in gc.get_objects() if type(item) is StreamClient]
        assert left == []

    # Five hundred on each loop.
    play(scenario)

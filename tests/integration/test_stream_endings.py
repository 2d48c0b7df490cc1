"""How streams end: who closed, with which code, and what the outcome says."""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from emulator.stream.interface import StreamOutcome
from emulator.stream_options import StreamOptions, profile_options
from tests.integration.stream_support import (
    Recorder,
    accept_upgrade,
    bot_server,
    dial_to_the_end,
    finish,
    frame,
    make_stream,
    play,
    raw_server,
    until,
)

SID = "5" * 32
CLOSE = 0x8


def say(event: str, **body: Any) -> str:
    return json.dumps({"event": event, "stream_sid": SID, **body})


async def listen(socket: ServerConnection) -> None:
    async for _ in socket:
        pass


def how(outcome: StreamOutcome) -> tuple[str, str, int | None, str | None]:
    return (
        outcome.status,
        outcome.disconnected_by,
        outcome.close_code,
        outcome.closed_first,
    )


@pytest.mark.parametrize(
    ("code", "reason"),
    [(1000, ""), (1001, "bye"), (1011, "crash"), (1013, ""), (3000, ""), (4000, "é")],
)
def test_a_bot_that_closes_is_told_by_its_code_and_reason(
    code: int, reason: str
) -> None:
    async def close(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.close(code, reason)
        codes.append((socket.close_code, socket.close_reason))

    codes: list[tuple[int | None, str | None]] = []

    async def scenario() -> None:
        codes.clear()
        async with bot_server(close) as url:
            sink = await dial_to_the_end(url)
        assert how(sink.outcome) == ("completed", "bot", code, "bot")
        assert sink.outcome.close_reason == reason
        assert codes[0][0] == code
        assert "stop" not in [data["event"] for data in sink.data("stream.sent")]

    play(scenario)


def test_a_close_without_a_code_is_1005_and_answered_in_kind() -> None:
    answers: list[bytes] = []

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accept_upgrade(reader, writer)
        writer.write(frame(CLOSE))
        await writer.drain()
        answers.append(await reader.read(-1))

    async def scenario() -> None:
        answers.clear()
        async with raw_server(close) as url:
            sink = await dial_to_the_end(url)
            await until(lambda: answers)
        assert how(sink.outcome) == ("completed", "bot", 1005, "bot")
        # An empty masked close frame: FIN and opcode, then mask bit and length 0.
        assert answers[0][-6:-4] == b"\x88\x80"

    play(scenario)


def test_a_bot_that_drops_tcp_is_1006_by_the_network() -> None:
    async def drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accept_upgrade(reader, writer)
        await asyncio.sleep(0.02)

    async def scenario() -> None:
        async with raw_server(drop) as url:
            sink = await dial_to_the_end(url)
        assert how(sink.outcome) == ("completed", "bot", 1006, "network")

    play(scenario)


def test_a_connection_that_is_reset_is_1006_by_the_network() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accept_upgrade(reader, writer)
        sock = writer.get_extra_info("socket")
        # SO_LINGER of zero seconds turns a close into a reset.
        sock.setsockopt(1, 13, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def scenario() -> None:
        async with raw_server(reset) as url:
            sink = await dial_to_the_end(url)
        assert how(sink.outcome) == ("completed", "bot", 1006, "network")

    play(scenario)


def test_a_drop_in_the_middle_of_a_frame_is_a_drop() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accept_upgrade(reader, writer)
        writer.write(frame(1, b"x" * 300)[:100])
        await writer.drain()

    async def scenario() -> None:
        async with raw_server(cut) as url:
            sink = await dial_to_the_end(url)
        assert how(sink.outcome) == ("completed", "bot", 1006, "network")

    play(scenario)


@pytest.mark.parametrize(
    ("reason", "knobs", "status", "by"),
    [
        ("callended", {}, "completed", "user"),
        ("callended", {"caller_hangup_status": "cancelled"}, "cancelled", "user"),
        ("stopped", {}, "completed", "NA"),
    ],
)
def test_our_own_end_says_who_wanted_it(
    reason: str, knobs: dict[str, Any], status: str, by: str
) -> None:
    async def scenario() -> None:
        async with bot_server(listen) as url:
            client, sink = make_stream(url, profile_options("observed", **knobs))
            client.start()
            await sink.opened.wait()
            client.close(reason)
            outcome = await finish(sink)
        assert how(outcome) == (status, by, 1006, "platform")
        assert outcome.duration_s >= 0

    play(scenario)


def test_a_bot_that_closes_upon_stop_closed_first() -> None:
    async def polite(socket: ServerConnection) -> None:
        async for message in socket:
            if json.loads(message)["event"] == "stop":
                await socket.close(1000, "bye")

    async def scenario() -> None:
        options = profile_options("observed", close_delay_ms=1000)
        async with bot_server(polite) as url:
            client, sink = make_stream(url, options)
            client.start()
            await sink.opened.wait()
            client.close("callended")
            outcome = await finish(sink)
        assert how(outcome) == ("completed", "user", 1000, "bot")

    play(scenario)


def test_the_socket_ends_the_set_time_after_stop() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        heard: list[str] = []
        ends_s: list[float] = []

        async def keep_time(socket: ServerConnection) -> None:
            try:
                while True:
                    heard.append(json.loads(await socket.recv())["event"])
            finally:
                ends_s.append(loop.time())

        options = profile_options("observed", close_delay_ms=100)
        async with bot_server(keep_time) as url:
            client, sink = make_stream(url, options)
            client.start()
            await sink.opened.wait()
            stopped_s = loop.time()
            client.close("callended")
            await finish(sink)
            await until(lambda: ends_s)
        assert heard[-1] == "stop"
        assert ends_s[0] - stopped_s > 0.09

    play(scenario)


def test_what_a_bot_answers_to_stop_does_not_arrive() -> None:
    async def chatty(socket: ServerConnection) -> None:
        async for message in socket:
            if json.loads(message)["event"] == "stop":
                await asyncio.sleep(0.03)
                await socket.send(say("mark", mark={"name": "too late"}))

    async def scenario() -> None:
        async with bot_server(chatty) as url:
            client, sink = make_stream(url)
            client.start()
            await sink.opened.wait()
            client.close("callended")
            await finish(sink)
        assert sink.marks == []

    play(scenario)


@pytest.mark.parametrize("mode", ["abrupt", "normal"])
def test_a_bot_that_never_closes_its_end_is_left_after_a_moment(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emulator.stream.link.LINGER_S", 0.1)

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accept_upgrade(reader, writer)
        await released.pop().wait()

    released: list[asyncio.Event] = []

    async def scenario() -> None:
        release = asyncio.Event()
        released.append(release)
        async with raw_server(stall) as url:
            client, sink = make_stream(
                url, profile_options("observed", close_mode=mode)
            )
            client.start()
            await sink.opened.wait()
            client.close("callended")
            outcome = await finish(sink)
            release.set()
        assert outcome.closed_first == "platform"

    play(scenario)


def test_a_session_ends_at_its_limit() -> None:
    async def scenario() -> None:
        heard: list[str | bytes] = []

        async def keep(socket: ServerConnection) -> None:
            while True:
                heard.append(await socket.recv())

        async with bot_server(keep) as url:
            sink = await dial_to_the_end(
                url, profile_options("observed", max_session_s=0.1)
            )
        assert how(sink.outcome) == ("completed", "NA", 1006, "platform")
        assert sink.outcome.duration_s > 0.09
        assert json.loads(heard[-1])["stop"]["reason"] == "stopped"

    play(scenario)


def test_a_stop_of_the_bot_ends_the_stream() -> None:
    async def stop(socket: ServerConnection) -> None:
        await socket.send(say("stop"))
        await listen(socket)

    async def scenario() -> None:
        async with bot_server(stop) as url:
            sink = await dial_to_the_end(url)
        assert sink.outcome.status == "completed"
        assert sink.outcome.disconnected_by == "bot"
        assert sink.rules() == ["stop.ended"]
        assert "stop" not in [data["event"] for data in sink.data("stream.sent")]

    play(scenario)


# -- silence


def silent(
    monkeypatch: pytest.MonkeyPatch, after_s: float = 0.05, **knobs: Any
) -> StreamOptions:
    monkeypatch.setattr("emulator.stream.client.FIRST_MESSAGE_NOTE_S", after_s)
    return profile_options("observed", **knobs)


def test_a_silent_bot_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    options = silent(monkeypatch)

    async def scenario() -> None:
        async with bot_server(listen) as url:
            client, sink = make_stream(url, options)
            client.start()
            await until(sink.rules)
            client.close("stopped")
            await finish(sink)
        assert sink.rules() == ["bot.silent"]
        assert sink.outcome.status == "completed"

    play(scenario)


def test_a_bot_that_speaks_is_not_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    options = silent(monkeypatch, after_s=1.0)

    async def speak(socket: ServerConnection) -> None:
        await socket.send(say("mark", mark={"name": "here"}))
        await listen(socket)

    async def scenario() -> None:
        async with bot_server(speak) as url:
            client, sink = make_stream(url, options)
            client.start()
            await sink.opened.wait()
            await asyncio.sleep(1.1)
            client.close("stopped")
            await finish(sink)
        assert sink.rules() == []

    play(scenario)


def test_a_bot_of_a_one_way_stream_may_be_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = silent(monkeypatch, first_message_timeout_s=0.05)

    async def scenario() -> None:
        async with bot_server(listen) as url:
            client, sink = make_stream(url, options, two_way=False)
            client.start()
            await asyncio.sleep(0.1)
            client.close("stopped")
            await finish(sink)
        assert sink.rules() == []

    play(scenario)


def test_a_silent_bot_is_fatal_by_knob() -> None:
    async def scenario() -> None:
        async with bot_server(listen) as url:
            sink = await dial_to_the_end(
                url, profile_options("observed", first_message_timeout_s=0.05)
            )
        assert how(sink.outcome) == ("failed", "NA", 1006, "platform")
        assert sink.outcome.error == (
            "no message within 0.05 s (stream.first_message_timeout_s)"
        )

    play(scenario)


# -- outsiders


def test_a_loop_that_ends_takes_its_streams_with_it() -> None:
    async def scenario() -> None:
        async with bot_server(listen) as url:
            client, sink = make_stream(url)
            client.start()
            await sink.opened.wait()
            task = next(t for t in asyncio.all_tasks() if t.get_name().endswith(SID))
            task.cancel()
            await finish(sink)
            client.close("callended")
        assert sink.outcome.status == "cancelled"

    play(scenario)


def test_a_sink_that_raises_ends_its_own_stream_only() -> None:
    class Broken(Recorder):
        def bot_mark(self, name: str) -> None:
            raise RuntimeError("engine bug")

    async def speak(socket: ServerConnection) -> None:
        await socket.send(say("mark", mark={"name": "x"}))
        await listen(socket)

    async def scenario() -> None:
        async with bot_server(speak) as url:
            client, _ = make_stream(url)
            client._sink = sink = Broken()
            client.start()
            outcome = await finish(sink)
        assert outcome.status == "failed"
        assert "engine bug" in (outcome.error or "")
        assert outcome.close_code == 1011

    play(scenario)

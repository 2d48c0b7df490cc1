"""Whatever a bot sends: the stream lives on, or ends with its outcome; never more."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from emulator.stream.link import BotLink
from emulator.stream_options import StreamOptions, profile_options
from tests.integration.stream_support import (
    Recorder,
    accept_upgrade,
    bot_server,
    dial_to_the_end,
    finish,
    frame,
    make_certificate,
    make_stream,
    play,
    raw_server,
    server_context,
    until,
)

SID = "5" * 32
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
NOT_FINAL = 0x00


def say(event: str, **body: Any) -> bytes:
    return json.dumps({"event": event, "stream_sid": SID, **body}).encode()


def mark(name: str) -> bytes:
    return say("mark", mark={"name": name})


def media(audio_bytes: int) -> bytes:
    return say("media", media={"payload": "AAAA" * (audio_bytes // 3)})


def bot_of(*frames: bytes) -> Any:
    """Return a raw bot that sends frames and then reads on."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accept_upgrade(reader, writer)
        writer.write(b"".join(frames))
        await writer.drain()
        await reader.read(-1)

    return talk


async def survives(*frames: bytes, **knobs: Any) -> Recorder:
    """Let a bot send ``frames``, then a mark; the stream must still hear the mark."""
    async with raw_server(bot_of(*frames, frame(TEXT, mark("alive")))) as url:
        client, sink = make_stream(url, profile_options("observed", **knobs))
        client.start()
        await until(lambda: "alive" in sink.marks or sink.outcomes)
        client.close("stopped")
        outcome = await finish(sink)
    assert outcome.status == "completed", outcome
    return sink


@pytest.mark.parametrize(
    ("frames", "rules"),
    [
        ([frame(TEXT, b"hello")], ["message.json"]),
        ([frame(TEXT, b"")], ["message.json"]),
        ([frame(TEXT, b"42")], ["message.object"]),
        ([frame(TEXT, b"NaN")], ["message.json"]),
        ([frame(TEXT, b"[" * 10_000 + b"]" * 10_000)], ["message.json"]),
        ([frame(TEXT, b'{"event":' * 10_000)], ["message.json"]),
        ([frame(BINARY, b"\x00\x01")], ["message.binary"]),
        ([frame(TEXT, say("hangup"))], ["message.event"]),
        ([frame(TEXT, say("start"))], ["message.direction"]),
        ([frame(TEXT, media(3)[:-10] + b"}}")], ["message.json"]),
        ([frame(PONG, b"never asked for")], []),
    ],
)
def test_a_message_that_makes_no_sense_is_skipped(
    frames: list[bytes], rules: list[str]
) -> None:
    async def scenario() -> None:
        sink = await survives(*frames)
        assert sink.rules() == rules

    play(scenario)


def test_fragments_make_a_message_with_pings_between_them() -> None:
    async def scenario() -> None:
        text = mark("in pieces")
        sink = await survives(
            frame(TEXT, text[:5], first=NOT_FINAL),
            frame(PING, b"p"),
            frame(CONTINUATION, text[5:20], first=NOT_FINAL),
            frame(CONTINUATION, text[20:]),
        )
        assert sink.marks == ["in pieces", "alive"]

    play(scenario)


@pytest.mark.parametrize(
    ("frames", "error"),
    [
        ([frame(TEXT, b"\xff\xfe")], "1007: invalid UTF-8"),
        ([frame(CONTINUATION, b"x")], "1002: continuation without a first fragment"),
        ([frame(TEXT, b"a", first=NOT_FINAL), frame(TEXT, b"b")],
         "1002: new message inside a fragmented one"),
        ([frame(TEXT, b"x", first=0xC0)],
         "1002: reserved bit set without an extension"),
        ([frame(0x3, b"x")], "1002: unknown opcode 0x3"),
        ([frame(PING, b"x", first=NOT_FINAL)], "1002: control frame in fragments"),
        ([bytes([0x81, 0x81]) + b"mask" + b"x"], "1002: masked frame from a server"),
        ([bytes([0x89, 126, 0, 200]) + b"x" * 200],
         "1002: control frame over 125 bytes"),
        ([bytes([0x81, 127]) + b"\xff" * 8],
         "1002: length of a frame in a wrong form"),
        ([frame(TEXT, b"x" * 5000)], "1009: frame too big: 5000 > 4096"),
        ([frame(TEXT, b"x" * 3000, first=NOT_FINAL),
          frame(CONTINUATION, b"x" * 3000)], "1009: message over 4096 bytes"),
        ([frame(CLOSE, (999).to_bytes(2, "big"))], "1002: bad close code 999"),
        ([frame(CLOSE, b"\x03")], "1002: half a close code"),
        ([frame(CLOSE, (1000).to_bytes(2, "big") + b"\xff")],
         "1007: invalid UTF-8 in a close reason"),
    ],
)  # fmt: skip
def test_broken_framing_fails_the_stream_with_its_close_code(
    frames: list[bytes], error: str
) -> None:
    async def scenario() -> None:
        async with raw_server(bot_of(*frames)) as url:
            options = profile_options("observed", max_message_bytes=4096)
            sink = await dial_to_the_end(url, options)
        outcome = sink.outcome
        assert (outcome.status, outcome.disconnected_by) == ("failed", "NA")
        assert outcome.closed_first == "platform"
        assert outcome.close_code == int(error[:4])
        assert outcome.error == f"websocket: close {error}"

    play(scenario)


def test_a_10_mb_message_fails_the_stream_without_being_held() -> None:
    async def scenario() -> None:
        async with raw_server(bot_of(frame(TEXT, b"x" * 10_000_000))) as url:
            sink = await dial_to_the_end(url)
        assert sink.outcome.close_code == 1009

    play(scenario)


def test_a_large_message_comes_whole_over_tls(tmp_path: Path) -> None:
    context = server_context(make_certificate(tmp_path))
    bot = bot_of(frame(TEXT, media(1_500_000)), frame(PING), frame(TEXT, say("clear")))

    async def scenario() -> None:
        async with raw_server(bot, context) as url:
            client, sink = make_stream(url, StreamOptions(tls_verify=False))
            client.start()
            await until(lambda: sink.clears)
            client.close("stopped")
            outcome = await finish(sink)
        assert len(sink.audio) == 1_500_000
        assert outcome.status == "completed"

    play(scenario)


def test_a_message_of_the_largest_size_is_played() -> None:
    async def scenario() -> None:
        sink = await survives(frame(TEXT, media(1_500_000)))
        assert len(sink.audio) == 1_500_000
        assert "media.large" in sink.rules()

    play(scenario)


def test_pings_are_answered_or_not_by_knob() -> None:
    async def scenario() -> None:
        pongs: list[bool] = []
        patience_s = 5.0

        async def bot(socket: ServerConnection) -> None:
            pong = await socket.ping()
            try:
                await asyncio.wait_for(pong, patience_s)
                pongs.append(True)
            except TimeoutError:
                pongs.append(False)

        for ignore in (False, True):
            async with bot_server(bot, ping_interval=None) as url:
                await dial_to_the_end(
                    url, profile_options("observed", ignore_pings=ignore)
                )
            patience_s = 0.2  # The second one waits in vain.
        assert pongs == [True, False]

    play(scenario)


# -- floods


async def tick(ticks: list[float]) -> None:
    """Stand for the worker's other calls: they need the loop every 5 ms."""
    while True:
        await asyncio.sleep(0.005)
        ticks.append(asyncio.get_running_loop().time())


@pytest.mark.parametrize(
    "flood",
    [
        frame(PING) * 50_000,
        frame(PING, b"x" * 125) * 5_000,
        frame(TEXT, b"") * 50_000,
        frame(TEXT, say("clear")) * 5_000,
        frame(TEXT, media(3)) * 5_000,
        frame(TEXT, b"", first=NOT_FINAL) + frame(CONTINUATION, b"", first=0) * 50_000
        + frame(CONTINUATION, b"{}"),
    ],
    ids=["pings", "long pings", "empty", "clears", "media", "fragments"],
)  # fmt: skip
def test_a_flood_is_read_in_slices_and_nothing_is_lost(flood: bytes) -> None:
    async def scenario() -> None:
        ticks: list[float] = []
        ticker = asyncio.create_task(tick(ticks))
        sink = await survives(flood)
        ticker.cancel()
        assert sink.marks == ["alive"]
        assert "bot.flood" in sink.rules()
        # Others had their turns in between: without slices it is one long stall.
        assert len(ticks) >= 5

    play(scenario)


def test_a_mark_storm_is_echoed_in_order() -> None:
    async def scenario() -> None:
        names = [f"m{n}" for n in range(300)]
        heard: list[str] = []

        async def bot(socket: ServerConnection) -> None:
            for name in names:
                await socket.send(mark(name).decode())
            async for text in socket:
                message = json.loads(text)
                if message["event"] == "mark":
                    heard.append(message["mark"]["name"])

        async with bot_server(bot) as url:
            client, sink = make_stream(url)
            client.start()
            await until(lambda: len(sink.marks) == 300)
            for _ in range(30):
                client.send_audio(bytes(320))
            await until(lambda: len(heard) == 300)
            client.close("stopped")
            await finish(sink)
        assert heard == names

    play(scenario)


def test_an_echo_loop_of_marks_is_bounded() -> None:
    async def scenario() -> None:
        echoed = 0

        async def bot(socket: ServerConnection) -> None:
            nonlocal echoed
            await socket.send(mark("x").decode())
            async for text in socket:
                if json.loads(text)["event"] == "mark":
                    echoed += 1
                    await socket.send(mark("x").decode())

        async with bot_server(bot) as url:
            client, sink = make_stream(url)
            client.start()
            await sink.opened.wait()
            for _ in range(5):
                client.send_audio(bytes(320))
                await asyncio.sleep(0.02)
            client.close("stopped")
            await finish(sink)
        assert 10 <= echoed <= 60

    play(scenario)


# -- a bot that does not read


@pytest.mark.parametrize("is_secure", [False, True], ids=["ws", "wss"])
def test_a_bot_that_does_not_read_loses_the_oldest_audio_and_nothing_grows(
    is_secure: bool, tmp_path: Path
) -> None:
    context = server_context(make_certificate(tmp_path)) if is_secure else None

    async def scenario() -> None:
        release = asyncio.Event()

        async def stall(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            await accept_upgrade(reader, writer)
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            await release.wait()
            writer.transport.resume_reading()  # type: ignore[attr-defined]
            heard.append(await reader.read(-1))

        heard: list[bytes] = []
        async with raw_server(stall, context) as url:
            client, sink = make_stream(url, StreamOptions(tls_verify=False))
            client.start()
            await sink.opened.wait()
            for _ in range(20_000):
                client.send_audio(bytes(320))
            assert isinstance(client._link, BotLink)
            assert client._link._transport is not None
            unsent = client._link._transport.underlying_transport
            assert unsent.get_write_buffer_size() < 80_000
            assert len(client._backlog) * 578 < 256_000
            await asyncio.sleep(0.01)
            release.set()
            await until(lambda: not client._backlog)
            client.send_audio(bytes(320))
            client.close("callended")
            outcome = await finish(sink)
            await until(lambda: heard)
        dropped_ms = outcome.stats["audio_to_bot_dropped_ms"]
        sent_ms = outcome.stats["audio_to_bot_ms"]
        assert isinstance(dropped_ms, int) and isinstance(sent_ms, int)
        assert dropped_ms > 0
        assert dropped_ms + sent_ms == 20_001 * 20
        assert "bot.slow_reader" in sink.rules()
        assert outcome.close_code == 1006

    play(scenario)


def test_a_bot_that_neither_reads_nor_stops_talking_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("emulator.stream.link.LINGER_S", 0.1)

    async def scenario() -> None:
        release = asyncio.Event()

        async def stall(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            await accept_upgrade(reader, writer)
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            await release.wait()

        async with raw_server(stall) as url:
            client, sink = make_stream(url)
            client.start()
            await sink.opened.wait()
            for _ in range(20_000):
                client.send_audio(bytes(320))
            client.close("callended")
            outcome = await finish(sink)
            release.set()
        assert (outcome.status, outcome.closed_first) == ("completed", "platform")

    play(scenario)

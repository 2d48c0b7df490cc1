"""Each fault of the stream: what a real bot sees of it, and what the timeline says."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import websockets
from websockets.asyncio.server import ServerConnection

from emulator.calls.leg import REMOVAL_DEADLINE_S
from emulator.faults import KINDS, Fault, FaultRule, Layer
from emulator.stream.client import StreamClient
from emulator.stream.faulty_link import LAST_WORDS_S
from emulator.stream.link import LINGER_S
from emulator.stream_options import StreamOptions, knobs, profile_options
from tests.integration.stream_support import (
    Recorder,
    bot_server,
    finish,
    make_stream,
    play,
    quick,
    until,
)

Scene = Callable[[StreamClient, Recorder, "Bot"], Awaitable[None]]


class Bot:
    """Keeps what it hears, answers nothing, and tells how its socket ended."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.socket: ServerConnection | None = None
        self.close_code: int | None = None
        self.ended = asyncio.Event()

    async def talk(self, socket: ServerConnection) -> None:
        self.socket = socket
        try:
            async for text in socket:
                assert isinstance(text, str)
                self.heard.append(text)
        except websockets.ConnectionClosedError:
            pass
        finally:
            self.close_code = socket.close_code
            self.ended.set()

    def events(self) -> list[str]:
        return [json.loads(text)["event"] for text in self.heard if _is_json(text)]

    def chunks(self) -> list[int]:
        return [
            int(json.loads(text)["media"]["chunk"])
            for text in self.heard
            if _is_json(text) and json.loads(text)["event"] == "media"
        ]

    async def say(self, event: str, **body: object) -> None:
        assert self.socket is not None
        await self.socket.send(json.dumps({"event": event, **body}))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def fault(kind: str, **parameters: Any) -> Fault:
    return Fault(kind, 1, FaultRule(kind, parameters).all_parameters())


async def stage(
    faults: tuple[Fault, ...], scene: Scene, options: StreamOptions | None = None
) -> tuple[Recorder, Bot]:
    """Let a stream with ``faults`` open, play the scene, and end it."""
    bot = Bot()
    async with bot_server(bot.talk, ping_interval=None) as url:
        client, sink = make_stream(url, options, faults=faults)
        client.start()
        await sink.opened.wait()
        await scene(client, sink, bot)
        client.close("callended")
        await finish(sink)
        await bot.ended.wait()
    return sink, bot


def send(client: StreamClient, count: int) -> None:
    for _ in range(count):
        client.send_audio(bytes(client.chunk_bytes))


def acts(sink: Recorder) -> list[dict[str, Any]]:
    return sink.data("fault.acted")


# -- the handshake


def test_a_refused_handshake_never_reaches_the_bot() -> None:
    async def scenario() -> None:
        bot = Bot()
        async with bot_server(bot.talk) as url:
            client, sink = make_stream(url, faults=(fault("refuse", status=401),))
            client.start()
            outcome = await finish(sink)
        assert bot.socket is None
        assert outcome.status == "failed"
        assert str(outcome.error).endswith("websocket: bad handshake")
        assert sink.data("stream.failed")[0]["http_status"] == 401
        assert sink.kinds().count("stream.connecting") == 2
        assert acts(sink) == [{"fault": "refuse"}]

    play(scenario)


def test_a_refusal_of_the_first_attempt_is_mended_by_the_retry() -> None:
    async def scenario() -> None:
        async def scene(client: StreamClient, sink: Recorder, bot: Bot) -> None:
            await until(lambda: bot.events() == ["connected", "start"])

        sink, _ = await stage((fault("refuse", attempts=1),), scene)
        assert sink.outcome.status == "completed"
        assert acts(sink) == [{"fault": "refuse"}]

    play(scenario)


def test_a_slow_handshake_is_seen_in_its_duration() -> None:
    async def scenario() -> None:
        async def scene(client: StreamClient, sink: Recorder, bot: Bot) -> None:
            pass

        sink, _ = await stage((fault("slow_handshake", delay_s=0.2),), scene)
        assert sink.data("stream.opened")[0]["handshake_ms"] >= 200
        assert acts(sink) == [{"fault": "slow_handshake"}]

    play(scenario)


@pytest.mark.parametrize(
    "asked", [fault("no_answer"), fault("slow_handshake", delay_s=20)]
)
def test_a_handshake_without_an_answer_times_out(asked: Fault) -> None:
    async def scenario() -> None:
        bot = Bot()
        async with bot_server(bot.talk) as url:
            client, sink = make_stream(url, quick(), faults=(asked,))
            client.start()
            outcome = await finish(sink)
        assert bot.socket is None
        assert str(outcome.error).endswith("i/o timeout")
        assert acts(sink)[0] == {"fault": asked.kind}

    play(scenario)


# -- the socket


@pytest.mark.parametrize(
    ("how", "code", "seen_by_bot"), [("fin", 1006, 1006), ("rst", 1006, 1006),
                                     ("close", 1012, 1012)],
)  # fmt: skip
def test_a_drop_ends_the_call_in_the_middle(
    how: str, code: int, seen_by_bot: int
) -> None:
    async def scenario() -> None:
        bot = Bot()
        asked = fault("drop", how=how, after_s=0.05)
        async with bot_server(bot.talk) as url:
            client, sink = make_stream(url, faults=(asked,))
            client.start()
            outcome = await finish(sink)
            await bot.ended.wait()
        assert bot.close_code == seen_by_bot
        assert "stop" not in bot.events()
        assert (outcome.status, outcome.disconnected_by) == ("completed", "bot")
        assert (outcome.close_code, outcome.closed_first) == (code, "network")
        assert acts(sink) == [{"fault": "drop"}]

    play(scenario)


def test_a_half_dead_socket_that_writes_nothing_is_silent_to_the_bot() -> None:
    async def scenario() -> None:
        async def scene(client: StreamClient, sink: Recorder, bot: Bot) -> None:
            await until(lambda: acts(sink))
            send(client, 5)
            await bot.say("media", media={"payload": "AAAA" * 80})
            await until(lambda: sink.audio)  # It still hears the bot.
            assert bot.socket is not None
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await (await bot.socket.ping())

        asked = fault("half_dead", after_s=0, stops="writing")
        sink, bot = await stage((asked,), scene)
        assert bot.events() == ["connected", "start"]
        assert sink.outcome.status == "completed"
        told = {"fault": "half_dead", "times": 1, "never_left": 5 + len(["stop"])}
        assert acts(sink)[-1] == told

    play(scenario)


def test_a_half_dead_socket_that_reads_nothing_is_deaf_to_the_bot() -> None:
    async def scenario() -> None:
        async def scene(client: StreamClient, sink: Recorder, bot: Bot) -> None:
            await until(lambda: acts(sink))
            send(client, 3)
            await until(lambda: len(bot.chunks()) == 3)  # It still speaks.
            await bot.say("mark", mark={"name": "unheard"})
            await asyncio.sleep(0.1)
            assert sink.marks == []

        asked = fault("half_dead", after_s=0, stops="reading")
        sink, bot = await stage((asked,), scene)
        assert bot.events()[-1] == "stop"
        assert sink.outcome.closed_first == "platform"

    play(scenario)


def test_a_throttled_stream_loses_the_oldest_audio_and_says_so() -> None:
    async def scenario() -> None:
        async def scene(client: StreamClient, sink: Recorder, bot: Bot) -> None:
            send(client, 1000)
            await until(lambda: len(bot.chunks()) >= 2)

        asked = fault("throttle", bytes_per_s=20_000)
        sink, bot = await stage((asked,), scene)
        assert len(bot.chunks()) < 200
        assert "bot.slow_reader" in sink.rules()
        assert acts(sink)[0] == {"fault": "throttle"}

    play(scenario)


def test_what_a_slow_bot_had_not_read_at_the_end_counts_as_dropped() -> None:
    async def scenario() -> None:
        async def scene(client: StreamClient, sink: Recorder, bot: Bot) -> None:
            send(client, 200)

        sink, _ = await stage((fault("throttle", bytes_per_s=10_000),), scene)
        stats = sink.outcome.stats
        sent_ms, dropped_ms = stats["audio_to_bot_ms"], stats["audio_to_bot_dropped_ms"]
        assert isinstance(sent_ms, int) and isinstance(dropped_ms, int)
        assert dropped_ms > 0
        assert sent_ms + dropped_ms == 200 * 20
        assert "bot.slow_reader" in sink.rules()

    play(scenario)


def test_latency_delays_both_directions_and_keeps_the_order() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()

        async def scene(client: StreamClient, sink: Recorder, bot: Bot) -> None:
            await until(lambda: bot.events() == ["connected", "start"])
            asked_s = loop.time()
            await bot.say("mark", mark={"name": "there and back"})
            send(client, 20)
            await until(lambda: "mark" in bot.events())
            assert loop.time() - asked_s >= 0.2

        asked = fault("latency", delay_ms=100, jitter_ms=30)
        sink, bot = await stage((asked,), scene)
        assert bot.chunks() == list(range(1, 21))
        assert bot.events()[-1] == "stop"
        assert {"fault": "latency"} in acts(sink)

    play(scenario)


def test_a_bots_last_words_come_before_its_close_however_late() -> None:
    async def scenario() -> None:
        bot = Bot()
        asked = fault("latency", delay_ms=800, direction="from_bot")
        async with bot_server(bot.talk) as url:
            client, sink = make_stream(url, faults=(asked,))
            client.start()
            await until(lambda: bot.socket)
            assert bot.socket is not None
            await bot.say("mark", mark={"name": "goodbye"})
            await bot.socket.close(4001, "done")
            client.send_audio(bytes(320))  # Nobody hears it any more.
            assert sink.marks == []
            outcome = await finish(sink)
        assert sink.marks == ["goodbye"]
        assert (outcome.close_code, outcome.closed_first) == (4001, "bot")

    play(scenario)


@pytest.mark.parametrize(
    "asked",
    [
        fault("throttle", bytes_per_s=1000),
        fault("latency", delay_ms=60_000),
        fault("late_start", delay_s=60),
    ],
    ids=lambda asked: asked.kind,
)
def test_what_a_fault_holds_back_does_not_hold_the_end_back(asked: Fault) -> None:
    async def scenario() -> None:
        async def scene(client: StreamClient, sink: Recorder, bot: Bot) -> None:
            send(client, 500)

        sink, bot = await stage((asked,), scene)
        outcome = sink.outcome
        assert (outcome.status, outcome.disconnected_by) == ("completed", "user")
        assert (outcome.error, outcome.closed_first) == (None, "platform")
        assert "stop" not in bot.events()
        (closed,) = sink.data("stream.closed")
        assert closed["status"] == "completed"
        # What was counted as sent is what the bot heard and what never left.
        never_left = acts(sink)[-1]["never_left"]
        sent = closed["media_to_bot"] + len(["connected", "start", "stop"])
        assert never_left == sent - len(bot.heard)

    play(scenario)


def test_the_longest_end_of_a_stream_is_within_what_a_call_waits_for() -> None:
    close_delay_ms = dict(knobs())["close_delay_ms"].maximum
    assert close_delay_ms is not None
    longest_s = close_delay_ms / 1000 + LAST_WORDS_S + LINGER_S
    assert longest_s < REMOVAL_DEADLINE_S - 1


# -- the messages


def test_start_comes_late_and_audio_behind_it() -> None:
    async def scenario() -> None:
        async def scene(client: StreamClient, sink: Recorder, bot: Bot) -> None:
            send(client, 5)
            await until(lambda: bot.heard)
            assert bot.events() == ["connected"]
            await until(lambda: len(bot.heard) == 7)

        sink, bot = await stage((fault("late_start", delay_s=1),), scene)
        assert bot.events() == ["connected", "start", *["media"] * 5, "stop"]
        assert acts(sink) == [{"fault": "late_start"}]

    play(scenario)


def test_start_comes_twice_with_the_same_number() -> None:
    async def scenario() -> None:
        async def scene(client: StreamClient, sink: Recorder, bot: Bot) -> None:
            await until(lambda: len(bot.heard) == 3)

        sink, bot = await stage((fault("double_start"),), scene)
        assert bot.heard[1] == bot.heard[2]
        assert acts(sink) == [{"fault": "double_start"}]

    play(scenario)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (fault("double_media", chance=1), [1, 1, 2, 2, 3, 3]),
        (fault("reordered_media", chance=1), [2, 1, 3]),
        (fault("late_media", chance=1, delay_ms=50), [1, 2, 3]),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
def test_media_come_otherwise_than_they_were_sent(
    asked: Fault, expected: list[int]
) -> None:
    async def scenario() -> None:
        async def scene(client: StreamClient, sink: Recorder, bot: Bot) -> None:
            send(client, 3)
            client.send_digit("5", 100)
            await until(lambda: "dtmf" in bot.events())

        sink, bot = await stage((asked,), scene)
        assert bot.chunks() == expected
        assert acts(sink)[0] == {"fault": asked.kind}
        assert acts(sink)[-1]["times"] >= 1 if len(acts(sink)) > 1 else True

    play(scenario)


def test_truncated_media_are_frames_of_broken_json() -> None:
    async def scenario() -> None:
        async def scene(client: StreamClient, sink: Recorder, bot: Bot) -> None:
            send(client, 3)
            await until(lambda: len(bot.heard) == 5)

        sink, bot = await stage((fault("truncated_json", chance=1),), scene)
        assert not any(_is_json(text) for text in bot.heard[2:5])
        assert acts(sink)[-1] == {"fault": "truncated_json", "times": 3}

    play(scenario)


def test_a_bots_truncated_media_are_noted_and_not_played() -> None:
    async def scenario() -> None:
        async def scene(client: StreamClient, sink: Recorder, bot: Bot) -> None:
            await until(lambda: bot.socket)
            payload = base64.b64encode(bytes(3200)).decode()
            await bot.say("media", media={"payload": payload})
            await until(lambda: sink.rules())

        asked = fault("truncated_json", chance=1, direction="from_bot")
        sink, _ = await stage((asked,), scene)
        assert not sink.audio
        assert acts(sink) == [{"fault": "truncated_json"}]

    play(scenario)


def test_a_skewed_clock_shows_in_the_timestamps() -> None:
    async def scenario() -> None:
        async def scene(client: StreamClient, sink: Recorder, bot: Bot) -> None:
            send(client, 3)
            await until(lambda: len(bot.chunks()) == 3)

        sink, bot = await stage((fault("clock_skew", offset_ms=250),), scene)
        stamps = [json.loads(text)["media"]["timestamp"] for text in bot.heard[2:5]]
        assert stamps == ["250", "270", "290"]
        assert acts(sink)[-1] == {"fault": "clock_skew", "times": 3}

    play(scenario)


def test_several_faults_act_on_one_stream() -> None:
    async def scenario() -> None:
        async def scene(client: StreamClient, sink: Recorder, bot: Bot) -> None:
            send(client, 2)
            await until(lambda: len(bot.chunks()) == 4)

        sink, _ = await stage(
            (
                fault("slow_handshake", delay_s=0.05),
                fault("double_media", chance=1),
                fault("latency", delay_ms=20),
            ),
            scene,
            profile_options("documented"),
        )
        told = {entry["fault"] for entry in acts(sink)}
        assert told == {"slow_handshake", "double_media", "latency"}

    play(scenario)


def test_every_fault_of_the_stream_has_a_test_here() -> None:
    with open(__file__, encoding="utf-8") as file:
        text = file.read()
    streams = {Layer.HANDSHAKE, Layer.SOCKET, Layer.MESSAGES}
    untested = [
        kind.name
        for kind in KINDS
        if kind.layer in streams and f'fault("{kind.name}"' not in text
    ]
    assert untested == []

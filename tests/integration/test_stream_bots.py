"""The emulator's client against every reference bot, good and broken."""

from __future__ import annotations

import asyncio
import wave
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from emulator.bots import BOTS
from emulator.bots.server import serve_bot
from emulator.bots.sound import jingle, tone
from emulator.stream_options import StreamOptions, profile_options
from tests.integration.stream_support import (
    Recorder,
    finish,
    make_stream,
    play,
    quick,
    until,
)

SPEECH = tone(300, 0.02, 8000)


async def call(
    name: str,
    *,
    options: StreamOptions | None = None,
    digits: str = "",
    chunks: int = 10,
    directory: Path | None = None,
) -> Recorder:
    """Call a bot: speak, press keys, and hang up unless the bot did."""
    async with await serve_bot(name, directory=directory) as bot:
        client, sink = make_stream(f"ws://127.0.0.1:{bot.port}/media", options)
        client.start()
        await until(lambda: sink.opened.is_set() or sink.outcomes)
        for _ in range(chunks):
            client.send_audio(SPEECH)
            await asyncio.sleep(0.001)
        for digit in digits:
            client.send_digit(digit, 100)
        await asyncio.sleep(0.05)
        for _ in range(chunks):
            client.send_audio(SPEECH)
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.03)
        client.close("callended")
        await finish(sink)
    return sink


def test_tone_obeys_a_key_and_hangs_up() -> None:
    async def scenario() -> None:
        sink = await call("tone", digits="5#")
        assert sink.clears == 1
        assert sink.outcome.disconnected_by == "bot"
        assert (sink.outcome.close_code, sink.outcome.close_reason) == (
            1000,
            "# was pressed",
        )
        assert sink.rules() == []

    play(scenario)


def test_recorder_keeps_what_the_caller_said(tmp_path: Path) -> None:
    async def scenario() -> None:
        sink = await call("recorder", directory=tmp_path)
        sent = sink.outcome.stats["media_to_bot"]
        with wave.open(str(tmp_path / f"{'5' * 32}.wav")) as recording:
            heard = recording.readframes(1 << 20)
        assert isinstance(sent, int) and sent >= 10
        assert heard == SPEECH * sent
        assert sink.audio == b""

    play(scenario)


def test_barge_in_clears_when_the_caller_speaks() -> None:
    async def scenario() -> None:
        sink = await call("barge-in")
        assert sink.clears == 1
        assert sink.audio.startswith(jingle(8000))

    play(scenario)


def test_goodbye_is_heard_and_closes() -> None:
    async def scenario() -> None:
        sink = await call("goodbye")
        assert bytes(sink.audio) == jingle(8000)
        assert sink.marks == ["goodbye"]
        assert sink.outcome.disconnected_by == "bot"
        assert sink.outcome.close_reason == "goodbye"

    play(scenario)


@dataclass(frozen=True)
class Expected:
    """What a broken bot comes to: rules noted, and how the stream ends."""

    rules: set[str] = field(default_factory=set)
    end: tuple[str, str, int | None, str | None] = (
        "completed",
        "user",
        1006,
        "platform",
    )
    is_heard: bool = False


FAILED = ("failed", "NA", None, None)
BROKEN = {
    "broken-binary": Expected({"message.binary"}),
    "broken-camel-case": Expected({"sid.camel_case", "media.small"}, is_heard=True),
    "broken-crash": Expected(end=("completed", "bot", 1011, "bot")),
    "broken-deaf": Expected(),
    "broken-foreign": Expected({"sid.foreign"}),
    "broken-garbage": Expected({"message.json"}),
    "broken-huge": Expected(end=("failed", "NA", 1009, "platform")),
    "broken-mark-loop": Expected({"mark.storm"}),
    "broken-numbers": Expected({"message.number", "media.small"}, is_heard=True),
    "broken-odd": Expected(
        {"media.odd", "media.multiple", "media.small"}, is_heard=True
    ),
    "broken-refusing": Expected(end=FAILED),
    "broken-silent": Expected(),
    "broken-slow": Expected(end=FAILED),
    "broken-stop": Expected(
        {"stop.ended", "media.small"},
        ("completed", "bot", 1006, "platform"),
        is_heard=True,
    ),
    "broken-vanish": Expected(end=("completed", "bot", 1006, "network")),
    "broken-wav": Expected({"media.wav_header", "media.multiple"}, is_heard=True),
}


def test_every_broken_bot_is_expected() -> None:
    assert set(BROKEN) == {name for name in BOTS if name.startswith("broken-")}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_broken_bot_is_noted_and_its_stream_ends_as_it_should(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = BROKEN[name]
    monkeypatch.setattr("emulator.bots.broken.SlowBot.answers_after_s", 0.5)
    monkeypatch.setattr("emulator.stream.link.LINGER_S", 0.2)
    monkeypatch.setattr("emulator.bots.server.CLOSE_TIMEOUT_S", 0.2)

    async def scenario() -> None:
        # A short handshake limit is for who never answers: others are only late.
        is_slow = name == "broken-slow"
        options = quick() if is_slow else profile_options("observed")
        sink = await call(name, options=options, digits="1")
        outcome = sink.outcome
        assert set(sink.rules()) == expected.rules
        assert bool(sink.audio) is expected.is_heard
        end = (outcome.status, outcome.disconnected_by)
        assert (*end, outcome.close_code, outcome.closed_first) == expected.end

    play(scenario)

"""What each reference bot does, without a socket."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import wave
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from emulator.bots import BOTS, Bot
from emulator.bots.barge_in import BargeInBot
from emulator.bots.base import MESSAGE_BYTES
from emulator.bots.echo import EchoBot
from emulator.bots.goodbye import GoodbyeBot
from emulator.bots.recorder import RecorderBot
from emulator.bots.sound import jingle, loudness, tone
from emulator.bots.tone import ToneBot


class Wire:
    """A socket that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None

    @property
    def transport(self) -> asyncio.Transport:
        raise AssertionError("no transport here")

    async def send(self, message: str | bytes) -> None:
        self.sent.append(json.loads(message))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.closed = (code, reason)

    async def wait_closed(self) -> None:
        pass

    def take(self, event: str) -> list[dict[str, Any]]:
        return [message for message in self.sent if message["event"] == event]

    def audio(self) -> bytes:
        payloads = (m["media"]["payload"] for m in self.take("media"))
        return b"".join(base64.b64decode(payload) for payload in payloads)


def meet(
    kind: type[Bot], script: Callable[[Any], Awaitable[None]], directory: Path = Path()
) -> Wire:
    """Let a new bot live through a script of hooks."""
    wire = Wire()

    async def run() -> None:
        bot = kind(wire, directory)
        bot.stream_sid = "s1"
        await script(bot)

    asyncio.run(run())
    return wire


def pitch_hz(audio: bytes, rate_hz: int = 8000) -> float:
    """Count the upward zero crossings."""
    samples = [
        int.from_bytes(audio[i : i + 2], "little", signed=True)
        for i in range(0, len(audio), 2)
    ]
    rises = sum(a < 0 <= b for a, b in zip(samples, samples[1:], strict=False))
    return rises * rate_hz / len(samples)


def test_the_family_is_complete_and_described() -> None:
    assert {"echo", "tone", "recorder", "barge-in", "goodbye"} <= set(BOTS)
    assert sum(name.startswith("broken-") for name in BOTS) >= 10
    for name, kind in BOTS.items():
        assert (kind.__doc__ or "").splitlines()[0].endswith("."), name


def test_echo_sends_the_same_audio_in_the_same_messages() -> None:
    async def script(bot: Bot) -> None:
        await bot.on_media(b"\x01\x02" * 160)
        await bot.on_media(b"\x03\x04")

    wire = meet(EchoBot, script)
    payloads = [base64.b64decode(m["media"]["payload"]) for m in wire.sent]
    assert payloads == [b"\x01\x02" * 160, b"\x03\x04"]
    assert {message["stream_sid"] for message in wire.sent} == {"s1"}


def test_tone_runs_two_seconds_ahead_and_no_more() -> None:
    async def script(bot: Bot) -> None:
        await bot.on_start()
        await bot.on_mark("0")

    wire = meet(ToneBot, script)
    assert len(wire.audio()) == 3 * 16_000
    assert [m["mark"]["name"] for m in wire.take("mark")] == ["0", "1", "2"]
    assert pitch_hz(wire.audio()) == pytest.approx(440, abs=2)


def test_tone_obeys_keys_and_ignores_marks_from_before_them() -> None:
    async def script(bot: Bot) -> None:
        await bot.on_start()
        await bot.on_dtmf("9")
        bot.socket.sent.clear()  # type: ignore[attr-defined]
        await bot.on_mark("0")
        await bot.on_mark("1")
        assert bot.socket.sent == []  # type: ignore[attr-defined]
        await bot.on_mark("2")

    wire = meet(ToneBot, script)
    assert pitch_hz(wire.audio()) == pytest.approx(900, abs=2)


def test_tone_clears_upon_a_key_and_hangs_up_upon_a_hash() -> None:
    async def script(bot: Bot) -> None:
        await bot.on_start()
        await bot.on_dtmf("3")
        await bot.on_dtmf("*")
        await bot.on_dtmf("#")

    wire = meet(ToneBot, script)
    assert len(wire.take("clear")) == 1
    assert wire.closed == (1000, "# was pressed")


def test_messages_are_of_the_documented_size() -> None:
    async def script(bot: Bot) -> None:
        await bot.on_start()

    for message in meet(ToneBot, script).take("media"):
        assert len(base64.b64decode(message["media"]["payload"])) == MESSAGE_BYTES


def test_recorder_writes_what_it_heard(tmp_path: Path) -> None:
    async def script(bot: Bot) -> None:
        bot.sample_rate_hz = 16000
        await bot.on_start()
        await bot.on_media(b"\x01\x02" * 320)
        await bot.on_media(b"\x03\x04" * 320)
        await bot.on_end()

    assert meet(RecorderBot, script, tmp_path).sent == []
    with wave.open(str(tmp_path / "s1.wav")) as recording:
        assert recording.getframerate() == 16000
        assert recording.readframes(9999) == b"\x01\x02" * 320 + b"\x03\x04" * 320


@pytest.mark.parametrize("sid", ["../../etc/passwd", "", "a/b", "\x00"])
def test_recorder_never_leaves_its_directory(tmp_path: Path, sid: str) -> None:
    async def script(bot: Bot) -> None:
        bot.stream_sid = sid
        await bot.on_start()
        await bot.on_end()

    meet(RecorderBot, script, tmp_path)
    assert len(list(tmp_path.glob("*.wav"))) == 1


def test_recorder_survives_a_stream_that_never_started() -> None:
    async def script(bot: Bot) -> None:
        await bot.on_media(b"\x00\x00")
        await bot.on_end()

    meet(RecorderBot, script)


SPEECH = tone(300, 0.02, 8000)
SILENCE = bytes(320)


def test_barge_in_clears_once_when_the_caller_speaks_and_goes_on_after_a_pause() -> (
    None
):
    async def script(bot: Bot) -> None:
        await bot.on_start()
        said = len(bot.socket.audio())  # type: ignore[attr-defined]
        for _ in range(20):
            await bot.on_media(SPEECH)
        await bot.on_mark("said")
        assert len(bot.socket.audio()) == said  # type: ignore[attr-defined]
        for _ in range(25):
            await bot.on_media(SILENCE)
        assert len(bot.socket.audio()) == 2 * said  # type: ignore[attr-defined]

    assert len(meet(BargeInBot, script).take("clear")) == 1


def test_barge_in_is_not_disturbed_by_clicks_and_silence() -> None:
    async def script(bot: Bot) -> None:
        await bot.on_start()
        for _ in range(20):
            await bot.on_media(SPEECH)
            await bot.on_media(SILENCE)

    assert meet(BargeInBot, script).take("clear") == []


def test_barge_in_talks_without_end() -> None:
    async def script(bot: Bot) -> None:
        await bot.on_start()
        await bot.on_mark("said")

    assert len(meet(BargeInBot, script).take("mark")) == 2


def test_goodbye_closes_when_it_was_heard_and_not_before() -> None:
    async def begin(bot: Bot) -> None:
        await bot.on_start()
        await bot.on_mark("another")

    async def whole(bot: Bot) -> None:
        await begin(bot)
        await bot.on_mark("goodbye")

    assert meet(GoodbyeBot, begin).closed is None
    assert meet(GoodbyeBot, whole).closed == (1000, "goodbye")
    assert meet(GoodbyeBot, whole).audio() == jingle(8000)


def test_loudness_is_the_root_mean_square() -> None:
    assert loudness(b"") == 0
    assert loudness(bytes(320)) == 0
    assert loudness(tone(400, 1.0, 8000)) == pytest.approx(
        8000 / math.sqrt(2), rel=0.01
    )

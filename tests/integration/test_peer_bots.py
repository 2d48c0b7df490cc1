"""Other people's bots in whole calls: Pipecat's own Exotel parts, and aiohttp.

They live in an environment of their own (``tests/install-peers``), so that what they
need does not mix with ours.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.cli import signals
from tests.support.phone import calling
from tests.support.processes import ROOT, Emulator, Process, emulator

# Whole processes, in real time; Pipecat takes some seconds to load.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

PYTHON = ROOT / ".peers" / "bin" / "python"
DIRECT = "08010000001"
FLOW = """\
flow: direct
app_id: "1"
start: bot
applets:
  bot: {type: voicebot, url: "${BOT_URL}", next: bye}
  bye: {type: hangup}
"""
CONFIG = f'calls: {{ring_ms: 0}}\nnumbers: [{{number: "{DIRECT}", flow: direct}}]\n'
BOT_START_S = 60.0


@contextlib.contextmanager
def joined(
    directory: Path, bot: str, *arguments: str, query: str = ""
) -> Iterator[tuple[Process, Emulator]]:
    """Run a peer's bot, and an emulator whose number leads to it."""
    if not PYTHON.exists():
        pytest.skip(
            f"{PYTHON} is not there: this call with {bot} did NOT run "
            "(tests/install-peers)"
        )
    flows = directory / "flows"
    flows.mkdir()
    (flows / "direct.yaml").write_text(FLOW)
    program = str(ROOT / "tests" / "peers" / bot)
    process = Process(str(PYTHON), program, *arguments, cwd=directory)
    try:
        url = process.wait_for(r"listens on (ws://\S+)", BOT_START_S)[1]
        env = {
            "BOT_URL": url + query,
            "EXOTEL_EMULATOR_FLOW__DIRECTORY": str(flows),
        }
        with emulator(directory, config=CONFIG, env=env) as running:
            yield process, running
    finally:
        process.end()


def clear_tones(recording: Path) -> list[int]:
    """Return the tone of each 200 ms that holds a clear one; a gap spoils its own."""
    samples, rate_hz = signals.read_wav(recording)
    window = rate_hz // 5
    fits = [
        signals.fit_tone(samples[at : at + window], rate_hz, 300, 1000)
        for at in range(0, len(samples) - window, window)
    ]
    return [10 * round(fit.frequency_hz / 10) for fit in fits if fit.snr_db > 25]


@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_pipecat_holds_a_conversation_obeys_keys_and_hangs_up(
    tmp_path: Path, rate_hz: int
) -> None:
    spoken, heard = tmp_path / "spoken.wav", tmp_path / "heard.wav"
    signals.write_wav(spoken, signals.make_tone(440, 4.0, 8000), 8000)
    query = f"?sample-rate={rate_hz}"
    with joined(tmp_path, "pipecat_bot.py", str(rate_hz), query=query) as (
        bot,
        running,
    ):

        async def converse() -> None:
            async with calling(running, DIRECT, wav=spoken, save=heard) as phone:
                await phone.until("stream.media_from_bot")
                await asyncio.sleep(2)
                phone.press("1")
                await phone.until("stream.received", event="clear")
                await asyncio.sleep(1.5)
                phone.press("9")
                story = await phone.over()
            (closed,) = [e["data"] for e in story if e["kind"] == "stream.closed"]
            assert (closed["status"], closed["disconnected_by"]) == ("completed", "bot")
            assert (closed["closed_first"], closed["close_code"]) == ("bot", 1000)
            assert closed["audio_to_bot_dropped_ms"] == 0

        asyncio.run(converse())
        bot.wait_for("provider exotel call [0-9a-z]{32}")
        bot.wait_for("digit 1")
        bot.wait_for("digit 9")
        bot.wait_for("conversation over")
    tones = clear_tones(heard)
    assert tones.count(440) >= 5
    assert tones.count(700) >= 2
    assert tones == sorted(tones), "the answer comes behind the echo"


def test_an_aiohttp_bot_holds_a_conversation_obeys_keys_and_hangs_up(
    tmp_path: Path,
) -> None:
    spoken, heard = tmp_path / "spoken.wav", tmp_path / "heard.wav"
    signals.write_wav(spoken, signals.make_tone(440, 4.0, 8000), 8000)
    with joined(tmp_path, "aiohttp_bot.py") as (bot, running):

        async def converse() -> None:
            async with calling(running, DIRECT, wav=spoken, save=heard) as phone:
                await phone.until("stream.sent", event="mark", name="second 2")
                phone.press("1")
                await phone.until("stream.received", event="clear")
                phone.press("9")
                story = await phone.over()
            (closed,) = [e["data"] for e in story if e["kind"] == "stream.closed"]
            assert (closed["closed_first"], closed["close_code"]) == ("bot", 1000)
            assert closed["notes"].keys() <= {"media.small"}

        asyncio.run(converse())
        bot.wait_for("played second 1")
        bot.wait_for("digit 9")
        bot.wait_for("conversation over")
    assert clear_tones(heard).count(440) >= 5

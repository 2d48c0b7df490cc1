"""``demo``: emulator, echo bot and one call in one process, and a check of its sound.

Everything listens on free loopback ports, so that the demonstration works beside
whatever else runs on the machine.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from emulator.bots.server import serve_bot
from emulator.cli import signals
from emulator.cli.caller import CallPlan
from emulator.cli.commands.call import place_call, print_outcome
from emulator.errors import ExitStatus
from emulator.service import ServeOptions, Service

DID = "08010000002"
RATE_HZ = 8000
# 997 Hz and not 1000: no whole number of samples, so that every code of G.711 is met.
TONE_HZ = 997.0
TONE_S = 2.0
WINDOW_S = 0.25
MARGIN_S = 0.2
MIN_SNR_DB = 20.0
MAX_FREQUENCY_ERROR = 0.01
# What G.711 leaves of a rendering is above 0.99.
MIN_CORRELATION = 0.9
ALIGNMENT_SAMPLES = 80
# In this order, with anything in between.
EXPECTED_STORY = (
    ("sip.received", "INVITE"),
    ("sip.sent", "200"),
    ("applet.entered", "greeting"),
    ("stream.sent", "connected"),
    ("stream.sent", "start"),
    ("stream.media_to_bot", ""),
    ("stream.media_from_bot", ""),
    ("sip.received", "BYE"),
    ("stream.sent", "stop"),
)


@dataclass(frozen=True)
class Check:
    """One thing that must be true of the call, and what was seen."""

    name: str
    is_met: bool
    seen: str


def run(*, save: Path) -> ExitStatus:
    """Place the demonstration call; the status says whether every check was met."""
    return asyncio.run(_demonstrate(save))


async def _demonstrate(save: Path) -> ExitStatus:
    bot = await serve_bot("echo", report=lambda line: print(f"bot echo: {line}"))
    async with bot:
        service = Service(_options(bot.port))
        await service.start()
        try:
            greeting, checks = await _call(service, save)
        finally:
            await service.stop()
    print(f"greeting as rendered: {greeting}")
    for check in checks:
        print(f"{'ok    ' if check.is_met else 'FAILED'} {check.name}: {check.seen}")
    met = all(check.is_met for check in checks)
    print(
        f"heard audio: {save}; {'everything as expected' if met else 'not as expected'}"
    )
    return ExitStatus.OK if met else ExitStatus.CHECK_FAILED


def _options(bot_port: int) -> ServeOptions:
    return ServeOptions(
        options={
            "sip.port": ("demo", 0),
            "sip.transports": ("demo", ["udp", "tcp"]),
            "http.port": ("demo", 0),
            "logs.level": ("demo", "WARNING"),
        },
        env={**os.environ, "ECHO_BOT_URL": f"ws://127.0.0.1:{bot_port}/media"},
    )


async def _call(service: Service, save: Path) -> tuple[Path | None, list[Check]]:
    flow = service.flows.by_name("echo")
    assert flow is not None, "the default flows have echo"
    texts = list(flow.texts())
    greeting = (await service.speech.render(texts))[texts[0]].path
    with tempfile.TemporaryDirectory() as directory:
        wav = Path(directory) / "tone.wav"
        signals.write_wav(wav, _speech(_length_s(greeting)), RATE_HZ)
        plan = CallPlan(
            uri=f"sip:{DID}@127.0.0.1:{service.listeners[0].port}", wav=wav, save=save
        )
        url = f"http://127.0.0.1:{service.http.port}"
        async with httpx.AsyncClient(base_url=url) as client:
            outcome, entries = await place_call(plan, client)
    print_outcome(outcome)
    if outcome.failure is not None:
        return greeting, [Check("call", False, outcome.failure)]
    heard, _ = signals.read_wav(save)
    return greeting, [*check_story(entries), *check_sound(heard, greeting)]


def _length_s(greeting: Path | None) -> float:
    if greeting is None:
        return 1.0  # The two-tone prompt.
    samples, rate_hz = signals.read_wav(greeting)
    return len(samples) / rate_hz


def _speech(greeting_s: float) -> array[int]:
    """Return what the caller says: nothing during the greeting, then the tone."""
    silence = array("h", bytes(2 * int((greeting_s + 1.0) * RATE_HZ)))
    return silence + signals.make_tone(TONE_HZ, TONE_S, RATE_HZ)


def check_story(entries: Sequence[Mapping[str, Any]]) -> Iterator[Check]:
    """Yield whether the timeline holds every expected event, in order."""
    rest = iter(entries)
    for kind, word in EXPECTED_STORY:
        found = any(_is(entry, kind, word) for entry in rest)
        yield Check("timeline", found, f"{kind} {word}".rstrip())
        if not found:
            return


def _is(entry: Mapping[str, Any], kind: str, word: str) -> bool:
    data = entry["data"]
    said = (data.get("summary"), data.get("type"), data.get("event"))
    return entry["kind"] == kind and any(
        str(text or "").startswith(word) for text in said
    )


def check_sound(heard: array[int], greeting: Path | None) -> Iterator[Check]:
    """Yield whether the greeting and the echoed tone were heard."""
    if greeting is None:
        yield Check("greeting", False, "not spoken: install the extra [speech]")
    else:
        reference, _ = signals.read_wav(greeting)
        match = signals.correlation(heard, reference, ALIGNMENT_SAMPLES)
        seen = f"correlation {match:.3f} with its rendering"
        yield Check("greeting", match >= MIN_CORRELATION, seen)
    bounds = signals.sound_bounds(heard)
    if bounds is None:
        yield Check("echo", False, "silence")
        return
    fits = _fit_windows(heard[: bounds[1]])
    if not fits:
        yield Check("echo", False, "less sound than the tone is long")
        return
    fit = sorted(fits, key=lambda one: one.snr_db)[len(fits) // 2]
    error = abs(fit.frequency_hz / TONE_HZ - 1)
    yield Check(
        "echo",
        error <= MAX_FREQUENCY_ERROR and fit.snr_db > MIN_SNR_DB,
        f"{fit.frequency_hz:.1f} Hz ({TONE_HZ:g} sent), SNR {fit.snr_db:.1f} dB",
    )


def _fit_windows(heard: array[int]) -> list[signals.ToneFit]:
    """Fit the tone, which is the last sound, in windows clear of both its ends.

    Windows, because a machine that is busy for a moment leaves a hole of one packet
    (counted in ``media.stats``), which says nothing about the sound.
    """
    window = int(WINDOW_S * RATE_HZ)
    margin = int(MARGIN_S * RATE_HZ)
    first = len(heard) - int(TONE_S * RATE_HZ) + margin
    starts = range(max(0, first), len(heard) - margin - window + 1, window)
    return [
        signals.fit_tone(heard[start : start + window], RATE_HZ, 300, 3400)
        for start in starts
    ]

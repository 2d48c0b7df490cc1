"""Built-in prompts and DTMF, computed: no audio file is shipped."""

from __future__ import annotations

import array
import math
import sys
from collections.abc import Callable, Iterable
from functools import lru_cache

from emulator.media.g711 import SAMPLE_RATE_HZ, Law
from emulator.media.hold_music import hold_music

# Well below clipping when two frequencies add up.
_AMPLITUDE = 8000
# ITU-T Q.23: row and column frequency of each key.
ROWS_HZ = (697, 770, 852, 941)
COLUMNS_HZ = (1209, 1336, 1477, 1633)
KEYPAD = "123A456B789C*0#D"


def tone(frequencies_hz: Iterable[float], duration_ms: int) -> bytes:
    """Return the sum of sines as PCM: int16 little-endian mono, 8 kHz."""
    steps = [2 * math.pi * hz / SAMPLE_RATE_HZ for hz in frequencies_hz]
    samples = array.array(
        "h",
        (
            round(_AMPLITUDE * sum(math.sin(step * n) for step in steps))
            for n in range(SAMPLE_RATE_HZ * duration_ms // 1000)
        ),
    )
    if sys.byteorder == "big":
        samples.byteswap()
    return samples.tobytes()


def silence(duration_ms: int) -> bytes:
    """Return PCM silence."""
    return bytes(2 * SAMPLE_RATE_HZ * duration_ms // 1000)


def _two_tone() -> bytes:
    """A rising pair of tones: stands for speech where no speech engine is there."""
    return tone((440,), 400) + silence(100) + tone((587,), 400) + silence(100)


def _beep() -> bytes:
    return tone((1000,), 500)


# The call progress tones of India (ITU-T E.180, supplement 2), without the 25 Hz by
# which some exchanges modulate the ringing tone. What the platform plays is assumed.


def _ringback() -> bytes:
    """One cycle of the ringing tone: 400 Hz, 0.4 s on, 0.2 off, 0.4 on, 2 off."""
    ring = tone((400,), 400)
    return ring + silence(200) + ring + silence(2000)


def _busy() -> bytes:
    """One cycle of the busy tone: 400 Hz, 0.75 s on, 0.75 off."""
    return tone((400,), 750) + silence(750)


TONES: dict[str, Callable[[], bytes]] = {
    "two-tone": _two_tone,
    "beep": _beep,
    "ringback": _ringback,
    "busy": _busy,
    "music-on-hold": hold_music,
    # Connect's music_on_hold of this type: what an operator plays while it rings.
    "operator_tone": _ringback,
}


@lru_cache(maxsize=16)
def built_in_prompt(name: str, law: Law) -> bytes:
    """Return the built-in prompt ``name`` in G.711; music takes some 50 ms to make.

    Raises:
        KeyError: There is no such prompt; the names are ``TONES``.
    """
    return law.encode(TONES[name]())


def dtmf(digit: str, duration_ms: int) -> bytes:
    """Return the two tones of a key as PCM."""
    row, column = divmod(KEYPAD.index(digit), 4)
    return tone((ROWS_HZ[row], COLUMNS_HZ[column]), duration_ms)

"""How loud one pitch is in a sound."""

from __future__ import annotations

import cmath
import math
from array import array

RATE_HZ = 8000
# Multiples of 20 Hz do not disturb each other in such a window. A jump of phase, where
# a packet was late, spoils one window and not the whole.
_WINDOW = 400


def loudness(pcm: bytes, frequency_hz: float) -> float:
    """Return the mean amplitude of a sine in ``pcm`` (int16 little-endian, 8 kHz)."""
    samples = array("h", pcm)
    step = -2j * math.pi * frequency_hz / RATE_HZ
    turns = [cmath.exp(step * n) for n in range(_WINDOW)]
    starts = range(0, len(samples) - _WINDOW + 1, _WINDOW)
    levels = [
        2
        * abs(
            sum(map(complex.__mul__, turns, map(complex, samples[at : at + _WINDOW])))
        )
        for at in starts
    ]
    return sum(levels) / _WINDOW / max(1, len(levels))

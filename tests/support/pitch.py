"""How loud one pitch is in a sound."""

from __future__ import annotations

import cmath
import math
from array import array

RATE_HZ = 8000


def loudness(pcm: bytes, frequency_hz: float, rate_hz: int = RATE_HZ) -> float:
    """Return the amplitude of a sine in ``pcm`` (int16 little-endian mono)."""
    samples = array("h", pcm)
    step = -2j * math.pi * frequency_hz / rate_hz
    total = sum(s * cmath.exp(step * n) for n, s in enumerate(samples))
    return 2 * abs(total) / max(1, len(samples))

"""Sounds that a bot can make and hear without a library: tones and loudness.

Samples are int16 little-endian mono.
"""

from __future__ import annotations

import math
import struct

AMPLITUDE = 8000
# A falling third and a fifth below: what these bots say instead of a sentence.
JINGLE_HZ = (660, 550, 440)


def tone(frequency_hz: float, duration_s: float, rate_hz: int) -> bytes:
    """Return a sine tone; whole periods join without a click."""
    step = 2 * math.pi * frequency_hz / rate_hz
    count = int(duration_s * rate_hz)
    samples = (int(AMPLITUDE * math.sin(step * n)) for n in range(count))
    return struct.pack(f"<{count}h", *samples)


def jingle(rate_hz: int) -> bytes:
    """Return a sentence of three tones, 1.2 s long."""
    return b"".join(tone(frequency_hz, 0.4, rate_hz) for frequency_hz in JINGLE_HZ)


def loudness(audio: bytes) -> float:
    """Return the root mean square of the samples; 0 for none."""
    count = len(audio) // 2
    if count == 0:
        return 0.0
    samples = struct.unpack(f"<{count}h", audio[: 2 * count])
    return math.sqrt(sum(sample * sample for sample in samples) / count)

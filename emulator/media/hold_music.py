"""Music on hold: four bars of plucked notes that loop without a seam, computed.

Each bar breaks one chord into eight steps, a slow melody lies above it. The tails of
the last notes ring on into the first bar.
"""

from __future__ import annotations

import array
import audioop
import math
import sys
from collections.abc import Iterator
from functools import lru_cache

from emulator.media.g711 import PCM_SAMPLE_BYTES, SAMPLE_RATE_HZ

# 440 Hz: the lowest note of the piece stays in the telephone band.
_KEY_HZ = 440.0
_STEP_SAMPLES = SAMPLE_RATE_HZ * 300 // 1000
# Chords in semitones above the key: I, vi, IV, V; the order in which each is plucked.
_CHORDS = ((0, 4, 7, 12), (-3, 0, 4, 9), (-7, -3, 0, 5), (-5, -1, 2, 7))
_PATTERN = (0, 1, 2, 3, 2, 3, 1, 2)
# (step, semitones) of the melody.
_MELODY = (
    (0, 16), (3, 14), (4, 12), (8, 16), (11, 19), (12, 16),
    (16, 17), (19, 16), (20, 12), (24, 14), (27, 11), (28, 14),
)  # fmt: skip
# A note at the pitch of the key; it fades by so many nepers until it is cut off: below
# the quietest code. Higher notes are shorter, as on a string.
_NOTE_SAMPLES = SAMPLE_RATE_HZ * 18 // 10
_FADE = 6.0
_ATTACK_SAMPLES = SAMPLE_RATE_HZ * 8 // 1000
# A few notes at a time reach the level of speech.
_AMPLITUDE = 3200
_OVERTONES = (1.0, 0.35)


def hold_music() -> bytes:
    """Return one round of the piece, 9.6 s, as PCM: int16 little-endian, 8 kHz."""
    steps = len(_CHORDS) * len(_PATTERN)
    piece = bytes(steps * _STEP_SAMPLES * PCM_SAMPLE_BYTES)
    for step, semitones in _notes():
        start = step * _STEP_SAMPLES * PCM_SAMPLE_BYTES
        padded = _pluck(semitones).ljust(len(piece), b"\0")
        # Rotated, so that a tail wraps round to the beginning.
        piece = audioop.add(piece, padded[-start:] + padded[:-start], PCM_SAMPLE_BYTES)
    return piece


def _notes() -> Iterator[tuple[int, int]]:
    for bar, chord in enumerate(_CHORDS):
        for n, index in enumerate(_PATTERN):
            yield bar * len(_PATTERN) + n, chord[index]
    yield from _MELODY


@lru_cache(maxsize=32)
def _pluck(semitones: int) -> bytes:
    """A note of another pitch: the one of the key, played faster or slower."""
    speed = round(SAMPLE_RATE_HZ * 2 ** (semitones / 12))
    pcm, _ = audioop.ratecv(
        _key_note(), PCM_SAMPLE_BYTES, 1, speed, SAMPLE_RATE_HZ, None
    )
    return pcm


@lru_cache(maxsize=1)
def _key_note() -> bytes:
    """A note that begins softly and dies away."""
    radians = 2 * math.pi * _KEY_HZ / SAMPLE_RATE_HZ
    samples = array.array("h")
    for n in range(_NOTE_SAMPLES):
        loudness = _AMPLITUDE * math.exp(-_FADE * n / _NOTE_SAMPLES)
        loudness *= min(1.0, n / _ATTACK_SAMPLES)
        wave = sum(
            share * math.sin(radians * n * overtone)
            for overtone, share in enumerate(_OVERTONES, 1)
        )
        samples.append(round(loudness * wave))
    if sys.byteorder == "big":
        samples.byteswap()
    return samples.tobytes()

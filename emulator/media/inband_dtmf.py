"""DTMF heard as sound, for peers without RFC 4733 (Goertzel; limits of ITU-T Q.24).

Off by default: speech may imitate a key, and a peer that sends events usually lets its
tones through as well. It costs some 0.1 ms per 20 ms of audio.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

from emulator.media.g711 import PCM_SAMPLE_BYTES, SAMPLE_RATE_HZ, Buffer, Law
from emulator.media.tones import COLUMNS_HZ, KEYPAD, ROWS_HZ

# 20 ms: as long as two tones of a group need to be told apart, and shorter than the
# shortest key (40 ms).
BLOCK_SAMPLES = 160
# Quieter than this (about -36 dBm0 per tone) is no key.
_MIN_RMS = 250.0
# The two tones hold nearly all of the power; speech spreads it over harmonics.
_MIN_SHARE = 0.8
# One tone may be 8 dB (columns) or 4 dB (rows) louder than the other.
_MAX_ROW_OVER_COLUMN = 10**0.8
_MAX_COLUMN_OVER_ROW = 10**0.4
# A tone stands out of its group by 8 dB.
_MIN_OVER_OTHERS = 10**0.8
# Two blocks alike begin a key, two without it end it: a hole of 20 ms is no release.
_BLOCKS_TO_PRESS = 2
_BLOCKS_TO_RELEASE = 2
_MS_PER_BLOCK = BLOCK_SAMPLES * 1000 // SAMPLE_RATE_HZ


class InbandDetector:
    """Listens to one leg; calls ``on_press(digit, duration_ms)`` at each release."""

    def __init__(self, law: Law, on_press: Callable[[str, int], None]) -> None:
        self.law = law
        self._on_press = on_press
        self._rest = b""
        self._candidate: str | None = None
        self._blocks = 0
        self._missed = 0

    def hear(self, audio: Buffer) -> None:
        """Take audio in the leg's codec, in order."""
        self._rest += bytes(audio)
        while len(self._rest) >= BLOCK_SAMPLES:
            block, self._rest = self._rest[:BLOCK_SAMPLES], self._rest[BLOCK_SAMPLES:]
            self._follow(detect_key(self.law.decode(block)))

    def _follow(self, key: str | None) -> None:
        if key is not None and key == self._candidate:
            self._blocks += 1 + self._missed
            self._missed = 0
            return
        self._missed += 1
        is_down = self._blocks >= _BLOCKS_TO_PRESS
        if is_down and key is None and self._missed < _BLOCKS_TO_RELEASE:
            return
        if is_down and self._candidate is not None:
            self._on_press(self._candidate, self._blocks * _MS_PER_BLOCK)
        self._candidate, self._blocks, self._missed = key, int(key is not None), 0


def detect_key(pcm: bytes) -> str | None:
    """Return the key whose tones fill a block of int16 little-endian samples."""
    samples = struct.unpack(f"<{len(pcm) // PCM_SAMPLE_BYTES}h", pcm)
    energy = float(sum(sample * sample for sample in samples))
    if energy < _MIN_RMS**2 * len(samples):
        return None
    rows = [_power(samples, hz) for hz in ROWS_HZ]
    columns = [_power(samples, hz) for hz in COLUMNS_HZ]
    row, column = max(rows), max(columns)
    # A sine of power P over n samples answers with P * n / 2.
    if 2 * (row + column) < _MIN_SHARE * energy * len(samples):
        return None
    if row > column * _MAX_ROW_OVER_COLUMN or column > row * _MAX_COLUMN_OVER_ROW:
        return None
    if not (_stands_out(row, rows) and _stands_out(column, columns)):
        return None
    return KEYPAD[4 * rows.index(row) + columns.index(column)]


def _stands_out(strongest: float, group: list[float]) -> bool:
    return sorted(group)[-2] * _MIN_OVER_OTHERS <= strongest


def _power(samples: tuple[int, ...], hz: float) -> float:
    """Return the squared magnitude at ``hz`` (Goertzel's recurrence)."""
    step = 2 * math.cos(2 * math.pi * hz / SAMPLE_RATE_HZ)
    before = last = 0.0
    for sample in samples:
        before, last = last, sample + step * last - before
    return last * last + before * before - step * last * before

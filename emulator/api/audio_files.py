"""Audio files as sources of responses: as they are, or one party of two."""

from __future__ import annotations

import audioop
import struct
from pathlib import Path
from typing import TypeAlias

# How much of what is left and of what is right.
Weights: TypeAlias = tuple[float, float]

_WAV_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_SAMPLE_BYTES = 2
# A frame of a capture: a sample of the caller, a sample of what the caller heard.
_FRAME_BYTES = 2 * _SAMPLE_BYTES
PARTIES: dict[str, Weights] = {
    "caller": (1, 0),
    "bot": (0, 1),
    "mix": (1, 1),
}


class WholeFile:
    """A file as it is."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size_bytes = path.stat().st_size

    def read(self, start: int, size: int) -> bytes:
        """Return ``size`` bytes from ``start``."""
        with self._path.open("rb") as file:
            file.seek(start)
            return file.read(size)


class PartyOfCapture:
    """One party of a capture, or both mixed, as a mono WAV.

    The header tells the length that there is now; a capture may grow afterwards.
    """

    def __init__(self, path: Path, weights: Weights) -> None:
        self._path = path
        self._weights = weights
        data_bytes = path.stat().st_size - _WAV_HEADER.size
        frames = max(0, data_bytes) // _FRAME_BYTES
        self._header = _mono_header(path, frames * _SAMPLE_BYTES)
        self.size_bytes = len(self._header) + frames * _SAMPLE_BYTES

    def read(self, start: int, size: int) -> bytes:
        """Return ``size`` bytes from ``start`` of the mono file."""
        head = self._header[start : start + size]
        start = max(0, start - len(self._header))
        return head + self._samples(start, size - len(head))

    def _samples(self, start: int, size: int) -> bytes:
        first = start // _SAMPLE_BYTES
        last = -(-(start + size) // _SAMPLE_BYTES)
        with self._path.open("rb") as file:
            file.seek(_WAV_HEADER.size + first * _FRAME_BYTES)
            stereo = file.read((last - first) * _FRAME_BYTES)
        mono = audioop.tomono(stereo, _SAMPLE_BYTES, *self._weights)
        skipped = start - first * _SAMPLE_BYTES
        return mono[skipped : skipped + size]


def _mono_header(path: Path, data_bytes: int) -> bytes:
    """Return the header of ``path`` for one channel and so much data."""
    with path.open("rb") as file:
        fields = list(_WAV_HEADER.unpack(file.read(_WAV_HEADER.size)))
    rate_hz = fields[7]
    fields[1] = _WAV_HEADER.size - 8 + data_bytes
    fields[6:10] = 1, rate_hz, rate_hz * _SAMPLE_BYTES, _SAMPLE_BYTES
    fields[12] = data_bytes
    return _WAV_HEADER.pack(*fields)

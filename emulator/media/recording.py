"""Recording formats: from what two parties said to the bytes of a file.

    peer's PCM --+                        +-- WavEncoder
                 +-- arrange --> PCM --> -+-- RawEncoder
    our PCM   --+   1 or 2 channels       +-- Mp3Encoder (``media.mp3``)

PCM is int16 little endian at 8 kHz. An encoder writes a file that can be played at any
moment: what it returned so far, behind the newest ``header``.
"""

from __future__ import annotations

import audioop
import struct
from array import array
from collections.abc import Callable, Mapping
from typing import Protocol

from emulator.media.g711 import PCM_SAMPLE_BYTES, SAMPLE_RATE_HZ
from emulator.media.mp3 import Mp3Encoder

# Chunk sizes of a WAV are 32-bit; a file beyond keeps the largest.
_MAX_WAV_DATA_BYTES = (1 << 32) - 1 - 36
_WAV_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_PCM_FORMAT_TAG = 1


class Encoder(Protocol):
    """Makes a file's bytes of PCM, channels interleaved."""

    def header(self, data_bytes: int) -> bytes:
        """Return what stands before ``data_bytes`` of data, always of one length."""

    def encode(self, pcm: bytes) -> bytes:
        """Return the next data; what is not returned yet comes later."""

    def finish(self) -> bytes:
        """Return the last data."""


class RawEncoder:
    """The samples alone."""

    def header(self, data_bytes: int) -> bytes:
        return b""

    def encode(self, pcm: bytes) -> bytes:
        return pcm

    def finish(self) -> bytes:
        return b""


class WavEncoder(RawEncoder):
    """PCM behind a RIFF header, which tells the length so far."""

    def __init__(self, n_channels: int) -> None:
        self._n_channels = n_channels

    def header(self, data_bytes: int) -> bytes:
        return wav_header(self._n_channels, data_bytes)


def wav_header(n_channels: int, data_bytes: int) -> bytes:
    """Return the 44 bytes before 16-bit PCM at 8 kHz."""
    data_bytes = min(data_bytes, _MAX_WAV_DATA_BYTES)
    frame_bytes = PCM_SAMPLE_BYTES * n_channels
    return _WAV_HEADER.pack(
        b"RIFF",
        36 + data_bytes,
        b"WAVE",
        b"fmt ",
        16,
        _PCM_FORMAT_TAG,
        n_channels,
        SAMPLE_RATE_HZ,
        SAMPLE_RATE_HZ * frame_bytes,
        frame_bytes,
        8 * PCM_SAMPLE_BYTES,
        b"data",
        data_bytes,
    )


_FORMATS: Mapping[str, Callable[[int], Encoder]] = {
    "wav": WavEncoder,
    "raw": lambda n_channels: RawEncoder(),
    # The manual gives the plain MP3 8 kbps, and only MP3 HQ a rate per channel: both
    # channels of a dual MP3 share them (streaming spec §6; the sharing is assumed).
    "mp3": lambda n_channels: Mp3Encoder(n_channels, kbps=8),
    "mp3_hq": lambda n_channels: Mp3Encoder(n_channels, kbps=32 * n_channels),
}
CHANNELS: Mapping[str, int] = {"single": 1, "dual": 2}


def make_encoder(format_name: str, channels: str) -> Encoder:
    """Return the encoder of a format and ``single`` or ``dual``.

    May load a library: call it in a thread.

    Raises:
        ValueError: There is no such format or number of channels.
        ImportError: The library of the format is not there.
    """
    if format_name not in _FORMATS or channels not in CHANNELS:
        known = f"{', '.join(_FORMATS)}; {', '.join(CHANNELS)}"
        raise ValueError(f"no recording {format_name!r}, {channels!r}: {known}")
    return _FORMATS[format_name](CHANNELS[channels])


def arrange(peer: bytes, ours: bytes, channels: str) -> bytes:
    """Mix both sides (``single``), or put the peer left and ours right (``dual``).

    Both are PCM of the same length. A sum that is too loud is cut, as on a line.
    """
    if channels == "single":
        return audioop.add(peer, ours, PCM_SAMPLE_BYTES)
    # A third of what three passes of audioop cost: samples are moved, not added.
    both = array("H", bytes(2 * len(peer)))
    both[0::2], both[1::2] = array("H", peer), array("H", ours)
    return both.tobytes()

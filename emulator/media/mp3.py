"""MP3 of telephone audio: MPEG 2.5 layer III at 8 kHz, constant bit rate.

The file is nothing but frames of 72 ms, each complete: it can be cut anywhere, and a
player needs neither its beginning nor its end. It begins with the encoder's own delay,
some 0.14 s of silence. ``av`` (LAME) is loaded with the first encoder.
"""

from __future__ import annotations

import audioop
from fractions import Fraction
from typing import Any

from emulator.media.g711 import PCM_SAMPLE_BYTES, SAMPLE_RATE_HZ

# The weights of left and right that leave one of them.
_SIDES = ((1, 0), (0, 1))
_LAYOUTS = {1: "mono", 2: "stereo"}


class Mp3Encoder:
    """Encodes interleaved PCM; holds back less than two frames.

    Args:
        kbps: Of all channels together; LAME takes 8 to 64 at 8 kHz.
    """

    def __init__(self, n_channels: int, *, kbps: int) -> None:
        import av

        self._new_frame: Any = av.AudioFrame
        self._layout = _LAYOUTS[n_channels]
        self._sample_bytes = PCM_SAMPLE_BYTES * n_channels
        codec: Any = av.CodecContext.create("libmp3lame", "w")
        codec.sample_rate = SAMPLE_RATE_HZ
        codec.layout = self._layout
        codec.format = "s16p"
        codec.bit_rate = kbps * 1000
        codec.time_base = Fraction(1, SAMPLE_RATE_HZ)
        codec.options = {
            # LAME's own default costs more than twice as much: 6 ms of processor time
            # per second of audio at 8 kbps.
            "compression_level": "7",
            # Two parties have nothing in common: each has a channel of its own.
            "joint_stereo": "0",
        }
        codec.open()
        self._codec = codec
        self._frame_bytes = codec.frame_size * self._sample_bytes
        self._rest = b""

    def header(self, data_bytes: int) -> bytes:
        return b""

    def encode(self, pcm: bytes) -> bytes:
        self._rest += pcm
        whole = len(self._rest) // self._frame_bytes * self._frame_bytes
        pcm, self._rest = self._rest[:whole], self._rest[whole:]
        return b"".join(
            self._packets(pcm[start : start + self._frame_bytes])
            for start in range(0, whole, self._frame_bytes)
        )

    def finish(self) -> bytes:
        last, self._rest = self._rest, b""
        if last:
            data = self._packets(last.ljust(self._frame_bytes, b"\0"))
        else:
            data = b""
        return data + self._joined(self._codec.encode(None))

    def _packets(self, pcm: bytes) -> bytes:
        """Encode one frame."""
        samples = len(pcm) // self._sample_bytes
        frame = self._new_frame(format="s16p", layout=self._layout, samples=samples)
        frame.sample_rate = SAMPLE_RATE_HZ
        sides = [pcm]
        if len(frame.planes) == 2:
            sides = [audioop.tomono(pcm, PCM_SAMPLE_BYTES, *side) for side in _SIDES]
        for plane, side in zip(frame.planes, sides, strict=True):
            # A plane is padded for alignment; only the samples count.
            memoryview(plane)[: len(side)] = side
        return self._joined(self._codec.encode(frame))

    @staticmethod
    def _joined(packets: list[Any]) -> bytes:
        return b"".join(bytes(packet) for packet in packets)

"""MP3 of telephone audio: MPEG 2.5 layer III at 8 kHz, constant bit rate.

The file is nothing but frames of 72 ms, each complete: it can be cut anywhere, and a
player needs neither its beginning nor its end. It begins with the encoder's own delay,
some 0.14 s of silence. ``av`` (LAME) is loaded with the first encoder.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from emulator.media.g711 import PCM_SAMPLE_BYTES, SAMPLE_RATE_HZ

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
        if n_channels == 2:
            # Two parties have nothing in common: each has a channel of its own.
            codec.options = {"joint_stereo": "0"}
        codec.open()
        self._codec = codec
        self._planes: Any = av.AudioResampler(format="s16p", layout=self._layout)
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
        frame = self._new_frame(format="s16", layout=self._layout, samples=samples)
        frame.sample_rate = SAMPLE_RATE_HZ
        # A plane is padded for alignment; only the samples count.
        memoryview(frame.planes[0])[: len(pcm)] = pcm
        packets = []
        for planar in self._planes.resample(frame):
            planar.pts = None
            packets += self._codec.encode(planar)
        return self._joined(packets)

    @staticmethod
    def _joined(packets: list[Any]) -> bytes:
        return b"".join(bytes(packet) for packet in packets)

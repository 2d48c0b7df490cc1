"""Streaming conversion between 8 kHz and the rates of a bot.

``av`` (libswresample) is loaded with the first converter, because its import takes some
50 ms: do that in a thread (``load_library``) where calls are running.
"""

from __future__ import annotations

from typing import Any

from emulator.media.g711 import PCM_SAMPLE_BYTES, Buffer

# What libswresample holds back to look ahead, at every pair of rates used here; the
# same length of silence goes first, so that each message keeps its length.
_HELD_BACK_MS = 2


def load_library() -> None:
    """Import what the converters need."""
    import av  # noqa: F401


class Resampler:
    """Converts one continuous signal: int16 little-endian mono in and out.

    The output is 2 ms late and, from the first chunk on, as long as the input (to a
    sample, where the rates do not divide the chunk), whatever the sizes of the chunks.
    """

    def __init__(self, source_hz: int, target_hz: int) -> None:
        self._source_hz, self._target_hz = source_hz, target_hz
        self.reset()

    def reset(self) -> None:
        """Begin a new signal: the 2 ms that were held back are forgotten."""
        import av

        self._new_frame: Any = av.AudioFrame
        self._resampler: Any = av.AudioResampler(
            format="s16", layout="mono", rate=self._target_hz
        )
        held_back = self._target_hz * _HELD_BACK_MS // 1000
        self._lead = bytes(PCM_SAMPLE_BYTES * held_back)

    def convert(self, pcm: Buffer) -> bytes:
        """Return the next stretch of the signal at the other rate."""
        samples = len(pcm) // PCM_SAMPLE_BYTES
        if not samples:
            return b""
        frame = self._new_frame(format="s16", layout="mono", samples=samples)
        frame.sample_rate = self._source_hz
        # A plane is padded for alignment; only the samples count.
        memoryview(frame.planes[0])[: samples * PCM_SAMPLE_BYTES] = memoryview(pcm)
        parts = [
            bytes(memoryview(out.planes[0])[: out.samples * PCM_SAMPLE_BYTES])
            for out in self._resampler.resample(frame)
        ]
        if self._lead:
            parts.insert(0, self._lead)
            self._lead = b""
        return b"".join(parts)

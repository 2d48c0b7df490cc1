"""Silence where keys are heard: audio that is kept must not tell the digits.

For keys that were sent as sound. A key sent by RFC 4733 has its own packets, and the
audio around it is silenced where the key is known to be down.
"""

from __future__ import annotations

from emulator.media.g711 import PCM_SAMPLE_BYTES
from emulator.media.inband_dtmf import BLOCK_SAMPLES, detect_key

_BLOCK_BYTES = BLOCK_SAMPLES * PCM_SAMPLE_BYTES


class DigitSilencer:
    """Silences one continuous signal of PCM; 40 ms of it are held back.

    A block of 20 ms with a key's two tones is silenced together with its neighbours,
    which hold the tones' beginning and end.
    """

    def __init__(self) -> None:
        self._waiting = b""
        # Whether the block before ``_waiting`` held a key.
        self._was_key = False

    def pass_through(self, pcm: bytes) -> bytes:
        """Take the next stretch; return what is safe to keep by now."""
        self._waiting += pcm
        n_blocks = len(self._waiting) // _BLOCK_BYTES
        if n_blocks < 2:
            return b""
        blocks = [
            self._waiting[start : start + _BLOCK_BYTES]
            for start in range(0, n_blocks * _BLOCK_BYTES, _BLOCK_BYTES)
        ]
        # The last whole block waits for its neighbour.
        self._waiting = self._waiting[(n_blocks - 1) * _BLOCK_BYTES :]
        return self._silence(blocks)

    def finish(self) -> bytes:
        """Return what was held back."""
        length = len(self._waiting)
        padding = -length % _BLOCK_BYTES + _BLOCK_BYTES
        return self.pass_through(bytes(padding))[:length]

    def _silence(self, blocks: list[bytes]) -> bytes:
        """Return all blocks but the last, those with a key or beside one silent."""
        keys = [self._was_key, *(detect_key(block) is not None for block in blocks)]
        kept = [
            bytes(_BLOCK_BYTES) if any(keys[n : n + 3]) else block
            for n, block in enumerate(blocks[:-1])
        ]
        self._was_key = keys[-2]
        return b"".join(kept)

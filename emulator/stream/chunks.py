"""Media messages to the bot: their text and their numbers.

The short way of the caller's audio: one small object per stream, one counter that is
written. The numbers of a message follow from how many chunks there were before it.
"""

from __future__ import annotations

import pybase64

_base64 = pybase64.b64encode


class ChunkWriter:
    """Writes the chunks of one stream, and numbers them and all else that is sent.

    Attributes:
        is_open: The conversation takes media.
        is_followed: There is something to do after the next chunk.
    """

    __slots__ = (
        "_chunk_ms", "_chunks", "_numbers_ahead", "_origin_ms", "_skipped",
        "_template", "is_followed", "is_open",
    )  # fmt: skip

    def __init__(self, template: bytes, chunk_ms: int, first_ms: int) -> None:
        self._template = template
        self._chunk_ms = chunk_ms
        # The first chunk has number 1.
        self._origin_ms = first_ms - chunk_ms
        self._chunks = 0
        self._skipped = 0
        # By how much the sequence number is before that of the chunk.
        self._numbers_ahead = 0
        self.is_open = False
        self.is_followed = True

    def write(self, audio: bytes) -> bytes:
        """Return the message of the next chunk."""
        self._chunks = chunk = self._chunks + 1
        return self._template % (
            chunk + self._numbers_ahead,
            chunk,
            self._origin_ms + chunk * self._chunk_ms,
            _base64(audio),
        )

    def skip(self) -> None:
        """One chunk was dropped: chunk and timestamp step, the sequence does not."""
        self._chunks += 1
        self._skipped += 1
        self._numbers_ahead -= 1

    def next_number(self) -> int:
        """Return the sequence number of the next message, one that is no chunk."""
        self._numbers_ahead += 1
        return self._chunks + self._numbers_ahead

    @property
    def sent(self) -> int:
        """How many chunks were written."""
        return self._chunks - self._skipped

    @property
    def sent_ms(self) -> int:
        """How much audio they held."""
        return self.sent * self._chunk_ms

    @property
    def skipped_ms(self) -> int:
        """How much audio was dropped."""
        return self._skipped * self._chunk_ms

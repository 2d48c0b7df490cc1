"""How many streams the account may have open at once (streaming spec §5.3)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class StreamLimit:
    """Counts the streams of all calls, dialling ones included.

    Args:
        maximum: ``stream.max_streams``.
    """

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self.open = 0

    @contextmanager
    def place(self) -> Iterator[bool]:
        """Hold a place for one stream; the value tells whether there was one."""
        if self.open >= self.maximum:
            yield False
            return
        self.open += 1
        try:
            yield True
        finally:
            self.open -= 1

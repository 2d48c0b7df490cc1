"""How soon a ``clear`` silences the bot: what was cut, how long it is still heard.

The time runs from the bot's message to the end of the last byte that was left to play;
what the bot says next does not count.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from emulator.clock import Clock
from emulator.events import JsonValue
from emulator.media.g711 import BYTES_PER_MS


class ClearTimes:
    """The clears of one stream, timed one after the other.

    A clear that comes before the one before it has taken effect is counted only.

    Args:
        happened: Called with the data of a ``stream.cleared`` entry.
    """

    def __init__(
        self, clock: Clock, happened: Callable[[dict[str, JsonValue]], None]
    ) -> None:
        self._clock = clock
        self._happened = happened
        self._is_timing = False
        self.cleared_bytes = 0
        self._longest_ms: int | None = None

    def begin(self, cleared_bytes: int) -> Callable[[], None] | None:
        """Count a clear; return what to call when its last byte has been played."""
        self.cleared_bytes += cleared_bytes
        if self._is_timing:
            return None
        self._is_timing = True
        return partial(self._silent, self._clock.monotonic_s(), cleared_bytes)

    def _silent(self, cleared_s: float, cleared_bytes: int) -> None:
        self._is_timing = False
        silent_after_ms = round((self._clock.monotonic_s() - cleared_s) * 1000)
        self._longest_ms = max(self._longest_ms or 0, silent_after_ms)
        self._happened(
            {
                "cut_ms": cleared_bytes // BYTES_PER_MS,
                "silent_after_ms": silent_after_ms,
            }
        )

    def stats(self) -> dict[str, JsonValue]:
        """Return the sums; the longest time is None when none was measured."""
        return {
            "cleared_ms": self.cleared_bytes // BYTES_PER_MS,
            "clear_to_silence_max_ms": self._longest_ms,
        }

"""How soon a ``clear`` silences the bot: what was cut, how long it is still heard.

The time runs from the bot's message to the end of the last byte that was left to play;
what the bot says next does not count.
"""

from __future__ import annotations

from collections.abc import Callable

from emulator.clock import Clock
from emulator.events import JsonValue
from emulator.media.g711 import BYTES_PER_MS


class ClearTimes:
    """The clears of one stream; one that comes before silence belongs to the first.

    Args:
        happened: Called with the data of a ``stream.cleared`` entry.
    """

    def __init__(
        self, clock: Clock, happened: Callable[[dict[str, JsonValue]], None]
    ) -> None:
        self._clock = clock
        self._happened = happened
        # While what a clear has kept is still heard: when it came.
        self._began_s: float | None = None
        self._cleared_bytes = 0
        self._reported_bytes = 0
        self._longest_ms: int | None = None

    def begin(self, cleared_bytes: int) -> bool:
        """Count a clear; return whether ``silent`` is to be called at its end."""
        self._cleared_bytes += cleared_bytes
        is_first = self._began_s is None
        if is_first:
            self._began_s = self._clock.monotonic_s()
        return is_first

    def silent(self) -> None:
        """The last byte that the clears have left has been played."""
        if self._began_s is None:
            return
        now_s = self._clock.monotonic_s()
        silent_after_ms = round((now_s - self._began_s) * 1000)
        cleared_bytes = self._cleared_bytes - self._reported_bytes
        self._began_s, self._reported_bytes = None, self._cleared_bytes
        self._longest_ms = max(self._longest_ms or 0, silent_after_ms)
        self._happened(
            {
                "cleared_ms": cleared_bytes // BYTES_PER_MS,
                "silent_after_ms": silent_after_ms,
            }
        )

    def stats(self) -> dict[str, JsonValue]:
        """Return the sums; the longest time is None when none was measured."""
        return {
            "cleared_ms": self._cleared_bytes // BYTES_PER_MS,
            "clear_to_silence_max_ms": self._longest_ms,
        }

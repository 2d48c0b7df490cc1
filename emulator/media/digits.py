"""One event per key press, whichever ways it came.

A phone may send a key by RTP event, by SIP INFO and audibly, all at once.
"""

from __future__ import annotations

# The ways of one press differ by network and detection time; a person needs longer to
# press the same key again.
MERGE_WINDOW_S = 0.4


class DigitMerger:
    """Recognises a press that has been reported by another way."""

    def __init__(self) -> None:
        self._last: tuple[str, str, float] | None = None

    def is_new(self, digit: str, source: str, now_s: float) -> bool:
        """Tell whether this is a press of its own; it then becomes the last one."""
        if self._last is not None:
            last_digit, last_source, last_s = self._last
            is_same = digit == last_digit and source != last_source
            if is_same and now_s - last_s < MERGE_WINDOW_S:
                return False
        self._last = (digit, source, now_s)
        return True

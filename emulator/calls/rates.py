"""How many calls a trunk may make: a sliding minute."""

from __future__ import annotations

from collections import deque

WINDOW_S = 60.0


class CallRate:
    """Counts the calls of the last minute, by trunk SID."""

    def __init__(self) -> None:
        self._calls: dict[str, deque[float]] = {}

    def admit(self, trunk_sid: str, limit: int, now_s: float) -> bool:
        """Count a call at ``now_s`` if fewer than ``limit`` came in the last minute.

        A refused call does not count: a trunk that keeps knocking gets its share.
        """
        recent = self._calls.setdefault(trunk_sid, deque())
        while recent and recent[0] <= now_s - WINDOW_S:
            recent.popleft()
        if len(recent) >= limit:
            return False
        recent.append(now_s)
        return True

    def retry_after_s(self, trunk_sid: str, now_s: float) -> int:
        """Return in how many seconds the next call fits."""
        recent = self._calls.get(trunk_sid)
        if not recent:
            return 0
        return max(1, round(recent[0] + WINDOW_S - now_s))

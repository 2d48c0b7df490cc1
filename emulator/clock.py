"""Time as an argument: the clock that shells own and hand to pure code."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where monotonic and civil time come from."""

    def monotonic_s(self) -> float:
        """Return monotonic seconds; comparable between processes of one machine."""

    def utc(self) -> datetime:
        """Return the wall-clock time, timezone-aware, in UTC."""


class SystemClock:
    """The machine's clocks."""

    # Asked thirty times a call: without a function of ours in between.
    monotonic_s = staticmethod(time.monotonic)

    def utc(self) -> datetime:
        """Return the current UTC time."""
        return datetime.now(UTC)

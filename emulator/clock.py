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

    def monotonic_s(self) -> float:
        """Return ``time.monotonic()``."""
        return time.monotonic()

    def utc(self) -> datetime:
        """Return the current UTC time."""
        return datetime.now(UTC)

"""The heartbeat of the media plane: a 5 ms tick on absolute deadlines.

A ticker counts ticks from its start; a late one is made up for by its count, so that
nothing drifts. It stops itself when there is nothing to do: no legs, no wake-ups.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
import sys
import time
from collections.abc import Callable

TICK_S = 0.005
TICK_MS = 5

# Called with the number of ticks since the last call (1 when on time) and the time;
# returns whether there is more to do.
Tick = Callable[[int, float], bool]

_ITIMERSPEC = struct.Struct("qqqq")
_TFD_TIMER_ABSTIME = 1


def _timerfd_create() -> int:
    """Return a non-blocking CLOCK_MONOTONIC timer (``os.timerfd_create`` is 3.13's)."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create")
    return int(fd)


def _timerfd_settime(fd: int, first_s: float, period_s: float) -> None:
    """Arm ``fd``; a first time of 0 disarms it."""
    spec = _ITIMERSPEC.pack(*_split(period_s), *_split(first_s))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.timerfd_settime(fd, _TFD_TIMER_ABSTIME, spec, None) < 0:
        raise OSError(ctypes.get_errno(), "timerfd_settime")


def _split(seconds: float) -> tuple[int, int]:
    whole = int(seconds)
    return whole, int((seconds - whole) * 1e9)


class TimerfdTicker:
    """Linux: the kernel counts the ticks, also those that nobody read in time."""

    def __init__(self, tick: Tick) -> None:
        self._tick = tick
        self._loop = asyncio.get_running_loop()
        self._fd = _timerfd_create()
        self._loop.add_reader(self._fd, self._expired)
        self._is_running = False

    def start(self) -> None:
        """Tick from now on; does nothing when it ticks already."""
        if not self._is_running:
            self._is_running = True
            _timerfd_settime(self._fd, time.monotonic() + TICK_S, TICK_S)

    def close(self) -> None:
        """Stop for good."""
        self._loop.remove_reader(self._fd)
        os.close(self._fd)

    def _expired(self) -> None:
        try:
            ticks = int.from_bytes(os.read(self._fd, 8), sys.byteorder)
        except BlockingIOError:
            return
        if not self._tick(ticks, time.monotonic()):
            self._is_running = False
            _timerfd_settime(self._fd, 0, 0)


class LoopTicker:
    """Everywhere else: timers of the event loop, each at ``t0 + k * 5 ms``."""

    def __init__(self, tick: Tick) -> None:
        self._tick = tick
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._is_running = False
        self._due_s = 0.0

    def start(self) -> None:
        """Tick from now on; does nothing when it ticks already."""
        if not self._is_running:
            self._is_running = True
            self._due_s = self._loop.time() + TICK_S
            self._timer = self._loop.call_at(self._due_s, self._expired)

    def close(self) -> None:
        """Stop for good."""
        self._is_running = False
        if self._timer is not None:
            self._timer.cancel()

    def _expired(self) -> None:
        ticks = max(1, 1 + int((self._loop.time() - self._due_s) / TICK_S))
        self._due_s += ticks * TICK_S
        self._is_running = self._tick(ticks, time.monotonic())
        if self._is_running:
            self._timer = self._loop.call_at(self._due_s, self._expired)


Ticker = TimerfdTicker | LoopTicker


def make_ticker(tick: Tick) -> Ticker:
    """Return the ticker of this system; a loop must run."""
    return TimerfdTicker(tick) if sys.platform == "linux" else LoopTicker(tick)

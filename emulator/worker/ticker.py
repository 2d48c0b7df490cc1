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
from typing import Protocol

TICK_S = 0.005
TICK_MS = 5


class Ticked(Protocol):
    """What is ticked: the engine."""

    def tick(self, ticks: int, now_s: float) -> int:
        """Do the work of ``ticks`` ticks; return in how many it must be called again.

        1: at the next one; more: in between only ``read`` when there is input; 0: there
        is nothing to do any more.
        """

    def read(self, now_s: float) -> None:
        """Read what has come in between two ticks."""

    def fileno(self) -> int:
        """Return a descriptor that is readable when there is something to read."""


_ITIMERSPEC = struct.Struct("qqqq")
_TFD_TIMER_ABSTIME = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _timerfd_create() -> int:
    """Return a non-blocking CLOCK_MONOTONIC timer (``os.timerfd_create`` is 3.13's)."""
    fd = _libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create")
    return int(fd)


def _timerfd_settime(fd: int, first_s: float, period_s: float) -> None:
    """Arm ``fd``; a first time of 0 disarms it."""
    spec = _ITIMERSPEC.pack(*_split(period_s), *_split(first_s))
    if _libc.timerfd_settime(fd, _TFD_TIMER_ABSTIME, spec, None) < 0:
        raise OSError(ctypes.get_errno(), "timerfd_settime")


def _split(seconds: float) -> tuple[int, int]:
    whole = int(seconds)
    return whole, int((seconds - whole) * 1e9)


class Ticker:
    """Ticks on deadlines ``t0 + k * 5 ms``, as often as there is work.

    With many legs every tick comes, and all sockets are read in it: one wake-up serves
    them all. With few legs a tick without a packet to send would cost more than the
    packet: it is left out, and the loop watches the sockets.
    """

    def __init__(self, ticked: Ticked, on_idle: Callable[[], None]) -> None:
        self._ticked = ticked
        self._on_idle = on_idle
        self._loop = asyncio.get_running_loop()
        self._timer = _make_timer(self._expired)
        self._is_running = self._is_watching = False
        # When the last tick was due, and in how many ticks the next one is.
        self._due_s = 0.0
        self._step = 1

    def start(self) -> None:
        """Tick from now on; when ticking already, at the next tick in any case."""
        now_s = time.monotonic()
        if not self._is_running:
            self._is_running = True
            self._due_s, self._step = now_s, 1
        elif self._step == 1:
            return
        self._step = 1 + max(0, int((now_s - self._due_s) / TICK_S))
        self._timer.arm(self._due_s + self._step * TICK_S)

    def close(self) -> None:
        """Stop for good."""
        self._watch(False)
        self._timer.close()

    def _expired(self, late_ticks: int) -> None:
        ticks = self._step + late_ticks
        self._due_s += ticks * TICK_S
        wanted = self._ticked.tick(ticks, time.monotonic())
        if wanted != 1 or self._step != 1:
            self._timer.arm(self._due_s + wanted * TICK_S if wanted else 0)
        # Also after ``start`` has shortened the step while the sockets were watched.
        self._watch(wanted > 1)
        self._step = wanted
        if not wanted:
            self._is_running = False
            self._on_idle()

    def _watch(self, is_wanted: bool) -> None:
        if is_wanted != self._is_watching:
            self._is_watching = is_wanted
            if is_wanted:
                self._loop.add_reader(self._ticked.fileno(), self._readable)
            else:
                self._loop.remove_reader(self._ticked.fileno())

    def _readable(self) -> None:
        self._ticked.read(time.monotonic())


class _Timer(Protocol):
    """Calls back at a deadline and every 5 ms after it, with the ticks it is late."""

    def arm(self, first_s: float) -> None: ...
    def close(self) -> None: ...


class _TimerfdTimer:
    """Linux: the kernel counts the ticks, also those that nobody read in time."""

    def __init__(self, expired: Callable[[int], None]) -> None:
        self._expired = expired
        self._loop = asyncio.get_running_loop()
        self._fd = _timerfd_create()
        self._loop.add_reader(self._fd, self._readable)

    def arm(self, first_s: float) -> None:
        """Begin at ``first_s``; 0 disarms."""
        _timerfd_settime(self._fd, first_s, TICK_S)

    def close(self) -> None:
        self._loop.remove_reader(self._fd)
        os.close(self._fd)

    def _readable(self) -> None:
        try:
            count = int.from_bytes(os.read(self._fd, 8), sys.byteorder)
        except BlockingIOError:
            return  # Armed anew since it became readable.
        self._expired(count - 1)


class _LoopTimer:
    """Everywhere else: timers of the event loop."""

    def __init__(self, expired: Callable[[int], None]) -> None:
        self._expired = expired
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.TimerHandle | None = None
        self._due_s = 0.0

    def arm(self, first_s: float) -> None:
        """Begin at ``first_s``; 0 disarms."""
        self.close()
        if first_s:
            self._due_s = first_s
            delay_s = first_s - time.monotonic()
            self._handle = self._loop.call_later(max(0.0, delay_s), self._fire)

    def close(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self) -> None:
        late_ticks = max(0, int((time.monotonic() - self._due_s) / TICK_S))
        self.arm(self._due_s + (1 + late_ticks) * TICK_S)
        self._expired(late_ticks)


def _make_timer(expired: Callable[[int], None]) -> _Timer:
    if sys.platform == "linux":
        return _TimerfdTimer(expired)
    else:
        return _LoopTimer(expired)

"""The timers of an endpoint, by key; long ones share the loop's wake-ups.

A transaction lingers for 32 s after a call that took a second. At 400 calls/s that
makes 25,000 timers of which nobody minds when exactly they fire, so they wait in
groups: one timer of the loop for each tenth of a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import ceil
from typing import Final

from emulator.clock import Clock
from emulator.sip.effects import TimerKey

# From so long on, a timer may be late by up to one grain.
COARSE_FROM_S: Final = 5.0
GRAIN_S: Final = 0.1

# The keys of one grain; a dict keeps them in the order of their setting.
_Group = dict[TimerKey, None]


class Timers:
    """Running timers.

    Args:
        fired: Called with the key of a timer that ran out, which is then forgotten.
    """

    def __init__(self, clock: Clock, fired: Callable[[TimerKey], None]) -> None:
        self._clock = clock
        self._fired = fired
        self._running: dict[TimerKey, asyncio.TimerHandle | _Group] = {}
        self._groups: dict[int, tuple[_Group, asyncio.TimerHandle]] = {}

    def __len__(self) -> int:
        return len(self._running)

    def set(self, key: TimerKey, delay_s: float) -> None:
        """Start a timer, never to fire early; a running one of this key stops."""
        self.clear(key)
        if delay_s < COARSE_FROM_S:
            loop = asyncio.get_running_loop()
            self._running[key] = loop.call_later(delay_s, self._fire, key)
            return
        group = self._group_at(self._clock.monotonic_s() + delay_s)
        group[key] = None
        self._running[key] = group

    def clear(self, key: TimerKey) -> None:
        """Forget a timer; it may not be running."""
        place = self._running.pop(key, None)
        if place is None:
            return
        if isinstance(place, dict):
            # The group stays: its wake-up costs less than to look for the last key.
            del place[key]
        else:
            place.cancel()

    def close(self) -> None:
        """Forget all."""
        for key in list(self._running):
            self.clear(key)
        for _, handle in self._groups.values():
            handle.cancel()
        self._groups.clear()

    def _group_at(self, at_s: float) -> _Group:
        number = ceil(at_s / GRAIN_S)
        known = self._groups.get(number)
        if known is not None:
            return known[0]
        group: _Group = {}
        delay_s = number * GRAIN_S - self._clock.monotonic_s()
        loop = asyncio.get_running_loop()
        handle = loop.call_later(delay_s, self._fire_group, number)
        self._groups[number] = group, handle
        return group

    def _fire(self, key: TimerKey) -> None:
        del self._running[key]
        self._fired(key)

    def _fire_group(self, number: int) -> None:
        group, _ = self._groups.pop(number)
        for key in list(group):
            # What an earlier one of the group does may clear a later one.
            if key in group:
                del group[key]
                self._fire(key)

"""Timers of an endpoint: by key, never early, long ones in groups."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

import pytest

from emulator.clock import SystemClock
from emulator.sip.effects import SessionTimer, TimerKey
from emulator.sip.transport import timers
from emulator.sip.transport.timers import Timers


def key(serial: int) -> TimerKey:
    return SessionTimer(serial, "a")


class StandingClock:
    """Time that stands still, so that a group's number is known."""

    def monotonic_s(self) -> float:
        return 1000.0

    def utc(self) -> datetime:
        raise NotImplementedError


def run(
    scenario: Callable[[Timers, list[TimerKey]], Coroutine[Any, Any, None]],
) -> None:
    async def main() -> None:
        fired: list[TimerKey] = []
        await scenario(Timers(SystemClock(), fired.append), fired)

    asyncio.run(main())


def test_a_timer_fires_once_and_is_forgotten() -> None:
    async def scenario(running: Timers, fired: list[TimerKey]) -> None:
        running.set(key(1), 0.01)
        running.set(key(2), 60.0)
        assert len(running) == 2
        await asyncio.sleep(0.05)
        assert fired == [key(1)]
        assert len(running) == 1
        running.close()
        assert len(running) == 0

    run(scenario)


def test_setting_again_replaces_and_clearing_forgets() -> None:
    async def scenario(running: Timers, fired: list[TimerKey]) -> None:
        running.set(key(1), 0.01)
        running.set(key(1), 60.0)
        running.set(key(2), 60.0)
        running.set(key(2), 0.02)
        running.set(key(3), 0.01)
        running.clear(key(3))
        running.clear(key(4))
        await asyncio.sleep(0.06)
        assert fired == [key(2)]
        running.close()

    run(scenario)


def test_long_timers_share_a_wake_up_and_are_not_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(timers, "COARSE_FROM_S", 0.02)
    clock = SystemClock()

    async def scenario(running: Timers, fired: list[TimerKey]) -> None:
        due_s = clock.monotonic_s() + 0.02
        for serial in range(3):
            running.set(key(serial), 0.02)
        # Grains are a tenth of a second; a machine that is busy may be late.
        await asyncio.sleep(2.5 * timers.GRAIN_S)
        assert clock.monotonic_s() >= due_s
        assert fired == [key(0), key(1), key(2)]
        assert len(running) == 0

    run(scenario)


def test_one_of_a_group_may_clear_another() -> None:
    async def main() -> None:
        fired: list[TimerKey] = []

        def on_fired(which: TimerKey) -> None:
            fired.append(which)
            running.clear(key(2))
            running.set(key(1), 60.0)

        running = Timers(StandingClock(), on_fired)
        running.set(key(1), 10.0)
        running.set(key(2), 10.0)
        running._fire_group(round((1000.0 + 10.0) / timers.GRAIN_S))
        assert fired == [key(1)]
        assert len(running) == 1, "the one that was set again"
        running.close()

    asyncio.run(main())

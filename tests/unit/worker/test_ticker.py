"""The ticker: counts every tick, leaves out what is not wanted, stops when idle."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Callable

import pytest

from emulator.worker import ticker as ticker_module
from emulator.worker.ticker import TICK_S, Ticker

TIMERS = [ticker_module._LoopTimer]
if sys.platform == "linux":
    TIMERS.append(ticker_module._TimerfdTimer)  # type: ignore[arg-type]
# A minute: nobody waits for it.
LATER = 12_000


class Work:
    """Wants ticks as told; one end of a socketpair stands for the RTP sockets."""

    def __init__(self, *wishes: int) -> None:
        self.wishes = list(wishes)
        self.ticks: list[int] = []
        self.reads = 0
        self.ours, self.theirs = socket.socketpair()
        self.on_tick: Callable[[], object] = lambda: None

    def tick(self, ticks: int, now_s: float) -> int:
        self.ticks.append(ticks)
        self.on_tick()
        return self.wishes.pop(0)

    def read(self, now_s: float) -> None:
        self.reads += 1
        self.ours.recv(100)

    def fileno(self) -> int:
        return self.ours.fileno()


@pytest.fixture(params=TIMERS, ids=lambda timer: timer.__name__, autouse=True)
def timer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ticker_module, "_make_timer", request.param)


def run(work: Work, meanwhile: Callable[[Ticker], None] = lambda ticker: None) -> float:
    """Run until idle; return how long that took."""

    async def main() -> float:
        idle = asyncio.Event()
        ticker = Ticker(work, on_idle=idle.set)
        began_s = time.monotonic()
        ticker.start()
        ticker.start()
        meanwhile(ticker)
        async with asyncio.timeout(20):
            await idle.wait()
        took_s = time.monotonic() - began_s
        await asyncio.sleep(3 * TICK_S)
        ticker.close()
        return took_s

    try:
        return asyncio.run(main())
    finally:
        work.ours.close()
        work.theirs.close()


def test_it_ticks_until_there_is_nothing_to_do() -> None:
    work = Work(1, 1, 1, 0)
    took_s = run(work)
    assert work.wishes == []
    assert took_s >= sum(work.ticks) * TICK_S - 0.001


def test_ticks_that_are_not_wanted_are_left_out_and_counted() -> None:
    work = Work(4, 4, 1, 0)
    run(work)
    assert work.ticks[1] >= 4
    assert work.ticks[2] >= 4


def test_input_is_read_between_distant_ticks() -> None:
    work = Work(100, 0)
    work.on_tick = lambda: work.theirs.send(b"x") if work.reads == 0 else 0
    run(work)
    assert work.reads >= 1


def test_a_late_tick_is_counted() -> None:
    work = Work(1, 0)
    work.on_tick = lambda: time.sleep(0.03) if len(work.ticks) == 1 else None
    run(work)
    assert work.ticks[1] >= 5


def test_a_start_brings_a_distant_tick_forward() -> None:
    async def main() -> None:
        work = Work(LATER, 0)
        idle = asyncio.Event()
        ticker = Ticker(work, on_idle=idle.set)
        ticker.start()
        await asyncio.sleep(3 * TICK_S)
        ticker.start()
        async with asyncio.timeout(20):
            await idle.wait()
        ticker.close()
        work.ours.close()
        work.theirs.close()
        assert LATER > work.ticks[1] >= 1

    asyncio.run(main())


def test_it_can_start_again_after_it_has_stopped() -> None:
    work = Work(0, 0)

    async def main() -> None:
        idle = asyncio.Event()
        ticker = Ticker(work, on_idle=idle.set)
        for _ in range(2):
            idle.clear()
            ticker.start()
            async with asyncio.timeout(20):
                await idle.wait()
        ticker.close()
        work.ours.close()
        work.theirs.close()

    asyncio.run(main())
    assert len(work.ticks) == 2


def test_sockets_are_watched_no_more_once_every_tick_is_wanted() -> None:
    """Also when it was ``start`` that brought the next tick forward."""

    async def main() -> int:
        work = Work(200, 1, 1, 1, 0)
        idle, ticked = asyncio.Event(), asyncio.Event()
        work.on_tick = ticked.set
        ticker = Ticker(work, on_idle=idle.set)
        ticker.start()
        await ticked.wait()
        ticked.clear()
        ticker.start()
        await ticked.wait()
        reads = work.reads
        work.theirs.send(b"x")
        async with asyncio.timeout(20):
            await idle.wait()
        ticker.close()
        work.ours.close()
        work.theirs.close()
        return work.reads - reads

    assert asyncio.run(main()) == 0

"""Waits for an answer: it, or the end of the time, and no timer left behind."""

from __future__ import annotations

import asyncio

import pytest

from emulator.waiting import answer_within


def test_an_answer_that_comes_is_returned() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[int] = loop.create_future()
        loop.call_soon(answer.set_result, 7)
        assert await answer_within(60.0, answer) == 7

    asyncio.run(main())


def test_no_answer_in_time_is_a_timeout() -> None:
    async def main() -> None:
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        with pytest.raises(TimeoutError):
            await answer_within(0.01, answer)

    asyncio.run(main())


def test_who_is_cancelled_leaves_no_timer_that_fails_later() -> None:
    async def main() -> None:
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        waiting = asyncio.create_task(answer_within(0.02, answer))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        await asyncio.sleep(0.05)
        assert answer.cancelled()

    asyncio.run(main())

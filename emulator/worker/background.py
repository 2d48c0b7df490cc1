"""Blocking work outside the tick: threads of the loop's own pool."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class ThreadBackground:
    """Runs jobs in threads and brings what came of them back into the loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def run(self, job: Callable[[], T], done: Callable[[T | Exception], None]) -> None:
        """Run ``job``; call ``done`` with its result, or with what it raised."""
        future = self._loop.run_in_executor(None, job)

        def finish(finished: asyncio.Future[T]) -> None:
            if finished.cancelled():
                return
            error = finished.exception()
            if error is None:
                done(finished.result())
            elif isinstance(error, Exception):
                done(error)

        future.add_done_callback(finish)

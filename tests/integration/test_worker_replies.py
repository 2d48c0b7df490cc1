"""Marks and clears through a real bot, a worker process and a phone.

``python -m bench.replies`` has the figures; here the machine may be busy: the middle of
several rounds must do.
"""

from __future__ import annotations

import asyncio
import statistics

import pytest

from bench.replies import clears_ms, mark_errors_ms


def test_a_mark_comes_back_when_the_last_byte_before_it_was_heard() -> None:
    errors_ms = asyncio.run(mark_errors_ms(7))
    assert abs(statistics.median(errors_ms)) <= 20
    # Never while a packet of what it marks is still to come.
    assert min(errors_ms) > -20


@pytest.mark.parametrize(
    ("granularity", "limit_ms"), [("message", 120), ("packet", 40)]
)
def test_a_clear_is_heard_soon_and_the_timeline_agrees_with_the_phone(
    granularity: str, limit_ms: int
) -> None:
    clears = asyncio.run(clears_ms(5, granularity))
    assert statistics.median(heard for heard, _ in clears) <= limit_ms
    assert abs(statistics.median(told - heard for heard, told in clears)) <= 20

"""Calls over bad networks: loss and jitter both ways, and the call lives."""

from __future__ import annotations

import asyncio

import pytest

from bench.grid import JITTERS_MS, LOSSES, run_grid
from tests.support.processes import free_port


@pytest.mark.slow
@pytest.mark.parametrize("buffer_ms", [0, 60])
def test_calls_live_through_loss_and_jitter_and_hear_what_is_left(
    buffer_ms: int,
) -> None:
    cells = asyncio.run(run_grid(10, buffer_ms, free_port()))
    assert len(cells) == len(LOSSES) * len(JITTERS_MS)
    assert all(cell.is_alive for cell in cells)
    for cell in cells:
        assert (cell.lost_in == 0) == (cell.loss == 0)
        # Lost on the way in or out; a busy machine costs some more.
        assert cell.echoed > (1 - cell.loss) ** 2 - 0.1
        # The bot's time goes on: silence takes the place of what is lost.
        assert cell.bot_ms >= 10_000

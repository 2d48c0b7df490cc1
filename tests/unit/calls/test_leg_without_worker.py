"""A leg whose media worker answers too late, or never."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from emulator.calls.leg import Leg
from emulator.worker.messages import Command, Happened, MediaParams, OpenStream


class Worker:
    """Takes commands and does nothing."""

    async def add_leg(
        self, leg_id: str, call_sid: str, media: MediaParams | None = None
    ) -> int:
        return 10_000

    def send(self, command: Command) -> None:
        pass


class Journal:
    """Keeps the kinds and data of what is recorded."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, dict[str, Any]]] = []

    def record(
        self,
        kind: str,
        data: Mapping[str, Any] | None = None,
        /,
        *,
        at_s: float | None = None,
        **more: Any,
    ) -> None:
        self.entries.append((kind, {**(data or {}), **more}))

    def digit_pressed(self, leg: Leg, digit: str) -> None: ...
    def rtp_silent(self, leg: Leg, silent_s: float) -> None: ...
    def worker_lost(self, leg: Leg, reason: str) -> None: ...


def test_a_stream_that_was_given_up_closes_once_on_the_timeline() -> None:
    async def scenario() -> None:
        journal = Journal()
        leg = Leg("L1", "C1", Worker(), journal)
        await leg.open(None)
        command = OpenStream("L1", "S1", "C1", "A1", "ws://h/", "1", "2")
        waiting = asyncio.create_task(leg.stream(command))
        await asyncio.sleep(0)
        leg.lose("the media worker did not answer")
        assert (await waiting).status == "failed"
        late = {"stream_sid": "S1", "status": "completed"}
        leg.on_report(Happened("L1", "stream.closed", 1.0, late))
        closed = [data for kind, data in journal.entries if kind == "stream.closed"]
        assert [data["status"] for data in closed] == ["failed"]

    asyncio.run(scenario())

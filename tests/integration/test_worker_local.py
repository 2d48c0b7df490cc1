"""An engine in the test's own loop: two parties talk over loopback."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from emulator.clock import SystemClock
from emulator.errors import LocalProtocolError, TransportError
from emulator.ids import IdSource
from emulator.media.capture import Capture
from emulator.worker.local import LocalEngine
from emulator.worker.messages import (
    DigitPressed,
    DigitsSent,
    Play,
    PlayEnded,
    RemoveLeg,
    Report,
    SendDigits,
    StartLeg,
    UpdateLeg,
)
from tests.support.media_rig import media


class Two:
    """Two legs of one engine, each the other's peer."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.news = asyncio.Event()
        self.engine = LocalEngine(
            bind_ip="127.0.0.1",
            rtp_port_min=24800,
            rtp_port_max=24819,
            clock=SystemClock(),
            ids=IdSource(),
            on_report=self._take,
        )
        ports = {leg: self.engine.add_leg(leg) for leg in ("A", "B")}
        for leg, other in (("A", "B"), ("B", "A")):
            params = media(remote_port=ports[other], send_before_latch=True)
            self.engine.send(UpdateLeg(leg, params))
            self.engine.send(StartLeg(leg))

    def _take(self, report: Report) -> None:
        self.reports.append(report)
        self.news.set()

    async def wait_for(self, kind: type[Report]) -> None:
        async with asyncio.timeout(20):
            while not any(isinstance(report, kind) for report in self.reports):
                self.news.clear()
                await self.news.wait()


def test_one_party_hears_what_the_other_plays(tmp_path: Path) -> None:
    async def scenario() -> Capture:
        two = Two()
        heard = two.engine.capture("B")
        two.engine.send(Play("A", "p", tone="beep"))
        await two.wait_for(PlayEnded)
        two.engine.close()
        return heard

    heard = asyncio.run(scenario())
    assert heard.first_sound_s is not None
    assert heard.duration_s > 0.5
    heard.save(str(tmp_path / "heard.wav"))


def test_one_party_presses_and_the_other_is_told() -> None:
    async def scenario() -> list[str]:
        two = Two()
        two.engine.send(SendDigits("A", "12"))
        await two.wait_for(DigitsSent)
        received = two.engine.stats("B")["received"]
        assert isinstance(received, dict)
        assert received["lost"] == 0
        two.engine.send(RemoveLeg("A"))
        two.engine.close()
        return [r.digit for r in two.reports if isinstance(r, DigitPressed)]

    assert asyncio.run(scenario()) == ["1", "2"]


def test_a_leg_that_is_not_there_is_a_mistake_of_ours() -> None:
    async def scenario() -> None:
        two = Two()
        with pytest.raises(LocalProtocolError, match="no leg C"):
            two.engine.capture("C")
        with pytest.raises(TransportError, match="the leg exists already"):
            two.engine.add_leg("A")
        assert two.engine.stats("C") == {}
        two.engine.close()

    asyncio.run(scenario())

"""Tells a customer's server how dialling goes (``dial_passthru_event_url``).

The manual names the four events; their parameters and POST are assumed, in the words of
Passthru. They are sent one after the other, in order, whatever the server answers.
"""

from __future__ import annotations

import asyncio
from functools import partial

from emulator.calls.dialled import DialledLeg
from emulator.calls.verbs.stage import Stage
from emulator.flow.ports import Dial, Fetch
from emulator.ids import IST

TIMEOUT_S = 10.0


class DialEvents:
    """The events of one verb; without an ``event_url`` nothing is sent."""

    def __init__(self, stage: Stage, verb: Dial) -> None:
        self._stage = stage
        self._url = verb.event_url
        self._waiting: asyncio.Queue[Fetch | None] = asyncio.Queue()
        if self._url is not None:
            stage.beside.create_task(self._send())

    def watch(self, leg: DialledLeg) -> None:
        """Tell of each step of a leg."""
        leg.on_step = partial(self._tell, leg)

    def finish(self) -> None:
        """Nothing will be told any more."""
        self._waiting.put_nowait(None)

    def _tell(self, leg: DialledLeg, event: str) -> None:
        if self._url is None:
            return
        context = self._stage.context
        now = self._stage.services.clock.utc()
        fields = {
            "CallSid": context.call_sid,
            "LegSid": leg.sid,
            "EventType": event,
            "CallFrom": context.from_,
            "CallTo": context.to,
            "DialWhomNumber": leg.to,
            "CurrentTime": f"{now.astimezone(IST):%Y-%m-%d %H:%M:%S}",
        }
        if event == "Terminal":
            fields |= {
                "DialCallStatus": leg.status.value,
                "OnCallDuration": f"{leg.duration_s:.0f}",
                "CauseCode": leg.cause.name,
                "Cause": str(leg.cause.value),
            }
        form = tuple(fields.items())
        asked = Fetch("dial_event", self._url, TIMEOUT_S, method="POST", form=form)
        self._waiting.put_nowait(asked)

    async def _send(self) -> None:
        while (asked := await self._waiting.get()) is not None:
            await self._stage.services.webhooks.fetch(asked, self._stage.listener)

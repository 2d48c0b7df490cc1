"""The time of day."""

from __future__ import annotations

from emulator.calls.verbs.stage import Stage, handler
from emulator.flow.ports import Capability, TellTime, Time


async def _tell_time(stage: Stage, verb: TellTime) -> Time:
    return Time(stage.services.clock.utc())


TELL_TIME = handler(TellTime, _tell_time, Capability.CLOCK)

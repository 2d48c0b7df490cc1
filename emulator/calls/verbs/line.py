"""The caller's line itself: hanging up, and staying on it."""

from __future__ import annotations

from emulator.calls.verbs.stage import Stage, handler
from emulator.flow.ports import Capability, Done, Hangup, StayOnLine


async def _hang_up(stage: Stage, verb: Hangup) -> Done:
    """The flow ends right behind this verb, and the call with it."""
    return Done()


async def _stay_on_line(stage: Stage, verb: StayOnLine) -> Done:
    """Wait for the end of the call; the caller hears nothing."""
    stage.listener.record("note", text=f"the call stays open and silent: {verb.why}")
    await stage.caller_gone.wait()
    return Done()


HANG_UP = handler(Hangup, _hang_up, Capability.HANG_UP)
STAY_ON_LINE = handler(StayOnLine, _stay_on_line)

"""Hangup: ends the call at once (streaming spec §4.6)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from emulator.flow.applet import Applet, AppletRun, Need, Outcome, carry_out
from emulator.flow.context import CallState
from emulator.flow.ports import Capability, Hangup


class HangupApplet(Applet):
    """No parameters, no exits."""

    EXITS: ClassVar[tuple[str, ...]] = ()

    type: Literal["hangup"]

    def needs(self) -> Iterator[Need]:
        yield Need(Capability.HANG_UP)

    def run(self, call: CallState) -> AppletRun:
        yield from carry_out(Hangup("the flow hung up"))
        return Outcome(None, "the call is over")

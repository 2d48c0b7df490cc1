"""Transfer: the call goes on in another flow (streaming spec §4.10)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from emulator.flow.applet import Applet, AppletRun, Need, Outcome, WithoutCaller
from emulator.flow.context import CallState
from emulator.flow.fields import FlowName
from emulator.flow.ports import Capability


class Transfer(Applet):
    """``to`` is the other flow's name or app id; the call keeps its SID."""

    EXITS: ClassVar[tuple[str, ...]] = ()
    WITHOUT_CALLER: ClassVar[WithoutCaller] = WithoutCaller.RUN

    type: Literal["transfer"]
    to: FlowName

    def needs(self) -> Iterator[Need]:
        yield Need(Capability.TRANSFER)

    def run(self, call: CallState) -> AppletRun:
        yield from ()
        return Outcome(None, f"transferred to {self.to!r}", transfer_to=self.to)

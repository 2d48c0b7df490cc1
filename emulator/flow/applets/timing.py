"""Timing: open or closed, by weekday and time of day (streaming spec §4.10)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from emulator.flow.applet import (
    Applet,
    AppletRun,
    Need,
    Outcome,
    WithoutCaller,
    carry_out,
)
from emulator.flow.context import CallState
from emulator.flow.fields import NodeName, TimeWindow
from emulator.flow.ports import Capability, TellTime
from emulator.ids import IST

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Timing(Applet):
    """``hours: {mon: "09:00-18:00"}``, Indian time; a day that is left out is closed.

    One window a day, from earlier than to; chain several Timings for shifts.
    """

    EXITS: ClassVar[tuple[str, ...]] = ("closed", "open")
    WITHOUT_CALLER: ClassVar[WithoutCaller] = WithoutCaller.RUN

    type: Literal["timing"]
    hours: Annotated[dict[Weekday, TimeWindow], Field(min_length=1)]
    open: NodeName | None = None
    closed: NodeName | None = None

    def needs(self) -> Iterator[Need]:
        yield Need(Capability.CLOCK)

    def run(self, call: CallState) -> AppletRun:
        now = (yield from carry_out(TellTime())).now.astimezone(IST)
        day = WEEKDAYS[now.weekday()]
        start, _, end = self.hours.get(day, "").partition("-")
        is_open = start <= now.strftime("%H:%M") < end
        return Outcome("open" if is_open else "closed", f"{day} {now:%H:%M}")

"""Two parties talk: bridged until one of them leaves or the time is over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, Protocol, TypeAlias

from emulator.calls.dialled import DialledLeg
from emulator.calls.leg import Leg, Prompt
from emulator.events import JsonValue

HOLD_MUSIC: Prompt = {"tone": "music-on-hold"}
EndedBy: TypeAlias = Literal["caller", "callee", "limit", "worker"]


class Music:
    """What somebody who waits hears, over and over.

    Args:
        find: Returns what it is, or None for silence; a URL takes its time.
    """

    def __init__(
        self, leg: Leg, find: Callable[[], Awaitable[Prompt | None]], name: str
    ) -> None:
        self._leg = leg
        self._find = find
        self._said: dict[str, JsonValue] = {"music": name}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Play until ``stop``."""
        if self._task is None:
            self._task = asyncio.create_task(self._play())

    async def _play(self) -> None:
        found = await self._find()
        if found is not None:
            prompt: Prompt = {**found, "loop": True}
            await self._leg.play(self._said, **prompt)

    def switch(self, is_on: bool) -> None:
        """Start or stop."""
        if is_on:
            self.start()
        else:
            self.stop()

    def stop(self) -> None:
        """Be silent again."""
        if self._task is not None:
            self._task.cancel()
            self._task = None


class Caller(Protocol):
    """The first party of a call, as far as it talks to another.

    Attributes:
        on_hold: Told that it put us on hold (True) or took us back.
    """

    leg: Leg
    on_hold: Callable[[bool], None]

    @property
    def is_on_hold(self) -> bool:
        """Whether it wants to hear nothing now."""

    def record(
        self,
        kind: str,
        data: Mapping[str, JsonValue] | None = None,
        /,
        *,
        at_s: float | None = None,
        **more: JsonValue,
    ) -> None:
        """Put an event on the call's timeline."""


def join(caller: Caller, callee: DialledLeg, *, early: bool = False) -> None:
    """Let two parties hear each other; ``early``: before there is an answer."""
    caller.leg.bridge(callee.leg)
    caller.record("call.bridged", leg=callee.sid, early=early)


async def talk(
    caller: Caller,
    callee: DialledLeg,
    caller_gone: asyncio.Event,
    limit_s: float | None = None,
) -> EndedBy:
    """Let two parties talk; return who ended it. The callee's leg is still to close.

    Who is put on hold hears music.
    """
    to_caller = Music(caller.leg, _hold_music, "hold")
    to_callee = Music(callee.leg, _hold_music, "hold")
    caller.on_hold, callee.on_hold = to_callee.switch, to_caller.switch
    to_callee.switch(caller.is_on_hold)
    try:
        return await _until_somebody_leaves(callee, caller_gone, limit_s)
    finally:
        caller.on_hold = callee.on_hold = _nothing
        to_caller.stop()
        to_callee.stop()
        caller.leg.bridge(None)


async def _until_somebody_leaves(
    callee: DialledLeg, caller_gone: asyncio.Event, limit_s: float | None
) -> EndedBy:
    gone = asyncio.create_task(caller_gone.wait())
    left = asyncio.create_task(callee.ended.wait())
    try:
        await asyncio.wait({gone, left}, timeout=limit_s, return_when="FIRST_COMPLETED")
        if gone.done():
            return "caller"
        return "callee" if left.done() else "limit"
    finally:
        gone.cancel()
        left.cancel()


async def _hold_music() -> Prompt:
    return HOLD_MUSIC


def _nothing(_: bool) -> None:
    """Nobody talks."""

"""A trunk's call to a person or to another trunk: no flow, two legs, one bridge.

The caller hears what the callee's phone does: its ringing, its own sounds (early
media), its refusal; it is answered when the callee answers (REST and SIP spec §8.3).
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from emulator.calls.dialled import DialledLeg
from emulator.calls.ending import EndCause, Ending
from emulator.calls.incoming import IncomingParty
from emulator.calls.status import CallStatus
from emulator.calls.talking import Caller, join, talk

# What the caller is told; a callee's own status wins where it says more.
_STATUSES = {CallStatus.BUSY: 486, CallStatus.NO_ANSWER: 480}
_UNREACHABLE = 503


class TerminatedCall(Caller, Protocol):
    """The call whose caller wants to reach somebody."""

    @property
    def gone(self) -> asyncio.Event:
        """Set once the call has ended."""

    def end(self, kind: EndCause, text: str) -> None:
        """End the call."""

    def answered(self) -> None:
        """The call is up."""


class Terminating:
    """Brings caller and callee together."""

    def __init__(
        self, call: TerminatedCall, caller: IncomingParty, callee: DialledLeg
    ) -> None:
        self._call = call
        self._caller = caller
        self._callee = callee
        self._has_early_media = False

    async def run(self) -> None:
        """Ring, answer, and let them talk until one of them leaves."""
        if not await self._caller.open():
            return
        self._callee.on_ring = self._ring
        self._callee.on_early_media = self._join_early
        if not await self._callee.ring():
            self._give_up()
            return
        await self._caller.answer()
        self._call.answered()
        join(self._call, self._callee)
        await talk(self._call, self._callee, self._call.gone)
        self._end_as_callee()

    def _ring(self) -> None:
        if not self._has_early_media:
            self._caller.ring({"to": self._callee.to})

    def _join_early(self) -> None:
        """Let the caller hear the sounds of the callee's phone."""
        if self._has_early_media or not self._caller.ring_with_media():
            return
        self._has_early_media = True
        self._call.leg.start()
        self._callee.leg.start()
        join(self._call, self._callee, early=True)

    def _give_up(self) -> None:
        """Turn the caller away with what the callee did."""
        ending = self._callee.ending
        if ending is not None and not self._call.gone.is_set():
            self._call.end(ending.kind, ending.text)
            self._caller.reject(self._status(), ending)

    def _status(self) -> int:
        status = self._callee.sip_status
        if self._callee.status in _STATUSES:
            return _STATUSES[self._callee.status]
        # A challenge is for us; a redirection too.
        if status is None or status < 400 or status in {401, 407}:
            return _UNREACHABLE
        return status

    def _end_as_callee(self) -> None:
        ending = self._callee.ending or Ending(EndCause.CALLEE_BYE, "the callee left")
        self._call.end(ending.kind, ending.text)

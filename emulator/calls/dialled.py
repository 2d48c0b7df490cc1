"""A further party of a call: rung, perhaps answered, and how that ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from emulator.calls.causes import Cause
from emulator.calls.dialing import Attempt, Identity, Route
from emulator.calls.ending import EndCause, Ending
from emulator.calls.leg import Leg
from emulator.calls.outgoing import OutgoingParty
from emulator.calls.party import Party
from emulator.calls.seat import Seat, guarded
from emulator.calls.services import CallServices
from emulator.calls.status import CallStatus, advance
from emulator.calls.transferring import Transfer
from emulator.events import JsonValue
from emulator.sip.events import ReferReceived
from emulator.sip.session import CallSession


class CallOfLeg(Protocol):
    """The call that a dialled leg is part of."""

    @property
    def sid(self) -> str:
        """The call's SID."""

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

    def adopt(
        self, session: CallSession, attempt: Attempt, leg_sid: str | None
    ) -> None:
        """Put the SIP messages of an INVITE of ours on the call's timeline."""

    def identity(self, leg_sid: str, caller_id: str | None = None) -> Identity:
        """Return what a callee is told of the caller."""

    def unplug(self, leg: Leg) -> None:
        """A leg is gone."""


class DialledLeg:
    """One party that a call rings beside its own.

    Attributes:
        on_step: Told ``Dial``, ``Ringing``, ``Answered`` and ``Terminal``, once each.
        on_ring: Told that the phone rings.
        on_early_media: Told that the phone sends its own ringing.
        on_hold: Told that the party put us on hold (True) or took us back.
        ended: Set when the leg has ended, before it is closed.
    """

    def __init__(
        self,
        sid: str,
        call: CallOfLeg,
        services: CallServices,
        route: Route,
        ring_timeout_s: float,
    ) -> None:
        self.sid = sid
        self.to = route.callee
        self.status = CallStatus.QUEUED
        self.ending: Ending | None = None
        self.answered_at: datetime | None = None
        self.on_step: Callable[[str], None] = _nothing
        self.on_ring: Callable[[], None] = _nothing
        self.on_early_media: Callable[[], None] = _nothing
        self.on_hold: Callable[[bool], None] = _nothing
        self.ended = asyncio.Event()
        self.leg = Leg(sid, call.sid, services.workers, self)
        self._call = call
        self._services = services
        self._route = route
        self._answered_s: float | None = None
        self._ended_s: float | None = None
        self._closing: asyncio.Task[None] | None = None
        self._party = OutgoingParty(
            route, services.phone, self.leg, services.settings.media,
            ring_timeout_s, self,
        )  # fmt: skip
        self._seat = Seat(self._party, self.end)

    @property
    def duration_s(self) -> float:
        """Seconds since the answer, up to the end or to now."""
        if self._answered_s is None:
            return 0.0
        until_s = self._ended_s or self._services.clock.monotonic_s()
        return round(until_s - self._answered_s, 3)

    @property
    def was_answered(self) -> bool:
        """Somebody took the call."""
        return self._answered_s is not None

    @property
    def sip_status(self) -> int | None:
        """The callee's refusal, if it sent one."""
        failure = self._party.failure
        return failure.status if failure else None

    @property
    def cause(self) -> Cause:
        """Why it is over, in the words of the platform's webhooks."""
        if self.was_answered:
            return Cause.NORMAL_CLEARING
        if self.ending is not None and self.ending.kind is EndCause.ANSWERED_ELSEWHERE:
            return Cause.NON_SELECTED_USER_CLEARING
        if self.status is CallStatus.CANCELED:
            return Cause.ORIGINATOR_CANCEL
        failure = self._party.failure
        return failure.cause if failure else Cause.NORMAL_TEMPORARY_FAILURE

    # Life.

    async def ring(self) -> bool:
        """Ring until somebody answers; False when the leg has ended instead."""
        self.record("leg.dialled", to=self.to)
        self.on_step("Dial")
        for note in self._route.notes:
            self.record("note", text=note)
        self._seat.follow()
        await guarded(self._party, self._establish(), self.end)
        return self.was_answered and self.ending is None

    async def _establish(self) -> None:
        if await self._party.establish() and self.ending is None:
            self._answered_s = self._services.clock.monotonic_s()
            self.answered_at = self._services.clock.utc()
            self.status = advance(self.status, CallStatus.IN_PROGRESS)
            self.record("leg.answered", to=self.to)
            self.on_step("Answered")
            self.leg.start()

    def end(self, kind: EndCause, text: str) -> None:
        """End the leg; only the first ending counts."""
        if self.ending is not None:
            return
        self.ending = Ending(kind, text)
        self._ended_s = self._services.clock.monotonic_s()
        self.status = advance(self.status, kind.status(self.was_answered))
        self.ended.set()
        self.on_step("Terminal")

    def begin_close(self, kind: EndCause, text: str) -> None:
        """End the leg, if it has not ended, and let it go in the background."""
        self.end(kind, text)
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())

    async def close(self, kind: EndCause, text: str) -> None:
        """End the leg, if it has not ended, and leave nothing of it."""
        self.begin_close(kind, text)
        assert self._closing is not None
        # Whoever waits may be cancelled; the leg is let go all the same.
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        assert self.ending is not None
        self._seat.hang_up(self.ending)
        stats = await self.leg.remove("callended")
        if stats:
            self.record("media.stats", stats)
        await self._seat.settle()
        self._call.unplug(self.leg)
        self._record_end(self.ending)

    def _record_end(self, ending: Ending) -> None:
        self.record(
            "leg.ended",
            to=self.to,
            by=ending.by,
            cause=ending.cause,
            reason=ending.text,
            status=self.status.value,
            duration_s=self.duration_s,
            q850=f"{self.cause.value} {self.cause.name}",
        )

    # What the party and its leg tell.

    def record(
        self,
        kind: str,
        data: Mapping[str, JsonValue] | None = None,
        /,
        *,
        at_s: float | None = None,
        **more: JsonValue,
    ) -> None:
        """Put an event on the call's timeline that names this leg."""
        self._call.record(kind, {**(data or {}), **more, "leg": self.sid}, at_s=at_s)

    def digit_pressed(self, leg: Leg, digit: str) -> None:
        """The bridge passes keys on; nobody here waits for one."""

    def rtp_silent(self, leg: Leg, silent_s: float) -> None:
        """The party sent no RTP for too long; who only rings need not."""
        if not self.was_answered:
            return
        limit_s = self._services.settings.sip.rtp_timeout_s
        self.record("media.timeout", silent_s=round(silent_s, 1))
        self.end(EndCause.RTP_TIMEOUT, f"no RTP for {limit_s:g} s (sip.rtp_timeout_s)")

    def worker_lost(self, leg: Leg, reason: str) -> None:
        """The leg's media worker is gone."""
        self.record("worker.lost", reason=reason)
        self.end(EndCause.WORKER_LOST, f"media worker lost: {reason}")

    def party_rings(self, data: Mapping[str, JsonValue]) -> None:
        """The phone rings."""
        self.record("leg.ringing", data)
        if self.status is CallStatus.QUEUED:
            self.status = advance(self.status, CallStatus.RINGING)
            self.on_ring()
            self.on_step("Ringing")

    def early_media(self) -> None:
        """The phone sends its own ringing."""
        self.on_early_media()

    def hold_changed(self, *, is_held: bool) -> None:
        """The party put us on hold, or took us back."""
        self.record("leg.held" if is_held else "leg.resumed")
        self.on_hold(is_held)

    def placed(self, session: CallSession, attempt: Attempt) -> None:
        """An INVITE of ours is on its way."""
        self._call.adopt(session, attempt, self.sid)

    def asked_to_transfer(self, event: ReferReceived, party: Party) -> None:
        """The party wants somebody else in its place."""
        identity = self._call.identity(self.sid)
        Transfer(self._services, self._seat, self, identity).ask(event, party)


def _nothing(*_: object) -> None:
    """Nobody wants to be told."""

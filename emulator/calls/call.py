"""One call: its caller's leg, its flow run, its ending.

```text
 SipEndpoint --events--> _follow_signalling --+
                                              +--> end(Ending), once --> _wind_up
 FlowRun <--results-- _converse <-- verbs.py --+
```

Two tasks live in a call: one follows the signalling, one rings, answers and walks the
flow. Whichever comes to an end first says so by ``end``; a third party (shutdown, a
dead worker, silent RTP) does the same. When the caller has gone the flow is not cut:
its running verb ends with the leg, and the flow is told (``caller_gone``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from emulator.calls.door import Admitted, Refused
from emulator.calls.ending import EndCause, Ending
from emulator.calls.flowing import FlowDriver
from emulator.calls.info_digits import parse_info_digit
from emulator.calls.leg import Leg
from emulator.calls.media import CallMedia
from emulator.calls.services import CallServices
from emulator.calls.status import CallStatus, advance
from emulator.calls.text import printable
from emulator.calls.timeline import Timeline
from emulator.errors import EmulatorError, NegotiationError
from emulator.events import Event, JsonValue
from emulator.flow.context import CallContext, FlowOptions
from emulator.flow.engine import FlowRun
from emulator.flow.model import Flow
from emulator.logs import call_sid_context
from emulator.sdp.errors import SdpParseError
from emulator.sip.events import (
    Acked,
    AckTimedOut,
    ByeReceived,
    Cancelled,
    InfoReceived,
    OfferAnswered,
    OfferReceived,
    SessionEnded,
    SessionEvent,
)
from emulator.sip.session import IncomingInvite

logger = logging.getLogger("emulator.calls")

# The worker answers within milliseconds; after so long it is as good as dead.
LEG_REMOVAL_DEADLINE_S = 2.0
# What a flow may still do after its caller has gone.
AFTERMATH_DEADLINE_S = 30.0
# For the 200 to our BYE, so that the timeline shows it; the SIP layer goes on alone.
SIGNALLING_DEADLINE_S = 2.0


@dataclass(frozen=True)
class CallFacts:
    """What is known of a call from its first moment."""

    sid: str
    direction: str
    from_: str
    to: str
    dialled: str
    source: str
    sip_call_id: str


class Call:
    """A call from the first INVITE to its last event.

    Args:
        began_s: Monotonic time of its first event, when the timeline begins.
    """

    def __init__(
        self, facts: CallFacts, services: CallServices, began_s: float
    ) -> None:
        self.facts = facts
        self.sid = facts.sid
        self.direction = facts.direction
        self.from_ = facts.from_
        self.to = facts.to
        self.flow_name: str | None = None
        self.applet: str | None = None
        self.status = CallStatus.QUEUED
        self.ending: Ending | None = None
        self.is_over = False
        self.answered_at: datetime | None = None
        self.ended_at: datetime | None = None
        self.created_at = services.clock.utc()
        self._services = services
        self._created_s = began_s
        self._answered_s: float | None = None
        self._ended_s: float | None = None
        self._acked = asyncio.Event()
        self._ended = asyncio.Event()
        self.leg = Leg(facts.sid, facts.sid, services.workers, self)
        self.timeline = Timeline(
            self._created_s,
            self.created_at,
            services.settings.calls.timeline_max_events,
        )

    @property
    def duration_s(self) -> float:
        """Seconds since the answer, up to the end or to now."""
        if self._answered_s is None:
            return 0.0
        until_s = self._ended_s or self._services.clock.monotonic_s()
        return round(until_s - self._answered_s, 3)

    # Events.

    def record(
        self,
        kind: str,
        data: Mapping[str, JsonValue] | None = None,
        /,
        *,
        at_s: float | None = None,
        **more: JsonValue,
    ) -> None:
        """Put an event on the timeline and tell those who follow the call.

        Its data are ``data`` and ``more`` together; it happened at ``at_s`` or now.
        """
        now_s = self._services.clock.monotonic_s() if at_s is None else at_s
        self.record_event(Event(kind, now_s, {**(data or {}), **more}))

    def record_event(self, event: Event) -> None:
        """Put an event on the timeline and tell those who follow the call."""
        self.timeline.append(event)
        self._services.announce(self.sid)

    def digit_pressed(self, leg: Leg, digit: str) -> None:
        """The caller pressed a key; streams have had it from the worker already."""

    def rtp_silent(self, leg: Leg, silent_s: float) -> None:
        """The caller sent no RTP for too long: the call is ended."""
        limit_s = self._services.settings.sip.rtp_timeout_s
        self.record("media.timeout", silent_s=round(silent_s, 1))
        self.end(EndCause.RTP_TIMEOUT, f"no RTP for {limit_s:g} s (sip.rtp_timeout_s)")

    def worker_lost(self, reason: str) -> None:
        """The media worker of this call is gone."""
        self.record("worker.lost", reason=reason)
        self.end(EndCause.WORKER_LOST, f"media worker lost: {reason}")
        self.leg.lose(f"media worker lost: {reason}")

    def end(self, kind: EndCause, text: str) -> None:
        """End the call; only the first ending counts."""
        if self.ending is not None:
            return
        self.ending = Ending(kind, text)
        self._ended_s = self._services.clock.monotonic_s()
        self.ended_at = self._services.clock.utc()
        self.status = advance(
            self.status, kind.status(was_answered=self._answered_s is not None)
        )
        self._ended.set()

    # Life.

    def refuse(self, refused: Refused, invite: IncomingInvite) -> None:
        """Turn the call away at the door: the call is over at once."""
        self._turn_away(refused, invite)
        self._close()

    def _turn_away(self, refused: Refused, invite: IncomingInvite) -> None:
        self.record(
            "call.rejected",
            status=refused.status,
            rule=refused.rule,
            explanation=refused.explanation,
        )
        logger.warning(
            "%s from %s refused with %d: %s",
            self.facts.dialled,
            self.facts.source,
            refused.status,
            refused.explanation,
        )
        self.end(EndCause.REJECTED, refused.explanation)
        assert self.ending is not None
        quoted = refused.explanation.replace('"', "'")
        warning = ("Warning", f'399 exotel-emulator "{quoted}"')
        invite.session.reject(
            refused.status,
            headers=[self.ending.reason_header(), warning, *refused.headers],
        )

    async def run(self, invite: IncomingInvite, admitted: Admitted, flow: Flow) -> None:
        """Live the call to its end; never raises but for cancellation."""
        call_sid_context.set(self.sid)
        self.flow_name = flow.flow
        self._media = CallMedia(
            self.leg,
            self._services.settings.media,
            own_ip=invite.session.advertised_ip,
            source_ip=invite.source.ip,
        )
        self._announce_arrival(admitted, flow)
        signalling = asyncio.create_task(self._follow_signalling(invite))
        conversation = asyncio.create_task(
            self._guard(self._converse(invite, admitted, flow))
        )
        try:
            await self._ended.wait()
            await self._wind_up(invite, conversation, signalling)
        finally:
            for task in (signalling, conversation):
                task.cancel()
            await asyncio.gather(signalling, conversation, return_exceptions=True)
            self._close()

    def _announce_arrival(self, admitted: Admitted, flow: Flow) -> None:
        self.record(
            "call.created",
            {"from": self.from_, "to": self.to},
            direction=self.direction,
            dialled=self.facts.dialled,
            number=admitted.number.number,
            flow=flow.flow,
            source=self.facts.source,
        )
        for note in admitted.notes:
            self.record("note", text=note)
        logger.info("call from %s to %s: flow %s", self.from_, self.to, flow.flow)

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        """End the call when its work fails by a bug; other calls go on."""
        try:
            await work
        except EmulatorError as error:
            logger.error("%s", error)
            self.end(EndCause.EMULATOR_ERROR, str(error))
        except Exception:
            logger.exception("the call failed")
            self.end(EndCause.EMULATOR_ERROR, "an error inside the emulator; see log")

    # Signalling.

    async def _follow_signalling(self, invite: IncomingInvite) -> None:
        while True:
            event = await invite.session.next_event()
            self._take_signal(event, invite)
            if isinstance(event, SessionEnded):
                return

    def _take_signal(self, event: SessionEvent, invite: IncomingInvite) -> None:
        match event:
            case Acked(sdp=sdp):
                if sdp is not None:
                    self._take_answer(sdp)
                self._acked.set()
            case OfferAnswered(sdp=sdp):
                self._take_answer(sdp)
            case Cancelled():
                self.end(EndCause.CALLER_CANCEL, "the caller gave up: CANCEL")
            case ByeReceived(reason=reason):
                said = f": {'; '.join(reason)}" if reason else ""
                self.end(
                    EndCause.CALLER_BYE, printable(f"the caller hung up: BYE{said}")
                )
            case AckTimedOut():
                self.end(EndCause.NO_ACK, "the caller never acknowledged our 200")
            case OfferReceived():
                self._renegotiate(event, invite)
            case InfoReceived():
                self._take_info(event)
            case SessionEnded(cause=cause, detail=detail):
                text = f"{cause.value}: {detail}" if detail else cause.value
                self.end(EndCause.SIGNALLING_LOST, printable(text))
            case _:
                pass  # Events of calls that we place.

    def _take_info(self, event: InfoReceived) -> None:
        digit = parse_info_digit(event.content_type, event.body)
        if digit is not None:
            self.leg.inject_digit(digit.digit, digit.duration_ms)
        else:
            self.record("note", text=f"INFO with {event.content_type} is no digit")

    def _renegotiate(self, event: OfferReceived, invite: IncomingInvite) -> None:
        """Answer a re-INVITE; one that cannot be met leaves the call as it was."""
        try:
            invite.session.answer_offer(self._media.answer_again(event.sdp))
        except (NegotiationError, SdpParseError) as error:
            self.record("note", text=f"{event.method} refused with 488: {error}")
            invite.session.reject_offer(488)

    def _take_answer(self, sdp: str) -> None:
        """Apply the answer that came with an ACK: our 200 made the offer."""
        try:
            self._media.accept_answer(sdp)
        except (NegotiationError, SdpParseError) as error:
            self.end(EndCause.NO_MEDIA, f"the answer in the ACK: {error}")

    # The flow.

    async def _converse(
        self, invite: IncomingInvite, admitted: Admitted, flow: Flow
    ) -> None:
        if await self._answer(invite):
            await self._run_flow(admitted, flow)

    async def _answer(self, invite: IncomingInvite) -> bool:
        """Ring, answer and wait for the ACK; False when the call has ended by then."""
        ring_ms = self._services.settings.calls.ring_ms
        headers = [("X-Exotel-CallSid", self.sid)]
        answer = await self._open_media(invite)
        if answer is None:
            return False
        self.status = advance(self.status, CallStatus.RINGING)
        if ring_ms:
            invite.session.ringing(headers=headers)
            self.record("call.ringing", ring_ms=ring_ms)
            await asyncio.sleep(ring_ms / 1000)
        invite.session.answer(answer, headers=headers)
        await self._acked.wait()
        self._note_answer()
        self.leg.start()
        return True

    async def _open_media(self, invite: IncomingInvite) -> str | None:
        """Return our SDP; None when the call had to be refused."""
        try:
            return await self._media.open(invite.sdp)
        except NegotiationError as error:
            self._turn_away(Refused(488, "codec", f"{error} (media.codecs)"), invite)
        except SdpParseError as error:
            self._turn_away(Refused(400, "sdp", str(error)), invite)
        except EmulatorError as error:
            self._turn_away(Refused(503, "media", str(error)), invite)
        return None

    def _note_answer(self) -> None:
        self._answered_s = self._services.clock.monotonic_s()
        self.answered_at = self._services.clock.utc()
        self.status = advance(self.status, CallStatus.IN_PROGRESS)
        self.record(
            "call.answered", ring_s=round(self._answered_s - self._created_s, 3)
        )

    async def _run_flow(self, admitted: Admitted, flow: Flow) -> None:
        limits = self._services.settings.flow
        context = CallContext(self.sid, self.from_, self.to, admitted.sip_parameters)
        options = FlowOptions(limits.max_steps, limits.silent_greeting_ms)
        driver = FlowDriver(
            FlowRun(flow, context, options),
            context,
            self.leg,
            self._services,
            self,
            is_caller_gone=self._ended.is_set,
        )
        self.record("flow.started", flow=flow.flow)
        why = await driver.drive()
        self.record("flow.ended", why=why)
        self.end(EndCause.FLOW_ENDED, f"the flow ended: {why}")

    def applet_entered(self, node: str) -> None:
        """An applet took over the call."""
        self.applet = node

    # The end.

    async def _wind_up(
        self,
        invite: IncomingInvite,
        conversation: asyncio.Task[None],
        signalling: asyncio.Task[None],
    ) -> None:
        assert self.ending is not None
        if self._answered_s is None:
            conversation.cancel()
        stats = await self.leg.remove("callended", LEG_REMOVAL_DEADLINE_S)
        invite.session.hang_up(headers=[self.ending.reason_header()])
        if stats:
            self.record("media.stats", stats)
        await asyncio.wait([conversation], timeout=AFTERMATH_DEADLINE_S)
        await asyncio.wait([signalling], timeout=SIGNALLING_DEADLINE_S)

    def _close(self) -> None:
        assert self.ending is not None
        self.applet = None
        self.is_over = True
        self.record(
            "call.ended",
            by=self.ending.by,
            cause=self.ending.cause,
            reason=self.ending.text,
            status=self.status.value,
            duration_s=self.duration_s,
        )
        logger.info("call ended by %s after %.1f s: %s", self.ending.by,
                    self.duration_s, self.ending.text)  # fmt: skip

"""One call: its first party, the flow or the person that it reaches, its ending.

```text
 Seat.follow       signalling of the far end ------------+
                                                         +--> end(Ending), once
 _run_flow         Party.establish, FlowDriver, or       |      --> _wind_up
 Terminating.run   rings and bridges another party ------+
```

Two tasks live in a call: one follows the signalling of the party that the call began
with, one is the conversation: it establishes that party and walks the flow. Whichever
comes to an end first says so by ``end``; shutdown, a dead worker and silent RTP do the
same. When the caller has gone the flow is not cut: its running verb ends with the leg,
and the flow is told (``caller_gone``). Parties that are rung beside have legs of their
own (``DialledLeg``), which the call closes at its end.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from emulator.calls.dialing import Attempt, Identity, Route
from emulator.calls.dialled import DialledLeg
from emulator.calls.door import Admitted, Refused
from emulator.calls.ending import EndCause, Ending
from emulator.calls.flowing import FlowDriver
from emulator.calls.incoming import IncomingParty
from emulator.calls.leg import Leg
from emulator.calls.outgoing import OutgoingParty
from emulator.calls.party import Party
from emulator.calls.seat import Seat, guarded
from emulator.calls.secrecy import without_digits
from emulator.calls.services import CallServices
from emulator.calls.status import CallStatus, advance
from emulator.calls.switchboard import Switchboard
from emulator.calls.terminating import Terminating
from emulator.calls.timeline import Timeline
from emulator.calls.transferring import Transfer
from emulator.calls.verbs.stage import Stage
from emulator.events import Event, JsonValue
from emulator.faults import CallTraits, Fault, FaultRule
from emulator.flow.context import CallContext
from emulator.flow.engine import FlowRun
from emulator.flow.model import Flow
from emulator.logs import call_sid_context
from emulator.sip.events import ReferReceived
from emulator.sip.session import CallSession, IncomingInvite

logger = logging.getLogger("emulator.calls")

# What a flow may still do after its caller has gone, beside waiting for one Passthru.
AFTERMATH_DEADLINE_S = 30.0
# For a flow that goes on for a moment: its end comes before the call's then.
LAST_WORDS_S = 0.2
# A flow may dial for ever; the API shows the last ones.
MAX_LEGS_SHOWN = 100


@dataclass(frozen=True)
class CallFacts:
    """What is known of a call from its first moment.

    Attributes:
        faults: What shall go wrong with this call, beside the rules in force.
        custom_field: What webhooks are told as ``CustomField``.
    """

    sid: str
    direction: str
    from_: str
    to: str
    dialled: str
    source: str
    faults: tuple[FaultRule, ...] = ()
    custom_field: str | None = None


class Call:
    """A call from the first INVITE to its last event.

    Args:
        began_s: Monotonic time of its first event, when the timeline begins.
        find_flow: Finds the flow that a Transfer names, of those loaded with its own.
        exophone: The number that callees of this call are shown.

    Attributes:
        legs: The parties that were rung beside the first one.
        gone: Set once the call has ended.
        hides_digits: While it is set, no key comes on the timeline.
        on_hold: Told that the first party put us on hold (True) or took us back.
    """

    def __init__(
        self,
        facts: CallFacts,
        services: CallServices,
        switchboard: Switchboard,
        began_s: float,
        find_flow: Callable[[str], Flow | None],
        exophone: str,
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
        self._is_end_recorded = False
        self.hides_digits = False
        self.answered_at: datetime | None = None
        self.ended_at: datetime | None = None
        self.created_at = services.clock.utc()
        self._services = services
        self._switchboard = switchboard
        self._find_flow = find_flow
        self._exophone = exophone
        self._created_s = began_s
        self._rang_s: float | None = None
        self._answered_s: float | None = None
        self._ended_s: float | None = None
        self.gone = asyncio.Event()
        self.faults: tuple[Fault, ...] = ()
        self._seat: Seat | None = None
        self.legs: deque[DialledLeg] = deque(maxlen=MAX_LEGS_SHOWN)
        self.on_hold: Callable[[bool], None] = lambda _: None
        self.leg = Leg(facts.sid, facts.sid, services.workers, self, services.streams)
        switchboard.plug(self.leg)
        self._stage: Stage | None = None
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
        self.timeline.append(without_digits(event) if self.hides_digits else event)
        self._services.announce(self.sid)

    def digit_pressed(self, leg: Leg, digit: str) -> None:
        """The caller pressed a key; streams have had it from the worker already."""
        if self._stage is not None:
            self._stage.keys.press(digit)

    def rtp_silent(self, leg: Leg, silent_s: float) -> None:
        """The first party sent no RTP for too long; before the answer it need not."""
        if self._answered_s is None:
            return
        limit_s = self._services.settings.sip.rtp_timeout_s
        self.record("media.timeout", silent_s=round(silent_s, 1))
        self.end(EndCause.RTP_TIMEOUT, f"no RTP for {limit_s:g} s (sip.rtp_timeout_s)")

    def worker_lost(self, leg: Leg, reason: str) -> None:
        """The media worker of the first party is gone."""
        self.record("worker.lost", reason=reason)
        self.end(EndCause.WORKER_LOST, f"media worker lost: {reason}")

    def hold_changed(self, *, is_held: bool) -> None:
        """The first party put us on hold, or took us back."""
        self.record("leg.held" if is_held else "leg.resumed")
        self.on_hold(is_held)

    @property
    def is_on_hold(self) -> bool:
        """Whether the first party wants to hear nothing now."""
        return self._seat is not None and self._seat.party.media.is_on_hold

    def early_media(self) -> None:
        """The phone that we call sends its own ringing; nobody else is there yet."""

    def asked_to_transfer(self, event: ReferReceived, party: Party) -> None:
        """The first party wants somebody else in its place."""
        assert self._seat is not None, "a party that speaks has its seat"
        identity = self.identity(self.sid)
        Transfer(self._services, self._seat, self, identity).ask(event, party)

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
        self.gone.set()

    # Life.

    def refuse(self, refused: Refused, invite: IncomingInvite) -> None:
        """Turn the call away at the door: the call is over at once."""
        self._incoming(invite).refuse(refused)
        self._close()

    async def run_incoming(
        self, invite: IncomingInvite, admitted: Admitted, flow: Flow
    ) -> None:
        """Live a call that came in to its end; never raises but for cancellation."""
        for note in admitted.notes:
            self.record("note", text=note)
        party = self._incoming(invite)
        conversation = self._converse(party, flow, admitted.sip_parameters)
        await self._run(party, conversation, flow)

    async def run_outgoing(
        self, route: Route, flow: Flow, ring_timeout_s: float
    ) -> None:
        """Place a call, and run the flow once it is answered."""
        for note in route.notes:
            self.record("note", text=note)
        party = OutgoingParty(
            route,
            self._services.phone,
            self.leg,
            self._services.settings.media,
            ring_timeout_s,
            self,
        )
        await self._run(party, self._converse(party, flow, {}), flow)

    async def run_terminating(
        self, invite: IncomingInvite, route: Route, sid: str, notes: tuple[str, ...]
    ) -> None:
        """Let a trunk's call reach a person or another trunk, without a flow."""
        for note in notes:
            self.record("note", text=note)
        caller = self._incoming(invite)
        ring_s = self._services.settings.calls.max_ring_s
        callee = self.dial(route, ring_s, sid)
        await self._run(caller, Terminating(self, caller, callee).run())

    def _incoming(self, invite: IncomingInvite) -> IncomingParty:
        settings = self._services.settings
        ring_ms = settings.calls.ring_ms
        return IncomingParty(invite, self.leg, settings.media, ring_ms, self.sid, self)

    async def _run(
        self,
        party: Party,
        conversation: Coroutine[Any, Any, None],
        flow: Flow | None = None,
    ) -> None:
        call_sid_context.set(self.sid)
        self.flow_name = flow.flow if flow else None
        self._announce()
        if flow is not None and flow.asks_servers():
            self._services.webhooks.prepare()
        self._seat = seat = Seat(party, self.end)
        seat.follow()
        talking = asyncio.create_task(guarded(party, conversation, self.end))
        try:
            await self.gone.wait()
            await self._wind_up(seat, talking)
        finally:
            if not talking.done():
                talking.cancel()
                await asyncio.gather(talking, return_exceptions=True)
            if self.legs:
                await self._close_legs()
            await seat.settle()
            self._close()

    def _announce(self) -> None:
        self.record(
            "call.created",
            {"from": self.from_, "to": self.to},
            direction=self.direction,
            dialled=self.facts.dialled,
            flow=self.flow_name,
            source=self.facts.source,
        )
        logger.info("call from %s to %s: flow %s", self.from_, self.to, self.flow_name)
        self._choose_faults()

    def _choose_faults(self) -> None:
        """Ask the book what shall go wrong with this call."""
        ours, theirs = self.from_, self.to
        if self.direction == "incoming":
            ours, theirs = theirs, ours
        self.faults = self._services.faults.choose(
            CallTraits(ours, theirs), self.facts.faults
        )
        self.leg.faults = self.faults
        for fault in self.faults:
            self.record("fault.chosen", fault.describe())

    def party_rings(self, data: Mapping[str, JsonValue]) -> None:
        """The party's phone, or the caller's ear, rings."""
        if self.status is CallStatus.QUEUED:
            self.status = advance(self.status, CallStatus.RINGING)
            self._rang_s = self._services.clock.monotonic_s()
        self.record("call.ringing", data)

    def placed(self, session: CallSession, attempt: Attempt) -> None:
        """A call of ours goes out: its SIP messages belong to this timeline."""
        self.adopt(session, attempt, None)

    # Further parties.

    def dial(self, route: Route, ring_timeout_s: float, sid: str) -> DialledLeg:
        """Return a further party, which ``DialledLeg.ring`` rings."""
        leg = DialledLeg(sid, self, self._services, route, ring_timeout_s)
        self._switchboard.plug(leg.leg)
        self.legs.append(leg)
        return leg

    def new_leg_sid(self) -> str:
        """Return a SID for a further party."""
        return self._services.ids.sid(self._services.clock.utc())

    def adopt(
        self, session: CallSession, attempt: Attempt, leg_sid: str | None
    ) -> None:
        """Put the SIP messages of an INVITE of ours on the timeline."""
        self._switchboard.adopt(
            session.call_id, self, leg_sid, subscriber=attempt.subscriber
        )

    def identity(self, leg_sid: str, caller_id: str | None = None) -> Identity:
        """Return what a callee is told of the caller."""
        shown = caller_id or self._exophone
        return Identity(shown, self._exophone, self.sid, leg_sid)

    def unplug(self, leg: Leg) -> None:
        """A leg is gone."""
        self._switchboard.unplug(leg)

    async def _close_legs(self) -> None:
        assert self.ending is not None
        kind, text = self.ending.kind, self.ending.text
        await asyncio.gather(*(leg.close(kind, text) for leg in self.legs))

    # The flow.

    async def _converse(
        self, party: Party, flow: Flow, sip_parameters: Mapping[str, str]
    ) -> None:
        # An answer that cannot be used has ended the call already.
        if await party.establish() and self.ending is None:
            self.answered()
            await self._run_flow(flow, sip_parameters)

    def answered(self) -> None:
        """The call is up: packets flow."""
        self._answered_s = self._services.clock.monotonic_s()
        self.answered_at = self._services.clock.utc()
        self.status = advance(self.status, CallStatus.IN_PROGRESS)
        self.record(
            "call.answered", ring_s=round(self._answered_s - self._created_s, 3)
        )
        self.leg.start()
        self._services.captures.begin(self.leg, self.sid)

    async def _run_flow(self, flow: Flow, sip_parameters: Mapping[str, str]) -> None:
        options = self._services.flow_options
        context = self._context(sip_parameters)
        run = FlowRun(flow, context, options, self._find_flow)
        # What a flow leaves running ends with its leg, or with its own deadline.
        async with asyncio.TaskGroup() as beside:
            self._stage = Stage(
                context, self.leg, self._services, self, self.gone, beside, self
            )
            self.record("flow.started", flow=flow.flow)
            why = await FlowDriver(run, self._stage).drive()
            self.record("flow.ended", why=why)
            self.end(EndCause.FLOW_ENDED, f"the flow ended: {why}")

    def _context(self, sip_parameters: Mapping[str, str]) -> CallContext:
        assert self._answered_s is not None
        rang_s = self._rang_s or self._answered_s
        return CallContext(
            self.sid,
            self.from_,
            self.to,
            sip_parameters,
            created_at=self.created_at,
            account_sid=self._services.settings.account.sid,
            direction=self.direction,
            custom_field=self.facts.custom_field,
            ringing_s=self._answered_s - rang_s,
        )

    def applet_entered(self, node: str) -> None:
        """An applet took over the call."""
        if not self._is_end_recorded:
            self.applet = node

    # The end.

    async def _wind_up(self, seat: Seat, conversation: asyncio.Task[None]) -> None:
        assert self.ending is not None
        if self._answered_s is None:
            conversation.cancel()
        stats = await self.leg.remove("callended")
        seat.hang_up(self.ending)
        if stats:
            self.record("media.stats", stats)
        if conversation.done():
            return
        await asyncio.wait([conversation], timeout=LAST_WORDS_S)
        if not conversation.done():
            # A slow webhook is no part of the call.
            self._record_end(self.ending)
            request_s = self._services.settings.passthru.timeout_s
            await asyncio.wait([conversation], timeout=AFTERMATH_DEADLINE_S + request_s)

    def _close(self) -> None:
        assert self.ending is not None
        self.is_over = True
        self._switchboard.unplug(self.leg)
        self._record_end(self.ending)
        self._services.announce(self.sid)
        self._let_go()

    def _record_end(self, ending: Ending) -> None:
        """Put the end on the timeline, once."""
        if self._is_end_recorded:
            return
        self._is_end_recorded = True
        self.applet = None
        self.record(
            "call.ended",
            by=ending.by,
            cause=ending.cause,
            reason=ending.text,
            status=self.status.value,
            duration_s=self.duration_s,
        )
        logger.info("call ended by %s after %.1f s: %s", ending.by,
                    self.duration_s, ending.text)  # fmt: skip

    def _let_go(self) -> None:
        """Cut the circles that it is part of: a collector would come late and cost."""
        self._seat = self._stage = None
        self.leg.release()

"""One call: its party, its flow run, its ending.

```text
 Party.follow      signalling of the far end --+
                                               +--> end(Ending), once --> _wind_up
 _converse         Party.establish, FlowDriver +
```

Two tasks live in a call: one follows the signalling, one establishes the party and
walks the flow. Whichever comes to an end first says so by ``end``; shutdown, a dead
worker and silent RTP do the same. When the caller has gone the flow is not cut: its
running verb ends with the leg, and the flow is told (``caller_gone``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from emulator.calls.dialing import Route
from emulator.calls.door import Admitted, Refused
from emulator.calls.ending import EndCause, Ending
from emulator.calls.flow_facts import flow_options
from emulator.calls.flowing import FlowDriver
from emulator.calls.incoming import IncomingParty
from emulator.calls.leg import Leg
from emulator.calls.outgoing import OutgoingParty
from emulator.calls.party import Party
from emulator.calls.services import CallServices
from emulator.calls.status import CallStatus, advance
from emulator.calls.timeline import Timeline
from emulator.calls.verbs.stage import Stage
from emulator.errors import EmulatorError
from emulator.events import Event, JsonValue
from emulator.faults import CallTraits, Fault
from emulator.flow.context import CallContext
from emulator.flow.engine import FlowRun
from emulator.flow.model import Flow
from emulator.logs import call_sid_context
from emulator.sip.errors import SessionStateError
from emulator.sip.session import CallSession, IncomingInvite

logger = logging.getLogger("emulator.calls")

# The worker answers within milliseconds; after so long it is as good as dead.
LEG_REMOVAL_DEADLINE_S = 2.0
# What a flow may still do after its caller has gone, beside waiting for one Passthru.
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


class Call:
    """A call from the first INVITE to its last event.

    Args:
        began_s: Monotonic time of its first event, when the timeline begins.
        adopt: Told every SIP Call-ID whose messages belong to this call.
        find_flow: Finds the flow that a Transfer names, of those loaded with its own.
    """

    def __init__(
        self,
        facts: CallFacts,
        services: CallServices,
        began_s: float,
        adopt: Callable[[str, Call], None],
        find_flow: Callable[[str], Flow | None],
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
        self._adopt = adopt
        self._find_flow = find_flow
        self._created_s = began_s
        self._rang_s: float | None = None
        self._answered_s: float | None = None
        self._ended_s: float | None = None
        self._ended = asyncio.Event()
        self.faults: tuple[Fault, ...] = ()
        self.leg = Leg(facts.sid, facts.sid, services.workers, self, services.streams)
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
        self.timeline.append(event)
        self._services.announce(self.sid)

    def digit_pressed(self, leg: Leg, digit: str) -> None:
        """The caller pressed a key; streams have had it from the worker already."""
        if self._stage is not None:
            self._stage.keys.press(digit)

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
        self._incoming(invite).refuse(refused)
        self._close()

    async def run_incoming(
        self, invite: IncomingInvite, admitted: Admitted, flow: Flow
    ) -> None:
        """Live a call that came in to its end; never raises but for cancellation."""
        for note in admitted.notes:
            self.record("note", text=note)
        await self._run(self._incoming(invite), flow, admitted.sip_parameters)

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
        await self._run(party, flow, {})

    def _incoming(self, invite: IncomingInvite) -> IncomingParty:
        settings = self._services.settings
        return IncomingParty(invite, self.leg, settings, self.sid, self)

    async def _run(
        self, party: Party, flow: Flow, sip_parameters: Mapping[str, str]
    ) -> None:
        call_sid_context.set(self.sid)
        self.flow_name = flow.flow
        self._announce(flow)
        signalling = asyncio.create_task(self._guard(party, party.follow()))
        conversation = asyncio.create_task(
            self._guard(party, self._converse(party, flow, sip_parameters))
        )
        try:
            await self._ended.wait()
            await self._wind_up(party, conversation, signalling)
        finally:
            for task in (signalling, conversation):
                task.cancel()
            await asyncio.gather(signalling, conversation, return_exceptions=True)
            self._close()

    def _announce(self, flow: Flow) -> None:
        self.record(
            "call.created",
            {"from": self.from_, "to": self.to},
            direction=self.direction,
            dialled=self.facts.dialled,
            flow=flow.flow,
            source=self.facts.source,
        )
        logger.info("call from %s to %s: flow %s", self.from_, self.to, flow.flow)
        self._choose_faults()

    def _choose_faults(self) -> None:
        """Ask the book what shall go wrong with this call."""
        ours, theirs = self.from_, self.to
        if self.direction == "incoming":
            ours, theirs = theirs, ours
        self.faults = self._services.faults.choose(CallTraits(ours, theirs))
        self.leg.faults = self.faults
        for fault in self.faults:
            self.record("fault.chosen", fault.describe())

    async def _guard(self, party: Party, work: Coroutine[Any, Any, None]) -> None:
        """End the call when its work fails by a bug; other calls go on."""
        try:
            await work
        except SessionStateError as error:
            # The peer ended the session a moment ago: its events tell the rest.
            if party.session is None or not party.session.is_ended:
                self._fail(str(error))
        except EmulatorError as error:
            self._fail(str(error))
        except Exception:
            logger.exception("the call failed")
            self.end(EndCause.EMULATOR_ERROR, "an error inside the emulator; see log")

    def _fail(self, error: str) -> None:
        logger.error("the call failed: %s", error)
        self.end(EndCause.EMULATOR_ERROR, error)

    def party_rings(self, data: Mapping[str, JsonValue]) -> None:
        """The party's phone, or the caller's ear, rings."""
        if self.status is CallStatus.QUEUED:
            self.status = advance(self.status, CallStatus.RINGING)
            self._rang_s = self._services.clock.monotonic_s()
        self.record("call.ringing", data)

    def placed(self, session: CallSession) -> None:
        """A call of ours goes out: its SIP messages belong to this timeline."""
        self._adopt(session.call_id, self)

    # The flow.

    async def _converse(
        self, party: Party, flow: Flow, sip_parameters: Mapping[str, str]
    ) -> None:
        # An answer that cannot be used has ended the call already.
        if await party.establish() and self.ending is None:
            self._note_answer()
            self.leg.start()
            self._services.captures.begin(self.leg, self.sid)
            await self._run_flow(flow, sip_parameters)

    def _note_answer(self) -> None:
        self._answered_s = self._services.clock.monotonic_s()
        self.answered_at = self._services.clock.utc()
        self.status = advance(self.status, CallStatus.IN_PROGRESS)
        self.record(
            "call.answered", ring_s=round(self._answered_s - self._created_s, 3)
        )

    async def _run_flow(self, flow: Flow, sip_parameters: Mapping[str, str]) -> None:
        options = flow_options(self._services.settings)
        context = self._context(sip_parameters)
        run = FlowRun(flow, context, options, self._find_flow)
        # What a flow leaves running ends with its leg, or with its own deadline.
        async with asyncio.TaskGroup() as beside:
            self._stage = Stage(
                context, self.leg, self._services, self, self._ended, beside
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
            ringing_s=self._answered_s - rang_s,
        )

    def applet_entered(self, node: str) -> None:
        """An applet took over the call."""
        self.applet = node

    # The end.

    async def _wind_up(
        self,
        party: Party,
        conversation: asyncio.Task[None],
        signalling: asyncio.Task[None],
    ) -> None:
        assert self.ending is not None
        if self._answered_s is None:
            conversation.cancel()
        stats = await self.leg.remove("callended", LEG_REMOVAL_DEADLINE_S)
        party.hang_up(self.ending)
        if stats:
            self.record("media.stats", stats)
        request_s = self._services.settings.passthru.timeout_s
        await asyncio.wait([conversation], timeout=AFTERMATH_DEADLINE_S + request_s)
        if party.session is not None and not party.session.is_ended:
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

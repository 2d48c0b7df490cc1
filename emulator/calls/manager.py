"""All calls: starts them, finds them, hands out reports, drains them."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from emulator.bus import Bus
from emulator.calls.call import Call, CallFacts
from emulator.calls.dialing import Identity, NotDialled, find_route
from emulator.calls.door import (
    Admitted,
    Answer,
    Knock,
    Refused,
    Terminated,
    caller_identity,
)
from emulator.calls.doorkeeper import Doorkeeper
from emulator.calls.ending import EndCause
from emulator.calls.services import CallServices
from emulator.calls.subscribers import Subscribers
from emulator.calls.switchboard import Switchboard
from emulator.config.telephone import local_format
from emulator.errors import EmulatorError
from emulator.faults import FaultRule
from emulator.flow.catalogue import FlowCatalogue
from emulator.sip.errors import SipParseError
from emulator.sip.party import because
from emulator.sip.session import IncomingInvite
from emulator.sip.trace import SipTrace
from emulator.text import printable
from emulator.worker.messages import Report

logger = logging.getLogger("emulator.calls")

# Refused calls are kept apart: a scanner must not push real calls out of the history.
KEEP_REFUSED = 100


class FlowUnknown(EmulatorError):
    """A call was to run a flow that is not there."""


class CallManager:
    """The calls of one emulator.

    Args:
        flows: Has every flow that a number of the settings names.
        bus: Gets a call's SID at every entry of its timeline.
    """

    def __init__(
        self,
        services: CallServices,
        flows: FlowCatalogue,
        doorkeeper: Doorkeeper,
        bus: Bus[str],
    ) -> None:
        self.bus = bus
        self._services = services
        self.flows = flows
        self._doorkeeper = doorkeeper
        self._calls: dict[str, Call] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ended: deque[Call] = deque()
        self._refused: deque[Call] = deque()
        self._switchboard = Switchboard()
        self._subscribers = Subscribers(services, self._switchboard)
        self._taken = 0

    # Looking.

    def get(self, sid: str) -> Call | None:
        """Return a call that is still in memory."""
        return self._calls.get(sid)

    def newest(self, limit: int) -> list[Call]:
        """Return calls, newest first."""
        calls = reversed(self._calls.values())
        return [call for call, _ in zip(calls, range(limit), strict=False)]

    @property
    def active(self) -> int:
        """How many calls are up."""
        return len(self._tasks)

    @property
    def taken(self) -> int:
        """How many calls there have been, refused ones too."""
        return self._taken

    def counts(self) -> Mapping[str, int]:
        """Return what is held: calls that are up, those remembered, early traces."""
        return {
            "active": self.active,
            "kept": len(self._calls),
            "taken": self._taken,
            "subscribers": self._subscribers.busy,
            **self._switchboard.counts(),
        }

    # Arriving.

    def on_invite(self, invite: IncomingInvite) -> None:
        """Take a new call, or refuse it with the reason."""
        subscriber = self._switchboard.subscriber_of(invite.call_id)
        if subscriber is not None:
            self._subscribers.be_called(subscriber, invite)
            return
        try:
            facts = self._doorkeeper.facts(invite)
        except SipParseError as error:
            logger.warning("INVITE from %s refused with 400: %s", invite.source, error)
            said = [("Reason", _sip_reason(400, error)), because(str(error))]
            invite.session.reject(400, headers=said)
            return
        answer = self._doorkeeper.admit(facts, self.active)
        if isinstance(answer, Refused) and answer.challenge:
            # The caller's next INVITE has the same Call-ID: that will be the call.
            logger.info("INVITE from %s: %s", invite.source, answer.explanation)
            said = [*answer.headers, because(answer.explanation)]
            invite.session.reject(answer.status, headers=said)
            return
        self._begin(invite, self._facts(invite, facts, answer), answer)

    def _begin(self, invite: IncomingInvite, facts: CallFacts, answer: Answer) -> None:
        began_s = self._switchboard.began_s(invite.call_id)
        if began_s is None:
            began_s = self._services.clock.monotonic_s()
        exophone = facts.from_ if isinstance(answer, Terminated) else facts.to
        call = self._make(facts, began_s, exophone)
        self._switchboard.adopt(invite.call_id, call, None)
        match answer:
            case Admitted():
                flow = self.flows.by_name(answer.number.flow)
                assert flow is not None, "the service checks numbers against flows"
                self._start(call, call.run_incoming(invite, answer, flow))
            case Terminated():
                self._terminate(call, invite, answer)
            case Refused():
                self._refuse(call, invite, answer)

    def _terminate(
        self, call: Call, invite: IncomingInvite, answer: Terminated
    ) -> None:
        """Let a trunk's call reach whom it dialled, or say why it cannot."""
        settings, phone = self._services.settings, self._services.phone
        sid = call.new_leg_sid()
        try:
            route = find_route(settings, phone, answer.to, call.identity(sid))
        except NotDialled as error:
            self._refuse(call, invite, Refused(404, "callee", str(error)))
            return
        hops = invite.request.headers.get("Max-Forwards") or "70"
        route = route.with_hops(int(hops) - 1)
        self._start(call, call.run_terminating(invite, route, sid, answer.notes))

    def _refuse(self, call: Call, invite: IncomingInvite, refused: Refused) -> None:
        call.refuse(refused, invite)
        self._forget_beyond(self._refused, call, KEEP_REFUSED)

    def place(
        self,
        target: str,
        flow_name: str,
        ring_timeout_s: float,
        faults: Sequence[FaultRule] = (),
        custom_field: str | None = None,
    ) -> Call:
        """Call ``target`` and run a flow when it is answered.

        Args:
            faults: What shall go wrong with this call, beside the rules in force.
            custom_field: What webhooks are told as ``CustomField``.

        Raises:
            NotDialled: The configuration declares no such target, or nobody is there.
            FlowUnknown: There is no such flow.
        """
        flow = self.flows.by_name(flow_name)
        if flow is None:
            names = ", ".join(known.flow for known in self.flows)
            raise FlowUnknown(f"no flow {flow_name!r}; there are {names}")
        sid = self._services.ids.sid(self._services.clock.utc())
        exophone = self._exophone_of(flow_name)
        identity = Identity(exophone, exophone, call_sid=sid, leg_sid=sid)
        route = find_route(
            self._services.settings, self._services.phone, target, identity
        )
        facts = CallFacts(
            sid=sid,
            direction="outbound-api",
            from_=exophone,
            to=route.callee,
            dialled=target,
            source="api",
            faults=tuple(faults),
            custom_field=custom_field and printable(custom_field, max_chars=1000),
        )
        now_s = self._services.clock.monotonic_s()
        call = self._make(facts, now_s, exophone)
        self._start(call, call.run_outgoing(route, flow, ring_timeout_s))
        return call

    def _exophone_of(self, flow_name: str) -> str:
        """Return the ExoPhone that the callee shall see: the flow's, else the first."""
        numbers = self._services.settings.numbers
        own = [entry.number for entry in numbers if entry.flow == flow_name]
        found = own or [entry.number for entry in numbers]
        return local_format(found[0]) if found else "anonymous"

    def _start(self, call: Call, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=f"call {call.sid}")
        self._tasks[call.sid] = task
        task.add_done_callback(lambda _: self._over(call))

    def _facts(self, invite: IncomingInvite, facts: Knock, answer: Answer) -> CallFacts:
        if not isinstance(answer, Refused):
            from_, to = answer.from_, answer.to
        else:
            users = self._services.settings.users
            from_, to = caller_identity(users, facts.from_user), facts.dialled
        return CallFacts(
            sid=self._services.ids.sid(self._services.clock.utc()),
            direction="incoming",
            from_=from_,
            to=to,
            dialled=facts.dialled,
            source=str(invite.source),
        )

    def _make(self, facts: CallFacts, began_s: float, exophone: str) -> Call:
        # A reload makes a new catalogue: this call keeps what is loaded now.
        find_flow = self.flows.find
        board = self._switchboard
        call = Call(facts, self._services, board, began_s, find_flow, exophone)
        self._taken += 1
        self._calls[call.sid] = call
        return call

    def _over(self, call: Call) -> None:
        """Count the call among the ended; forget the oldest of them."""
        self._tasks.pop(call.sid, None)
        keep = self._services.settings.calls.keep_ended
        self._forget_beyond(self._ended, call, keep)

    def _forget_beyond(self, ended: deque[Call], call: Call, keep: int) -> None:
        ended.append(call)
        while len(ended) > keep:
            old = ended.popleft()
            del self._calls[old.sid]
            self._services.captures.forget(old.sid)
            self._switchboard.forget(old)

    # Reports.

    def on_trace(self, trace: SipTrace) -> None:
        """Put a SIP message on the timeline of its call."""
        self._switchboard.on_trace(trace)

    def on_report(self, report: Report) -> None:
        """Hand a worker's report to the leg that it is about."""
        self._switchboard.on_report(report)

    def on_worker_lost(self, worker: int, reason: str, leg_ids: frozenset[str]) -> None:
        """End the legs of a dead worker with its reason."""
        logger.error("media worker %d lost: %s; %d legs end", worker, reason,
                     len(leg_ids))  # fmt: skip
        self._switchboard.on_worker_lost(reason, leg_ids)

    # Leaving.

    async def drain(self, deadline_s: float) -> int:
        """End every call; cancel those that last; return how many had to be cut."""
        for sid in self._tasks:
            self._calls[sid].end(EndCause.SHUTDOWN, "the emulator is shutting down")
        tasks = list(self._tasks.values())
        if not tasks:
            return 0
        _, late = await asyncio.wait(tasks, timeout=deadline_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._subscribers.drain()
        return len(late)


def _sip_reason(status: int, error: Exception) -> str:
    quoted = printable(str(error)).replace('"', "'")
    return f'SIP;cause={status};text="{quoted}"'

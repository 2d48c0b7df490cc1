"""All calls: starts them, finds them, hands out reports, drains them."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Mapping
from typing import Any

from emulator.bus import Bus
from emulator.calls.call import Call, CallFacts
from emulator.calls.dialing import Identity, find_route
from emulator.calls.door import Admitted, Answer, Knock, Refused, caller_identity
from emulator.calls.doorkeeper import Doorkeeper
from emulator.calls.early import EarlyTraces
from emulator.calls.ending import EndCause
from emulator.calls.journal import sip_event
from emulator.calls.numbers import local_format
from emulator.calls.services import CallServices
from emulator.calls.text import printable
from emulator.errors import EmulatorError
from emulator.flow.catalogue import FlowCatalogue
from emulator.sip.errors import SipParseError
from emulator.sip.session import IncomingInvite
from emulator.sip.trace import SipTrace
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
        self._by_call_id: dict[str, Call] = {}
        self._call_ids: dict[str, list[str]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ended: deque[Call] = deque()
        self._refused: deque[Call] = deque()
        self._early = EarlyTraces()
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
            "call_ids": len(self._by_call_id),
            "early_traces": len(self._early),
        }

    # Arriving.

    def on_invite(self, invite: IncomingInvite) -> None:
        """Take a new call, or refuse it with the reason."""
        try:
            facts = self._doorkeeper.facts(invite)
        except SipParseError as error:
            logger.warning("INVITE from %s refused with 400: %s", invite.source, error)
            invite.session.reject(400, headers=[("Reason", _sip_reason(400, error))])
            return
        answer = self._doorkeeper.admit(facts, self.active)
        if isinstance(answer, Refused) and answer.challenge:
            # The caller's next INVITE has the same Call-ID: that will be the call.
            logger.info("INVITE from %s: %s", invite.source, answer.explanation)
            invite.session.reject(answer.status, headers=answer.headers)
            return
        self._begin(invite, self._facts(invite, facts, answer), answer)

    def _begin(self, invite: IncomingInvite, facts: CallFacts, answer: Answer) -> None:
        began_s = self._early.began_s(invite.call_id)
        if began_s is None:
            began_s = self._services.clock.monotonic_s()
        call = self._remember(self._new_call(facts, began_s))
        self._adopt(invite.call_id, call)
        if isinstance(answer, Refused):
            call.refuse(answer, invite)
            self._forget_beyond(self._refused, call, KEEP_REFUSED)
            return
        flow = self.flows.by_name(answer.number.flow)
        assert flow is not None, "the service checks numbers against flows"
        self._start(call, call.run_incoming(invite, answer, flow))

    def place(self, target: str, flow_name: str, ring_timeout_s: float) -> Call:
        """Call ``target`` and run a flow when it is answered.

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
        )
        now_s = self._services.clock.monotonic_s()
        call = self._remember(self._new_call(facts, now_s))
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
        if isinstance(answer, Admitted):
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

    def _new_call(self, facts: CallFacts, began_s: float) -> Call:
        # A reload makes a new catalogue: this call keeps what is loaded now.
        return Call(facts, self._services, began_s, self._adopt, self.flows.find)

    def _remember(self, call: Call) -> Call:
        self._taken += 1
        self._calls[call.sid] = call
        return call

    def _adopt(self, call_id: str, call: Call) -> None:
        """Put the SIP messages with this Call-ID on the call's timeline."""
        self._by_call_id[call_id] = call
        self._call_ids.setdefault(call.sid, []).append(call_id)
        for trace in self._early.take(call_id):
            call.record_event(sip_event(trace))

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
            for call_id in self._call_ids.pop(old.sid, ()):
                if self._by_call_id.get(call_id) is old:
                    del self._by_call_id[call_id]

    # Reports.

    def on_trace(self, trace: SipTrace) -> None:
        """Put a SIP message on the timeline of its call."""
        call = self._by_call_id.get(trace.call_id)
        if call is None:
            self._early.add(trace)
        else:
            call.record_event(sip_event(trace))

    def on_report(self, report: Report) -> None:
        """Hand a worker's report to the leg that it is about."""
        # A leg is named after its call; reports about no leg are the pool's.
        call = self._calls.get(getattr(report, "leg_id", ""))
        if call is not None:
            call.leg.on_report(report)

    def on_worker_lost(self, worker: int, reason: str, leg_ids: frozenset[str]) -> None:
        """End the calls of a dead worker with its reason."""
        logger.error("media worker %d lost: %s; %d calls end", worker, reason,
                     len(leg_ids))  # fmt: skip
        for leg_id in leg_ids:
            call = self._calls.get(leg_id)
            if call is not None:
                call.worker_lost(reason)

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
        return len(late)


def _sip_reason(status: int, error: Exception) -> str:
    quoted = printable(str(error)).replace('"', "'")
    return f'SIP;cause={status};text="{quoted}"'

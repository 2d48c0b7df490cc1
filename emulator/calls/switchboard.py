"""Who is where: the leg that a report is about, the call that a SIP message is of.

A call has one leg for each of its parties, and each leg SIP messages of its own. What
is plugged in here is found by the leg's id or by the Call-ID; a call that is forgotten
takes its Call-IDs with it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from emulator.calls.early import EarlyTraces
from emulator.calls.journal import sip_event
from emulator.calls.leg import Leg
from emulator.config import SubscriberSettings
from emulator.events import Event
from emulator.sip.errors import SipParseError
from emulator.sip.message import Request, parse_message
from emulator.sip.trace import Direction, SipTrace
from emulator.worker.messages import Report

logger = logging.getLogger("emulator.calls")


class Journal(Protocol):
    """A call, as far as its SIP messages go."""

    @property
    def sid(self) -> str:
        """The call's SID."""

    def record_event(self, event: Event) -> None:
        """Put an event on the timeline."""


@dataclass(frozen=True)
class _Owner:
    """Whose messages a Call-ID's are.

    Attributes:
        leg: SID of the dialled leg; None: the call's own party.
        own_tag: The From tag of an INVITE that we send to ourselves: each message comes
            by twice then, and one of the two is kept.
    """

    call: Journal
    leg: str | None
    own_tag: str | None = None


class Switchboard:
    """Legs and Call-IDs of all calls."""

    def __init__(self) -> None:
        self._legs: dict[str, Leg] = {}
        self._owners: dict[str, _Owner] = {}
        self._call_ids: dict[str, list[str]] = {}
        self._expected: dict[str, SubscriberSettings] = {}
        self._early = EarlyTraces()

    # Legs.

    def plug(self, leg: Leg) -> None:
        """Let a leg have the reports about it."""
        self._legs[leg.leg_id] = leg

    def unplug(self, leg: Leg) -> None:
        """The leg is gone; what is still reported about it is dropped."""
        self._legs.pop(leg.leg_id, None)

    def counts(self) -> dict[str, int]:
        """Return what is held: legs, Call-IDs, SIP messages of no call."""
        return {
            "legs": len(self._legs),
            "call_ids": len(self._owners),
            "early_traces": len(self._early),
        }

    def on_report(self, report: Report) -> None:
        """Hand a worker's report to the leg that it is about."""
        # Reports about no leg are the pool's.
        leg = self._legs.get(getattr(report, "leg_id", ""))
        if leg is not None:
            leg.on_report(report)

    def on_worker_lost(self, reason: str, leg_ids: Iterable[str]) -> None:
        """Tell the legs of a dead worker."""
        for leg_id in leg_ids:
            leg = self._legs.get(leg_id)
            if leg is not None:
                leg.worker_lost(reason)

    # SIP messages.

    def began_s(self, call_id: str) -> float | None:
        """Return when the first message of a Call-ID came; None: none yet."""
        return self._early.began_s(call_id)

    def adopt(
        self,
        call_id: str,
        call: Journal,
        leg: str | None,
        subscriber: SubscriberSettings | None = None,
    ) -> None:
        """Put the messages of a Call-ID, past and future, on a call's timeline.

        Args:
            leg: SID of the dialled leg; None: the call's own party.
            subscriber: Who shall answer the INVITE, which went to ourselves.
        """
        traces = self._early.take(call_id)
        own_tag = _from_tag(traces[0]) if subscriber and traces else None
        if subscriber is not None:
            self._expected[call_id] = subscriber
        owner = _Owner(call, leg, own_tag)
        self._owners[call_id] = owner
        self._call_ids.setdefault(call.sid, []).append(call_id)
        for trace in traces:
            _write(owner, trace)

    def forget(self, call: Journal) -> None:
        """Forget the Call-IDs of a call."""
        for call_id in self._call_ids.pop(call.sid, ()):
            self._expected.pop(call_id, None)
            owner = self._owners.get(call_id)
            if owner is not None and owner.call is call:
                del self._owners[call_id]

    def subscriber_of(self, call_id: str) -> SubscriberSettings | None:
        """Return who answers an INVITE of ours that came back, once.

        Its Call-ID is a secret between us and ourselves: nobody else gets in so.
        """
        return self._expected.pop(call_id, None)

    def on_trace(self, trace: SipTrace) -> None:
        """Put a SIP message on the timeline of its call."""
        owner = self._owners.get(trace.call_id)
        if owner is None:
            self._early.add(trace)
        else:
            _write(owner, trace)


def _write(owner: _Owner, trace: SipTrace) -> None:
    if owner.own_tag is not None and not _is_callers_view(trace, owner.own_tag):
        return
    owner.call.record_event(sip_event(trace, owner.leg))


def _is_callers_view(trace: SipTrace, own_tag: str) -> bool:
    """Of a message that we send to ourselves, tell the caller's side of it.

    From names who began the transaction, in requests and in responses alike.
    """
    try:
        message = parse_message(trace.wire)
    except SipParseError:
        return True  # It was cut while it waited: none of ours is as long.
    is_request = isinstance(message, Request)
    is_ours = message.from_.tag == own_tag
    went_out = trace.direction is Direction.SENT
    return went_out if is_request == is_ours else not went_out


def _from_tag(trace: SipTrace) -> str | None:
    try:
        return parse_message(trace.wire).from_.tag
    except SipParseError:
        return None

"""REFER: a party puts somebody else in its place (RFC 3515).

```text
 REFER -> 202, NOTIFY 100 -> ring the new party, NOTIFY 180
                               answered: it has the seat and the leg; NOTIFY 200, BYE
                               failed:   NOTIFY 4xx-6xx; they talk on as before
```

The new party gets the media leg of the old one: bot, prompt or the other party go on.
Only whom the configuration declares is called, whatever Refer-To says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from emulator.calls.causes import DialResult
from emulator.calls.dialing import (
    Attempt,
    Identity,
    NotDialled,
    Route,
    find_route,
    refer_target,
)
from emulator.calls.ending import EndCause, Ending
from emulator.calls.fork import Failure
from emulator.calls.leg import Leg
from emulator.calls.outgoing import OutgoingParty
from emulator.calls.party import Party, PartyListener
from emulator.calls.seat import Seat
from emulator.calls.services import CallServices
from emulator.events import JsonValue
from emulator.sip.events import ReferReceived
from emulator.sip.session import CallSession
from emulator.text import printable

# How long the new party's phone rings.
RING_S = 60.0
# A phone hangs up by itself once it has read that its transfer succeeded.
FAREWELL_S = 2.0
# Of one leg: a phone that loops must not fill the memory.
MAX_TRANSFERS = 20
# What the transferring phone is told when the callee gave no status of its own.
_UNREACHABLE = 503
_UNUSABLE = 488
_NO_ANSWER = 408


class Transfer:
    """What becomes of one REFER.

    Args:
        seat: Of the party that asks.
        owner: The call's or the dialled leg's place, which stays.
    """

    def __init__(
        self,
        services: CallServices,
        seat: Seat,
        owner: PartyListener,
        identity: Identity,
    ) -> None:
        self._services = services
        self._seat = seat
        self._owner = owner
        self._identity = identity

    def ask(self, event: ReferReceived, party: Party) -> None:
        """Refuse, or begin to transfer."""
        session = party.session
        assert session is not None, "only a session can receive a REFER"
        who = printable(event.refer_to)
        refusal = self._refusal(event, party)
        self._owner.record("transfer.asked", refer_to=who, refused=refusal)
        if refusal is not None:
            quoted = refusal.replace('"', "'")
            session.reject_refer(
                603, headers=[("Reason", f'SIP;cause=603;text="{quoted}"')]
            )
            return
        session.accept_refer()
        self._seat.beside(self._run(event.refer_to, party, session))

    def _refusal(self, event: ReferReceived, party: Party) -> str | None:
        if self._services.settings.sip.refer == "refuse":
            return "transfer by the flow, with Connect (sip.refer is refuse)"
        if party is not self._seat.party:
            return "the leg has been transferred already"
        if self._seat.takers >= MAX_TRANSFERS:
            return f"{MAX_TRANSFERS} transfers of one leg have been tried"
        if "replaces=" in event.refer_to.lower():
            return "Replaces (RFC 3891) is not served: transfer without consultation"
        return None

    async def _run(self, refer_to: str, old: Party, session: CallSession) -> None:
        try:
            route = self._route(refer_to)
        except NotDialled as error:
            self._failed(session, 404, str(error))
            return
        # A phone may hang up as soon as it has its 202 (RFC 5589 §6.1).
        old.keep_end()
        new = self._new_party(route, old, session)
        if not await new.establish():
            self._failed(session, _status(new.failure), _text(new.failure))
            old.tell_end()
        elif (unusable := new.kept_end) is not None:
            new.hang_up(unusable)
            self._failed(session, _UNUSABLE, unusable.text)
            old.tell_end()
        else:
            self._succeeded(new, session, route)
            await self._part_from(old)

    def _route(self, refer_to: str) -> Route:
        settings, phone = self._services.settings, self._services.phone
        target = refer_target(settings, refer_to)
        return find_route(settings, phone, target, self._identity)

    def _new_party(
        self, route: Route, old: Party, session: CallSession
    ) -> OutgoingParty:
        new = OutgoingParty(
            route,
            self._services.phone,
            old.leg,
            self._services.settings.media,
            RING_S,
            _Substitute(self._owner, session),
            takes_early_media=False,
        )
        # Until it has answered, its failure is no end of the leg.
        new.keep_end()
        self._seat.expect(new)
        return new

    def _succeeded(
        self, new: OutgoingParty, session: CallSession, route: Route
    ) -> None:
        was_held = self._seat.party.media.is_on_hold
        self._seat.hand_over(new)
        if was_held:
            self._owner.hold_changed(is_held=False)
        self._owner.record("transfer.ended", to=route.callee, status=200)
        session.notify_transfer(200)
        new.tell_end()

    def _failed(self, session: CallSession, status: int, text: str) -> None:
        self._owner.record("transfer.ended", status=status, reason=text)
        session.notify_transfer(status)

    async def _part_from(self, old: Party) -> None:
        """Hang up on who has been replaced, unless they do so themselves."""
        await asyncio.sleep(FAREWELL_S)
        old.hang_up(Ending(EndCause.TRANSFERRED, "the transfer is done"))


def _status(failure: Failure | None) -> int:
    """Return the last word of the NOTIFYs."""
    if failure is None:
        return _UNREACHABLE
    is_unanswered = failure.result is DialResult.NO_ANSWER
    return failure.status or (_NO_ANSWER if is_unanswered else _UNREACHABLE)


def _text(failure: Failure | None) -> str:
    return failure.text if failure else "nobody could be called"


class _Substitute:
    """Stands between the new party and the old one's place.

    Until the new party has the seat, its ringing is the transferring phone's news.
    """

    def __init__(self, owner: PartyListener, session: CallSession) -> None:
        self._owner = owner
        self._session = session

    def record(
        self,
        kind: str,
        data: Mapping[str, JsonValue] | None = None,
        /,
        *,
        at_s: float | None = None,
        **more: JsonValue,
    ) -> None:
        self._owner.record(kind, data, at_s=at_s, **more)

    def digit_pressed(self, leg: Leg, digit: str) -> None:
        self._owner.digit_pressed(leg, digit)

    def rtp_silent(self, leg: Leg, silent_s: float) -> None:
        self._owner.rtp_silent(leg, silent_s)

    def worker_lost(self, leg: Leg, reason: str) -> None:
        self._owner.worker_lost(leg, reason)

    def end(self, kind: EndCause, text: str) -> None:
        self._owner.end(kind, text)

    def party_rings(self, data: Mapping[str, JsonValue]) -> None:
        self._session.notify_transfer(180)

    def early_media(self) -> None:
        """The leg still belongs to the old party."""

    def hold_changed(self, *, is_held: bool) -> None:
        self._owner.hold_changed(is_held=is_held)

    def placed(self, session: CallSession, attempt: Attempt) -> None:
        self._owner.placed(session, attempt)

    def asked_to_transfer(self, event: ReferReceived, party: Party) -> None:
        self._owner.asked_to_transfer(event, party)

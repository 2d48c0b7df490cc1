"""REFER: the peer asks us to call somebody else (RFC 3515).

The application decides and does it; this layer answers the REFER and reports progress
by NOTIFY. ``SipOptions.accept_refer`` makes it available.
"""

from __future__ import annotations

from emulator.sip.effects import Effect, TransactionId
from emulator.sip.errors import SessionStateError
from emulator.sip.events import ReferReceived
from emulator.sip.liveness import LivenessUsage
from emulator.sip.message import Request
from emulator.sip.offers import NOT_UP
from emulator.sip.party import because
from emulator.sip.status import reason_phrase_of
from emulator.sip.uri import parse_name_addr
from emulator.sip.usage import HeaderList

# RFC 3515 §2.4.4 leaves the length to us; a transfer rings for a minute or two.
_SUBSCRIPTION_S = 180


class TransferUsage(LivenessUsage):
    """The part of a session that can be transferred."""

    _refer: tuple[TransactionId, Request] | None = None
    _subscription_id: int | None = None

    def accept_refer(self) -> list[Effect]:
        """Answer 202 and send the first NOTIFY."""
        key, request = self._take_refer()
        self._subscription_id = request.cseq.number
        accepted = self._respond(key, request, 202, self._ability_headers())
        return [accepted, *self.notify_transfer(100)]

    def reject_refer(self, status: int, headers: HeaderList) -> list[Effect]:
        """Refuse to transfer."""
        key, request = self._take_refer()
        return [self._respond(key, request, status, headers)]

    def notify_transfer(self, status: int) -> list[Effect]:
        """Report how the new call fares; a final status ends the subscription."""
        if self._subscription_id is None or not self.is_established:
            return []
        state = f"active;expires={_SUBSCRIPTION_S}"
        event = f"refer;id={self._subscription_id}"
        if status >= 200:
            state, self._subscription_id = "terminated;reason=noresource", None
        fragment = f"SIP/2.0 {status} {reason_phrase_of(status)}\r\n"
        headers = [
            ("Event", event),
            ("Subscription-State", state),
            ("Content-Type", "message/sipfrag;version=2.0"),
        ]
        return [self._in_dialog("NOTIFY", headers, fragment.encode())]

    def _receive_refer(self, key: TransactionId, request: Request) -> list[Effect]:
        """One Refer-To, one transfer at a time (RFC 3515 §2.4.2)."""
        targets = request.headers.values("Refer-To")
        if len(targets) != 1:
            why = because(f"{len(targets)} Refer-To values instead of one")
            return [self._respond(key, request, 400, [why])]
        if self._refer is not None or self._subscription_id is not None:
            why = because("a transfer of this session is under way already")
            return [self._respond(key, request, 491, [why])]
        if not self.is_established:
            return [self._respond(key, request, 481, [NOT_UP])]
        target = parse_name_addr(targets[0]).uri
        self._refer = (key, request)
        referred_by = request.headers.get("Referred-By")
        return [self._emit(ReferReceived(target, referred_by))]

    def _drop_pending(self) -> list[Effect]:
        own = self.reject_refer(487, ()) if self._refer is not None else []
        return own + super()._drop_pending()

    def _take_refer(self) -> tuple[TransactionId, Request]:
        if self._refer is None:
            raise SessionStateError("answer a REFER of", self.state.value)
        pending, self._refer = self._refer, None
        return pending

"""The INVITE usage of the called side: ring, answer, refuse (RFC 3261 §13.3)."""

from __future__ import annotations

from typing import Final

from emulator.sip.address import SourceAddress, Target
from emulator.sip.dialog import Dialog, contact_uri, routes_of
from emulator.sip.effects import Effect, Respond, TransactionId
from emulator.sip.errors import SessionStateError
from emulator.sip.events import Acked, Cancelled, EndCause, TransactionTimedOut
from emulator.sip.invite import (
    HeaderList,
    InviteSession,
    SessionSettings,
    SessionState,
    reasons,
)
from emulator.sip.message import Request, Response
from emulator.sip.party import because, sdp_headers
from emulator.sip.reliable import OPTION_TAG, ReliableRinging, Rung, is_required_by

RING: Final = "ring"
RING_AGAIN: Final = "ring again"
PRACK: Final = "prack"
# RFC 3261 §16.6 lets proxies give up after three minutes: no caller waits for five.
MAX_RING_S: Final = 300.0


class UasSession(InviteSession):
    """A call that somebody makes to us.

    Args:
        observed: Where in-dialog requests go instead of to the Contact.

    Raises:
        SipParseError: The INVITE has no usable Contact or Record-Route.
    """

    def __init__(
        self,
        serial: int,
        settings: SessionSettings,
        transaction: TransactionId,
        invite: Request,
        source: SourceAddress,
        advertised_ip: str,
        observed: Target | None,
    ) -> None:
        super().__init__(serial, settings, invite.call_id, source, advertised_ip)
        self._transaction = transaction
        self._invite = invite
        self._local_tag = settings.ids.tag()
        self._learn_abilities(invite)
        self._held_answer: tuple[str, HeaderList] | None = None
        self._reliable: ReliableRinging | None = None
        if is_required_by(invite):
            self._reliable = ReliableRinging(1 + settings.ids.uint16())
        self._dialog = Dialog(
            call_id=invite.call_id,
            local=invite.to.with_tag(self._local_tag),
            remote=invite.from_,
            remote_target=contact_uri(invite),
            route_set=routes_of(invite),
            local_cseq=0,
            remote_cseq=invite.cseq.number,
            transport=source.transport,
            local_ip=advertised_ip,
            contact=settings.party.contact(
                source.transport, advertised_ip, invite.sip_uri.user
            ),
            observed=observed,
        )

    @property
    def transaction(self) -> TransactionId:
        """The transaction of the INVITE."""
        return self._transaction

    def start(self) -> list[Effect]:
        """Bound the time until somebody answers."""
        return [self._set_timer(RING, MAX_RING_S)]

    def ringing(
        self, status: int, sdp: str | None, headers: HeaderList
    ) -> list[Effect]:
        """Send 101-199; it makes an early dialog."""
        self._require_unanswered("ring")
        content, body = sdp_headers(sdp)
        fields = [*self._ability_headers(), *headers, *content]
        if self._reliable is None:
            return [self._reply(status, None, fields, body)]
        if self._invite.sdp is None:
            # It would have to make our offer (RFC 3262 §5); the 200 makes it.
            return []
        self._reliable.waiting.append(Rung(status, fields, body))
        return self._ring_reliably() if self._reliable.unacked is None else []

    def answer(self, sdp: str, headers: HeaderList) -> list[Effect]:
        """Send 200, again and again until its ACK is there.

        Not before the PRACK of what was said before it (RFC 3262 §3).
        """
        self._require_unanswered("answer")
        if self._reliable is not None and not self._reliable.is_acknowledged:
            self._held_answer = (sdp, headers)
            return []
        return self._answer(sdp, headers)

    def _answer(self, sdp: str, headers: HeaderList) -> list[Effect]:
        self.state = SessionState.ANSWERED
        ring = self._clear_timer(RING)
        self._local_sdp = sdp
        content, body = sdp_headers(sdp)
        timer = self._refresh_headers(self._invite)
        response = self._response(
            200, None, [*self._ability_headers(), *timer, *headers, *content], body
        )
        effects: list[Effect] = [ring, Respond(self._transaction, response)]
        return effects + self._await_ack(self._transaction, response)

    def reject(
        self, status: int, reason_phrase: str | None, headers: HeaderList
    ) -> list[Effect]:
        """Send 300-699."""
        self._require_incoming("reject")
        reply = self._reply(status, reason_phrase, headers)
        return [reply, *self._end(EndCause.LOCAL_REJECT, f"{status}")]

    def cancel(self, key: TransactionId, cancel: Request) -> list[Effect]:
        """The caller gave up; too late once there is an answer (RFC 3261 §9.2)."""
        if key != self._transaction:
            return super().cancel(key, cancel)
        if self.state is not SessionState.INCOMING:
            return []
        reply = self._reply(487, None, ())
        event = self._emit(Cancelled(reasons(cancel)))
        return [reply, event, *self._end(EndCause.REMOTE_CANCEL)]

    def transaction_failed(
        self, key: TransactionId, reason: str, *, timed_out: bool
    ) -> list[Effect]:
        """Our response to the INVITE, or a request of ours, went nowhere."""
        if key != self._transaction:
            return super().transaction_failed(key, reason, timed_out=timed_out)
        if self.state is not SessionState.INCOMING:
            # The 2xx is repeated until 64*T1; the way may open again.
            return []
        failed = self._emit(TransactionTimedOut("INVITE", reason))
        return [failed, *self._end(EndCause.TRANSPORT, reason)]

    def receive_request(self, key: TransactionId, request: Request) -> list[Effect]:
        """As the base, but a BYE before our answer also ends the INVITE (§15.1.2)."""
        effects = []
        if request.method == "BYE" and self.state is SessionState.INCOMING:
            effects.append(self._reply(487, None, ()))
        return effects + super().receive_request(key, request)

    def timer_fired(self, name: str) -> list[Effect]:
        """Nobody answered, and the caller did not give up either."""
        match name:
            case "ring":
                reply = self._reply(480, None, ())
                detail = f"no answer in {MAX_RING_S} s"
                return [reply, *self._end(EndCause.TIMEOUT, detail)]
            case "ring again":
                return self._repeat_ringing()
            case "prack":
                return self._prack_timed_out()
            case _:
                return super().timer_fired(name)

    # --- reliable provisional responses (RFC 3262 §3) ---

    def _ring_reliably(self) -> list[Effect]:
        """Say what waits next, again and again until its PRACK is there."""
        reliable, timers = self._reliable, self._settings.timers
        if reliable is None or not reliable.waiting:
            return []
        status, fields, body = reliable.waiting.popleft()
        fields = [*fields, ("Require", OPTION_TAG), ("RSeq", f"{reliable.number}")]
        reliable.unacked = self._response(status, None, fields, body)
        reliable.interval_s = timers.t1_s
        return [
            Respond(self._transaction, reliable.unacked),
            self._set_timer(RING_AGAIN, timers.t1_s),
            self._set_timer(PRACK, timers.timeout_s),
        ]

    def _repeat_ringing(self) -> list[Effect]:
        reliable = self._reliable
        if reliable is None or reliable.unacked is None:
            return []
        reliable.interval_s *= 2
        return [
            Respond(self._transaction, reliable.unacked),
            self._set_timer(RING_AGAIN, reliable.interval_s),
        ]

    def _receive_prack(self, key: TransactionId, request: Request) -> list[Effect]:
        reliable = self._reliable
        if reliable is None or not reliable.is_meant_by(request):
            return super()._receive_prack(key, request)
        if request.sdp is not None:
            why = because("an offer is taken in re-INVITE and UPDATE, not in PRACK")
            return [self._respond(key, request, 488, [why])]
        reliable.acknowledged()
        effects: list[Effect] = [
            self._respond(key, request, 200),
            self._clear_timer(RING_AGAIN),
            self._clear_timer(PRACK),
            *self._ring_reliably(),
        ]
        if self._held_answer is not None and reliable.is_acknowledged:
            effects += self._answer(*self._held_answer)
        return effects

    def _prack_timed_out(self) -> list[Effect]:
        reason = f"no PRACK within {self._settings.timers.timeout_s:g} s"
        timed_out = self._emit(TransactionTimedOut("INVITE", reason))
        reply = self._reply(504, None, [because(reason)])
        return [timed_out, reply, *self._end(EndCause.TIMEOUT, reason)]

    # --- the rest of the answer ---

    def _give_up(self, headers: HeaderList) -> list[Effect]:
        return self.reject(487, None, headers)

    def _established(self, ack: Request) -> list[Effect]:
        effects = [*self._enter_established(), self._emit(Acked(ack.sdp))]
        if self._bye_headers is not None:
            effects += self._send_bye(self._bye_headers)
        return effects

    def _require_unanswered(self, verb: str) -> None:
        self._require_incoming(verb)
        if self._held_answer is not None:
            raise SessionStateError(verb, "answered, and waiting for a PRACK")

    def _require_incoming(self, verb: str) -> None:
        if self.state is not SessionState.INCOMING:
            raise SessionStateError(verb, self.state.value)

    def _reply(
        self,
        status: int,
        reason_phrase: str | None,
        headers: HeaderList,
        body: bytes = b"",
    ) -> Effect:
        return Respond(
            self._transaction, self._response(status, reason_phrase, headers, body)
        )

    def _response(
        self,
        status: int,
        reason_phrase: str | None,
        headers: HeaderList,
        body: bytes = b"",
    ) -> Response:
        return self._settings.party.response(
            self._invite,
            status,
            reason_phrase=reason_phrase,
            to_tag=self._local_tag,
            headers=headers,
            body=body,
        )

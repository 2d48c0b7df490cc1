"""The INVITE usage once a dialog exists: ACK, BYE, offers, INFO, keepalive.

``uas.py`` and ``uac.py`` add how each side gets there. RFC 3261 §13-§15, §14 for
re-INVITE, RFC 3311 for UPDATE.

::

    UAS: INCOMING ----answer----> ANSWERED --ACK--> ESTABLISHED --BYE--> ENDING
    UAC: CALLING -> PROCEEDING ------2xx, ACK-----> ESTABLISHED    |        |
              \\         \\                                          |  200   |
               +---------+--> CANCELLING -------------------------+-------> ENDED

Inputs are verbs of the application, messages that ``agent.py`` matched, and timers;
each returns effects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from emulator.ids import IdSource
from emulator.sip.address import SourceAddress, Target
from emulator.sip.auth import DigestClient
from emulator.sip.dialog import Dialog, DialogId, DialogState
from emulator.sip.effects import (
    ClearTimer,
    Effect,
    Emit,
    Respond,
    SendMessage,
    SessionTimer,
    SetTimer,
    StartRequest,
    TransactionId,
)
from emulator.sip.errors import SessionStateError
from emulator.sip.events import (
    AckTimedOut,
    ByeReceived,
    EndCause,
    InfoReceived,
    OfferAnswered,
    OfferReceived,
    OfferRejected,
    SessionEnded,
    SessionEvent,
    TransactionTimedOut,
)
from emulator.sip.message import Request, Response
from emulator.sip.party import ACCEPT, SUPPORTED, LocalParty, sdp_headers
from emulator.sip.timers import SipTimers

HeaderList = Sequence[tuple[str, str]]

RETRANSMIT_2XX: Final = "2xx"
WAIT_FOR_ACK: Final = "ack"
KEEPALIVE: Final = "keepalive"
GLARE: Final = "glare"
# RFC 3261 §14.2: seconds told to a peer whose re-INVITE overtook another.
_RETRY_AFTER_S: Final = 2


class SessionState(Enum):
    """Where an INVITE session is."""

    INCOMING = "ringing here"
    CALLING = "being placed"
    PROCEEDING = "ringing there"
    CANCELLING = "being cancelled"
    ANSWERED = "waiting for its ACK"
    ESTABLISHED = "established"
    ENDING = "being ended"
    ENDED = "over"


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """What every session of an endpoint shares."""

    party: LocalParty
    ids: IdSource
    timers: SipTimers
    keepalive_s: float


@dataclass(frozen=True, slots=True)
class _UnackedAnswer:
    """A 2xx of ours that is repeated until its ACK comes (RFC 3261 §13.3.1.4)."""

    transaction: TransactionId
    response: Response
    interval_s: float

    @property
    def cseq(self) -> int:
        return self.response.cseq.number


@dataclass(frozen=True, slots=True)
class _PeerOffer:
    """A re-INVITE or UPDATE of the peer that the application has yet to answer."""

    transaction: TransactionId
    request: Request


class InviteSession:
    """One INVITE session; subclasses set up its dialog.

    Attributes:
        serial: Unique in its user agent; names the session's timers.
        remote_address: Where the peer's signalling is.
        advertised_ip: The address that the peer is told.
    """

    def __init__(
        self,
        serial: int,
        settings: SessionSettings,
        call_id: str,
        remote_address: SourceAddress | Target,
        advertised_ip: str,
    ) -> None:
        self.serial = serial
        self.call_id = call_id
        self.remote_address = remote_address
        self.advertised_ip = advertised_ip
        self.state = SessionState.INCOMING
        self._settings = settings
        self._dialog: Dialog | None = None
        self._unacked: _UnackedAnswer | None = None
        self._offer_needs_answer = False
        self._bye_headers: HeaderList | None = None
        self._peer_offer: _PeerOffer | None = None
        # An offer stays here while it waits out a glare (491); then none is in flight.
        self._own_offer: str | None = None
        self._is_offer_in_flight = False
        self._digest: DigestClient | None = None

    # --- what others may look at ---

    @property
    def is_ended(self) -> bool:
        """True when nothing can happen to the session any more."""
        return self.state is SessionState.ENDED

    @property
    def dialog_ids(self) -> set[DialogId]:
        """The dialogs whose requests belong to this session."""
        return {self._dialog.id} if self._dialog is not None else set()

    @property
    def connection(self) -> int | None:
        """The TCP or TLS connection that the session's messages travel over."""
        if self._dialog is not None and self._dialog.observed is not None:
            return self._dialog.observed.connection
        return self.remote_address.connection

    @property
    def dialog(self) -> Dialog:
        """The established dialog."""
        if self._dialog is None:
            raise SessionStateError("use the dialog of", self.state.value)
        return self._dialog

    # --- verbs of one side only ---

    def ringing(
        self, status: int, sdp: str | None, headers: HeaderList
    ) -> list[Effect]:
        """UAS only."""
        raise SessionStateError("ring", self.state.value)

    def reject(
        self, status: int, reason_phrase: str | None, headers: HeaderList
    ) -> list[Effect]:
        """UAS only."""
        raise SessionStateError("reject", self.state.value)

    def answer(self, sdp: str, headers: HeaderList) -> list[Effect]:
        """UAS only."""
        raise SessionStateError("answer", self.state.value)

    def acknowledge(self, sdp: str) -> list[Effect]:
        """UAC only."""
        raise SessionStateError("acknowledge", self.state.value)

    # --- verbs of both sides ---

    def hang_up(self, headers: HeaderList) -> list[Effect]:
        """End the session; see ``CallSession.hang_up``."""
        match self.state:
            case SessionState.ESTABLISHED:
                return self._send_bye(headers)
            case SessionState.ANSWERED:
                if self._bye_headers is None:
                    self._bye_headers = tuple(headers)
                return []
            case SessionState.ENDING | SessionState.ENDED | SessionState.CANCELLING:
                return []
            case _:
                return self._give_up(headers)

    def offer(self, sdp: str) -> list[Effect]:
        """Send a re-INVITE with a new offer (RFC 3261 §14.1)."""
        if (
            self.state is not SessionState.ESTABLISHED
            or self._own_offer is not None
            or self._peer_offer is not None
        ):
            raise SessionStateError("offer to", self.state.value)
        self._own_offer = sdp
        return self._send_offer()

    def answer_offer(self, sdp: str) -> list[Effect]:
        """Accept the peer's re-INVITE or UPDATE."""
        pending = self._take_peer_offer()
        content, body = sdp_headers(sdp)
        response = self._settings.party.response(
            pending.request,
            200,
            headers=[*self._ability_headers(), *content],
            body=body,
        )
        effects: list[Effect] = [Respond(pending.transaction, response)]
        if pending.request.method == "INVITE":
            self._offer_needs_answer = pending.request.sdp is None
            effects += self._await_ack(pending.transaction, response)
        return effects

    def reject_offer(self, status: int, headers: HeaderList) -> list[Effect]:
        """Refuse the peer's re-INVITE or UPDATE."""
        pending = self._take_peer_offer()
        response = self._settings.party.response(
            pending.request, status, headers=headers
        )
        return [Respond(pending.transaction, response)]

    # --- messages ---

    def receive_request(self, key: TransactionId, request: Request) -> list[Effect]:
        """Handle a request inside the dialog, ACK excepted."""
        if not self.dialog.accepts_cseq(request.cseq.number):
            return [self._respond(key, request, 500)]
        match request.method:
            case "BYE":
                return self._receive_bye(key, request)
            case "INVITE" | "UPDATE":
                return self._receive_offer(key, request)
            case "INFO":
                return self._receive_info(key, request)
            case _:
                return [self._respond(key, request, 200, self._option_headers())]

    def receive_ack(self, request: Request) -> list[Effect]:
        """Handle the ACK of a 2xx of ours."""
        unacked = self._unacked
        if unacked is None or unacked.cseq != request.cseq.number:
            return []
        effects = self._stop_waiting_for_ack()
        if self.state is SessionState.ANSWERED:
            effects += self._established(request)
        elif self._offer_needs_answer and request.sdp is not None:
            effects.append(self._emit(OfferAnswered(request.sdp)))
        self._offer_needs_answer = False
        return effects

    def receive_response(
        self, key: TransactionId, response: Response, source: SourceAddress
    ) -> list[Effect]:
        """Handle a response to a request that this session sent."""
        if response.is_provisional:
            return []
        if self._accepts_challenge(response):
            return self._try_again(key.method)
        match key.method:
            case "BYE":
                return self._end(EndCause.LOCAL_BYE)
            case "INVITE":
                return self._receive_offer_response(response)
            case _ if response.status == 481:
                return self._lose_dialog()
            case _:
                return []

    def transaction_failed(
        self, key: TransactionId, reason: str, *, timed_out: bool
    ) -> list[Effect]:
        """A request of ours got no final response."""
        match key.method:
            case "BYE":
                timeout = self._emit(TransactionTimedOut("BYE", reason))
                return [timeout, *self._end(EndCause.LOCAL_BYE, reason)]
            case "INVITE" if self.state is SessionState.ESTABLISHED:
                self._own_offer, self._is_offer_in_flight = None, False
                timeout = self._emit(TransactionTimedOut("INVITE", reason))
                return [timeout, *self._send_bye(())]
            case _:
                # A keepalive: media tells better whether the peer is alive.
                return []

    def timer_fired(self, name: str) -> list[Effect]:
        """One of the session's timers ran out."""
        match name:
            case "2xx":
                return self._repeat_answer()
            case "ack":
                return self._ack_timed_out()
            case "keepalive":
                return self._send_keepalive()
            case "glare":
                return self._retry_offer()
            case _:
                return []

    # --- answering, and the wait for the ACK ---

    def _await_ack(self, key: TransactionId, response: Response) -> list[Effect]:
        interval_s = self._settings.timers.t1_s
        self._unacked = _UnackedAnswer(key, response, interval_s)
        return [
            self._set_timer(RETRANSMIT_2XX, interval_s),
            self._set_timer(WAIT_FOR_ACK, self._settings.timers.timeout_s),
        ]

    def _repeat_answer(self) -> list[Effect]:
        """On every transport: a proxy may have lost it (RFC 3261 §13.3.1.4)."""
        unacked = self._unacked
        if unacked is None:
            return []
        interval_s = min(2 * unacked.interval_s, self._settings.timers.t2_s)
        self._unacked = replace(unacked, interval_s=interval_s)
        return [
            Respond(unacked.transaction, unacked.response),
            self._set_timer(RETRANSMIT_2XX, interval_s),
        ]

    def _stop_waiting_for_ack(self) -> list[Effect]:
        self._unacked = None
        return [self._clear_timer(RETRANSMIT_2XX), self._clear_timer(WAIT_FOR_ACK)]

    def _ack_timed_out(self) -> list[Effect]:
        headers = self._bye_headers or ()
        return [
            *self._stop_waiting_for_ack(),
            self._emit(AckTimedOut()),
            *self._send_bye(headers),
        ]

    def _established(self, ack: Request) -> list[Effect]:
        """The first ACK came: the UAS tells its application."""
        raise SessionStateError("establish", self.state.value)

    def _enter_established(self) -> list[Effect]:
        self.state = SessionState.ESTABLISHED
        self.dialog.state = DialogState.CONFIRMED
        return self._keep_mapping_alive()

    # --- ending ---

    def _give_up(self, headers: HeaderList) -> list[Effect]:
        """End a session that has no dialog yet."""
        raise SessionStateError("give up", self.state.value)

    def _send_bye(self, headers: HeaderList) -> list[Effect]:
        self.state = SessionState.ENDING
        return [*self._stop_timers(), self._in_dialog("BYE", headers)]

    def _receive_bye(self, key: TransactionId, request: Request) -> list[Effect]:
        effects: list[Effect] = [self._respond(key, request, 200)]
        if self._peer_offer is not None:
            effects += self.reject_offer(487, ())
        if self.state is SessionState.ENDING:
            # Both sides hung up at once; our own BYE ends the session.
            return effects
        effects.append(self._emit(ByeReceived(reasons(request))))
        return effects + self._end(EndCause.REMOTE_BYE)

    def _lose_dialog(self) -> list[Effect]:
        """The peer answered 481 inside the dialog (RFC 3261 §12.2.1.2)."""
        if self.state is SessionState.ENDING:
            return []
        return self._end(EndCause.DIALOG_LOST)

    def _end(self, cause: EndCause, detail: str = "") -> list[Effect]:
        if self.is_ended:
            return []
        self.state = SessionState.ENDED
        return [*self._stop_timers(), self._emit(SessionEnded(cause, detail))]

    def _stop_timers(self) -> list[Effect]:
        self._unacked = None
        names = (RETRANSMIT_2XX, WAIT_FOR_ACK, KEEPALIVE, GLARE)
        return [self._clear_timer(name) for name in names]

    # --- offers inside the dialog ---

    def _receive_offer(self, key: TransactionId, request: Request) -> list[Effect]:
        self.dialog.refresh_target(request)
        if self._is_offer_in_flight:
            return [self._respond(key, request, 491)]
        if self._peer_offer is not None or self._unacked is not None:
            retry = ("Retry-After", str(_RETRY_AFTER_S))
            return [self._respond(key, request, 500, [retry])]
        if self.state is not SessionState.ESTABLISHED:
            return [self._respond(key, request, 481)]
        if request.method == "UPDATE" and request.sdp is None:
            return [self._respond(key, request, 200, self._ability_headers())]
        self._peer_offer = _PeerOffer(key, request)
        # The application may take its time; a 100 ends the retransmissions.
        trying = [self._respond(key, request, 100)] if key.method == "INVITE" else []
        return [*trying, self._emit(OfferReceived(request.method, request.sdp))]

    def _take_peer_offer(self) -> _PeerOffer:
        pending = self._peer_offer
        if pending is None:
            raise SessionStateError("answer an offer of", self.state.value)
        self._peer_offer = None
        return pending

    def _retry_offer(self) -> list[Effect]:
        if self._own_offer is None or self.state is not SessionState.ESTABLISHED:
            return []
        if self._peer_offer is not None or self._unacked is not None:
            return [self._set_timer(GLARE, self._glare_delay_s())]
        return self._send_offer()

    def _send_offer(self) -> list[Effect]:
        self._is_offer_in_flight = True
        content, body = sdp_headers(self._own_offer)
        headers = [*self._ability_headers(), *content]
        return [self._in_dialog("INVITE", headers, body)]

    def _receive_offer_response(self, response: Response) -> list[Effect]:
        self._is_offer_in_flight = False
        if response.is_success:
            return self._receive_offer_answer(response)
        if response.status == 491 and self.state is SessionState.ESTABLISHED:
            return [self._set_timer(GLARE, self._glare_delay_s())]
        self._own_offer = None
        if response.status in {408, 481}:
            return self._lose_dialog()
        return [self._emit(OfferRejected(response.status, response.reason_phrase))]

    def _receive_offer_answer(self, response: Response) -> list[Effect]:
        """Every 2xx gets its ACK, a repeated one too (RFC 3261 §13.2.2.4)."""
        effects: list[Effect] = [self._ack(self.dialog, response.cseq.number)]
        if self._own_offer is None:
            return effects
        self._own_offer = None
        self.dialog.refresh_target(response)
        return [*effects, self._emit(OfferAnswered(response.sdp or ""))]

    def _glare_delay_s(self) -> float:
        """RFC 3261 §14.1: the owner of the Call-ID waits 2.1-4 s, the other 0-2 s."""
        share = self._settings.ids.uint16() / 0xFFFF
        return 2.1 + 1.9 * share if self._owns_call_id else 2 * share

    @property
    def _owns_call_id(self) -> bool:
        return False

    # --- other requests inside the dialog ---

    def _receive_info(self, key: TransactionId, request: Request) -> list[Effect]:
        event = InfoReceived(request.content_type, request.body)
        return [self._respond(key, request, 200), self._emit(event)]

    def _keep_mapping_alive(self) -> list[Effect]:
        """Only UDP through an address translator needs it."""
        observed = self.dialog.observed
        if observed is None or observed.transport != "udp":
            return []
        return [self._set_timer(KEEPALIVE, self._settings.keepalive_s)]

    def _send_keepalive(self) -> list[Effect]:
        if self.state is not SessionState.ESTABLISHED:
            return []
        return [self._in_dialog("OPTIONS"), *self._keep_mapping_alive()]

    # --- credentials ---

    def _accepts_challenge(self, response: Response) -> bool:
        is_challenge = response.status in {401, 407}
        digest = self._digest
        return is_challenge and digest is not None and digest.accept(response)

    def _credentials(self, method: str, uri: str) -> HeaderList:
        return self._digest.headers(method, uri) if self._digest is not None else ()

    def _ack_credentials(self) -> HeaderList:
        """An ACK repeats the credentials of its INVITE (RFC 3261 §22.1)."""
        return ()

    def _try_again(self, method: str) -> list[Effect]:
        """Repeat a request of ours that was challenged inside the dialog."""
        if method == "INVITE":
            return self._send_offer()
        return [self._in_dialog(method)]

    # --- making effects ---

    def _in_dialog(
        self, method: str, headers: HeaderList = (), body: bytes = b""
    ) -> StartRequest:
        branch = self._settings.ids.branch()
        uri = self.dialog.request_uri
        headers = [*self._credentials(method, uri), *headers]
        request = self.dialog.request(
            method, self._settings.party, branch, headers=headers, body=body
        )
        return StartRequest(self, request, self.dialog.target())

    def _ack(self, dialog: Dialog, cseq: int, sdp: str | None = None) -> SendMessage:
        """The ACK of a 2xx is a request of its own, outside any transaction."""
        content, body = sdp_headers(sdp)
        ack = dialog.request(
            "ACK",
            self._settings.party,
            self._settings.ids.branch(),
            cseq=cseq,
            headers=[*self._ack_credentials(), *content],
            body=body,
        )
        return SendMessage(ack, dialog.target(), None)

    def _respond(
        self,
        key: TransactionId,
        request: Request,
        status: int,
        headers: HeaderList = (),
    ) -> Respond:
        return Respond(
            key, self._settings.party.response(request, status, headers=headers)
        )

    def _ability_headers(self) -> list[tuple[str, str]]:
        contact = [("Contact", self.dialog.contact)]
        supported = [("Supported", SUPPORTED)] if SUPPORTED else []
        return [*contact, ("Allow", self._settings.party.allow), *supported]

    def _option_headers(self) -> list[tuple[str, str]]:
        return [*self._ability_headers(), ("Accept", ACCEPT)]

    def _emit(self, event: SessionEvent) -> Emit:
        return Emit(self, event)

    def _set_timer(self, name: str, delay_s: float) -> SetTimer:
        return SetTimer(SessionTimer(self.serial, name), delay_s)

    def _clear_timer(self, name: str) -> ClearTimer:
        return ClearTimer(SessionTimer(self.serial, name))


def reasons(message: Request) -> tuple[str, ...]:
    """Return the values of the Reason headers (RFC 3326)."""
    return tuple(message.headers.values("Reason"))

"""Offers inside a dialog, and the 2xx that is repeated until its ACK comes.

re-INVITE (RFC 3261 §14), UPDATE (RFC 3311), glare (§14.1). What the descriptions say is
the application's business.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import Final

from emulator.sip.effects import Effect, Respond, TransactionId
from emulator.sip.errors import SessionStateError, SipParseError
from emulator.sip.events import (
    AckTimedOut,
    OfferAnswered,
    OfferReceived,
    OfferRejected,
)
from emulator.sip.message import Request, Response
from emulator.sip.party import because, sdp_headers
from emulator.sip.usage import DialogUsage, HeaderList, SessionState

RETRANSMIT_2XX: Final = "2xx"
WAIT_FOR_ACK: Final = "ack"
GLARE: Final = "glare"
# RFC 3261 §14.2: seconds told to a peer whose re-INVITE overtook another.
_RETRY_AFTER_S: Final = 2
NOT_UP: Final = because("the session is not up")
_GLARE: Final = because("an offer of ours is under way (RFC 3261 §14.1)")
_BUSY: Final = because("the offer before this one is under way (RFC 3261 §14.2)")


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


class OfferUsage(DialogUsage):
    """The part of a session that negotiates again."""

    _unacked: _UnackedAnswer | None = None
    _offer_needs_answer = False
    _bye_headers: HeaderList | None = None
    _peer_offer: _PeerOffer | None = None
    # An offer stays here while it waits out a glare (491); then none is in flight.
    _own_offer: str | None = None
    _is_offer_in_flight = False
    # Our latest description, for a re-INVITE that only refreshes.
    _local_sdp: str | None = None
    _is_refresh = False

    def offer(self, sdp: str) -> list[Effect]:
        """Send a re-INVITE with a new offer (RFC 3261 §14.1)."""
        if (
            not self.is_established
            or self._own_offer is not None
            or self._peer_offer is not None
        ):
            raise SessionStateError("offer to", self.state.value)
        self._own_offer = self._local_sdp = sdp
        return self._send_offer()

    def answer_offer(self, sdp: str) -> list[Effect]:
        """Accept the peer's re-INVITE or UPDATE."""
        pending = self._take_peer_offer()
        self._local_sdp = sdp
        content, body = sdp_headers(sdp)
        response = self._settings.party.response(
            pending.request,
            200,
            headers=[
                *self._ability_headers(),
                *self._refresh_headers(pending.request),
                *content,
            ],
            body=body,
        )
        effects: list[Effect] = [Respond(pending.transaction, response)]
        effects += self._watch_peer()
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

    def _drop_pending(self) -> list[Effect]:
        return self.reject_offer(487, ()) if self._peer_offer is not None else []

    # --- the ACK of a 2xx ---

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

    def _clear_timers(self) -> list[Effect]:
        self._unacked = None
        return super()._clear_timers()

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

    # --- offers inside the dialog ---

    def _receive_offer(self, key: TransactionId, request: Request) -> list[Effect]:
        self.dialog.refresh_target(request)
        if self._is_offer_in_flight:
            return [self._respond(key, request, 491, [_GLARE])]
        if self._peer_offer is not None or self._unacked is not None:
            retry = ("Retry-After", str(_RETRY_AFTER_S))
            return [self._respond(key, request, 500, [retry, _BUSY])]
        if not self.is_established:
            return [self._respond(key, request, 481, [NOT_UP])]
        if request.method == "UPDATE" and request.sdp is None:
            headers = [*self._ability_headers(), *self._refresh_headers(request)]
            return [self._respond(key, request, 200, headers), *self._watch_peer()]
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
        if self._own_offer is None or not self.is_established:
            return []
        if self._peer_offer is not None or self._unacked is not None:
            return [self._set_timer(GLARE, self._glare_delay_s())]
        return self._send_offer()

    def _send_offer(self) -> list[Effect]:
        self._is_offer_in_flight = True
        content, body = sdp_headers(self._own_offer)
        headers = [*self._ability_headers(), *self._request_headers(), *content]
        return [self._in_dialog("INVITE", headers, body)]

    def _receive_offer_response(self, response: Response) -> list[Effect]:
        self._is_offer_in_flight = False
        if response.is_success:
            return self._receive_offer_answer(response)
        if response.status == 491 and self.is_established:
            return [self._set_timer(GLARE, self._glare_delay_s())]
        was_refresh, self._own_offer, self._is_refresh = self._is_refresh, None, False
        if response.status in {408, 481}:
            return self._lose_dialog()
        if was_refresh:
            return self._refresh_refused(response)
        return [self._emit(OfferRejected(response.status, response.reason_phrase))]

    def _receive_offer_answer(self, response: Response) -> list[Effect]:
        """Every 2xx gets its ACK, a repeated one too (RFC 3261 §13.2.2.4)."""
        effects: list[Effect] = [self._ack(self.dialog, response.cseq.number)]
        if self._own_offer is None:
            return effects
        was_refresh, self._own_offer, self._is_refresh = self._is_refresh, None, False
        with contextlib.suppress(SipParseError):
            self.dialog.refresh_target(response)
        effects += self._refreshed_by(response)
        if was_refresh:
            return effects
        return [*effects, self._emit(OfferAnswered(response.sdp or ""))]

    def _glare_delay_s(self) -> float:
        """RFC 3261 §14.1: the owner of the Call-ID waits 2.1-4 s, the other 0-2 s."""
        share = self._settings.ids.uint16() / 0xFFFF
        return 2.1 + 1.9 * share if self._owns_call_id else 2 * share

    @property
    def _owns_call_id(self) -> bool:
        return False

    # --- what liveness.py adds ---

    def _refresh_headers(self, request: Request) -> HeaderList:
        """Agree on the session interval of the peer's request; for its 2xx."""
        return ()

    def _request_headers(self) -> HeaderList:
        """Ask for the session interval; for our re-INVITE and UPDATE."""
        return ()

    def _refreshed_by(self, response: Response) -> list[Effect]:
        """Take the session interval of a 2xx to our request."""
        return []

    def _refresh_refused(self, response: Response) -> list[Effect]:
        """Take a refusal of a refresh."""
        return []

    def _watch_peer(self) -> list[Effect]:
        """Start the session interval anew."""
        return []

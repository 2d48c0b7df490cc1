r"""The INVITE usage: verbs, messages and timers find their layer here.

``uas.py`` and ``uac.py`` add how each side gets to an answer. RFC 3261 §13-§15.

::

    UAS: INCOMING ----answer----> ANSWERED --ACK--> ESTABLISHED --BYE--> ENDING
    UAC: CALLING -> PROCEEDING ------2xx, ACK-----> ESTABLISHED    |        |
              \         \                                          |  200   |
               +---------+--> CANCELLING -------------------------+-------> ENDED

Inputs are verbs of the application, messages that ``agent.py`` matched, and timers;
each returns effects.
"""

from __future__ import annotations

from emulator.sip.address import SourceAddress
from emulator.sip.dtmf_info import reply_to_info
from emulator.sip.effects import Effect, TransactionId
from emulator.sip.errors import SessionStateError
from emulator.sip.events import (
    ByeReceived,
    EndCause,
    InfoReceived,
    OfferWithdrawn,
    TransactionTimedOut,
)
from emulator.sip.liveness import EXPIRE, KEEPALIVE, REFRESH
from emulator.sip.message import Request, Response
from emulator.sip.offers import GLARE, RETRANSMIT_2XX, WAIT_FOR_ACK
from emulator.sip.party import because
from emulator.sip.reliable import NOTHING_TO_PRACK
from emulator.sip.transfer import TransferUsage
from emulator.sip.usage import HeaderList, SessionSettings, SessionState

__all__ = ["HeaderList", "InviteSession", "SessionSettings", "SessionState", "reasons"]


class InviteSession(TransferUsage):
    """One INVITE session."""

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

    # --- messages ---

    def receive_request(self, key: TransactionId, request: Request) -> list[Effect]:
        """Handle a request inside the dialog, ACK excepted."""
        if not self.dialog.accepts_cseq(request.cseq.number):
            why = because("CSeq is not above that of the request before")
            return [self._respond(key, request, 500, [why])]
        match request.method:
            case "BYE":
                return self._receive_bye(key, request)
            case "INVITE" | "UPDATE":
                return self._receive_offer(key, request)
            case "INFO":
                return self._receive_info(key, request)
            case "REFER":
                return self._receive_refer(key, request)
            case "PRACK":
                return self._receive_prack(key, request)
            case _:
                return [self._respond(key, request, 200, self._option_headers())]

    def receive_response(
        self, key: TransactionId, response: Response, source: SourceAddress
    ) -> list[Effect]:
        """Handle a response to a request inside the dialog."""
        if response.is_provisional:
            return []
        if self._accepts_challenge(response):
            return self._try_again(key.method)
        match key.method:
            case "BYE":
                return self._end(EndCause.LOCAL_BYE)
            case "INVITE":
                return self._receive_offer_response(response)
            case "UPDATE":
                return self._receive_update_response(response)
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
            case "INVITE" if self.is_established:
                self._own_offer, self._is_offer_in_flight = None, False
                timeout = self._emit(TransactionTimedOut("INVITE", reason))
                return [timeout, *self._send_bye(())]
            case _:
                # A keepalive or refresh: media and the session timer tell better
                # whether the peer is alive.
                return []

    def timer_fired(self, name: str) -> list[Effect]:
        """One of the session's timers ran out."""
        self._running_timers.discard(name)
        actions = {
            RETRANSMIT_2XX: self._repeat_answer,
            WAIT_FOR_ACK: self._ack_timed_out,
            GLARE: self._retry_offer,
            KEEPALIVE: self._send_keepalive,
            REFRESH: self._refresh,
            EXPIRE: self._expire,
        }
        return actions[name]()

    # --- ending ---

    def _give_up(self, headers: HeaderList) -> list[Effect]:
        """End a session that has no dialog yet."""
        raise SessionStateError("give up", self.state.value)

    def _receive_bye(self, key: TransactionId, request: Request) -> list[Effect]:
        effects: list[Effect] = [self._respond(key, request, 200)]
        if self.state is SessionState.ENDING:
            # Both sides hung up at once; our own BYE ends the session.
            return effects
        effects.append(self._emit(ByeReceived(reasons(request))))
        return effects + self._end(EndCause.REMOTE_BYE)

    def cancel(self, key: TransactionId, cancel: Request) -> list[Effect]:
        """The peer takes back a re-INVITE that has no answer yet (RFC 3261 §9.2)."""
        if self._peer_offer is None or self._peer_offer.transaction != key:
            return []
        return [*self.reject_offer(487, ()), self._emit(OfferWithdrawn())]

    # --- other requests inside the dialog ---

    def _receive_prack(self, key: TransactionId, request: Request) -> list[Effect]:
        """UAS only; see ``reliable``."""
        return [self._respond(key, request, 481, [NOTHING_TO_PRACK])]

    def _receive_info(self, key: TransactionId, request: Request) -> list[Effect]:
        reply = reply_to_info(request)
        event = InfoReceived(request.content_type, request.body, reply.status)
        return [
            self._respond(key, request, reply.status, reply.headers),
            self._emit(event),
        ]

    def _try_again(self, method: str) -> list[Effect]:
        """Repeat a request of ours that was challenged inside the dialog."""
        if method == "INVITE":
            return self._send_offer()
        return [self._in_dialog(method)]


def reasons(message: Request) -> tuple[str, ...]:
    """Return the values of the Reason headers (RFC 3326)."""
    return tuple(message.headers.values("Reason"))

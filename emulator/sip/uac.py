"""The INVITE usage of the calling side: call, cancel, acknowledge (RFC 3261 §13.2)."""

from __future__ import annotations

from typing import Final

from emulator.sip.address import SourceAddress, Target
from emulator.sip.auth import DigestClient
from emulator.sip.dialog import Dialog, DialogId, contact_uri
from emulator.sip.effects import (
    DialogChanged,
    Effect,
    SendMessage,
    StartRequest,
    TransactionId,
)
from emulator.sip.errors import SessionStateError, SipParseError
from emulator.sip.events import (
    Answered,
    EndCause,
    Provisional,
    Rejected,
    TransactionTimedOut,
)
from emulator.sip.headers import Headers
from emulator.sip.invite import (
    HeaderList,
    InviteSession,
    SessionSettings,
    SessionState,
)
from emulator.sip.liveness import interval_of_response
from emulator.sip.message import Request, Response
from emulator.sip.nat import is_loopback, target_of_uri
from emulator.sip.offers import NOT_UP
from emulator.sip.party import ACCEPT, because, sdp_headers
from emulator.sip.reliable import number_of
from emulator.sip.session import OutgoingInvite
from emulator.sip.shape import route_set_of_answer
from emulator.sip.transaction import make_cancel
from emulator.sip.uri import parse_sip_uri

RING: Final = "ring"
SILENCE: Final = "silence"
CANCEL: Final = "cancel"
GLARE_EARLY: Final = because("the offer of our INVITE has no answer yet")
# A forking proxy may bring many early dialogs; more than these are not remembered.
MAX_FORKS: Final = 16


class UacSession(InviteSession):
    """A call that we make.

    Args:
        target: Where the INVITE goes.
        advertised_ip: Our address in Via and Contact.
    """

    def __init__(
        self,
        serial: int,
        settings: SessionSettings,
        outgoing: OutgoingInvite,
        target: Target,
        advertised_ip: str,
    ) -> None:
        call_id = outgoing.shape.call_id(settings.ids)
        super().__init__(serial, settings, call_id, target, advertised_ip)
        self._local_sdp = outgoing.sdp
        self.state = SessionState.CALLING
        self._outgoing = outgoing
        self._target = target
        self._from = outgoing.from_.with_tag(outgoing.shape.tag(settings.ids))
        self._contact = settings.party.contact(
            target.transport, advertised_ip, outgoing.contact_user
        )
        self._own_route = (
            settings.party.route(target.transport, advertised_ip)
            if outgoing.shape.records_route
            else None
        )
        self._cseq = 1
        if outgoing.credentials is not None:
            self._digest = DigestClient(outgoing.credentials, settings.ids)
        self._invite = self._make_invite()
        self._early: dict[str, Dialog] = {}
        self._acks: dict[str, SendMessage] = {}
        self._reliable_numbers: dict[str, int] = {}
        self._early_answers: dict[str, str] = {}
        self._cancel_headers: HeaderList = ()
        self._cancel_sent = False
        self._end_cause = EndCause.LOCAL_CANCEL

    @property
    def dialog_ids(self) -> set[DialogId]:
        """Every early dialog, and the one that was answered."""
        return super().dialog_ids | {early.id for early in self._early.values()}

    @property
    def _owns_call_id(self) -> bool:
        return True

    def start(self) -> list[Effect]:
        """Send the INVITE."""
        effects: list[Effect] = [
            StartRequest(self, self._invite, self._target),
            self._set_timer(RING, self._outgoing.ring_timeout_s),
        ]
        if self._outgoing.response_timeout_s is not None:
            timer = self._set_timer(SILENCE, self._outgoing.response_timeout_s)
            effects.append(timer)
        return effects

    def acknowledge(self, sdp: str) -> list[Effect]:
        """Answer the offer that came with the 2xx."""
        if self.state is not SessionState.ANSWERED:
            raise SessionStateError("acknowledge", self.state.value)
        self._local_sdp = sdp
        effects: list[Effect] = [self._ack_answer(self.dialog, sdp)]
        effects += self._enter_established()
        if self._bye_headers is not None:
            effects += self._send_bye(self._bye_headers)
        return effects

    def receive_request(self, key: TransactionId, request: Request) -> list[Effect]:
        """As the base; in an early dialog there is not much to ask for."""
        if self._dialog is not None:
            return super().receive_request(key, request)
        match request.method:
            case "OPTIONS":
                headers = [("Allow", self._settings.party.allow), ("Accept", ACCEPT)]
                return [self._respond(key, request, 200, headers)]
            case "INVITE" | "UPDATE":
                # Our offer has no answer yet (RFC 3311 §5.2).
                return [self._respond(key, request, 491, [GLARE_EARLY])]
            case _:
                return [self._respond(key, request, 481, [NOT_UP])]

    def receive_response(
        self, key: TransactionId, response: Response, source: SourceAddress
    ) -> list[Effect]:
        """Handle responses to the first INVITE; leave others to the base."""
        if key.method in {"CANCEL", "PRACK"}:
            # Whatever it says, the INVITE's own final response decides.
            return []
        if key.method != "INVITE" or response.cseq.number != self._cseq:
            return super().receive_response(key, response, source)
        if response.is_provisional:
            return self._receive_provisional(response, source)
        if response.is_success:
            return self._receive_success(response, source)
        return self._receive_failure(response)

    def transaction_failed(
        self, key: TransactionId, reason: str, *, timed_out: bool
    ) -> list[Effect]:
        """The INVITE or a later request got no final response.

        A CANCEL that cannot be sent ends its INVITE's transaction, which comes here.
        """
        if key.method in {"CANCEL", "PRACK"} or self.is_ended:
            return []
        if key.method != "INVITE" or self._dialog is not None:
            return super().transaction_failed(key, reason, timed_out=timed_out)
        cause = EndCause.TIMEOUT if timed_out else EndCause.TRANSPORT
        if self.state is SessionState.CANCELLING:
            cause = self._end_cause
        event = self._emit(TransactionTimedOut("INVITE", reason))
        return [event, *self._end(cause, reason)]

    def timer_fired(self, name: str) -> list[Effect]:
        """Ringing took too long, or no response came that would allow a CANCEL."""
        match name:
            case "ring" if self.state is not SessionState.CALLING:
                return self._ring_timed_out()
            case "ring":
                return self._heard_nothing(self._outgoing.ring_timeout_s)
            case "silence":
                return self._heard_nothing(self._outgoing.response_timeout_s or 0.0)
            case "cancel":
                return self._end(self._end_cause, "no response until we gave up")
            case _:
                return super().timer_fired(name)

    def _ring_timed_out(self) -> list[Effect]:
        self._end_cause = EndCause.NO_ANSWER
        reason = f"no answer within {self._outgoing.ring_timeout_s:g} s"
        event = self._emit(TransactionTimedOut("INVITE", reason))
        return [event, *self.hang_up(())]

    def _heard_nothing(self, waited_s: float) -> list[Effect]:
        """Do not wait for the 32 s of timer B; CANCEL is not allowed yet (§9.1).

        The INVITE itself is repeated until timer B, as ``_give_up`` says.
        """
        if self.state is not SessionState.CALLING:
            return []
        reason = f"no response within {waited_s:g} s"
        event = self._emit(TransactionTimedOut("INVITE", reason))
        return [event, *self._end(EndCause.TIMEOUT, reason)]

    def hang_up(self, headers: HeaderList) -> list[Effect]:
        """As the base; an answer that waits for ``acknowledge`` gets ACK and BYE."""
        if self.state is SessionState.ANSWERED:
            ack = self._ack_answer(self.dialog, None)
            return [ack, *self._send_bye(headers)]
        return super().hang_up(headers)

    def _give_up(self, headers: HeaderList) -> list[Effect]:
        """CANCEL, but not before a provisional response (RFC 3261 §9.1).

        A living peer responds within T2; then nobody here waits any longer. The
        INVITE is repeated until timer B all the same: a peer whose responses were lost
        rings, and only by repeating its response does it learn of the CANCEL.
        """
        was_proceeding = self.state is SessionState.PROCEEDING
        self.state = SessionState.CANCELLING
        self._cancel_headers = tuple(headers)
        if was_proceeding:
            return [self._clear_timer(RING), *self._send_cancel()]
        patience_s = self._settings.timers.t2_s
        return [self._clear_timer(RING), self._set_timer(CANCEL, patience_s)]

    def _send_cancel(self) -> list[Effect]:
        """The wait for what comes of it is that of the INVITE's transaction."""
        return [self._clear_timer(CANCEL), self._cancel()]

    def _cancel(self) -> StartRequest:
        self._cancel_sent = True
        cancel = make_cancel(self._invite)
        cancel = Request(
            cancel.method, cancel.uri, cancel.headers.plus(*self._cancel_headers)
        )
        return StartRequest(self, cancel, self._target)

    # --- responses to the first INVITE ---

    def _receive_provisional(
        self, response: Response, source: SourceAddress
    ) -> list[Effect]:
        if self.state is SessionState.CANCELLING and not self._cancel_sent:
            return self._send_cancel()
        if self.is_ended:
            # It was given up for dead; now it rings.
            return [] if self._cancel_sent else [self._cancel()]
        effects: list[Effect] = []
        if self.state is SessionState.CALLING:
            self.state = SessionState.PROCEEDING
            effects.append(self._clear_timer(SILENCE))
        if response.status == 100 or self.state is not SessionState.PROCEEDING:
            return effects
        if self._add_early_dialog(response, source):
            effects.append(DialogChanged(self))
        number = number_of(response)
        if number is not None:
            if not self._is_next(response, number):
                return effects
            effects += self._prack(response, number)
        event = Provisional(
            response.status, response.reason_phrase, response.sdp, response
        )
        return [*effects, self._emit(event)]

    def _is_next(self, response: Response, number: int) -> bool:
        """RFC 3262 §4: a repeated one has its PRACK, one out of order none yet."""
        tag = response.to.tag or ""
        before = self._reliable_numbers.get(tag)
        if before is not None and number != before + 1:
            return False
        if before is None and len(self._reliable_numbers) >= MAX_FORKS:
            return False
        self._reliable_numbers[tag] = number
        return True

    def _prack(self, response: Response, number: int) -> list[Effect]:
        """Acknowledge a reliable provisional response; it may bring the answer."""
        early = self._early.get(response.to.tag or "")
        if early is None:
            return []
        if response.sdp is not None:
            self._early_answers.setdefault(response.to.tag or "", response.sdp)
        rack = ("RAck", f"{number} {self._cseq} INVITE")
        credentials = self._credentials("PRACK", early.request_uri)
        prack = early.request(
            "PRACK", self._settings.party, self._settings.ids.branch(),
            headers=[rack, *credentials],
        )  # fmt: skip
        return [StartRequest(self, prack, early.target())]

    def _add_early_dialog(self, response: Response, source: SourceAddress) -> bool:
        tag = response.to.tag
        if tag is None or tag in self._early or len(self._early) >= MAX_FORKS:
            return False
        try:
            self._early[tag] = self._make_dialog(response, source)
        except SipParseError:
            # Without a Contact there is no early dialog; ringing it is all the same.
            return False
        return True

    def _receive_success(
        self, response: Response, source: SourceAddress
    ) -> list[Effect]:
        tag = response.to.tag or ""
        if tag in self._acks:
            return [self._acks[tag]]
        if self._dialog is not None and tag == (self._dialog.remote.tag or ""):
            # Repeated before the application gave its answer.
            return []
        try:
            dialog = self._make_dialog(response, source)
        except SipParseError as error:
            return self._leave_unusable(response, source, error)
        if self._dialog is not None or self.is_ended:
            return self._refuse_fork(dialog)
        return self._take_answer(dialog, response)

    def _leave_unusable(
        self, response: Response, source: SourceAddress, error: SipParseError
    ) -> list[Effect]:
        """A 2xx without a usable Contact: ACK and BYE go where the INVITE went."""
        try:
            dialog = self._make_dialog(response, source, self._outgoing.target)
            ends = self._refuse_fork(dialog)
        except SipParseError:
            ends = []  # Its route set is no use either: nothing can reach it.
        return [*ends, *self._end(EndCause.UNUSABLE_ANSWER, f"2xx: {error.reason}")]

    def _take_answer(self, dialog: Dialog, response: Response) -> list[Effect]:
        was_cancelling = self.state is SessionState.CANCELLING
        if self._digest is not None:
            self._digest.satisfied()
        self._dialog = dialog
        early = self._early.get(dialog.remote.tag or "")
        if early is not None:
            # Its PRACKs took numbers.
            dialog.local_cseq = max(dialog.local_cseq, early.local_cseq)
        self._learn_abilities(response)
        self._interval = interval_of_response(response)
        self._early.clear()
        effects: list[Effect] = [
            DialogChanged(self),
            self._clear_timer(RING),
            self._clear_timer(SILENCE),
            self._clear_timer(CANCEL),
        ]
        if was_cancelling:
            # The answer crossed our CANCEL: take it, then hang up.
            effects.append(self._ack_answer(dialog, None))
            return effects + self._send_bye(self._cancel_headers)
        sdp = response.sdp or self._early_answers.get(dialog.remote.tag or "")
        event = self._emit(Answered(sdp, response))
        if self._outgoing.sdp is None:
            self.state = SessionState.ANSWERED
            return [*effects, event]
        effects.append(self._ack_answer(dialog, None))
        return [*effects, *self._enter_established(), event]

    def _ack_answer(self, dialog: Dialog, sdp: str | None) -> SendMessage:
        """Make the ACK, and keep it for repeated 2xx."""
        ack = self._ack(dialog, self._cseq, sdp)
        if len(self._acks) < MAX_FORKS:
            self._acks[dialog.remote.tag or ""] = ack
        return ack

    def _refuse_fork(self, dialog: Dialog) -> list[Effect]:
        """An answer that comes second, or too late: ACK, then BYE (§13.2.2.4)."""
        ack = self._ack_answer(dialog, None)
        branch = self._settings.ids.branch()
        bye = dialog.request("BYE", self._settings.party, branch)
        return [ack, StartRequest(None, bye, dialog.target())]

    def _receive_failure(self, response: Response) -> list[Effect]:
        if self.state is SessionState.CANCELLING:
            return self._end(self._end_cause, f"{response.status}")
        if self._dialog is not None or self.is_ended:
            return []
        if self._accepts_challenge(response):
            return self._call_again()
        event = Rejected(response.status, response.reason_phrase, response)
        detail = f"{response.status} {response.reason_phrase}"
        return [self._emit(event), *self._end(EndCause.REMOTE_REJECT, detail)]

    def _call_again(self) -> list[Effect]:
        """Repeat the INVITE with credentials (RFC 3261 §22.2)."""
        self._cseq += 1
        self._invite = self._make_invite()
        self.state = SessionState.CALLING
        self._early.clear()
        self._reliable_numbers.clear()
        return [
            DialogChanged(self),
            StartRequest(self, self._invite, self._target),
        ]

    def _ack_credentials(self) -> HeaderList:
        names = {"Authorization", "Proxy-Authorization"}
        return [item for item in self._invite.headers if item[0] in names]

    def _end(self, cause: EndCause, detail: str = "") -> list[Effect]:
        was_late = self._end_cause is EndCause.NO_ANSWER
        if self.state is SessionState.ENDING and was_late:
            cause = self._end_cause
        return super()._end(cause, detail)

    # --- making messages and dialogs ---

    def _make_invite(self) -> Request:
        outgoing, settings = self._outgoing, self._settings
        content, body = sdp_headers(outgoing.sdp)
        uri = str(parse_sip_uri(outgoing.target).without_headers())
        via = settings.party.via(
            self._target.transport, self.advertised_ip, settings.ids.branch()
        )
        items = [
            *([("Record-Route", self._own_route)] if self._own_route else []),
            ("Via", via),
            ("Max-Forwards", str(outgoing.max_forwards)),
            ("From", str(self._from)),
            ("To", str(outgoing.to)),
            ("Call-ID", self.call_id),
            ("CSeq", f"{self._cseq} INVITE"),
            ("Contact", self._contact),
            ("User-Agent", settings.party.user_agent),
            *outgoing.shape.abilities(settings.party),
            *self._credentials("INVITE", uri),
            *outgoing.headers,
            *content,
        ]
        headers = Headers(outgoing.shape.ordered(items))
        return Request("INVITE", uri, headers, body)

    def _make_dialog(
        self,
        response: Response,
        source: SourceAddress,
        remote_target: str | None = None,
    ) -> Dialog:
        """RFC 3261 §12.1.2; the response's Contact is the remote target if not told."""
        return Dialog(
            call_id=self.call_id,
            local=self._from,
            remote=response.to,
            remote_target=remote_target or contact_uri(response),
            route_set=route_set_of_answer(response, self._own_route),
            local_cseq=self._cseq,
            remote_cseq=None,
            transport=self._target.transport,
            local_ip=self.advertised_ip,
            contact=self._contact,
            observed=self._observed(response, source),
        )

    def _observed(self, response: Response, source: SourceAddress) -> Target | None:
        """Where in-dialog requests go if the Contact of the 2xx is no use from here.

        That is so when it is loopback and the peer is not, and when the call went
        down the way that a registration had opened.
        """
        if source.connection is not None:
            return source.as_target()
        contact = target_of_uri(response.contacts[0].sip_uri, source.transport)
        if self._outgoing.next_hop is not None and contact.host != source.ip:
            return source.as_target()
        if is_loopback(contact.host) and not is_loopback(source.ip):
            return source.as_target()
        return None

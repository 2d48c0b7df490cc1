"""What every part of a session builds on: its dialog, its state, its effects.

The INVITE usage is built in layers, each a module and each knowing the ones above::

    usage.py      dialog, state, requests and responses, credentials, the end
    offers.py     re-INVITE and UPDATE, 2xx until ACK, glare
    liveness.py   session timers, keepalive
    transfer.py   REFER and its NOTIFYs
    invite.py     dispatch: verbs, messages and timers to the layers
    uas.py, uac.py   how each side gets to an answer
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

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
from emulator.sip.events import EndCause, SessionEnded, SessionEvent
from emulator.sip.message import Request, Response
from emulator.sip.party import ACCEPT, SUPPORTED, LocalParty, sdp_headers
from emulator.sip.timers import SipTimers

HeaderList = Sequence[tuple[str, str]]


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
    """What every session of an endpoint shares; see ``SipOptions``."""

    party: LocalParty
    ids: IdSource
    timers: SipTimers
    keepalive_s: float


class DialogUsage(ABC):
    """One side of a session; subclasses set up its dialog.

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
        self._digest: DigestClient | None = None
        self._running_timers: set[str] = set()

    @abstractmethod
    def receive_response(
        self, key: TransactionId, response: Response, source: SourceAddress
    ) -> list[Effect]:
        """Handle a response to a request that this session sent."""

    @abstractmethod
    def transaction_failed(
        self, key: TransactionId, reason: str, *, timed_out: bool
    ) -> list[Effect]:
        """A request of ours got no final response."""

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

    @property
    def is_established(self) -> bool:
        """True between the ACK and the BYE."""
        return self.state is SessionState.ESTABLISHED

    # --- ending ---

    def abandon(self) -> list[Effect]:
        """The endpoint closes before the peer has answered."""
        return self._end(EndCause.TIMEOUT, "the endpoint closed")

    def _send_bye(self, headers: HeaderList) -> list[Effect]:
        self.state = SessionState.ENDING
        bye = self._in_dialog("BYE", headers)
        return [*self._clear_timers(), *self._drop_pending(), bye]

    def _lose_dialog(self) -> list[Effect]:
        """The peer answered 481 inside the dialog (RFC 3261 §12.2.1.2)."""
        if self.state is SessionState.ENDING:
            return []
        return self._end(EndCause.DIALOG_LOST)

    def _end(self, cause: EndCause, detail: str = "") -> list[Effect]:
        if self.is_ended:
            return []
        self.state = SessionState.ENDED
        ended = self._emit(SessionEnded(cause, detail))
        return [*self._clear_timers(), *self._drop_pending(), ended]

    def _drop_pending(self) -> list[Effect]:
        """Answer requests of the peer that wait for the application."""
        return []

    def _enter_established(self) -> list[Effect]:
        self.state = SessionState.ESTABLISHED
        self.dialog.state = DialogState.CONFIRMED
        return []

    # --- credentials ---

    def _accepts_challenge(self, response: Response) -> bool:
        digest = self._digest
        if digest is None:
            return False
        if response.status in {401, 407}:
            return digest.accept(response)
        digest.satisfied()
        return False

    def _credentials(self, method: str, uri: str) -> HeaderList:
        return self._digest.headers(method, uri) if self._digest is not None else ()

    def _ack_credentials(self) -> HeaderList:
        """An ACK repeats the credentials of its INVITE (RFC 3261 §22.1)."""
        return ()

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
        return Emit(self.serial, event)

    def _set_timer(self, name: str, delay_s: float) -> SetTimer:
        self._running_timers.add(name)
        return SetTimer(SessionTimer(self.serial, name), delay_s)

    def _clear_timer(self, name: str) -> ClearTimer:
        self._running_timers.discard(name)
        return ClearTimer(SessionTimer(self.serial, name))

    def _clear_timers(self) -> list[Effect]:
        return [self._clear_timer(name) for name in sorted(self._running_timers)]

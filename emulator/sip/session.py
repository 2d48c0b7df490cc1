"""The handles that the rest of the emulator holds on calls, in either role."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from emulator.sip.address import SourceAddress, Target, Transport
from emulator.sip.auth import Credentials
from emulator.sip.events import SessionEvent
from emulator.sip.message import Request
from emulator.sip.shape import InviteShape
from emulator.sip.uri import NameAddr

if TYPE_CHECKING:
    from emulator.sip.effects import Effect
    from emulator.sip.invite import InviteSession

HeaderList = Sequence[tuple[str, str]]


class Mailbox(Protocol):
    """Where a session's events wait for their reader; the shell supplies it."""

    async def get(self) -> SessionEvent:
        """Return the next event; ``SessionEnded`` again once that is the last."""


@dataclass(frozen=True)
class OutgoingInvite:
    """A call to place.

    Attributes:
        target: Request-URI, such as ``sip:bob@192.0.2.4:5070;transport=tcp``.
        from_, to: Without tags.
        sdp: The offer, or None to let the peer offer (then ``acknowledge``).
        headers: Extra header fields, such as ``X-Exotel-CallSid``.
        ring_timeout_s: CANCEL when there is no final response by then.
        response_timeout_s: Give up when there is no response at all by then.
        transport: Overrides the target's ``transport`` parameter; UDP by default.
        next_hop: Where the request goes instead of to the target's host: an outbound
            proxy, or the connection that a phone registered over.
        dialled: The host by which the callee reached us when it registered
            (``Binding.dialled``); decides which address it is told.
        credentials: For a 401 or 407.
        max_forwards: Hops left (RFC 7332: one less than in the call that led here).
        contact_user: User part of our Contact.
        shape: How the INVITE looks beside all that.
    """

    target: str
    from_: NameAddr
    to: NameAddr
    sdp: str | None
    headers: HeaderList = ()
    ring_timeout_s: float = 60.0
    response_timeout_s: float | None = None
    transport: Transport | None = None
    next_hop: Target | None = None
    dialled: str | None = None
    credentials: Credentials | None = None
    max_forwards: int = 70
    contact_user: str | None = None
    shape: InviteShape = InviteShape()


@dataclass(frozen=True)
class OutgoingRequest:
    """A request outside calls: REGISTER, OPTIONS.

    Attributes:
        target: Request-URI.
        call_id, cseq: Repeat the Call-ID and raise the number by two or more to
            refresh a registration (a challenge takes one number).
        contact_user: User part of our Contact; None sends none.
    """

    method: str
    target: str
    from_: NameAddr
    to: NameAddr
    headers: HeaderList = ()
    body: bytes = b""
    transport: Transport | None = None
    next_hop: Target | None = None
    dialled: str | None = None
    credentials: Credentials | None = None
    contact_user: str | None = None
    call_id: str | None = None
    cseq: int = 1


class CallSession:
    """One INVITE session: verbs in, events out.

    Verbs act at once and never block. In a state that does not allow them they raise
    ``SessionStateError``, except ``hang_up``, which is safe always and any number of
    times. The peer may end the session at any moment, so a caller that races with it
    looks at ``is_ended`` first or catches ``SessionStateError``.
    """

    def __init__(
        self,
        session: InviteSession,
        mailbox: Mailbox,
        perform: Callable[[list[Effect]], None],
    ) -> None:
        self._session = session
        self._mailbox = mailbox
        self._perform = perform

    @property
    def call_id(self) -> str:
        """The Call-ID; ``SipTrace.call_id`` finds the session by it."""
        return self._session.call_id

    @property
    def is_ended(self) -> bool:
        """True once ``SessionEnded`` has been or is about to be delivered."""
        return self._session.is_ended

    @property
    def remote_address(self) -> SourceAddress | Target:
        """Where the peer's signalling comes from (UAS) or goes to (UAC)."""
        return self._session.remote_address

    @property
    def advertised_ip(self) -> str:
        """The address that SDP should tell this peer (``c=`` and ``o=``)."""
        return self._session.advertised_ip

    def ringing(
        self, *, status: int = 180, sdp: str | None = None, headers: HeaderList = ()
    ) -> None:
        """UAS: send a provisional response, 101 to 199; ``sdp`` makes early media."""
        self._perform(self._session.ringing(status, sdp, headers))

    def reject(
        self, status: int, reason_phrase: str | None = None, *, headers: HeaderList = ()
    ) -> None:
        """UAS: refuse the call with 300 to 699."""
        self._perform(self._session.reject(status, reason_phrase, headers))

    def answer(self, sdp: str, *, headers: HeaderList = ()) -> None:
        """UAS: send 200 with our answer (our offer when the INVITE had none).

        It is repeated until ``Acked``; after 64*T1 without one come ``AckTimedOut``,
        a BYE and ``SessionEnded``.
        """
        self._perform(self._session.answer(sdp, headers))

    def acknowledge(self, sdp: str) -> None:
        """UAC: answer the offer of a 2xx whose INVITE had none, in the ACK."""
        self._perform(self._session.acknowledge(sdp))

    def hang_up(self, *, headers: HeaderList = ()) -> None:
        """End the session as its state needs it: CANCEL, a 487 or BYE.

        Before the ACK of our 2xx the BYE waits for it (RFC 3261 §15). Idempotent.

        Args:
            headers: Such as ``("Reason", 'Q.850;cause=16;text="Normal"')``.
        """
        self._perform(self._session.hang_up(headers))

    def answer_offer(self, sdp: str) -> None:
        """Accept the peer's re-INVITE or UPDATE with this answer (or offer)."""
        self._perform(self._session.answer_offer(sdp))

    def reject_offer(self, status: int = 488, *, headers: HeaderList = ()) -> None:
        """Refuse the peer's re-INVITE or UPDATE; the session goes on as before."""
        self._perform(self._session.reject_offer(status, headers))

    def offer(self, sdp: str) -> None:
        """Send a re-INVITE; ``OfferAnswered`` or ``OfferRejected`` follows."""
        self._perform(self._session.offer(sdp))

    def accept_refer(self) -> None:
        """Agree to a transfer: 202, then NOTIFY as ``notify_transfer`` says."""
        self._perform(self._session.accept_refer())

    def reject_refer(self, status: int = 603, *, headers: HeaderList = ()) -> None:
        """Refuse a transfer."""
        self._perform(self._session.reject_refer(status, headers))

    def notify_transfer(self, status: int) -> None:
        """Tell the peer how the new call fares; a final status is the last word."""
        self._perform(self._session.notify_transfer(status))

    async def next_event(self) -> SessionEvent:
        """Return the next event; after the last one, ``SessionEnded`` again."""
        return await self._mailbox.get()


@dataclass(frozen=True)
class IncomingInvite:
    """A call that arrived; answer it through ``session``.

    Attributes:
        request: Its header fields are ``request.headers``.
        source: Where it came from, as observed.
        sdp: The offer; None when the caller wants ours.
    """

    request: Request
    source: SourceAddress
    session: CallSession
    sdp: str | None = field(default=None)

    @property
    def call_id(self) -> str:
        """The Call-ID."""
        return self.request.call_id

    def header(self, name: str) -> str | None:
        """Return the first value of a header field, in any spelling, or None."""
        return self.request.headers.get(name)

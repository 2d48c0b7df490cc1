"""What happens to a session, told to whoever holds its ``CallSession``.

``SessionEnded`` is always the last event and always comes, whatever went before.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from emulator.sip.message import Response


class EndCause(Enum):
    """Why a session is over."""

    LOCAL_BYE = "we sent BYE"
    REMOTE_BYE = "the peer sent BYE"
    LOCAL_CANCEL = "we gave up before an answer"
    REMOTE_CANCEL = "the caller gave up before our answer"
    LOCAL_REJECT = "we refused the call"
    REMOTE_REJECT = "the peer refused the call"
    NO_ACK = "the caller never acknowledged our answer"
    TIMEOUT = "the peer did not respond"
    NO_ANSWER = "nobody answered in time"
    TRANSPORT = "the peer could not be reached"
    DIALOG_LOST = "the peer does not know the dialog any more"
    SESSION_EXPIRED = "nobody refreshed the session timer"
    UNUSABLE_ANSWER = "the peer answered what cannot be used"


@dataclass(frozen=True, slots=True)
class Provisional:
    """UAC: a 101-199 response. ``sdp`` is early media's description, if any."""

    status: int
    reason_phrase: str
    sdp: str | None
    response: Response


@dataclass(frozen=True, slots=True)
class Answered:
    """UAC: the first 2xx; the ACK has been sent, unless the INVITE had no offer.

    Then ``sdp`` is the peer's offer and ``CallSession.acknowledge`` sends our answer.
    """

    sdp: str | None
    response: Response


@dataclass(frozen=True, slots=True)
class Rejected:
    """UAC: a final response of 300 or above. ``SessionEnded`` follows."""

    status: int
    reason_phrase: str
    response: Response


@dataclass(frozen=True, slots=True)
class Acked:
    """UAS: the ACK of our 2xx. ``sdp`` is the answer when the INVITE had no offer."""

    sdp: str | None


@dataclass(frozen=True, slots=True)
class Cancelled:
    """UAS: the caller sent CANCEL in time; 487 went out. ``SessionEnded`` follows.

    ``reason`` holds the values of its Reason headers (RFC 3326).
    """

    reason: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ByeReceived:
    """The peer hung up; the BYE has been answered. ``SessionEnded`` follows."""

    reason: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AckTimedOut:
    """UAS: 64*T1 after our 2xx no ACK had come; a BYE goes out (RFC 3261 §13.3.1.4)."""


@dataclass(frozen=True, slots=True)
class TransactionTimedOut:
    """A request of ours got no final response, or could not be sent."""

    method: str
    reason: str


@dataclass(frozen=True, slots=True)
class OfferReceived:
    """A re-INVITE or UPDATE: reply by ``answer_offer`` or ``reject_offer``.

    ``sdp`` is None for a re-INVITE without an offer: answer with our own offer, and
    ``OfferAnswered`` brings the peer's answer with the ACK.
    """

    method: str
    sdp: str | None


@dataclass(frozen=True, slots=True)
class OfferWithdrawn:
    """The peer cancelled its re-INVITE before we answered; nothing is to be done."""


@dataclass(frozen=True, slots=True)
class ReferReceived:
    """The peer asks for a transfer: ``accept_refer`` or ``reject_refer``.

    ``refer_to`` is a URI of any scheme, perhaps with ``Replaces`` among its headers.
    """

    refer_to: str
    referred_by: str | None


@dataclass(frozen=True, slots=True)
class OfferAnswered:
    """The peer's answer to an offer that we made inside the dialog."""

    sdp: str


@dataclass(frozen=True, slots=True)
class OfferRejected:
    """The peer refused our re-INVITE; the session goes on as before."""

    status: int
    reason_phrase: str


@dataclass(frozen=True, slots=True)
class InfoReceived:
    """An INFO, which has been answered with ``status``; see ``dtmf_info``."""

    content_type: str
    body: bytes
    status: int = 200


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """The session is over; nothing follows."""

    cause: EndCause
    detail: str = ""


SessionEvent: TypeAlias = (
    Provisional
    | Answered
    | Rejected
    | Acked
    | Cancelled
    | ByeReceived
    | AckTimedOut
    | TransactionTimedOut
    | OfferReceived
    | OfferAnswered
    | OfferRejected
    | OfferWithdrawn
    | ReferReceived
    | InfoReceived
    | SessionEnded
)

"""What the user agent asks its shell to do: frozen, in order, complete.

The shell knows nothing of SIP's rules. It sends, keeps timers, and hands events to
sessions' readers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from emulator.sip.address import SourceAddress, Target
from emulator.sip.events import SessionEvent
from emulator.sip.message import Message, Request, Response
from emulator.sip.timers import Timer

if TYPE_CHECKING:
    from emulator.sip.invite import InviteSession


class TransactionId(NamedTuple):
    """What messages of one transaction have in common (RFC 3261 §17.1.3, §17.2.3).

    Attributes:
        sent_by: Empty for client transactions.
        method: INVITE for the ACK of a failure as well.
    """

    is_client: bool
    branch: str
    sent_by: str
    method: str


class TransactionTimer(NamedTuple):
    """Names a transaction's timer."""

    transaction: TransactionId
    timer: Timer


class SessionTimer(NamedTuple):
    """Names a session's timer; ``serial`` is the session's own number."""

    serial: int
    name: str


TimerKey: TypeAlias = TransactionTimer | SessionTimer


class SendMessage(NamedTuple):
    """Send; report a failure by ``UserAgent.transport_failed(transaction)``."""

    message: Message
    target: Target
    transaction: TransactionId | None
    is_retransmission: bool = False


class SetTimer(NamedTuple):
    """Call ``UserAgent.timer_fired(key)`` after ``delay_s``; replaces a running one."""

    key: TimerKey
    delay_s: float


class ClearTimer(NamedTuple):
    """Forget a timer; it may not be running."""

    key: TimerKey


class Announce(NamedTuple):
    """A new call came in: make its session known to the application."""

    session: InviteSession
    request: Request
    source: SourceAddress


class Emit(NamedTuple):
    """Put an event into a session's mailbox."""

    serial: int
    event: SessionEvent


@dataclass(frozen=True, slots=True)
class Completed:
    """A request outside dialogs has its final response, or none and a reason."""

    serial: int
    response: Response | None
    reason: str


class TransactionUser(Protocol):
    """Who is told what becomes of a client transaction."""

    @property
    def serial(self) -> int:
        """Unique in its user agent."""

    @property
    def is_ended(self) -> bool:
        """True when it can be forgotten."""

    def receive_response(
        self, key: TransactionId, response: Response, source: SourceAddress
    ) -> list[Effect]:
        """A response arrived."""

    def transaction_failed(
        self, key: TransactionId, reason: str, *, timed_out: bool
    ) -> list[Effect]:
        """No final response will arrive."""


# --- between a session and the user agent; they never reach the shell ---


class Respond(NamedTuple):
    """Answer a request on its server transaction."""

    transaction: TransactionId
    response: Response


@dataclass(frozen=True, slots=True)
class StartRequest:
    """Send a request in a client transaction.

    Without a user nobody waits for the outcome.
    """

    user: TransactionUser | None
    request: Request
    target: Target


class DialogChanged(NamedTuple):
    """The session's dialogs changed: requests find it by them from now on."""

    session: InviteSession


Effect: TypeAlias = (
    SendMessage
    | SetTimer
    | ClearTimer
    | Announce
    | Emit
    | Completed
    | Respond
    | StartRequest
    | DialogChanged
)

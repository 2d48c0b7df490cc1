"""How calls end: who, why, the status that follows, and what the caller is told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from emulator.calls.status import CallStatus


class EndCause(Enum):
    """Why a call, or one of its legs, is over.

    Attributes:
        word: The name that API and timeline show.
        by: ``caller``, ``callee`` or ``platform``.
        q850: The Q.850 cause of the Reason header (RFC 3326) that the caller gets.
        answered_status: The final status of a call that had been answered; of one
            that was dialled and not answered, too.
    """

    CALLER_BYE = ("caller-bye", "caller", 16, CallStatus.COMPLETED)
    CALLER_CANCEL = ("caller-cancel", "caller", 16, CallStatus.CANCELED)
    CALLEE_BYE = ("callee-bye", "callee", 16, CallStatus.COMPLETED)
    CALLEE_BUSY = ("callee-busy", "callee", 17, CallStatus.BUSY)
    NO_ANSWER = ("no-answer", "callee", 19, CallStatus.NO_ANSWER)
    DIAL_FAILED = ("dial-failed", "platform", 41, CallStatus.FAILED)
    ANSWERED_ELSEWHERE = ("answered-elsewhere", "platform", 26, CallStatus.COMPLETED)
    TALK_LIMIT = ("talk-limit", "platform", 16, CallStatus.COMPLETED)
    TRANSFERRED = ("transferred", "platform", 16, CallStatus.COMPLETED)
    FLOW_ENDED = ("flow-ended", "platform", 16, CallStatus.COMPLETED)
    NO_GREETING = ("no-greeting", "platform", 16, CallStatus.COMPLETED)
    REJECTED = ("rejected", "platform", 21, CallStatus.FAILED)
    NO_ACK = ("no-ack", "platform", 102, CallStatus.FAILED)
    NO_MEDIA = ("no-media", "platform", 65, CallStatus.FAILED)
    RTP_TIMEOUT = ("rtp-timeout", "platform", 102, CallStatus.COMPLETED)
    SIGNALLING_LOST = ("signalling-lost", "platform", 38, CallStatus.COMPLETED)
    WORKER_LOST = ("worker-lost", "platform", 41, CallStatus.FAILED)
    SHUTDOWN = ("shutdown", "platform", 31, CallStatus.COMPLETED)
    EMULATOR_ERROR = ("emulator-error", "platform", 41, CallStatus.FAILED)

    def __init__(
        self, word: str, by: str, q850: int, answered_status: CallStatus
    ) -> None:
        self.word = word
        self.by = by
        self.q850 = q850
        self.answered_status = answered_status

    def status(self, was_answered: bool) -> CallStatus:
        """Return the final status of the call."""
        if was_answered or self in _UNANSWERED:
            return self.answered_status
        is_given_up = self.by == "caller" or self is EndCause.ANSWERED_ELSEWHERE
        return CallStatus.CANCELED if is_given_up else CallStatus.FAILED


_UNANSWERED = frozenset(
    {EndCause.CALLER_CANCEL, EndCause.CALLEE_BUSY, EndCause.NO_ANSWER}
)


@dataclass(frozen=True)
class Ending:
    """The end of one call.

    ``text`` is one line for people: what happened, and which setting has to do with it.
    """

    kind: EndCause
    text: str

    @property
    def by(self) -> str:
        """``caller``, ``callee`` or ``platform``."""
        return self.kind.by

    @property
    def cause(self) -> str:
        """The short name of the cause."""
        return self.kind.word

    def reason_header(self) -> tuple[str, str]:
        """Return the Reason header field for our BYE or final response."""
        quoted = self.text.replace("\\", "\\\\").replace('"', '\\"')
        return ("Reason", f'Q.850;cause={self.kind.q850};text="{quoted}"')

"""Call status: the platform's words, and which may follow which.

A table, so that it can be held against the platform's list of statuses: ``queued``,
``ringing``, ``in-progress``, then one of the ends.
"""

from __future__ import annotations

from enum import StrEnum

from emulator.errors import LocalProtocolError


class CallStatus(StrEnum):
    """The platform's call statuses."""

    QUEUED = "queued"
    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    BUSY = "busy"
    FAILED = "failed"
    NO_ANSWER = "no-answer"
    CANCELED = "canceled"

    @property
    def is_final(self) -> bool:
        """True once the call is over."""
        return not NEXT[self]


_ENDS_UNANSWERED = frozenset(
    {CallStatus.BUSY, CallStatus.FAILED, CallStatus.NO_ANSWER, CallStatus.CANCELED}
)
_NOTHING: frozenset[CallStatus] = frozenset()

NEXT: dict[CallStatus, frozenset[CallStatus]] = {
    CallStatus.QUEUED: _ENDS_UNANSWERED | {CallStatus.RINGING, CallStatus.IN_PROGRESS},
    CallStatus.RINGING: _ENDS_UNANSWERED | {CallStatus.IN_PROGRESS},
    CallStatus.IN_PROGRESS: frozenset({CallStatus.COMPLETED, CallStatus.FAILED}),
    CallStatus.COMPLETED: _NOTHING,
    CallStatus.BUSY: _NOTHING,
    CallStatus.FAILED: _NOTHING,
    CallStatus.NO_ANSWER: _NOTHING,
    CallStatus.CANCELED: _NOTHING,
}


def advance(current: CallStatus, new: CallStatus) -> CallStatus:
    """Return ``new`` if it may follow ``current``.

    Raises:
        LocalProtocolError: It may not; a bug of ours.
    """
    if new not in NEXT[current]:
        raise LocalProtocolError(f"call status {new.value} after {current.value}")
    return new

"""What a failed attempt means: the platform's words and Q.850's numbers.

The names are those of the platform's webhooks (streaming spec §4.4); which cause a SIP
status stands for follows RFC 3398 §8.2.6.1, but for 603: a phone that rejects is
reported as busy.
"""

from __future__ import annotations

from enum import Enum


class DialResult(Enum):
    """What came of dialling, in the platform's words."""

    ANSWERED = "completed"
    BUSY = "busy"
    NO_ANSWER = "no-answer"
    FAILED = "failed"


class Cause(Enum):
    """Why a dialled leg is over: its Q.850 number, named by ``name``.

    Q.850 has no number for a caller who gives up; SIP's stands for it.
    """

    UNALLOCATED_NUMBER = 1
    NORMAL_CLEARING = 16
    USER_BUSY = 17
    NO_USER_RESPONSE = 18
    NO_ANSWER = 19
    CALL_REJECTED = 21
    NUMBER_CHANGED = 22
    NON_SELECTED_USER_CLEARING = 26
    INVALID_NUMBER_FORMAT = 28
    NETWORK_OUT_OF_ORDER = 38
    NORMAL_TEMPORARY_FAILURE = 41
    BEARERCAPABILITY_NOTAVAIL = 58
    INCOMPATIBLE_DESTINATION = 88
    RECOVERY_ON_TIMER_EXPIRE = 102
    INTERWORKING = 127
    ORIGINATOR_CANCEL = 487


_RESULTS = {
    408: DialResult.NO_ANSWER,
    480: DialResult.NO_ANSWER,
    486: DialResult.BUSY,
    487: DialResult.NO_ANSWER,
    600: DialResult.BUSY,
    603: DialResult.BUSY,
    604: DialResult.FAILED,
    606: DialResult.FAILED,
}
_CAUSES = {
    401: Cause.CALL_REJECTED,
    403: Cause.CALL_REJECTED,
    404: Cause.UNALLOCATED_NUMBER,
    407: Cause.CALL_REJECTED,
    408: Cause.RECOVERY_ON_TIMER_EXPIRE,
    410: Cause.NUMBER_CHANGED,
    480: Cause.NO_USER_RESPONSE,
    484: Cause.INVALID_NUMBER_FORMAT,
    486: Cause.USER_BUSY,
    487: Cause.NO_ANSWER,
    488: Cause.INCOMPATIBLE_DESTINATION,
    502: Cause.NETWORK_OUT_OF_ORDER,
    504: Cause.RECOVERY_ON_TIMER_EXPIRE,
    600: Cause.USER_BUSY,
    603: Cause.USER_BUSY,
    604: Cause.UNALLOCATED_NUMBER,
    606: Cause.BEARERCAPABILITY_NOTAVAIL,
}


def result_of_status(status: int) -> DialResult:
    """Return what a final response of 300 or above means to the platform.

    An unknown status counts as the first of its class (RFC 3261 §8.1.3.2).
    """
    unknown = DialResult.BUSY if 600 <= status < 700 else DialResult.FAILED
    return _RESULTS.get(status, unknown)


def cause_of_status(status: int) -> Cause:
    """Return the cause that a final response of 300 or above stands for."""
    if status >= 600:
        return _CAUSES.get(status, Cause.USER_BUSY)
    if status >= 500:
        return _CAUSES.get(status, Cause.NORMAL_TEMPORARY_FAILURE)
    return _CAUSES.get(status, Cause.INTERWORKING)


def may_try_next(status: int) -> bool:
    """Tell whether another destination is tried: the server failed, not the callee."""
    return 500 <= status < 600

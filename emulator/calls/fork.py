"""One INVITE of ours, followed until it is answered or has failed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from emulator.calls.causes import (
    Cause,
    DialResult,
    cause_of_status,
    may_try_next,
    result_of_status,
)
from emulator.calls.dialing import Attempt
from emulator.calls.media import CallMedia
from emulator.sip.auth import MAX_CHALLENGES, calls_nonce_stale
from emulator.sip.events import (
    Answered,
    Provisional,
    Rejected,
    SessionEnded,
    SessionEvent,
    TransactionTimedOut,
)
from emulator.sip.events import EndCause as SessionCause
from emulator.sip.session import CallSession
from emulator.text import printable


@dataclass(frozen=True)
class Failure:
    """Why an attempt came to nothing.

    Attributes:
        status: The callee's final response; None when there was none.
    """

    result: DialResult
    cause: Cause
    text: str
    status: int | None = None
    try_next: bool = False

    @property
    def is_for_all(self) -> bool:
        """The callee wants nowhere to be called (RFC 3261 §21.6)."""
        return self.status is not None and self.status >= 600


Outcome: TypeAlias = Answered | Failure


class Fork:
    """An INVITE that is on its way.

    Args:
        media: The offer that went out with it.
        on_progress: Told the status and SDP of each provisional response.
    """

    def __init__(
        self,
        attempt: Attempt,
        session: CallSession,
        media: CallMedia,
        ring_timeout_s: float,
        on_progress: Callable[[Fork, int, str | None], None],
    ) -> None:
        self.attempt = attempt
        self.session = session
        self.media = media
        self._ring_timeout_s = ring_timeout_s
        self._on_progress = on_progress

    async def outcome(self) -> Outcome:
        """Wait until somebody answers or it has failed."""
        while True:
            event = await self.session.next_event()
            if isinstance(event, Answered):
                return event
            failure = self._failure_of(event)
            if failure is not None:
                return failure

    def _failure_of(self, event: SessionEvent) -> Failure | None:
        match event:
            case Provisional(status=status, sdp=sdp):
                self._on_progress(self, status, sdp)
            case Rejected():
                return self._refused(event)
            case SessionEnded(cause=cause, detail=detail):
                return self._ended(cause, detail)
            case TransactionTimedOut() if not self.session.is_ended:
                # It rang too long. What comes of the CANCEL, a late answer as well,
                # is the session's own business: nobody waits for it.
                return self._unanswered()
            case _:
                pass  # Nothing else can happen before an answer.
        return None

    def _refused(self, event: Rejected) -> Failure:
        status = event.status
        hint = self._hint(event)
        return Failure(
            result_of_status(status),
            cause_of_status(status),
            printable(f"refused with {status} {event.reason_phrase}{hint}"),
            status,
            may_try_next(status) or self._never_content(event),
        )

    def _never_content(self, event: Rejected) -> bool:
        """Its digest check is broken: it asks for a newer nonce again and again."""
        is_answered = self.attempt.credentials is not None
        return is_answered and calls_nonce_stale(event.response)

    def _hint(self, event: Rejected) -> str:
        """Name the setting when a refusal is about us, not about the callee."""
        status = event.status
        if self._never_content(event):
            return f": it called {MAX_CHALLENGES} nonces of its own stale in a row"
        if status in {401, 407}:
            had = "takes no" if self.attempt.credentials else "wants"
            return f": it {had} credentials of ours (trunks[].destination_credentials)"
        if status < 400:
            return ": a redirection is not followed (trunks[].destinations)"
        return ""

    def _ended(self, cause: SessionCause, detail: str) -> Failure:
        """Return what an end without a final response of the callee means."""
        if cause in {SessionCause.NO_ANSWER, SessionCause.LOCAL_CANCEL}:
            return self._unanswered()
        text = printable(f"{cause.value}: {detail}" if detail else cause.value)
        unreachable = cause in {SessionCause.TIMEOUT, SessionCause.TRANSPORT}
        return Failure(
            DialResult.FAILED,
            Cause.NORMAL_TEMPORARY_FAILURE,
            text,
            try_next=unreachable,
        )

    def _unanswered(self) -> Failure:
        text = f"nobody answered within {self._ring_timeout_s:g} s"
        return Failure(DialResult.NO_ANSWER, Cause.NO_ANSWER, text)

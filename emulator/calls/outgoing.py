"""A party that we call: one attempt after another until somebody answers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum

from emulator.calls.dialing import Attempt, Phone, Route
from emulator.calls.ending import EndCause
from emulator.calls.leg import Leg
from emulator.calls.media import CallMedia
from emulator.calls.party import Party, PartyListener
from emulator.calls.text import printable
from emulator.config import MediaSettings
from emulator.sip.address import Target
from emulator.sip.events import (
    Answered,
    Provisional,
    Rejected,
    SessionEnded,
    SessionEvent,
)
from emulator.sip.events import EndCause as SessionCause
from emulator.sip.session import CallSession


class DialResult(Enum):
    """What came of dialling, in the platform's words."""

    ANSWERED = "completed"
    BUSY = "busy"
    NO_ANSWER = "no-answer"
    FAILED = "failed"


# RFC 3261 §21 in the platform's words; the rest is ``failed``.
_BY_STATUS = {
    408: DialResult.NO_ANSWER,
    480: DialResult.NO_ANSWER,
    486: DialResult.BUSY,
    487: DialResult.NO_ANSWER,
    600: DialResult.BUSY,
    603: DialResult.BUSY,
    604: DialResult.FAILED,
    606: DialResult.FAILED,
}
_END_CAUSES = {
    DialResult.BUSY: EndCause.CALLEE_BUSY,
    DialResult.NO_ANSWER: EndCause.NO_ANSWER,
    DialResult.FAILED: EndCause.DIAL_FAILED,
}


def result_of_status(status: int) -> DialResult:
    """Return what a final response of 300 or above means to the platform.

    An unknown status counts as the first of its class (RFC 3261 §8.1.3.2).
    """
    unknown = DialResult.BUSY if 600 <= status < 700 else DialResult.FAILED
    return _BY_STATUS.get(status, unknown)


def may_try_next(status: int) -> bool:
    """Tell whether another destination is tried: the server failed, not the callee."""
    return 500 <= status < 600


@dataclass(frozen=True)
class _Failure:
    result: DialResult
    text: str
    try_next: bool


class OutgoingParty(Party):
    """The callee."""

    bye_cause = EndCause.CALLEE_BYE

    def __init__(
        self,
        route: Route,
        phone: Phone,
        leg: Leg,
        settings: MediaSettings,
        ring_timeout_s: float,
        listener: PartyListener,
    ) -> None:
        super().__init__(leg, listener)
        self._route = route
        self._phone = phone
        self._settings = settings
        self._ring_timeout_s = ring_timeout_s
        self._session: CallSession | None = None
        self._media: CallMedia | None = None
        self._is_up = asyncio.Event()

    @property
    def session(self) -> CallSession | None:
        """The session of the attempt that is ringing or has answered."""
        return self._session

    @property
    def media(self) -> CallMedia:
        """The offers and answers of that attempt."""
        assert self._media is not None
        return self._media

    async def follow(self) -> None:
        """Act on the callee's signalling once it has answered."""
        await self._is_up.wait()
        await super().follow()

    async def establish(self) -> bool:
        """Dial; end the call with the last failure when nobody answers."""
        failure: _Failure | None = None
        for attempt in self._route.attempts:
            failure = await self._try(attempt)
            if failure is None:
                self._is_up.set()
                return True
            self._listener.record("note", text=f"{attempt.description}: {failure.text}")
            if not failure.try_next:
                break
        assert failure is not None, "a route has at least one attempt"
        self._listener.end(_END_CAUSES[failure.result], failure.text)
        return False

    async def _try(self, attempt: Attempt) -> _Failure | None:
        """Place one call; None when it is answered."""
        if self._media is None:
            own_ip = self._phone.advertised_ip_towards(attempt.host)
            self._media = CallMedia(
                self.leg,
                self._settings,
                own_ip=own_ip,
                source_ip=attempt.host,
                offers_srtp=attempt.srtp,
            )
            self._offer = await self._media.open(None)
        self._session = self._phone.place_call(
            attempt.invite(self._offer, self._ring_timeout_s)
        )
        self._listener.placed(self._session)
        while True:
            event = await self._session.next_event()
            if isinstance(event, Answered):
                self._answered(event)
                return None
            failure = self._failure_of(event)
            if failure is not None:
                return failure

    def _answered(self, event: Answered) -> None:
        assert self._session is not None
        address = self._session.remote_address
        self.media.source_ip = (
            address.host if isinstance(address, Target) else address.ip
        )
        self._accept_answer(event.sdp or "")

    def _failure_of(self, event: SessionEvent) -> _Failure | None:
        match event:
            case Provisional(status=status, sdp=sdp):
                self._progress(status, sdp)
            case Rejected(status=status, reason_phrase=phrase):
                text = printable(f"refused with {status} {phrase}")
                return _Failure(result_of_status(status), text, may_try_next(status))
            case SessionEnded(cause=cause, detail=detail):
                return self._ended(cause, detail)
            case _:
                pass  # Nothing else can happen before an answer.
        return None

    def _progress(self, status: int, sdp: str | None) -> None:
        """A phone rings; early media is its sound."""
        if status >= 180:
            self._listener.party_rings({"status": status})
        if sdp is not None:
            self._accept_answer(sdp)

    def _ended(self, cause: SessionCause, detail: str) -> _Failure:
        """Return what an end without a final response of the callee means."""
        if cause in {SessionCause.NO_ANSWER, SessionCause.LOCAL_CANCEL}:
            return _Failure(
                DialResult.NO_ANSWER,
                f"nobody answered within {self._ring_timeout_s:g} s",
                try_next=False,
            )
        text = printable(f"{cause.value}: {detail}" if detail else cause.value)
        unreachable = cause in {SessionCause.TIMEOUT, SessionCause.TRANSPORT}
        return _Failure(DialResult.FAILED, text, try_next=unreachable)

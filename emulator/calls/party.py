"""The far end of a call by SIP: its signalling and its media together.

A party is *established* once, by ringing and answering (``IncomingParty``) or by being
dialled (``OutgoingParty``); it is *followed* until its session ends.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Protocol

from emulator.calls.ending import EndCause, Ending
from emulator.calls.leg import Leg, LegListener
from emulator.calls.media import CallMedia
from emulator.calls.text import printable
from emulator.errors import NegotiationError
from emulator.events import JsonValue
from emulator.sdp.errors import SdpParseError
from emulator.sip.dtmf_info import parse_info_digit
from emulator.sip.events import (
    Acked,
    AckTimedOut,
    ByeReceived,
    Cancelled,
    InfoReceived,
    OfferAnswered,
    OfferReceived,
    ReferReceived,
    SessionEnded,
    SessionEvent,
)
from emulator.sip.session import CallSession

CALL_SID_HEADER = "X-Exotel-CallSid"


class PartyListener(LegListener, Protocol):
    """The call that a party belongs to."""

    def end(self, kind: EndCause, text: str) -> None:
        """The call is to end; only the first ending counts."""

    def party_rings(self, data: Mapping[str, JsonValue]) -> None:
        """The party's phone, or the caller's ear, rings."""

    def placed(self, session: CallSession) -> None:
        """A call of ours goes out: its SIP messages belong to this timeline."""


class Party(ABC):
    """One party; subclasses say how it is established."""

    bye_cause: ClassVar[EndCause]

    def __init__(self, leg: Leg, listener: PartyListener) -> None:
        self.leg = leg
        self._listener = listener

    @property
    @abstractmethod
    def session(self) -> CallSession | None:
        """The SIP session; None before there is one."""

    @property
    @abstractmethod
    def media(self) -> CallMedia:
        """The offers and answers of the leg."""

    @abstractmethod
    async def establish(self) -> bool:
        """Come to talk; False when the call has been ended instead."""

    async def follow(self) -> None:
        """Act on the peer's signalling until the session is over."""
        session = self.session
        assert session is not None
        while True:
            event = await session.next_event()
            self._take(event, session)
            if isinstance(event, SessionEnded):
                return

    def hang_up(self, ending: Ending) -> None:
        """End the session as its state needs it."""
        if self.session is not None:
            self.session.hang_up(headers=[ending.reason_header()])

    def _take(self, event: SessionEvent, session: CallSession) -> None:
        match event:
            case Acked(sdp=sdp):
                self._acked(sdp)
            case OfferAnswered(sdp=sdp):
                self._accept_answer(sdp)
            case Cancelled():
                self._listener.end(EndCause.CALLER_CANCEL, "the caller gave up: CANCEL")
            case ByeReceived(reason=reason):
                self._gone(reason)
            case AckTimedOut():
                self._listener.end(
                    EndCause.NO_ACK, "the caller never acknowledged our 200"
                )
            case OfferReceived():
                self._answer_offer(event, session)
            case ReferReceived():
                self._refuse_transfer(event, session)
            case InfoReceived():
                self._take_info(event)
            case SessionEnded(cause=cause, detail=detail):
                text = f"{cause.value}: {detail}" if detail else cause.value
                self._listener.end(EndCause.SIGNALLING_LOST, printable(text))
            case _:
                pass  # What is left needs no answer: we asked for it, or it is news.

    def _acked(self, sdp: str | None) -> None:
        """The peer acknowledged our 200; with an SDP, it answers our offer."""
        if sdp is not None:
            self._accept_answer(sdp)

    def _gone(self, reason: tuple[str, ...]) -> None:
        said = f": {'; '.join(reason)}" if reason else ""
        who = self.bye_cause.by
        self._listener.end(self.bye_cause, printable(f"the {who} hung up: BYE{said}"))

    def _accept_answer(self, sdp: str) -> None:
        try:
            self.media.accept_answer(sdp)
        except (NegotiationError, SdpParseError) as error:
            self._listener.end(EndCause.NO_MEDIA, f"the peer's answer: {error}")

    def _answer_offer(self, event: OfferReceived, session: CallSession) -> None:
        """Answer a re-INVITE; one that cannot be met leaves the call as it was."""
        try:
            session.answer_offer(self.media.answer_again(event.sdp))
        except (NegotiationError, SdpParseError) as error:
            self._listener.record(
                "note", text=f"{event.method} refused with 488: {error}"
            )
            session.reject_offer(488)

    def _refuse_transfer(self, event: ReferReceived, session: CallSession) -> None:
        """REFER is refused: whether the platform honours it is undocumented."""
        self._listener.record(
            "note",
            text=printable(
                f"REFER to {event.refer_to} refused with 603: transfer by the flow, "
                "with Connect"
            ),
        )
        session.reject_refer(603)

    def _take_info(self, event: InfoReceived) -> None:
        digit = parse_info_digit(event.content_type, event.body)
        if digit is not None:
            self.leg.inject_digit(digit.digit, digit.duration_ms)
            return
        kind = printable(event.content_type) or "no body"
        text = f"INFO with {kind} is no digit: answered with {event.status}"
        self._listener.record("note", text=text)

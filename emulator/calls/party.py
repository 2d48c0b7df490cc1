"""The far end of a leg by SIP: its signalling and its media together.

A party is *established* once, by ringing and answering (``IncomingParty``) or by being
dialled (``OutgoingParty``); it is *followed* until its session ends. While somebody
else is rung to take its leg over, its own end is kept back.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Protocol

from emulator.calls.dialing import Attempt
from emulator.calls.ending import EndCause, Ending
from emulator.calls.leg import Leg, LegListener
from emulator.calls.media import CallMedia
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
from emulator.sip.party import because
from emulator.sip.session import CallSession
from emulator.text import printable

CALL_SID_HEADER = "X-Exotel-CallSid"


class PartyListener(LegListener, Protocol):
    """The leg's place in its call."""

    def end(self, kind: EndCause, text: str) -> None:
        """The leg is to end; only the first ending counts."""

    def party_rings(self, data: Mapping[str, JsonValue]) -> None:
        """The party's phone, or the caller's ear, rings."""

    def early_media(self) -> None:
        """The party's phone sends its own ringing."""

    def hold_changed(self, *, is_held: bool) -> None:
        """The party put us on hold, or took us back."""

    def placed(self, session: CallSession, attempt: Attempt) -> None:
        """A call of ours goes out: its SIP messages belong to this timeline."""

    def asked_to_transfer(self, event: ReferReceived, party: Party) -> None:
        """The party wants somebody else in its place."""


class Party(ABC):
    """One party; subclasses say how it is established.

    Attributes:
        bye_cause: What it means when the party hangs up.
        tasks: What still goes on at its end; whoever lets it go waits for them.
        kept_end: The party's own end, as long as it is kept back.
    """

    def __init__(self, leg: Leg, listener: PartyListener, bye_cause: EndCause) -> None:
        self.leg = leg
        self.bye_cause = bye_cause
        self.tasks: set[asyncio.Task[object]] = set()
        self._listener = listener
        self._is_held = False
        self._keeps_end = False
        self._has_left = False
        self.kept_end: Ending | None = None

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

    def keep_end(self) -> None:
        """Keep the party's end back: another party may take its place."""
        self._keeps_end = True

    def tell_end(self) -> None:
        """Nobody took its place: what was kept back counts."""
        self._keeps_end = False
        if self.kept_end is not None:
            self._listener.end(self.kept_end.kind, self.kept_end.text)

    def leave(self) -> None:
        """Somebody else has the leg: what this party still does is no news."""
        self._keeps_end = self._has_left = True

    def _end(self, kind: EndCause, text: str) -> None:
        if not self._keeps_end:
            self._listener.end(kind, text)
        elif self.kept_end is None:
            self.kept_end = Ending(kind, text)

    def _take(self, event: SessionEvent, session: CallSession) -> None:
        match event:
            case Acked(sdp=sdp):
                self._acked(sdp)
            case OfferAnswered(sdp=sdp):
                self._accept_answer(sdp)
            case Cancelled():
                self._end(EndCause.CALLER_CANCEL, "the caller gave up: CANCEL")
            case ByeReceived(reason=reason):
                self._gone(reason)
            case AckTimedOut():
                self._end(EndCause.NO_ACK, "the caller never acknowledged our 200")
            case OfferReceived():
                self._answer_offer(event, session)
            case ReferReceived():
                self._listener.asked_to_transfer(event, self)
            case InfoReceived():
                self._take_info(event)
            case SessionEnded(cause=cause, detail=detail):
                text = f"{cause.value}: {detail}" if detail else cause.value
                self._end(EndCause.SIGNALLING_LOST, printable(text))
            case _:
                pass  # What is left needs no answer: we asked for it, or it is news.

    def _acked(self, sdp: str | None) -> None:
        """The peer acknowledged our 200; with an SDP, it answers our offer."""
        if sdp is not None:
            self._accept_answer(sdp)

    def _gone(self, reason: tuple[str, ...]) -> None:
        said = f": {'; '.join(reason)}" if reason else ""
        who = self.bye_cause.by
        self._end(self.bye_cause, printable(f"the {who} hung up: BYE{said}"))

    def _accept_answer(self, sdp: str) -> None:
        try:
            self.media.accept_answer(sdp)
        except (NegotiationError, SdpParseError) as error:
            self._end(EndCause.NO_MEDIA, f"the peer's answer: {error}")

    def _answer_offer(self, event: OfferReceived, session: CallSession) -> None:
        """Answer a re-INVITE; one that cannot be met leaves the call as it was."""
        if self._has_left:
            session.reject_offer(488, headers=[because("this party has left the call")])
            return
        try:
            session.answer_offer(self.media.answer_again(event.sdp))
            self._note_hold()
        except (NegotiationError, SdpParseError) as error:
            self._listener.record(
                "note", text=f"{event.method} refused with 488: {error}"
            )
            session.reject_offer(488, headers=[because(str(error))])

    def _note_hold(self) -> None:
        if self.media.is_on_hold is not self._is_held:
            self._is_held = self.media.is_on_hold
            self._listener.hold_changed(is_held=self._is_held)

    def _take_info(self, event: InfoReceived) -> None:
        if self._has_left:
            return
        digit = parse_info_digit(event.content_type, event.body)
        if digit is not None:
            self.leg.inject_digit(digit.digit, digit.duration_ms)
            return
        kind = printable(event.content_type) or "no body"
        text = f"INFO with {kind} is no digit: answered with {event.status}"
        self._listener.record("note", text=text)

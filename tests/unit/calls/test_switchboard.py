from __future__ import annotations

from emulator.calls.switchboard import Switchboard
from emulator.config import SubscriberSettings
from emulator.events import Event
from emulator.sip.address import SourceAddress
from emulator.sip.message import Request, Response, parse_message
from emulator.sip.trace import Direction, SipTrace

REMOTE = SourceAddress("udp", "127.0.0.1", 5070)
PERSON = SubscriberSettings(number="09910000001")


class FakeCall:
    sid = "call"

    def __init__(self) -> None:
        self.events: list[Event] = []

    def record_event(self, event: Event) -> None:
        self.events.append(event)


def message(first: str, from_tag: str, cseq: str) -> Request | Response:
    text = (
        f"{first}\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1\r\n"
        f"From: <sip:a@b>;tag={from_tag}\r\nTo: <sip:c@d>;tag=other\r\n"
        f"Call-ID: id\r\nCSeq: {cseq}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
    return parse_message(text.encode())


def trace(direction: Direction, sip: Request | Response) -> SipTrace:
    wire = sip.to_bytes()
    return SipTrace(direction, sip.summary, wire, REMOTE, 1.0, "id", False)


def test_of_a_call_to_ourselves_the_callers_side_is_kept() -> None:
    board, call = Switchboard(), FakeCall()
    sent, received = Direction.SENT, Direction.RECEIVED
    invite = message("INVITE sip:c@d SIP/2.0", "ours", "1 INVITE")
    board.on_trace(trace(sent, invite))
    board.adopt("id", call, "leg", PERSON)
    ringing = message("SIP/2.0 180 Ringing", "ours", "1 INVITE")
    bye = message("BYE sip:a@b SIP/2.0", "theirs", "1 BYE")
    gone = message("SIP/2.0 200 OK", "theirs", "1 BYE")
    for direction, sip in [
        (received, invite), (sent, ringing), (received, ringing),
        (sent, bye), (received, bye), (sent, gone), (received, gone),
    ]:  # fmt: skip
        board.on_trace(trace(direction, sip))
    assert [(event.kind, event.data["summary"]) for event in call.events] == [
        ("sip.sent", "INVITE sip:c@d"),
        ("sip.received", "180 Ringing (INVITE)"),
        ("sip.received", "BYE sip:a@b"),
        ("sip.sent", "200 OK (BYE)"),
    ]
    assert {event.data["leg"] for event in call.events} == {"leg"}


def test_an_invite_that_comes_back_is_known_once() -> None:
    board, call = Switchboard(), FakeCall()
    board.adopt("id", call, "leg", PERSON)
    assert board.subscriber_of("other") is None
    assert board.subscriber_of("id") is PERSON
    assert board.subscriber_of("id") is None


def test_nothing_is_left_of_a_call_that_is_forgotten() -> None:
    board, call = Switchboard(), FakeCall()
    board.adopt("id", call, None, PERSON)
    board.forget(call)
    assert set(board.counts().values()) == {0}
    assert board.subscriber_of("id") is None

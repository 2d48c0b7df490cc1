from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.calls.ending import EndCause, Ending
from emulator.calls.journal import MAX_TEXT_CHARS, sip_event
from emulator.calls.status import CallStatus
from emulator.sip.address import SourceAddress
from emulator.sip.message import parse_message
from emulator.sip.trace import Direction, SipTrace
from emulator.text import MAX_CHARS, printable

MESSAGE = b"""\
OPTIONS sip:\xff@127.0.0.1 SIP/2.0\r
Via: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK1\r
From: <sip:a@127.0.0.1>;tag=1\r
To: <sip:b@127.0.0.1>\r
Call-ID: 1@x\r
CSeq: 1 OPTIONS\r
Authorization: Digest username="alice", response="secret"\r
X-Long: %s\r
Max-Forwards: 70\r
Content-Length: 0\r
\r
"""


def trace(*, again: bool = False, long: int = 10) -> SipTrace:
    wire = MESSAGE % (b"y" * long)
    message = parse_message(wire)
    remote = SourceAddress("udp", "127.0.0.1", 5070)
    return SipTrace(
        Direction.RECEIVED, message.summary, wire, remote, 1.0, "1@x", again
    )


@given(st.text() | st.binary().map(lambda b: b.decode("utf-8", "surrogateescape")))
def test_whatever_came_over_the_wire_can_be_stored_and_shown(text: str) -> None:
    shown = printable(text)
    assert len(shown) == min(len(text), MAX_CHARS + 1)
    assert all(char.isprintable() for char in shown)
    json.dumps(shown, ensure_ascii=False).encode()


def test_a_message_on_the_timeline_hides_credentials_and_bad_bytes() -> None:
    event = sip_event(trace())
    text = str(event.data["text"])
    assert "secret" not in text and "Authorization: (hidden)" in text
    assert event.data["summary"] == "OPTIONS sip:\N{REPLACEMENT CHARACTER}@127.0.0.1"
    assert event.kind == "sip.received"
    assert "retransmission" not in event.data
    assert sip_event(trace(again=True)).data["retransmission"] is True


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:secret|2^31|1:4",
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 (hidden)",
        ),
        ("A=CRYPTO:2 F8 inline:x;inline:secret", "A=CRYPTO:2 F8 (hidden)"),
        ("a=crypto:inline:secret", "a=crypto: (hidden)"),
        ("k=base64:secret", "k= (hidden)"),
        ("a=key-mgmt:mikey secret", "a=key-mgmt: (hidden)"),
    ],
)
def test_a_message_on_the_timeline_hides_media_keys(line: str, shown: str) -> None:
    body = f"v=0\r\n{line}\r\na=sendrecv\r\n"
    head = MESSAGE.decode("latin-1") % "y"
    text = head.replace("Content-Length: 0", f"Content-Length: {len(body)}") + body
    wire = text.encode("latin-1")
    remote = SourceAddress("tls", "127.0.0.1", 5070)
    seen = SipTrace(Direction.RECEIVED, "OPTIONS", wire, remote, 1.0, "1@x", False)
    told = str(sip_event(seen).data["text"])
    assert "inline:secret" not in told and f"\n{shown}\n" in told
    assert "a=sendrecv" in told


def test_a_folded_credential_is_hidden_to_its_end() -> None:
    folded = (MESSAGE % b"y").replace(b", response=", b",\r\n \tresponse=")
    assert b"\tresponse" in folded
    seen = trace()._replace(wire=folded)
    assert "secret" not in str(sip_event(seen).data["text"])


def test_a_long_message_is_cut_on_the_timeline() -> None:
    assert len(str(sip_event(trace(long=20_000)).data["text"])) == MAX_TEXT_CHARS + 1


@pytest.mark.parametrize(
    ("cause", "answered", "status"),
    [
        (EndCause.CALLER_BYE, True, CallStatus.COMPLETED),
        (EndCause.CALLER_CANCEL, False, CallStatus.CANCELED),
        (EndCause.FLOW_ENDED, True, CallStatus.COMPLETED),
        (EndCause.WORKER_LOST, True, CallStatus.FAILED),
        (EndCause.SHUTDOWN, False, CallStatus.FAILED),
        (EndCause.REJECTED, False, CallStatus.FAILED),
        (EndCause.CALLEE_BUSY, False, CallStatus.BUSY),
        (EndCause.NO_ANSWER, False, CallStatus.NO_ANSWER),
        (EndCause.DIAL_FAILED, False, CallStatus.FAILED),
    ],
)
def test_the_final_status_follows_from_the_cause(
    cause: EndCause, answered: bool, status: CallStatus
) -> None:
    assert cause.status(was_answered=answered) is status


def test_causes_are_distinct_and_named_for_people() -> None:
    declared = EndCause.__members__
    assert len({cause.word for cause in EndCause}) == len(declared)
    assert all(name == cause.name for name, cause in declared.items())


def test_the_reason_header_quotes_its_text() -> None:
    ending = Ending(EndCause.FLOW_ENDED, 'it said "bye" \\ left')
    assert ending.reason_header() == (
        "Reason",
        'Q.850;cause=16;text="it said \\"bye\\" \\\\ left"',
    )

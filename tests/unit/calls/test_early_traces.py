from __future__ import annotations

from emulator.calls.early import MAX_CALL_IDS, MAX_TRACES_PER_CALL_ID, EarlyTraces
from emulator.sip.address import SourceAddress
from emulator.sip.trace import Direction, SipTrace

REMOTE = SourceAddress("udp", "127.0.0.1", 5070)
OPTIONS = b"OPTIONS sip:127.0.0.1 SIP/2.0\r\n\r\n"


def trace(call_id: str, at_s: float = 1.0) -> SipTrace:
    return SipTrace(
        Direction.RECEIVED, "OPTIONS", OPTIONS, REMOTE, at_s, call_id, False
    )


def test_a_call_takes_its_messages_once_and_in_order() -> None:
    early = EarlyTraces()
    for call_id, at_s in (("a", 1.0), ("b", 2.0), ("a", 3.0)):
        early.add(trace(call_id, at_s))
    assert early.began_s("a") == 1.0
    assert [entry.at_s for entry in early.take("a")] == [1.0, 3.0]
    assert early.take("a") == []
    assert early.began_s("a") is None
    assert early.began_s("b") == 2.0


def test_what_becomes_no_call_is_forgotten() -> None:
    early = EarlyTraces()
    for n in range(MAX_CALL_IDS + 1):
        early.add(trace(str(n)))
    assert early.began_s("0") is None
    assert early.began_s(str(MAX_CALL_IDS)) is not None
    for _ in range(100):
        early.add(trace("again"))
    assert len(early.take("again")) == MAX_TRACES_PER_CALL_ID

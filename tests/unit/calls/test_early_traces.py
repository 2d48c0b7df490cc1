from __future__ import annotations

from emulator.calls.early import (
    MAX_BYTES,
    MAX_CALL_IDS,
    MAX_TRACES_PER_CALL_ID,
    EarlyTraces,
)
from emulator.calls.journal import message_text
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


def test_long_messages_are_cut_to_what_a_timeline_shows() -> None:
    early, long = EarlyTraces(), OPTIONS + b"x" * 60_000
    early.add(trace("a")._replace(wire=long, summary="y" * 60_000))
    (kept,) = early.take("a")
    assert message_text(kept.wire) == message_text(long)
    assert len(kept.wire) + len(kept.summary) < 20_000


def test_a_flood_of_long_messages_is_forgotten_from_its_oldest_on() -> None:
    early = EarlyTraces()
    for n in range(MAX_CALL_IDS * MAX_TRACES_PER_CALL_ID):
        call_id = f"{n % MAX_CALL_IDS}-{'z' * 30_000}"
        early.add(trace(call_id)._replace(wire=b"x" * 60_000))
    kept = [early.take(f"{n}-{'z' * 30_000}") for n in range(MAX_CALL_IDS)]
    held = [len(t.wire) + len(t.call_id) for traces in kept for t in traces]
    assert MAX_BYTES / 2 < sum(held) <= MAX_BYTES
    # Nothing is counted that is no longer kept.
    for n in range(MAX_CALL_IDS):
        early.add(trace(str(n)))
    assert early.began_s("0") is not None

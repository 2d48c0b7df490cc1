from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from emulator.calls.status import NEXT, CallStatus, advance
from emulator.calls.timeline import Timeline
from emulator.errors import LocalProtocolError
from emulator.events import Event

EPOCH = datetime(2026, 1, 5, 4, 30, tzinfo=UTC)


def timeline(max_events: int = 100) -> Timeline:
    return Timeline(epoch_s=1000.0, epoch_at=EPOCH, max_events=max_events)


def test_an_entry_has_its_offset_and_utc_time() -> None:
    record = timeline()
    record.append(Event("digit", 1001.25, {"digit": "5"}))
    (entry,) = record
    assert entry.to_json() == {
        "number": 1,
        "offset_ms": 1250.0,
        "monotonic_s": 1001.25,
        "at": "2026-01-05T04:30:01.250Z",
        "kind": "digit",
        "data": {"digit": "5"},
    }


def test_a_full_timeline_keeps_both_ends_and_counts_the_middle() -> None:
    record = timeline(max_events=10)
    for n in range(100):
        record.append(Event("digit", 1000.0 + n))
    assert [entry.number for entry in record] == [1, 2, 3, 4, 5, 96, 97, 98, 99, 100]
    assert record.dropped == 90
    assert len(record) == 10


def test_since_returns_what_came_after() -> None:
    record = timeline()
    for n in range(5):
        record.append(Event("digit", 1000.0 + n))
    assert [entry.number for entry in record.since(3)] == [4, 5]


def test_an_undeclared_kind_is_a_bug() -> None:
    with pytest.raises(ValueError, match="undeclared event kind 'nonsense'"):
        timeline().append(Event("nonsense", 1000.0))


def test_a_call_cannot_leave_its_end() -> None:
    for status in CallStatus:
        if status.is_final:
            assert NEXT[status] == frozenset()
    with pytest.raises(LocalProtocolError, match="ringing after completed"):
        advance(CallStatus.COMPLETED, CallStatus.RINGING)
    assert advance(CallStatus.RINGING, CallStatus.CANCELED) is CallStatus.CANCELED


def test_whatever_text_is_recorded_can_be_served() -> None:
    record = timeline()
    record.append(
        Event("note", 1000.0, {"text": "a\ud800", "more": {"\udfff": ["\udc00é"]}})
    )
    (entry,) = record
    shown = json.dumps(entry.to_json(), ensure_ascii=False)
    assert shown.encode().count("\N{REPLACEMENT CHARACTER}".encode()) == 3
    assert "é" in shown

"""Keys that stay off the timeline, and messages that wait to be read."""

from __future__ import annotations

from datetime import UTC, datetime

from emulator.calls.outbox import Outbox
from emulator.calls.secrecy import without_digits
from emulator.events import Event

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_key_is_hidden_however_it_came() -> None:
    digit = Event("digit", 1.0, {"digit": "7", "source": "rfc4733"})
    assert without_digits(digit).data == {"digit": "hidden", "source": "rfc4733"}
    info = {"summary": "INFO sip:x", "text": "INFO sip:x SIP/2.0\n\nSignal=7\n"}
    hidden = without_digits(Event("sip.received", 1.0, info))
    assert hidden.data["text"] == "INFO sip:x SIP/2.0\n\n(hidden)"


def test_other_events_stay_as_they_are() -> None:
    bye = Event("sip.received", 1.0, {"summary": "BYE sip:7", "text": "BYE\n\n7"})
    note = Event("note", 1.0, {"text": "7"})
    assert without_digits(bye) is bye
    assert without_digits(note) is note


def test_the_oldest_messages_go_first_and_numbers_go_on() -> None:
    outbox = Outbox(2)
    for number in range(3):
        outbox.put("sms", f"call {number}", NOW, "099", "", "Hi.")
    assert [message.number for message in outbox.messages()] == [2, 3]
    assert [message.number for message in outbox.messages("call 2")] == [3]
    assert outbox.messages("call 0") == []

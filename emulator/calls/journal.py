"""SIP messages as timeline events: one line, the text, and no secret."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from emulator.events import Event, JsonValue
from emulator.sip.trace import Direction, SipTrace
from emulator.text import printable

# More than any phone's INVITE; a longer message is cut on the timeline only.
MAX_TEXT_CHARS = 4096
# What surely holds more characters than that; the rest need not be kept.
MAX_WIRE_BYTES = 4 * MAX_TEXT_CHARS + 4

_SECRET_HEADER = re.compile(
    r"^((?:proxy-)?authorization[ \t]*+:).*$", re.IGNORECASE | re.MULTILINE
)
# RFC 4568 and the older k=: whoever has the key can listen.
_SECRET_SDP = re.compile(
    r"^(a=crypto:(?:\d{1,9}[ \t]+[A-Z0-9_]{1,32}(?=[ \t]))?|a=key-mgmt:|k=).*$",
    re.IGNORECASE | re.MULTILINE,
)  # From where white space begins, lest a long run of it cost the square of its length.
_FOLD = re.compile(r"(?<![ \t])[ \t]*+(?:\n[ \t]++)++")


def sip_event(trace: SipTrace, leg: str | None = None) -> Event:
    """Return the event of one SIP message; ``leg`` is the SID of a dialled leg."""
    received = trace.direction is Direction.RECEIVED
    kind = "sip.received" if received else "sip.sent"
    return Event(kind, trace.at_s, _MessageData(trace, leg))


class _MessageData(Mapping[str, JsonValue]):
    """What the timeline tells of a message, worked out when somebody reads it.

    Most calls are never read, and a message's text is dearer than its parsing.
    """

    __slots__ = ("_data", "_leg", "_trace")

    def __init__(self, trace: SipTrace, leg: str | None) -> None:
        self._leg = leg
        if len(trace.wire) > MAX_WIRE_BYTES:
            trace = trace._replace(wire=trace.wire[:MAX_WIRE_BYTES])
        self._trace: SipTrace | None = trace
        self._data: dict[str, JsonValue] = {}

    def _told(self) -> dict[str, JsonValue]:
        trace, self._trace = self._trace, None
        if trace is not None:
            self._data = {
                "summary": printable(trace.summary),
                "remote": str(trace.remote),
                "text": message_text(trace.wire),
            }
            if trace.is_retransmission:
                self._data["retransmission"] = True
            if self._leg is not None:
                self._data["leg"] = self._leg
        return self._data

    def __getitem__(self, key: str) -> JsonValue:
        return self._told()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._told())

    def __len__(self) -> int:
        return len(self._told())


def message_text(wire: bytes) -> str:
    """Return a message as text, credentials hidden, cut to a bounded length."""
    text = wire.decode("utf-8", "replace").replace("\r\n", "\n").lstrip("\n")
    head, separator, body = text.partition("\n\n")
    # A secret may go on in the lines that continue its header field.
    text = _FOLD.sub(" ", head) + separator + body
    text = _SECRET_HEADER.sub(r"\1 (hidden)", text)
    text = _SECRET_SDP.sub(r"\1 (hidden)", text)
    return printable(text, keep="\n\t", max_chars=MAX_TEXT_CHARS)

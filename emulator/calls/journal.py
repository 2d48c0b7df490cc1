"""SIP messages as timeline events: one line, the text, and no secret."""

from __future__ import annotations

import re

from emulator.calls.text import printable
from emulator.events import Event, JsonValue
from emulator.sip.trace import Direction, SipTrace

# More than any phone's INVITE; a longer message is cut on the timeline only.
MAX_TEXT_CHARS = 4096

_SECRET_HEADER = re.compile(
    r"^((?:proxy-)?authorization\s*:).*$", re.IGNORECASE | re.MULTILINE
)
# RFC 4568 and the older k=: whoever has the key can listen.
_SECRET_SDP = re.compile(
    r"^(a=crypto:(?:\d{1,9}[ \t]+[A-Z0-9_]{1,32}(?=[ \t]))?|a=key-mgmt:|k=).*$",
    re.IGNORECASE | re.MULTILINE,
)


def sip_event(trace: SipTrace) -> Event:
    """Return the event of one SIP message."""
    data: dict[str, JsonValue] = {
        "summary": printable(trace.summary),
        "remote": str(trace.remote),
        "text": message_text(trace),
    }
    if trace.is_retransmission:
        data["retransmission"] = True
    received = trace.direction is Direction.RECEIVED
    return Event("sip.received" if received else "sip.sent", trace.at_s, data)


def message_text(trace: SipTrace) -> str:
    """Return the message as text, credentials hidden, cut to a bounded length."""
    text = trace.message.to_bytes().decode("utf-8", "replace").replace("\r\n", "\n")
    text = _SECRET_HEADER.sub(r"\1 (hidden)", text)
    text = _SECRET_SDP.sub(r"\1 (hidden)", text)
    return printable(text, keep="\n\t", max_chars=MAX_TEXT_CHARS)

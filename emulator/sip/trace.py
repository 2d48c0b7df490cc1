"""One SIP message on the wire, as a timeline shows it."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from emulator.sip.address import SourceAddress, Target


class Direction(Enum):
    """Which way a message went."""

    RECEIVED = "received"
    SENT = "sent"


class SipTrace(NamedTuple):
    """A message that was received or sent.

    Attributes:
        summary: The start line, without the version.
        wire: The bytes that travelled.
        at_s: Monotonic seconds.
        call_id: Call-ID header; sessions are found by it.
        is_retransmission: The same message went the same way before.
    """

    direction: Direction
    summary: str
    wire: bytes
    remote: SourceAddress | Target
    at_s: float
    call_id: str
    is_retransmission: bool

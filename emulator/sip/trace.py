"""One SIP message on the wire, as a timeline shows it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from emulator.sip.address import SourceAddress, Target
from emulator.sip.message import Message


class Direction(Enum):
    """Which way a message went."""

    RECEIVED = "received"
    SENT = "sent"


@dataclass(frozen=True, slots=True)
class SipTrace:
    """A message that was received or sent.

    Attributes:
        summary: The start line, without the version.
        at_s: Monotonic seconds.
        call_id: Call-ID header; sessions are found by it.
        is_retransmission: The same message went the same way before.
    """

    direction: Direction
    summary: str
    message: Message
    remote: SourceAddress | Target
    at_s: float
    call_id: str
    is_retransmission: bool

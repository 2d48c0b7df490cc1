"""Provisional responses that must arrive: numbered, repeated until PRACK (RFC 3262).

Never offered, as the platform offers it to nobody; served where a caller requires it,
and acknowledged where a callee sends such responses unasked.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from emulator.sip.errors import SipParseError
from emulator.sip.message import Request, Response
from emulator.sip.party import because

OPTION_TAG: Final = "100rel"
NOTHING_TO_PRACK: Final = because("no response of ours waits for this PRACK")
_MAX_NUMBER: Final = 2**32 - 1


class Rung(NamedTuple):
    """A provisional response to be."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass
class ReliableRinging:
    """What the called side has to say before its answer: one after the other (§3).

    Attributes:
        number: RSeq of the response that was sent last, or will be sent next.
        unacked: That response while its PRACK has not come.
        interval_s: Until it is repeated.
        waiting: What is said when that has been acknowledged.
    """

    number: int
    unacked: Response | None = None
    interval_s: float = 0.0
    waiting: deque[Rung] = field(default_factory=deque)

    @property
    def is_acknowledged(self) -> bool:
        """Everything that was said has arrived."""
        return self.unacked is None and not self.waiting

    def is_meant_by(self, prack: Request) -> bool:
        """Say whether a PRACK acknowledges the response that waits for it.

        Raises:
            SipParseError: Its RAck is malformed.
        """
        words = (prack.headers.get("RAck") or "").split()
        if len(words) != 3:
            raise SipParseError("RAck is no two numbers and a method")
        numbers = [_number(word) for word in words[:2]]
        if self.unacked is None:
            return False
        cseq = self.unacked.cseq
        return (numbers, words[2]) == ([self.number, cseq.number], cseq.method)

    def acknowledged(self) -> None:
        """Take the PRACK of the response that waits for it."""
        self.unacked = None
        self.number += 1


def is_required_by(invite: Request) -> bool:
    """Say whether a caller takes no provisional responses but reliable ones."""
    return OPTION_TAG in invite.headers.tokens("Require")


def number_of(response: Response) -> int | None:
    """Return the RSeq of a reliable response; None: it is an ordinary one."""
    text = response.headers.get("RSeq")
    if text is None or OPTION_TAG not in response.headers.tokens("Require"):
        return None
    try:
        return _number(text.strip())
    except SipParseError:
        return None


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise SipParseError(f"{text[:12]!r} is no RSeq or CSeq number")
    number = int(text)
    if number > _MAX_NUMBER:
        raise SipParseError("an RSeq or CSeq number is too high")
    return number

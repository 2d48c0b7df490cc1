"""What a link to a bot tells, and whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from emulator.errors import RemoteProtocolError
from emulator.stream.assembler import Binary

# What picows says of a frame's form, in our own words; a number behind it is kept.
_OWN_WORDS = (
    ("Received frame with invalid opcode=", "unknown opcode ", True),
    ("Received fragmented control frame", "control frame in fragments", False),
    ("Received masked frame", "masked frame from a server", False),
    ("Received control frame with payload", "control frame over 125 bytes", False),
    ("Received frame with invalid", "length of a frame in a wrong form", False),
    ("Received frame with payload size exceeding max allowed size, ", "frame too big: ",
     True),
    ("Received CLOSE with invalid close code: ", "bad close code ", True),
    ("Received CLOSE with invalid close code size", "half a close code", False),
    ("Received CLOSE with invalid UTF-8", "invalid UTF-8 in a close reason", False),
    ("Received CLOSE for the second time", "second close frame", False),
)  # fmt: skip


def _broken_rule(text: str) -> str:
    """Return which rule was broken, without what only picows' authors read."""
    for theirs, ours, keeps_rest in _OWN_WORDS:
        if text.startswith(theirs):
            return ours + text[len(theirs) :] if keeps_rest else ours
    return text


class BotBrokeFraming(RemoteProtocolError):
    """The bot broke RFC 6455; the link was closed with ``code``."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"websocket: close {code}: {_broken_rule(reason)}")
        self.code = code


@dataclass(frozen=True, slots=True)
class LinkEnd:
    """How the socket ended.

    Attributes:
        code: As the bot saw or sent it.
        first: Who closed: ``bot`` by a close frame, ``platform`` (we), or ``network``:
            the connection ended without a word.
    """

    code: int
    reason: str
    first: str


class LinkOwner(Protocol):
    """Who hears of a link. Calls come from the event loop."""

    def link_opened(self) -> None:
        """The upgrade succeeded; nothing has been read yet."""

    def message_arrived(self, message: bytes | Binary) -> None:
        """The bot sent a whole message; text is bytes of valid UTF-8."""

    def bot_closed(self) -> None:
        """The bot's close frame came, or its end of the connection is gone."""

    def may_write_again(self) -> None:
        """``is_writable`` is true again."""

    def bot_floods(self) -> None:
        """The bot sends faster than it is read."""

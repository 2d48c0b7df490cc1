"""What a link to a bot tells, and whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from emulator.errors import RemoteProtocolError
from emulator.stream.assembler import Binary


class BotBrokeFraming(RemoteProtocolError):
    """The bot broke RFC 6455; the link was closed with ``code``."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"websocket: close {code}: {reason}")
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

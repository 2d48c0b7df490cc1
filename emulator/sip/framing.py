"""Finds message boundaries in a byte stream (RFC 3261 §18.3, RFC 5626 §3.5.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, TypeAlias

_LENGTH = re.compile(rb"\r\n(?:content-length|l)[ \t]*:[ \t]*([^\r\n]*)", re.I)
_END_OF_HEAD: Final = b"\r\n\r\n"
PONG: Final = b"\r\n"


@dataclass(frozen=True, slots=True)
class Frame:
    """The bytes of one message."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Ping:
    """A keepalive; the answer is ``PONG``."""


@dataclass(frozen=True, slots=True)
class Broken:
    """No boundary can be found any more: close the connection."""

    reason: str


Piece: TypeAlias = Frame | Ping | Broken


class StreamFramer:
    """Cuts one connection's bytes into messages.

    A message without Content-Length is taken to have no body. One whose length is no
    number is handed on for its 400 and ends the framing.
    """

    def __init__(self, max_message_bytes: int) -> None:
        self._max_message_bytes = max_message_bytes
        self._buffer = bytearray()
        self._is_broken = False
        # What is known of the message at the front, so that a peer who sends byte by
        # byte makes nobody read it all again: no end of the head before here, and the
        # message's length once its head is complete.
        self._searched = 0
        self._total: int | None = None

    @property
    def is_in_message(self) -> bool:
        """A message has begun and is not complete; blank lines are none."""
        return bool(self._buffer) and self._buffer[0] not in b"\r\n"

    def feed(self, data: bytes) -> list[Piece]:
        """Take bytes; return what became complete."""
        if self._is_broken:
            return []
        self._buffer += data
        pieces: list[Piece] = []
        while self._buffer and not self._is_broken:
            if not self._take(pieces):
                break
        return pieces

    def _take(self, pieces: list[Piece]) -> bool:
        """Cut one piece off the front; False when it is not complete yet."""
        if self._total is None:
            if self._buffer[0] in b"\r\n":
                return self._take_blank(pieces)
            self._total = self._find_total(pieces)
        if self._total is None or len(self._buffer) < self._total:
            return False
        self._cut(self._total, pieces)
        return True

    def _find_total(self, pieces: list[Piece]) -> int | None:
        """Return the length of the message at the front, once its head is there."""
        buffer = self._buffer
        end = buffer.find(_END_OF_HEAD, self._searched)
        if end < 0:
            self._searched = max(0, len(buffer) - len(_END_OF_HEAD) + 1)
            self._is_too_long(len(buffer), pieces)
            return None
        head_bytes = end + len(_END_OF_HEAD)
        found = _LENGTH.search(buffer, 0, end)
        text = found.group(1).strip() if found else b"0"
        if not text.isdigit() or len(text) > 9:
            self._cut(head_bytes, pieces)
            self._break("Content-Length is no number", pieces)
            return None
        total = head_bytes + int(text)
        return None if self._is_too_long(total, pieces) else total

    def _take_blank(self, pieces: list[Piece]) -> bool:
        """CRLFCRLF between messages is a keepalive, a lone CRLF nothing (§7.5)."""
        buffer = self._buffer
        if buffer.startswith(_END_OF_HEAD):
            del buffer[:4]
            pieces.append(Ping())
            return True
        if len(buffer) < 4 and _END_OF_HEAD.startswith(buffer):
            return False
        del buffer[:1]
        return True

    def _cut(self, length: int, pieces: list[Piece]) -> None:
        pieces.append(Frame(bytes(self._buffer[:length])))
        del self._buffer[:length]
        self._searched, self._total = 0, None

    def _is_too_long(self, size: int, pieces: list[Piece]) -> bool:
        if size <= self._max_message_bytes:
            return False
        return self._break(f"a message above {self._max_message_bytes} bytes", pieces)

    def _break(self, reason: str, pieces: list[Piece]) -> bool:
        self._is_broken = True
        self._buffer.clear()
        pieces.append(Broken(reason))
        return True

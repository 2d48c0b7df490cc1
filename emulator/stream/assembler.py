"""WebSocket frames to whole messages, or the violation (RFC 6455 §5, §7, §8.1).

The transport has already unmasked a frame and checked its header's form; fragments,
reserved bits, sizes and UTF-8 are checked here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

# RFC 6455 §5.5: what a control frame may carry.
MAX_CONTROL_BYTES = 125


class Opcode(IntEnum):
    """RFC 6455 §5.2."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


_FIRST_CONTROL = 0x8
# A message of empty fragments would never reach the size limit.
MAX_FRAGMENTS = 100_000


@dataclass(frozen=True, slots=True)
class Binary:
    """A whole binary message; only its head is kept, nobody reads it."""

    size_bytes: int
    head: bytes


@dataclass(frozen=True, slots=True)
class Control:
    """A control frame; it may come between the fragments of a message."""

    opcode: Opcode
    payload: bytes


@dataclass(frozen=True, slots=True)
class Violation:
    """The peer broke the framing rules: close with ``code`` (RFC 6455 §7.4.1)."""

    code: int
    reason: str


# A whole text message travels as bytes: it is the per-packet path. None: more to come.
Assembled: TypeAlias = bytes | Binary | Control | Violation | None

_BINARY_HEAD_BYTES = 32


class MessageAssembler:
    """Joins the frames of one connection."""

    def __init__(self, max_message_bytes: int) -> None:
        self._max_bytes = max_message_bytes
        self._opcode: Opcode | None = None
        self._fragments: list[bytes] = []
        self._size_bytes = 0

    def is_message(self, payload: bytes) -> bool:
        """Whether a final text frame is a whole message that needs no more looking at.

        Nearly every frame is; of the others ``feed`` says what they are.
        """
        is_first = self._opcode is None
        return is_first and payload.isascii() and len(payload) <= self._max_bytes

    def feed(self, opcode: int, fin: bool, reserved: bool, payload: bytes) -> Assembled:
        """Take one frame.

        Args:
            opcode: As on the wire.
            reserved: True when any of RSV1-3 is set; no extension was agreed on.

        Returns:
            A text message as valid UTF-8, another whole thing, or None.
        """
        if reserved:
            return Violation(1002, "reserved bit set without an extension")
        if opcode >= _FIRST_CONTROL:
            return self._control(opcode, fin, payload)
        if opcode == Opcode.CONTINUATION:
            if self._opcode is None:
                return Violation(1002, "continuation without a first fragment")
        elif self._opcode is not None:
            return Violation(1002, "new message inside a fragmented one")
        elif opcode not in (Opcode.TEXT, Opcode.BINARY):
            return Violation(1002, f"unknown opcode {opcode:#x}")
        else:
            self._opcode = Opcode(opcode)
        return self._data(fin, payload)

    def _control(self, opcode: int, fin: bool, payload: bytes) -> Control | Violation:
        if opcode not in (Opcode.CLOSE, Opcode.PING, Opcode.PONG):
            return Violation(1002, f"unknown opcode {opcode:#x}")
        if not fin or len(payload) > MAX_CONTROL_BYTES:
            return Violation(1002, "control frame fragmented or over 125 bytes")
        return Control(Opcode(opcode), payload)

    def _data(self, fin: bool, payload: bytes) -> Assembled:
        self._size_bytes += len(payload)
        if self._size_bytes > self._max_bytes:
            return self._too_big()
        if not fin or self._fragments:
            self._fragments.append(payload)
        if not fin:
            too_many = len(self._fragments) > MAX_FRAGMENTS
            return Violation(1009, "too many fragments") if too_many else None
        if self._fragments:
            payload = b"".join(self._fragments)
            self._fragments.clear()
        opcode, self._opcode, self._size_bytes = self._opcode, None, 0
        if opcode is Opcode.BINARY:
            return Binary(len(payload), payload[:_BINARY_HEAD_BYTES])
        return self._text(payload)

    def _text(self, payload: bytes) -> bytes | Violation:
        if len(payload) > self._max_bytes:
            return self._too_big()
        return payload if is_utf8(payload) else Violation(1007, "invalid UTF-8")

    def _too_big(self) -> Violation:
        return Violation(1009, f"message over {self._max_bytes} bytes")


def is_utf8(payload: bytes) -> bool:
    """Return whether ``payload`` is valid UTF-8; ASCII is answered at once."""
    if payload.isascii():
        return True
    try:
        payload.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True

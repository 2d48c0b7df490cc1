"""Keys on their way to a peer, one after the other, each packet in its slot."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from emulator.rtp.telephone_event import EventPacket, send_digits

# A person's keys arrive slower than they are sent on; a peer that floods is cut here.
MAX_WAITING = 64


@dataclass(frozen=True, slots=True)
class Keys:
    """Digits to send; ``sent`` is called once when they have gone out."""

    digits: str
    duration_ms: int
    gap_ms: int
    sent: Callable[[], None]


class KeySender:
    """Hands out the RFC 4733 packets of what is to be sent.

    Attributes:
        is_active: The next slot is the keys': nothing else is played in it.
        dropped: Sets of keys that came while too many waited.
    """

    __slots__ = (
        "_keys", "_packets", "_waiting", "dropped", "is_active",
    )  # fmt: skip

    def __init__(self) -> None:
        self.is_active = False
        self.dropped = 0
        self._waiting: deque[Keys] = deque()
        self._keys: Keys | None = None
        self._packets: Iterator[EventPacket | None] = iter(())

    def add(self, keys: Keys) -> bool:
        """Send ``keys`` after those that are under way; False: too many wait."""
        if len(self._waiting) >= MAX_WAITING:
            self.dropped += 1
            return False
        self._waiting.append(keys)
        self.is_active = True
        return True

    def next_packet(self, ptime_ms: int) -> EventPacket | None:
        """Return what this slot carries; None for the silence between two keys."""
        if self._keys is None:
            self._keys = keys = self._waiting.popleft()
            self._packets = send_digits(
                keys.digits, keys.duration_ms, keys.gap_ms, ptime_ms
            )
        try:
            return next(self._packets)
        except StopIteration:
            keys, self._keys = self._keys, None
            self.is_active = bool(self._waiting)
            keys.sent()
            return None

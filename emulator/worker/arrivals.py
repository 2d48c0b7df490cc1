"""What happens to a peer's datagrams before they are heard.

    socket -> open (SRTP) -> take: held and put in order (jitter buffer) -> heard

Both are rare: a leg with neither hears its datagrams at once.
"""

from __future__ import annotations

from collections.abc import Callable

from emulator.rtp.jitter import JitterBuffer
from emulator.rtp.receiver import RtpReceiver

# A plain datagram, a view of it, its length, the time now, and when it came.
Hear = Callable[[bytes | bytearray, memoryview, int, float, float], None]


class Arrivals:
    """The way in of one leg.

    Args:
        depth_ms: Of the jitter buffer; 0: there is none.
        hear: Where datagrams go.
        on_forgery: Called when nothing but forgeries has come so far.
    """

    __slots__ = (
        "_buffer", "_hear", "_on_forgery", "_receiver", "holds", "is_direct",
    )  # fmt: skip

    def __init__(
        self,
        receiver: RtpReceiver,
        depth_ms: int,
        hear: Hear,
        on_forgery: Callable[[], None],
    ) -> None:
        self._receiver = receiver
        self._buffer = JitterBuffer(depth_ms, payload_type=0) if depth_ms else None
        self._hear = hear
        self._on_forgery = on_forgery
        self.is_direct = self._buffer is None
        # ``release`` has something to do in each slot.
        self.holds = self._buffer is not None

    def update(self, payload_type: int) -> None:
        """The payload type of audio has changed."""
        if self._buffer is not None:
            self._buffer.payload_type = payload_type

    def open(self, packet: bytearray, length: int) -> int:
        """Decrypt a datagram in its place; return its new length, 0 for a forgery."""
        length = self._receiver.open(packet, length)
        if not length and self._receiver.has_only_forgeries:
            self._on_forgery()
        return length

    def take(
        self, packet: bytearray, view: memoryview, length: int, now_s: float
    ) -> None:
        """Take one plain datagram of the peer in."""
        buffer = self._buffer
        if buffer is not None and buffer.takes(packet, length):
            buffer.push(bytes(view[:length]), now_s)
        else:
            self._hear(packet, view, length, now_s, now_s)

    def release(self, now_s: float) -> None:
        """Hear what is due; once per slot of the leg, so that it is steady."""
        buffer = self._buffer
        while buffer is not None and (due := buffer.pop(now_s)) is not None:
            packet, arrived_s = due
            self._hear(packet, memoryview(packet), len(packet), now_s, arrived_s)

    def counters(self) -> dict[str, int]:
        """Return what the jitter buffer counted."""
        return self._buffer.counters() if self._buffer is not None else {}

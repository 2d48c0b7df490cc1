"""The jitter buffer: packets come in as the network gives them, and leave in order.

    due = earliest way through the network + media time + depth

Every packet waits until it is as late as the latest that the depth allows for: a steady
sender comes out steady. What is later than that comes out at once, for the receiver to
count as late. What never comes is a gap when its successor is due. Pure: datagrams and
times in, datagrams out.
"""

from __future__ import annotations

import heapq

from emulator.rtp.packet import (
    FIXED_HEADER,
    HEADER_BYTES,
    PAYLOAD_TYPE_MASK,
    RTCP_TYPES,
    VERSION,
)
from emulator.rtp.serial import sequence_delta, timestamp_delta

CLOCK_RATE_HZ = 8000
# 500 ms, the deepest setting, at 50 packets a second, four times over.
MAX_HELD_PACKETS = 100
# A number further from its neighbours is another run of the sender (RFC 3550 A.1).
MAX_NUMBER_STEP = 100
# A clock that is off by more than this is another clock: a restart, not jitter.
MAX_CLOCK_STEP_S = 1.0
# The earliest way is forgotten by 1 ms a second: senders' clocks drift by far less.
FORGET_RATE = 0.001


class JitterBuffer:
    """Holds the packets of one peer; decrypted, so that no forger can disturb it.

    Args:
        payload_type: Of audio; other packets (digits, comfort noise) keep their place
            among the numbers, but their timestamps say nothing about their time.

    Attributes:
        reordered: Packets that were put back in order.
        restarts: Jumps of the sender that emptied the buffer.
    """

    def __init__(self, depth_ms: int, payload_type: int) -> None:
        self.depth_ms = depth_ms
        self.payload_type = payload_type
        self.reordered = self.restarts = 0
        # (unwrapped number, arrival, due, datagram); a heap.
        self._held: list[tuple[int, float, float, bytes]] = []
        self._ssrc: int | None = None
        self._newest = 0
        # Of the audio packet that the clock was last read from.
        self._timestamp = 0
        self._media_s = 0.0
        self._way_s: float | None = None
        self._way_seen_s = 0.0

    def takes(self, packet: bytes | bytearray, length: int) -> bool:
        """Whether a datagram is RTP by its looks; what is not is no matter of order."""
        is_rtp = length > HEADER_BYTES and packet[0] >> 6 == VERSION
        return is_rtp and packet[1] not in RTCP_TYPES

    def push(self, datagram: bytes, now_s: float) -> None:
        """Hold a datagram that ``takes`` has accepted."""
        _, second, number, timestamp, ssrc = FIXED_HEADER.unpack_from(datagram)
        step = sequence_delta(number, self._newest & 0xFFFF)
        if ssrc != self._ssrc or abs(step) > MAX_NUMBER_STEP:
            self._restart(ssrc, number)
            step = 0
        unwrapped = self._newest + step
        if step > 0:
            self._newest = unwrapped
        elif step < 0:
            self.reordered += 1
        due_s = now_s + self.depth_ms / 1000
        if second & PAYLOAD_TYPE_MASK == self.payload_type:
            due_s = self._due_s(timestamp, now_s)
        heapq.heappush(self._held, (unwrapped, now_s, due_s, datagram))

    def pop(self, now_s: float) -> tuple[bytes, float] | None:
        """Return the next datagram that is due, and when it came; or None."""
        held = self._held
        if not held:
            return None
        if held[0][2] > now_s and len(held) <= MAX_HELD_PACKETS:
            return None
        _, arrival_s, _, datagram = heapq.heappop(held)
        return datagram, arrival_s

    def counters(self) -> dict[str, int]:
        """Return what was counted, by the names of the receiver's counters."""
        return {"reordered": self.reordered, "jitter_restarts": self.restarts}

    def _restart(self, ssrc: int, number: int) -> None:
        """Another run of numbers: what is held of the last one goes first, now."""
        if self._ssrc is not None:
            self.restarts += 1
        behind = self._newest - len(self._held)
        self._held = [
            (behind + place, arrival_s, 0.0, datagram)
            for place, (_, arrival_s, _, datagram) in enumerate(sorted(self._held))
        ]
        self._ssrc = ssrc
        # Well above every number that is held, and with the low bits of this one.
        self._newest += 0x20000 - (self._newest & 0xFFFF) + number
        self._way_s = None

    def _due_s(self, timestamp: int, now_s: float) -> float:
        """When audio of that timestamp is handed on."""
        step_s = timestamp_delta(timestamp, self._timestamp) / CLOCK_RATE_HZ
        media_s = self._media_s + step_s
        way_s = now_s - media_s
        known_s = self._way_s
        if known_s is None or abs(way_s - known_s) > MAX_CLOCK_STEP_S:
            known_s = way_s
        else:
            known_s += (now_s - self._way_seen_s) * FORGET_RATE
        self._timestamp, self._media_s = timestamp, media_s
        self._way_s, self._way_seen_s = min(known_s, way_s), now_s
        return self._way_s + media_s + self.depth_ms / 1000

"""DTMF as RTP events (RFC 4733), both directions.

     0                   1                   2                   3
    |     event     |E|R| volume    |          duration             |

One press is one RTP timestamp: the sender repeats the packet with a growing duration
and ends with three packets that carry E. Any of them may be lost, the marker too.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from emulator.rtp.serial import timestamp_delta

EVENT_DIGITS = "0123456789*#ABCD"
CLOCK_RATE_HZ = 8000
# RFC 4733 §2.5.1.4: the last packet is sent three times.
END_PACKETS = 3
# Without a packet for so long the key was released and all end packets were lost; a
# sender updates every 50 ms or oftener (RFC 4733 §2.5.1.2 recommends the ptime).
END_LOST_AFTER_S = 0.2
# A digit shorter than 40 ms is no valid DTMF signal (ITU-T Q.24); longer than 8 s does
# not fit the 16-bit duration.
MIN_DURATION_MS, MAX_DURATION_MS = 40, 8000

_EVENT = struct.Struct("!BBH")
_END_BIT = 0x80
_VOLUME_DBM0 = 10


def is_digit(text: str) -> bool:
    """Tell whether ``text`` is one DTMF digit."""
    return len(text) == 1 and text in EVENT_DIGITS


@dataclass(frozen=True, slots=True)
class Press:
    """One key that was pressed and released."""

    digit: str
    duration_ms: int


@dataclass(slots=True)
class _Open:
    """A key that is down: first and newest segment of its event."""

    event: int
    rtp_timestamp: int
    earlier_ticks: int
    duration_ticks: int
    heard_s: float


class DigitReceiver:
    """Makes one ``Press`` of all the packets of a key."""

    def __init__(self) -> None:
        self._open: _Open | None = None
        self._ended_timestamp: int | None = None
        self.malformed = 0

    @property
    def is_down(self) -> bool:
        """A key is down, or its end packets were lost."""
        return self._open is not None

    def receive(self, payload: bytes, rtp_timestamp: int, now_s: float) -> list[Press]:
        """Take the payload of one event packet; return the presses that it ends."""
        if len(payload) < _EVENT.size:
            self.malformed += 1
            return []
        event, flags, duration = _EVENT.unpack_from(payload)
        if event >= len(EVENT_DIGITS) or self._is_past(rtp_timestamp):
            return []
        ended = []
        down = self._open
        if down is None or not self._continues(down, event, rtp_timestamp):
            if down is not None:
                ended.append(self._release(down))
            down = self._open = _Open(event, rtp_timestamp, 0, 0, now_s)
        elif rtp_timestamp != down.rtp_timestamp:
            down.earlier_ticks += down.duration_ticks
            down.rtp_timestamp = rtp_timestamp
            down.duration_ticks = 0
        down.duration_ticks = max(down.duration_ticks, duration)
        down.heard_s = now_s
        if flags & _END_BIT:
            ended.append(self._release(down))
        return ended

    def expire(self, now_s: float) -> list[Press]:
        """Return the press whose end packets were all lost, if its time is over."""
        down = self._open
        if down is None or now_s - down.heard_s < END_LOST_AFTER_S:
            return []
        return [self._release(down)]

    def _is_past(self, rtp_timestamp: int) -> bool:
        """Whether this repeats an event that was already reported."""
        ended = self._ended_timestamp
        if ended is not None and timestamp_delta(rtp_timestamp, ended) <= 0:
            # A sender that restarts its clock is no repetition.
            return timestamp_delta(rtp_timestamp, ended) > -10 * CLOCK_RATE_HZ
        down = self._open
        return (
            down is not None and timestamp_delta(rtp_timestamp, down.rtp_timestamp) < 0
        )

    @staticmethod
    def _continues(down: _Open, event: int, rtp_timestamp: int) -> bool:
        """Same packet series, or the next segment of a long one (§2.5.1.3)."""
        if event != down.event:
            return False
        step = timestamp_delta(rtp_timestamp, down.rtp_timestamp)
        return step == 0 or (step == down.duration_ticks and step > 0)

    def _release(self, down: _Open) -> Press:
        self._open = None
        self._ended_timestamp = down.rtp_timestamp
        ticks = down.earlier_ticks + down.duration_ticks
        return Press(EVENT_DIGITS[down.event], ticks * 1000 // CLOCK_RATE_HZ)


@dataclass(frozen=True, slots=True)
class EventPacket:
    """One packet to send: ``offset_ticks`` before the slot's timestamp it began."""

    payload: bytes
    marker: bool
    offset_ticks: int


def send_digits(
    digits: str, duration_ms: int, gap_ms: int, ptime_ms: int
) -> Iterator[EventPacket | None]:
    """Yield what each packet slot carries while ``digits`` are sent.

    None stands for the silence between digits. Both times are rounded up to whole
    slots; characters that are no digit are pauses of one digit's length.
    """
    ticks = ptime_ms * CLOCK_RATE_HZ // 1000
    wanted_ms = min(max(duration_ms, MIN_DURATION_MS), MAX_DURATION_MS)
    slots = -(-wanted_ms // ptime_ms)
    # The repeated end packets already fill some slots of the gap.
    gap_slots = max(0, -(-gap_ms // ptime_ms) - (END_PACKETS - 1))
    for digit in digits.upper():
        if is_digit(digit):
            yield from _event_packets(EVENT_DIGITS.index(digit), slots, ticks)
        else:
            yield from [None] * slots
        yield from [None] * gap_slots


def _event_packets(event: int, slots: int, ticks: int) -> Iterator[EventPacket]:
    for slot in range(slots + END_PACKETS - 1):
        is_end = slot >= slots - 1
        duration = ticks * min(slot + 1, slots)
        flags = _VOLUME_DBM0 | (_END_BIT if is_end else 0)
        yield EventPacket(
            _EVENT.pack(event, flags, duration), slot == 0, offset_ticks=slot * ticks
        )

"""Reception state of one SSRC (RFC 3550 appendix A.1, A.3 and A.8).

Names follow the appendix: ``max_seq``, ``base_seq``, ``cycles``, ``jitter``. Unlike the
appendix, a source needs no probation here, since the leg has already checked where its
packets come from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from emulator.rtp.packet import HEAD_AND_NUMBERS
from emulator.rtp.serial import SEQUENCE_MODULUS, sequence_delta

# RFC 3550 A.1: a larger step forward is a restart of the sender, not loss.
MAX_DROPOUT = 3000
# RFC 3550 A.1: a packet further back than this is a restart, not reordering.
MAX_MISORDER = 100

_unpack_header = HEAD_AND_NUMBERS.unpack_from
# No two bytes are this number.
NO_HEAD = -1

# The newest 64 packets are remembered one by one.
_SEEN_PACKETS = 64
_SEEN_MASK = (1 << _SEEN_PACKETS) - 1

# What ``receive`` answers when the packet's audio must not be used.
LATE = -1
DUPLICATE = -2
SUSPECT = -3


@dataclass(slots=True)
class ReceptionCounters:
    """What was counted.

    Attributes:
        received: Distinct packets, late ones included.
        late: Packets that came after their place in the order had passed.
        restarts: Jumps of the sequence number that were taken as a new start.
    """

    received: int = 0
    late: int = 0
    duplicates: int = 0
    restarts: int = 0

    def add(self, other: ReceptionCounters) -> None:
        """Add the counts of ``other`` to these."""
        self.received += other.received
        self.late += other.late
        self.duplicates += other.duplicates
        self.restarts += other.restarts


class Source:
    """One SSRC's sequence numbers and timestamps as they arrive."""

    __slots__ = (
        "_bad_seq", "_base_seq", "_clock_rate_hz", "_counted_seq", "_counters",
        "_cycles", "_earlier", "_next_seq", "_plain_head", "_reported_expected",
        "_reported_received", "_seen", "_ssrc", "_transit_ticks", "jitter_ticks",
    )  # fmt: skip

    def __init__(self, clock_rate_hz: int) -> None:
        self._clock_rate_hz = clock_rate_hz
        # No packet takes the short way before its head is known.
        self._plain_head = self._ssrc = NO_HEAD
        self.jitter_ticks = 0.0
        # One above ``max_seq``, without the wrap; below 0: nothing has come.
        self._next_seq = -1
        # Packets that come in order are counted together, once somebody asks or one
        # does not: up to here they are in ``_counters`` and in ``_seen``.
        self._counted_seq = -1
        self._counters = ReceptionCounters()
        self._bad_seq = -1
        self._base_seq = 0
        self._cycles = 0
        # Expected packets of the runs before the last restart.
        self._earlier = 0
        # As they stood at the last report.
        self._reported_expected = self._reported_received = 0
        # Bit n: whether ``max_seq - n`` has arrived; tells late from duplicate.
        self._seen = 0
        # Arrival less timestamp of the last measured packet; infinite: none yet.
        self._transit_ticks = math.inf

    @property
    def max_seq(self) -> int | None:
        """The highest number so far; None when nothing has come."""
        return self._next_seq - 1 if self._next_seq >= 0 else None

    @property
    def counters(self) -> ReceptionCounters:
        """What was counted up to now."""
        self._count_run()
        return self._counters

    def receive(self, sequence_number: int) -> int:
        """Take one packet in.

        Returns:
            How many packets are missing directly before this one (0 in order), or
            ``LATE``, ``DUPLICATE`` or ``SUSPECT`` when its audio must not be used.
        """
        if self._next_seq < 0:
            self._begin(sequence_number)
            return 0
        if sequence_number == self._next_seq:
            self._next_seq = sequence_number + 1
            return 0
        self._count_run()
        return self._receive_out_of_order(sequence_number, self._next_seq - 1)

    def expect(self, head: int, ssrc: int) -> None:
        """Let ``receive_next`` take packets with these first two bytes and SSRC."""
        self._plain_head, self._ssrc = head, ssrc

    def receive_next(self, packet: bytes | bytearray, at_s: float) -> bool:
        """Take a datagram in if it is the very next audio packet, as nearly all are.

        The audio is all that follows the fixed header. False has changed nothing: the
        datagram must be looked at more closely.

        Args:
            packet: The datagram, or a buffer that begins with it; it is longer than
                the header.
        """
        head, sequence_number, timestamp, ssrc = _unpack_header(packet)
        if (
            sequence_number != self._next_seq
            or head != self._plain_head
            or ssrc != self._ssrc
        ):
            return False
        self._next_seq = sequence_number + 1
        # What ``measure`` does, without the call.
        transit = at_s * self._clock_rate_hz - timestamp
        step = abs(transit - self._transit_ticks)
        if step < self._clock_rate_hz:
            self.jitter_ticks += (step - self.jitter_ticks) / 16
        self._transit_ticks = transit
        return True

    def _count_run(self) -> None:
        """Count the packets that came in order since the last time."""
        run = self._next_seq - 1 - self._counted_seq
        if run > 0:
            self._counted_seq += run
            self._counters.received += run
            shift = min(run, _SEEN_PACKETS)
            self._seen = ((self._seen + 1 << shift) - 1) & _SEEN_MASK

    def _receive_out_of_order(self, sequence_number: int, max_seq: int) -> int:
        """All but the next number: a wrap, a gap, an old packet, a restart."""
        delta = sequence_delta(sequence_number, max_seq)
        if 0 < delta < MAX_DROPOUT:
            self._seen = (self._seen << delta | 1) & _SEEN_MASK
        elif -MAX_MISORDER < delta <= 0:
            return self._receive_old(-delta)
        else:
            return self._receive_jump(sequence_number)
        if sequence_number < max_seq:
            self._cycles += SEQUENCE_MODULUS
        self._reach(sequence_number)
        return delta - 1

    def _reach(self, sequence_number: int) -> None:
        """Make a packet that has come the newest one, counted."""
        self._next_seq = sequence_number + 1
        self._counted_seq = sequence_number
        self._counters.received += 1

    def measure(self, rtp_timestamp: int, now_s: float) -> None:
        """Update the jitter (A.8) with an audio packet that ``receive`` accepted."""
        transit = now_s * self._clock_rate_hz - rtp_timestamp
        step = abs(transit - self._transit_ticks)
        # Where the 32-bit clock wraps or jumps, the step is absurd: neither says
        # anything about the network.
        if step < self._clock_rate_hz:
            self.jitter_ticks += (step - self.jitter_ticks) / 16
        self._transit_ticks = transit

    def _begin(self, sequence_number: int) -> None:
        self._base_seq = sequence_number
        self._reach(sequence_number)
        self._cycles = 0
        self._bad_seq = -1
        self._seen = 1
        self._transit_ticks = math.inf

    def _receive_old(self, age: int) -> int:
        bit = 1 << age
        # Beyond the window nobody can tell; call it late.
        if age < _SEEN_PACKETS and self._seen & bit:
            self._counters.duplicates += 1
            return DUPLICATE
        self._seen |= bit
        self._counters.received += 1
        self._counters.late += 1
        return LATE

    def _receive_jump(self, sequence_number: int) -> int:
        """A.1: two packets in a row after a jump are a restart; one alone is noise."""
        if sequence_number != self._bad_seq:
            self._bad_seq = (sequence_number + 1) % SEQUENCE_MODULUS
            return SUSPECT
        self._earlier += self._expected_in_run
        self._begin(sequence_number)
        self._counters.restarts += 1
        return 0

    @property
    def extended_max(self) -> int:
        """Highest sequence number with its cycles, as RTCP reports it."""
        return self._cycles + max(0, self._next_seq - 1)

    @property
    def _expected_in_run(self) -> int:
        if self._next_seq < 0:
            return 0
        return self.extended_max - self._base_seq + 1

    @property
    def expected(self) -> int:
        """How many packets the sender has sent, judged by its numbers (A.3)."""
        return self._earlier + self._expected_in_run

    @property
    def lost(self) -> int:
        """How many never came (A.3); a late packet is not lost."""
        return max(0, self.expected - self.counters.received)

    def take_fraction_lost(self) -> int:
        """Return the loss since the last call, in 256ths (A.3)."""
        expected, received = self.expected, self.counters.received
        lost = expected - self._reported_expected - (received - self._reported_received)
        interval = expected - self._reported_expected
        self._reported_expected, self._reported_received = expected, received
        return min(255, (lost << 8) // interval) if interval and lost > 0 else 0

    @property
    def jitter_ms(self) -> float:
        """Interarrival jitter (A.8) in milliseconds."""
        return self.jitter_ticks * 1000 / self._clock_rate_hz

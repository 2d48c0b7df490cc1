"""Reception state of one SSRC (RFC 3550 appendix A.1, A.3 and A.8).

Names follow the appendix: ``max_seq``, ``base_seq``, ``cycles``, ``jitter``. Unlike the
appendix, a source needs no probation here, since the leg has already checked where its
packets come from.
"""

from __future__ import annotations

from dataclasses import dataclass

from emulator.rtp.serial import SEQUENCE_MODULUS, sequence_delta

# RFC 3550 A.1: a larger step forward is a restart of the sender, not loss.
MAX_DROPOUT = 3000
# RFC 3550 A.1: a packet further back than this is a restart, not reordering.
MAX_MISORDER = 100

# The newest 64 packets are remembered one by one.
_SEEN_MASK = (1 << 64) - 1

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
        "_arrival_ticks", "_bad_seq", "_base_seq", "_clock_rate_hz", "_cycles",
        "_earlier", "_reported_expected", "_reported_received", "_seen", "_timestamp",
        "counters", "jitter_ticks", "max_seq",
    )  # fmt: skip

    def __init__(self, clock_rate_hz: int) -> None:
        self._clock_rate_hz = clock_rate_hz
        self.max_seq: int | None = None
        self.counters = ReceptionCounters()
        self.jitter_ticks = 0.0
        self._bad_seq = -1
        self._base_seq = 0
        self._cycles = 0
        # Expected packets of the runs before the last restart.
        self._earlier = 0
        # As they stood at the last report.
        self._reported_expected = self._reported_received = 0
        # Bit n: whether ``max_seq - n`` has arrived; tells late from duplicate.
        self._seen = 0
        # Arrival and timestamp of the last measured packet; None: none yet.
        self._arrival_ticks: float | None = None
        self._timestamp = 0

    def receive(self, sequence_number: int) -> int:
        """Take one packet in.

        Returns:
            How many packets are missing directly before this one (0 in order), or
            ``LATE``, ``DUPLICATE`` or ``SUSPECT`` when its audio must not be used.
        """
        if self.max_seq is None:
            self._begin(sequence_number)
            return 0
        if sequence_number == self.max_seq + 1:
            self.max_seq = sequence_number
            self._seen = (self._seen << 1 | 1) & _SEEN_MASK
            self.counters.received += 1
            return 0
        return self._receive_out_of_order(sequence_number, self.max_seq)

    def receive_next(self, sequence_number: int, timestamp: int, at_s: float) -> bool:
        """Take an audio packet in, if it is the next one: ``receive`` and ``measure``.

        One call for nearly every packet; False has changed nothing.
        """
        if self.max_seq is None or sequence_number != self.max_seq + 1:
            return False
        self.max_seq = sequence_number
        self._seen = (self._seen << 1 | 1) & _SEEN_MASK
        self.counters.received += 1
        self.measure(timestamp, at_s)
        return True

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
        self.max_seq = sequence_number
        self.counters.received += 1
        return delta - 1

    def measure(self, rtp_timestamp: int, now_s: float) -> None:
        """Update the jitter (A.8) with an audio packet that ``receive`` accepted."""
        arrival = now_s * self._clock_rate_hz
        if self._arrival_ticks is not None:
            # Where the 32-bit clock wraps or jumps, the step is absurd: neither says
            # anything about the network.
            sent = rtp_timestamp - self._timestamp
            step = abs(arrival - self._arrival_ticks - sent)
            if step < self._clock_rate_hz:
                self.jitter_ticks += (step - self.jitter_ticks) / 16
        self._arrival_ticks = arrival
        self._timestamp = rtp_timestamp

    def _begin(self, sequence_number: int) -> None:
        self._base_seq = self.max_seq = sequence_number
        self._cycles = 0
        self._bad_seq = -1
        self._seen = 1
        self._arrival_ticks = None
        self.counters.received += 1

    def _receive_old(self, age: int) -> int:
        bit = 1 << age
        # Beyond the window nobody can tell; call it late.
        if age < 64 and self._seen & bit:
            self.counters.duplicates += 1
            return DUPLICATE
        self._seen |= bit
        self.counters.received += 1
        self.counters.late += 1
        return LATE

    def _receive_jump(self, sequence_number: int) -> int:
        """A.1: two packets in a row after a jump are a restart; one alone is noise."""
        if sequence_number != self._bad_seq:
            self._bad_seq = (sequence_number + 1) % SEQUENCE_MODULUS
            return SUSPECT
        self._earlier += self._expected_in_run
        self._begin(sequence_number)
        self.counters.restarts += 1
        return 0

    @property
    def extended_max(self) -> int:
        """Highest sequence number with its cycles, as RTCP reports it."""
        return self._cycles + (self.max_seq or 0)

    @property
    def _expected_in_run(self) -> int:
        if self.max_seq is None:
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

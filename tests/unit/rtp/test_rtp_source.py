"""Reception statistics: RFC 3550 A.1, A.3, A.8."""

import pytest

from emulator.rtp.source import DUPLICATE, LATE, SUSPECT, Source


def source_after(*numbers: int) -> Source:
    source = Source(8000)
    for number in numbers:
        source.receive(number)
    return source


def test_packets_in_order_lose_nothing_across_the_wrap() -> None:
    source = source_after(65534, 65535, 0, 1)
    assert (source.lost, source.expected, source.extended_max) == (0, 4, 65536 + 1)


def test_a_gap_tells_how_many_are_missing() -> None:
    source = source_after(10)
    assert source.receive(14) == 3
    assert source.lost == 3


def test_a_late_packet_is_not_lost_and_not_used() -> None:
    source = source_after(10, 12)
    assert source.receive(11) == LATE
    assert (source.lost, source.counters.late) == (0, 1)


def test_a_duplicate_is_told_from_a_late_packet() -> None:
    source = source_after(10, 12)
    assert source.receive(12) == DUPLICATE
    assert source.receive(10) == DUPLICATE
    assert source.counters.duplicates == 2
    assert source.counters.received == 2


def test_one_packet_far_away_is_noise() -> None:
    source = source_after(10)
    assert source.receive(40_000) == SUSPECT
    assert source.receive(11) == 0


def test_two_packets_in_a_row_far_away_are_a_restart() -> None:
    source = source_after(10, 11)
    assert source.receive(40_000) == SUSPECT
    assert source.receive(40_001) == 0
    assert source.counters.restarts == 1
    assert source.receive(40_002) == 0
    assert source.lost == 0


def test_steady_packets_have_no_jitter() -> None:
    source = Source(8000)
    for n in range(100):
        source.receive(n)
        source.measure(160 * n, 5.0 + 0.02 * n)
    assert source.jitter_ms == pytest.approx(0, abs=1e-6)


def test_jitter_follows_the_appendix() -> None:
    source = Source(8000)
    for n, arrival_s in enumerate((0.0, 0.028, 0.040)):
        source.receive(n)
        source.measure(160 * n, arrival_s)
    # |D| is 8 ms, then 8 ms: J = 0 + 8/16 = 0.5; 0.5 + (8 - 0.5)/16.
    assert source.jitter_ms == pytest.approx(0.5 + 7.5 / 16)


def test_a_jump_of_the_senders_clock_is_no_jitter() -> None:
    source = Source(8000)
    for n, timestamp in enumerate((0, 160, 4_000_000, 4_000_160)):
        source.receive(n)
        source.measure(timestamp, 0.02 * n)
    assert source.jitter_ms == pytest.approx(0, abs=1e-6)


def test_a_long_run_in_order_is_counted_and_remembered_when_asked() -> None:
    source = source_after(*range(100))
    assert source.counters.received == 100
    assert (source.receive(99), source.receive(36)) == (DUPLICATE, DUPLICATE)
    # Further back than 64 packets nobody remembers.
    assert source.receive(35) == LATE
    assert source.max_seq == 99

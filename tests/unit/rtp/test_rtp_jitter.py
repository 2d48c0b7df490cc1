"""The jitter buffer puts packets in order, and holds none longer than its depth."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from emulator.rtp.jitter import MAX_HELD_PACKETS, JitterBuffer
from emulator.rtp.packet import RtpPacket, pack_packet, unpack_packet

PTIME_S = 0.02


def packet(
    number: int, *, payload_type: int = 0, ssrc: int = 7, timestamp: int | None = None
) -> bytes:
    at = 160 * number if timestamp is None else timestamp
    return pack_packet(
        RtpPacket(payload_type, number & 0xFFFF, at & 0xFFFFFFFF, ssrc, b"x")
    )


def play(
    arrivals: list[tuple[float, bytes]], depth_ms: int
) -> list[tuple[float, int, float]]:
    """Let datagrams arrive; return (release, number, arrival) on a 5 ms grid."""
    buffer = JitterBuffer(depth_ms, payload_type=0)
    waiting = sorted(arrivals, key=lambda arrival: arrival[0])
    out = []
    for tick in range(int(waiting[-1][0] * 200) + depth_ms // 5 + 3):
        now_s = tick * 0.005
        while waiting and waiting[0][0] <= now_s:
            at_s, datagram = waiting.pop(0)
            buffer.push(datagram, at_s)
        while (popped := buffer.pop(now_s)) is not None:
            datagram, arrival_s = popped
            out.append((now_s, unpack_packet(datagram).sequence_number, arrival_s))
    return out


@given(
    delays_ms=st.lists(st.floats(0, 60), min_size=1, max_size=120),
    first=st.integers(0, 0xFFFF),
)
def test_any_disorder_within_the_depth_comes_out_in_order_and_in_time(
    delays_ms: list[float], first: int
) -> None:
    arrivals = [
        (n * PTIME_S + delay_ms / 1000, packet(first + n))
        for n, delay_ms in enumerate(delays_ms)
    ]
    out = play(arrivals, depth_ms=70)
    numbers = [number for _, number, _ in out]
    assert numbers == [(first + n) & 0xFFFF for n in range(len(delays_ms))]
    for released_s, _, arrival_s in out:
        assert released_s - arrival_s <= 0.07 + 0.0051


@given(st.lists(st.floats(0, 60), min_size=50, max_size=100))
def test_a_steady_sender_comes_out_steady_whatever_the_network_does(
    delays_ms: list[float],
) -> None:
    fastest = [(n * PTIME_S, packet(n)) for n in range(5)]
    shaken = [
        (n * PTIME_S + delay_ms / 1000, packet(n))
        for n, delay_ms in enumerate(delays_ms, start=5)
    ]
    released_s = [at_s for at_s, _, _ in play([*fastest, *shaken], depth_ms=80)]
    # 5 ms of the grid, and 2 ms of a way that is forgotten slowly.
    assert all(abs(b - a - PTIME_S) < 0.0121 for a, b in pairwise(released_s))


def test_what_is_lost_is_a_gap_and_delays_nothing() -> None:
    arrivals = [(n * PTIME_S, packet(n)) for n in range(20) if n not in (4, 5, 11)]
    out = play(arrivals, depth_ms=40)
    assert [number for _, number, _ in out] == [
        n for n in range(20) if n not in (4, 5, 11)
    ]
    assert all(released - arrival < 0.0451 for released, _, arrival in out)


def test_what_is_later_than_the_depth_comes_out_at_once() -> None:
    arrivals = [(n * PTIME_S, packet(n)) for n in range(20) if n != 4]
    out = play([*arrivals, (0.3, packet(4))], depth_ms=40)
    assert [number for _, number, _ in out].index(4) > 10
    assert next(at_s for at_s, number, _ in out if number == 4) < 0.3051


def test_digits_keep_their_place_among_the_audio() -> None:
    """The packets of a key repeat one timestamp; their numbers go on."""
    arrivals = [(n * PTIME_S, packet(n)) for n in range(5)]
    events = [
        (n * PTIME_S, packet(n, payload_type=101, timestamp=800)) for n in range(5, 12)
    ]
    events[2], events[3] = (events[2][0], events[3][1]), (events[3][0], events[2][1])
    after = [(n * PTIME_S, packet(n)) for n in range(12, 20)]
    out = play([*arrivals, *events, *after], depth_ms=60)
    assert [number for _, number, _ in out] == list(range(20))


def test_a_pause_and_the_marker_after_it_change_nothing() -> None:
    arrivals = [(n * PTIME_S, packet(n)) for n in range(5)]
    later = [
        (n * PTIME_S + 3.0, packet(n, timestamp=160 * n + 24_000)) for n in range(5, 10)
    ]
    out = play([*arrivals, *later], depth_ms=60)
    assert [number for _, number, _ in out] == list(range(10))
    assert all(released - arrival < 0.0651 for released, _, arrival in out)


def test_another_source_and_a_jump_let_go_of_what_was_held() -> None:
    buffer = JitterBuffer(100, payload_type=0)
    for n in (1, 3, 2):
        buffer.push(packet(n), 0.0)
    buffer.push(packet(9, ssrc=8), 0.01)
    buffer.push(packet(30_000, ssrc=8), 0.02)
    out = []
    while (popped := buffer.pop(0.02)) is not None:
        out.append(unpack_packet(popped[0]).sequence_number)
    assert out == [1, 2, 3, 9]
    assert buffer.restarts == 2


def test_a_clock_that_jumps_is_read_anew() -> None:
    arrivals = [(n * PTIME_S, packet(n)) for n in range(5)]
    jumped = [
        (n * PTIME_S, packet(n, timestamp=160 * n + 5_000_000)) for n in range(5, 30)
    ]
    out = play([*arrivals, *jumped], depth_ms=60)
    assert [number for _, number, _ in out] == list(range(30))
    assert all(released - arrival < 0.0651 for released, _, arrival in out)


def test_a_flood_is_bounded() -> None:
    buffer = JitterBuffer(500, payload_type=0)
    for n in range(3 * MAX_HELD_PACKETS):
        buffer.push(packet(n, timestamp=0), 0.0)
        while buffer.pop(0.0):
            pass
    held = 0
    while buffer.pop(1.0):
        held += 1
    assert held == MAX_HELD_PACKETS


@given(st.lists(st.binary(min_size=13, max_size=40), max_size=50))
def test_whatever_looks_like_a_header_comes_out_again(datagrams: list[bytes]) -> None:
    buffer = JitterBuffer(60, payload_type=0)
    for n, datagram in enumerate(datagrams):
        buffer.push(datagram, n * PTIME_S)
    out = []
    while popped := buffer.pop(1e9):
        out.append(popped[0])
    assert sorted(out) == sorted(datagrams)

"""A neighbour that stands still is seen; a machine that stands still is not blamed."""

from __future__ import annotations

import ctypes
import os
import socket
import threading
import time
from collections.abc import Callable

import pytest

from emulator.rtp.packet import RtpPacket, pack_packet
from tests.support.pacing_watch import Ears, Figures, Probe, Watch, Watched, figures

PACKETS = 40
STALLS_AFTER = (5, 12, 19, 26)
STALL_S = 0.25
EVEN = Figures(20.0, 21.0, 25.0, 0)
# Holds the interpreter's lock: no thread of the process runs meanwhile.
STAND_STILL = ctypes.PyDLL(None).usleep


def watch(stall: Callable[[], object]) -> Watched:
    """Watch a neighbour of 40 packets, with something happening in between."""
    ears = Ears()

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for number in range(PACKETS):
                packet = RtpPacket(0, number, 160 * number, 7, bytes(160))
                sock.sendto(pack_packet(packet), ("127.0.0.1", ears.port))
                time.sleep(0.02)
                if number in STALLS_AFTER:
                    stall()

    try:
        with Probe() as probe:
            watching = Watch(ears, probe, os.getpid())
            sender = threading.Thread(target=send)
            sender.start()
            sender.join()
            return watching.result()
    finally:
        ears.close()


def test_a_neighbour_that_stands_still_is_noticed() -> None:
    seen = watch(lambda: time.sleep(STALL_S))
    assert seen.numbers == tuple(range(PACKETS))
    assert seen.neighbour.long_gaps >= len(STALLS_AFTER)
    written: dict[str, object] = {}
    if (
        seen.probe.long_gaps == 0 and seen.starved_ms < 200
    ):  # Else the machine stood still as well.
        assert "long gaps again and again" in seen.harm()
        with pytest.raises(AssertionError, match=r"neighbour: p50 .* probe: p50 "):
            seen.check(written.__setitem__)
        assert set(written) == {"neighbour", "probe", "starved_ms"}


def test_a_machine_that_stands_still_is_not_blamed() -> None:
    seen = watch(lambda: STAND_STILL(int(STALL_S * 1e6)))
    assert seen.neighbour.long_gaps >= len(STALLS_AFTER)
    assert "long gaps again and again" not in seen.harm()
    assert "a gap that is very long" not in seen.harm()


@pytest.mark.parametrize(
    ("numbers", "neighbour", "probe", "harm"),
    [
        ((65534, 65535, 0, 1), EVEN, EVEN, []),
        ((1, 2, 4), EVEN, EVEN, ["packets are missing or out of order: steps [2]"]),
        ((1, 2, 2), EVEN, EVEN, ["packets are missing or out of order: steps [0]"]),
        ((1, 2), Figures(23.0, 30.0, 40.0, 0), EVEN, ["the median is off"]),
        ((1, 2), Figures(23.0, 30.0, 40.0, 0), Figures(22.0, 30.0, 40.0, 0), []),
        ((1, 2), Figures(20.0, 30.0, 900.0, 2), EVEN, []),
        ((1, 2), Figures(20.0, 30.0, 1100.0, 1), EVEN, ["a gap that is very long"]),
        ((1, 2), Figures(20.0, 30.0, 1100.0, 9), Figures(20.0, 9.0, 300.0, 7), []),
    ],
)
def test_the_verdict_goes_only_beyond_the_probe(
    numbers: tuple[int, ...], neighbour: Figures, probe: Figures, harm: list[str]
) -> None:
    assert Watched(numbers, neighbour, probe).harm() == harm


def test_a_neighbour_that_falls_silent_has_one_long_gap() -> None:
    moments_s = [0.02 * n for n in range(50)]
    assert figures([*moments_s, 3.0]).max_ms == pytest.approx(2020)


def test_a_worker_that_got_no_processor_is_not_blamed_for_it() -> None:
    late = Figures(0.0, 292.0, 360.0, 9)
    found = ["the median is off", "long gaps again and again"]
    assert Watched((1, 2), late, EVEN).harm() == found
    many = tuple(range(100))
    assert Watched(many, late, EVEN, starved_ms=2840.0).harm() == []
    assert Watched(many, late, EVEN, starved_ms=100.0).harm() == found

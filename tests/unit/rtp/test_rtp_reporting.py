"""Two sides of an RTP session tell each other what they receive."""

from __future__ import annotations

from emulator.rtp.receiver import RtpReceiver
from emulator.rtp.reporting import Reporting
from emulator.rtp.rtcp import (
    Goodbye,
    ReceiverReport,
    SenderReport,
    SourceDescription,
    unpack_compound,
)
from emulator.rtp.sender import RtpSender


class Side:
    """One end: sends audio to, and takes audio from, another."""

    def __init__(self, ssrc: int) -> None:
        self.sender = RtpSender(0, 160, ssrc, number=1, timestamp=0)
        self.receiver = RtpReceiver(0, None, lambda press: None)
        self.reporting = Reporting(self.sender, self.receiver, f"{ssrc}@test")

    def talk_to(
        self, other: Side, packets: int, lost: frozenset[int] = frozenset()
    ) -> None:
        """Send frames, of which those of the indices ``lost`` never arrive."""
        for n in range(packets):
            packet = bytearray(self.sender.audio(b"\x20" * 160))
            if n not in lost:
                other.receiver.receive(packet, len(packet), n * 0.02)


def test_a_side_that_sends_reports_as_a_sender() -> None:
    side, other = Side(1), Side(2)
    other.talk_to(side, 10, lost=frozenset({3, 4}))
    side.talk_to(other, 5)
    report, name = unpack_compound(side.reporting.compound(1.0, 1000.0))
    assert isinstance(report, SenderReport)
    assert (report.packets, report.payload_bytes) == (5, 800)
    (received,) = report.reports
    assert (received.ssrc, received.cumulative_lost) == (2, 2)
    assert received.fraction_lost == 2 * 256 // 10
    assert name == SourceDescription(1, "1@test")


def test_the_fraction_lost_is_of_the_interval() -> None:
    side, other = Side(1), Side(2)
    other.talk_to(side, 10, lost=frozenset({3}))
    side.reporting.compound(1.0, 1000.0)
    other.talk_to(side, 10)
    (report, _) = unpack_compound(side.reporting.compound(6.0, 1005.0))
    assert isinstance(report, ReceiverReport)
    (received,) = report.reports
    assert (received.fraction_lost, received.cumulative_lost) == (0, 1)


def test_a_side_that_has_heard_nothing_reports_nothing() -> None:
    (report, _) = unpack_compound(Side(1).reporting.compound(1.0, 1000.0))
    assert report == ReceiverReport(1)


def test_the_round_trip_is_what_is_left_without_the_peers_delay() -> None:
    side, other = Side(1), Side(2)
    side.talk_to(other, 5)
    other.talk_to(side, 5)
    other.reporting.receive(side.reporting.compound(10.0, 1000.0), 50.0, 2000.0)
    answer = other.reporting.compound(52.0, 2002.0)
    side.reporting.receive(answer, 12.1, 1002.1)
    round_trip_ms = side.reporting.round_trip_ms
    assert round_trip_ms is not None
    assert abs(round_trip_ms - 100) < 1
    assert side.reporting.peer_lost == 0
    assert side.reporting.peer_jitter_ms == 0


def test_reports_about_others_and_garbage_teach_nothing() -> None:
    side, other, third = Side(1), Side(2), Side(3)
    third.talk_to(other, 5)
    side.reporting.receive(other.reporting.compound(1.0, 1000.0), 1.0, 1000.0)
    side.reporting.receive(b"\x00garbage", 1.0, 1000.0)
    assert side.reporting.peer_lost is None
    assert side.reporting.malformed == 1


def test_a_goodbye_is_heard() -> None:
    side, other = Side(1), Side(2)
    last = side.reporting.goodbye(1.0, 1000.0)
    assert unpack_compound(last)[-1] == Goodbye(1)
    other.reporting.receive(last, 1.0, 1000.0)
    assert other.reporting.peer_has_left


def test_reports_are_spread_around_five_seconds() -> None:
    reporting = Side(1).reporting
    assert not reporting.is_due(100.0, 0.0)
    assert reporting.is_due(101.3, 1.0)
    assert not reporting.is_due(108.7, 0.5)
    assert reporting.is_due(108.9, 0.5)

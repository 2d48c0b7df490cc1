"""Numbers, clock and marker of what we send."""

from emulator.rtp.packet import unpack_packet
from emulator.rtp.sender import RtpSender
from emulator.rtp.telephone_event import EventPacket


def sender() -> RtpSender:
    return RtpSender(0, 160, ssrc=7, number=65535, timestamp=2**32 - 160)


def test_numbers_and_clock_wrap() -> None:
    rtp = sender()
    first, second = (unpack_packet(bytes(rtp.audio(b"\x01" * 160))) for _ in range(2))
    assert (first.sequence_number, first.rtp_timestamp) == (65535, 2**32 - 160)
    assert (second.sequence_number, second.rtp_timestamp) == (0, 0)
    assert second.payload == b"\x01" * 160


def test_only_the_first_packet_of_a_run_has_the_marker() -> None:
    rtp = sender()
    markers = [unpack_packet(bytes(rtp.audio(bytes(160)))).marker for _ in range(3)]
    assert markers == [True, False, False]


def test_a_pause_is_time_without_a_number() -> None:
    rtp = sender()
    rtp.audio(bytes(160))
    rtp.pause()
    packet = unpack_packet(bytes(rtp.audio(bytes(160))))
    assert (packet.sequence_number, packet.rtp_timestamp) == (0, 160)
    assert packet.marker


def test_an_event_keeps_the_timestamp_of_its_beginning() -> None:
    rtp = sender()
    packets = [
        unpack_packet(rtp.event(EventPacket(b"\x05\x0a\x00\xa0", n == 0, 160 * n), 101))
        for n in range(3)
    ]
    assert {p.rtp_timestamp for p in packets} == {2**32 - 160}
    assert [p.sequence_number for p in packets] == [65535, 0, 1]
    assert [p.marker for p in packets] == [True, False, False]
    assert {p.payload_type for p in packets} == {101}

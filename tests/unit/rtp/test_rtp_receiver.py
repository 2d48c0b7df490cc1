"""What of a peer's datagrams is audio, and what is only counted."""

from emulator.rtp.packet import RtpPacket, pack_packet
from emulator.rtp.receiver import NOT_AUDIO, NOT_RTP, RtpReceiver
from emulator.rtp.telephone_event import Press

FRAME = b"\x55" * 160


class Peer:
    """Sends to a receiver; keeps what was heard."""

    def __init__(self) -> None:
        self.presses: list[Press] = []
        self.receiver = RtpReceiver(0, 101, self.presses.append)
        self.heard: list[bytes] = []

    def send(
        self,
        number: int,
        payload: bytes = FRAME,
        payload_type: int = 0,
        ssrc: int = 7,
        **more: object,
    ) -> int:
        packet = RtpPacket(
            payload_type,
            number,
            160 * number,
            ssrc,
            payload,
            **more,  # type: ignore[arg-type]
        )
        return self.send_bytes(pack_packet(packet), 0.02 * number)

    def send_bytes(self, data: bytes, now_s: float = 0.0) -> int:
        buffer = bytearray(data.ljust(2048, b"\0"))
        missing = self.receiver.receive(buffer, len(data), now_s)
        if missing >= 0:
            self.heard.append(bytes(buffer[self.receiver.start : self.receiver.end]))
        return missing

    def counter(self, name: str) -> int | float:
        return self.receiver.counters()[name]


def test_audio_is_heard() -> None:
    peer = Peer()
    assert [peer.send(n) for n in (1, 2, 5)] == [0, 0, 2]
    assert peer.heard == [FRAME] * 3
    assert peer.counter("lost") == 2


def test_extension_csrc_and_padding_are_not_heard() -> None:
    peer = Peer()
    peer.send(1, csrcs=(1, 2), extension=(1, b"abcd"), padding_bytes=3)
    assert peer.heard == [FRAME]


def test_a_wrong_payload_type_is_counted_and_never_heard() -> None:
    peer = Peer()
    assert peer.send(1, payload_type=8) == NOT_AUDIO
    assert peer.counter("wrong_payload_type") == 1


def test_comfort_noise_is_ignored_without_loss() -> None:
    peer = Peer()
    peer.send(1)
    assert peer.send(2, b"\x40", payload_type=13) == NOT_AUDIO
    assert peer.send(3) == 0
    assert peer.counter("comfort_noise") == 1


def test_garbage_is_counted_and_never_heard() -> None:
    peer = Peer()
    for data in (b"", b"\x80", b"GET / HTTP/1.1\r\n", bytes(12), b"\xbf" + bytes(40)):
        assert peer.send_bytes(data) == NOT_RTP
    assert peer.counter("malformed") == 5
    assert peer.heard == []


def test_an_oversized_or_empty_payload_is_malformed() -> None:
    peer = Peer()
    assert peer.send(1, b"\x00" * 1601) == NOT_RTP
    assert peer.send(2, b"", padding_bytes=4) == NOT_RTP
    assert peer.counter("malformed") == 2


def test_rtcp_on_the_same_port_is_told_apart() -> None:
    peer = Peer()
    assert peer.send_bytes(b"\x81\xc8" + bytes(26)) == NOT_RTP
    assert peer.counter("rtcp") == 1


def test_a_key_is_pressed_once_and_no_loss_is_seen() -> None:
    peer = Peer()
    peer.send(1)
    for n in range(2, 5):
        packet = RtpPacket(101, n, 320, 7, bytes([5, 0x8A, 3, 0x20]))
        assert peer.send_bytes(pack_packet(packet)) == NOT_AUDIO
    assert peer.send(5) == 0
    assert peer.presses == [Press("5", 100)]
    assert peer.counter("digit_packets") == 3


def test_a_new_ssrc_is_heard_from_its_second_packet() -> None:
    peer = Peer()
    peer.send(1)
    assert peer.send(900, ssrc=8) == NOT_AUDIO
    assert peer.send(901, ssrc=8) == 0
    assert peer.counter("ssrc_changes") == 1
    assert peer.counter("packets") == 2


def test_of_two_senders_that_alternate_the_first_is_heard() -> None:
    peer = Peer()
    for n in range(20):
        peer.send(n, b"a" * 160, ssrc=7)
        peer.send(n, b"b" * 160, ssrc=8)
    assert peer.heard == [b"a" * 160] * 20
    assert peer.counter("other_ssrc") == 20


def test_counters_survive_a_change_of_ssrc() -> None:
    peer = Peer()
    for n in (1, 2, 4):
        peer.send(n)
    for n in (50, 51, 52):
        peer.send(n, ssrc=9)
    assert peer.counter("packets") == 5
    assert peer.counter("lost") == 1

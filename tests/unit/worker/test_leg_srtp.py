"""A leg with SRTP: both directions, new keys, and who is not let in."""

from __future__ import annotations

import base64

from emulator.media.g711 import PCMU
from emulator.rtp.packet import RtpPacket, pack_packet, unpack_packet
from emulator.rtp.srtp import SrtpOpener, SrtpSealer
from emulator.worker.messages import (
    AddLeg,
    MessageReader,
    Play,
    SrtpParams,
    StartLeg,
    UpdateLeg,
    pack_message,
)
from tests.support.media_rig import SILENT_FRAME, Peer, Rig, media

SUITE = "AES_CM_128_HMAC_SHA1_80"
OURS, THEIRS, NEW = bytes(range(30)), bytes(range(30, 60)), bytes(range(60, 90))

# What the peer's frames are as PCM.
HELLO = PCMU.decode(b"\x20" * 160)


def keys(remote: bytes = THEIRS, local: bytes = OURS) -> SrtpParams:
    local_text, remote_text = map(_text, (local, remote))
    return SrtpParams(SUITE, local_text, remote_text)


def _text(key: bytes) -> str:
    return base64.b64encode(key).decode()


class SecurePeer:
    """A phone whose packets are sealed."""

    def __init__(self, peer: Peer, key: bytes = THEIRS) -> None:
        self.peer = peer
        self.sealer = SrtpSealer(SUITE, key)
        self.opener = SrtpOpener(SUITE, OURS)
        self.sent: list[bytes] = []

    def send(self, payload: bytes = b"\x20" * 160) -> None:
        number = self.peer.number
        self.peer.number += 1
        packet = RtpPacket(0, number, 160 * number, 7, payload)
        self.sent.append(self.sealer.seal(pack_packet(packet)))
        self.peer.send_bytes(self.sent[-1])

    def heard(self) -> list[bytes]:
        """Payloads that open with our key."""
        plain = []
        for packet in self.peer.receive_bytes():
            opened = self.opener.open(packet)
            assert opened is not None
            plain.append(unpack_packet(opened).payload)
        return plain


def test_packets_are_put_in_order_once_they_are_known_to_be_the_peers() -> None:
    with Rig(jitter_buffer_ms=60) as rig:
        peer = secure_leg(rig)
        bot = rig.open_bot()
        for letter in b"abcd":
            peer.peer.number += 1
            packet = RtpPacket(
                0, peer.peer.number, 160 * peer.peer.number, 7, bytes([letter]) * 160
            )
            peer.sent.append(peer.sealer.seal(pack_packet(packet)))
        peer.peer.send()  # Plain: a forger does not disturb the order.
        for n in (1, 3, 2, 4):
            peer.peer.send_bytes(peer.sent[n])
            rig.run(20)
        rig.run(100)
        letters = [PCMU.encode(pcm)[:1] for pcm in bot.audio]
        assert [letter for letter in letters if letter in b"abcd"] == [
            b"a", b"b", b"c", b"d",
        ]  # fmt: skip
        received = rig.stats()["received"]
        assert (received["reordered"], received["srtp_forged"]) == (1, 1)


def secure_leg(rig: Rig) -> SecurePeer:
    peer = SecurePeer(rig.add_leg(media=media(srtp=keys())))
    rig.engine.handle(StartLeg("L1"))
    peer.send()
    rig.run(20)
    peer.heard()
    return peer


def test_both_directions_are_sealed() -> None:
    with Rig() as rig:
        peer = secure_leg(rig)
        bot = rig.open_bot()
        for letter in b"abc":
            peer.send(bytes([letter]) * 160)
            rig.run(20)
        assert len(bot.audio) == 3
        bot.sink.bot_audio(bytes(320))
        rig.run(60)
        assert set(map(len, peer.heard())) == {160}


def test_plain_forged_and_repeated_packets_are_counted_and_never_heard() -> None:
    with Rig() as rig:
        peer = secure_leg(rig)
        bot = rig.open_bot()
        peer.peer.send()
        SecurePeer(peer.peer, NEW).send()
        peer.peer.send_bytes(peer.sent[0])
        rig.run(20)
        assert bot.audio == []
        received = rig.stats()["received"]
        assert (received["srtp_forged"], received["srtp_replayed"]) == (2, 1)


def test_who_has_no_key_does_not_keep_the_leg() -> None:
    with Rig() as rig:
        peer = SecurePeer(rig.add_leg(media=media(srtp=keys())))
        rig.engine.handle(StartLeg("L1"))
        stranger = rig.stranger()
        stranger.send()
        rig.run(20)
        peer.send()
        rig.run(40)
        assert len(peer.heard()) >= 1


def test_new_keys_of_the_peer_leave_our_own_direction_as_it_is() -> None:
    with Rig() as rig:
        peer = secure_leg(rig)
        bot = rig.open_bot()
        rig.engine.handle(UpdateLeg("L1", media(srtp=keys(NEW))))
        peer.send()  # With the key of before.
        peer.sealer = SrtpSealer(SUITE, NEW)
        peer.send()
        rig.run(60)
        assert HELLO in bot.audio
        assert rig.stats()["received"]["srtp_forged"] == 1
        assert peer.heard()  # Opens with the same state: our numbers went on.


def test_a_refresh_with_the_same_keys_remembers_what_came() -> None:
    with Rig() as rig:
        peer = secure_leg(rig)
        rig.engine.handle(UpdateLeg("L1", media(srtp=keys())))
        peer.peer.send_bytes(peer.sent[0])
        rig.run(20)
        assert rig.stats()["received"]["srtp_replayed"] == 1


def test_hold_and_resume_keep_the_keys() -> None:
    with Rig() as rig:
        peer = secure_leg(rig)
        bot = rig.open_bot()
        held = media(srtp=keys(), send=False, receive=False)
        rig.engine.handle(UpdateLeg("L1", held))
        rig.run(100)
        assert peer.heard() == []
        rig.engine.handle(UpdateLeg("L1", media(srtp=keys())))
        peer.send()
        rig.run(40)
        assert HELLO in bot.audio
        assert peer.heard()


def test_a_prompt_is_heard_through_srtp() -> None:
    with Rig() as rig:
        peer = secure_leg(rig)
        rig.engine.handle(Play("L1", "P", tone="beep"))
        rig.run(100)
        assert any(payload != SILENT_FRAME for payload in peer.heard())


def test_reports_are_sealed() -> None:
    with Rig() as rig:
        peer = secure_leg(rig)
        for _ in range(500):
            peer.send()
            rig.run(20)
            peer.heard()
        assert rig.stats()["rtcp"]["sent"] > 0


def test_keys_cross_the_link_and_are_in_no_repr() -> None:
    command = AddLeg("L1", "C1", media(srtp=keys()))
    (received,) = MessageReader().feed(pack_message(command))
    assert received == command
    assert _text(OURS) not in repr(received) and _text(THEIRS) not in repr(received)

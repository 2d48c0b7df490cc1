"""A leg with a jitter buffer: what its bot hears of a network in disorder."""

from __future__ import annotations

import pytest

from emulator.media.g711 import PCMU
from emulator.rtp.packet import RtpPacket, pack_packet
from emulator.worker.messages import DigitPressed, Impair
from tests.support.media_rig import Peer, Rig


def say(peer: Peer, number: int) -> None:
    payload = bytes([0x30 + number]) * 160
    peer.send_bytes(pack_packet(RtpPacket(0, number, 160 * number, 7, payload)))


def heard(audio: list[bytes]) -> str:
    """A letter per frame, ``.`` for silence."""
    letters = (PCMU.encode(pcm)[:1] for pcm in audio)
    return "".join("." if letter == b"\xff" else letter.decode() for letter in letters)


def converse(rig: Rig, order: str) -> str:
    """Let a peer send numbered frames in an order, one per 20 ms; what a bot hears."""
    peer = rig.talking_leg()
    bot = rig.open_bot()
    for letter in order:
        if letter != "-":
            say(peer, int(letter))
        rig.run(20)
    rig.run(80)
    return heard(bot.audio)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("123456", "123456"),
        ("132456", "123456"),
        ("1-32-456", "123456"),
        ("12-456", "12.456"),
        ("1223456", "123456"),
    ],
)
def test_a_bot_hears_frames_in_order_and_silence_for_lost_ones(
    order: str, expected: str
) -> None:
    with Rig(jitter_buffer_ms=60) as rig:
        assert converse(rig, order).strip(" .").startswith(expected)


def test_without_it_a_frame_that_comes_late_is_silence() -> None:
    with Rig() as rig:
        assert "1.3" in converse(rig, "132456")


def test_what_was_put_in_order_is_counted() -> None:
    with Rig(jitter_buffer_ms=60) as rig:
        converse(rig, "13254")
        received = rig.stats()["received"]
        assert (received["reordered"], received["late"]) == (2, 0)


def test_what_is_later_than_the_depth_is_late_and_not_heard() -> None:
    with Rig(jitter_buffer_ms=20) as rig:
        assert "2" not in converse(rig, "13456-2---")
        assert rig.stats()["received"]["late"] == 1


def test_a_digit_in_disorder_is_one_press() -> None:
    with Rig(jitter_buffer_ms=60) as rig:
        peer = rig.talking_leg()
        durations = [160, 320, 480, 640, 640, 640]
        packets = [
            pack_packet(
                RtpPacket(
                    101, n + 1, 800, 7,
                    bytes((5, 0x8A if n > 2 else 0x0A)) + duration.to_bytes(2, "big"),
                )
            )
            for n, duration in enumerate(durations)
        ]  # fmt: skip
        for n in (0, 2, 1, 4, 3, 5):
            peer.send_bytes(packets[n])
            rig.run(20)
        rig.run(400)
        (press,) = rig.of(DigitPressed)
        assert (press.digit, press.duration_ms) == ("5", 80)


def test_damage_on_the_way_is_mended_within_the_depth() -> None:
    with Rig(jitter_buffer_ms=100) as rig:
        peer = rig.talking_leg()
        bot = rig.open_bot()
        damage = {"jitter_ms": 30.0, "reorder": 0.3, "reorder_ms": 40.0}
        rig.engine.handle(Impair("L1", seed=5, inbound=damage))
        for number in range(1, 70):
            say(peer, number)
            rig.run(20)
        rig.run(300)
        letters = heard(bot.audio).strip(" .")
        assert letters == "".join(chr(0x30 + n) for n in range(1, 70))
        assert rig.stats()["received"]["reordered"] > 5

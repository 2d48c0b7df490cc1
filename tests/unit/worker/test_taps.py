"""Taps: both sides of a leg in order, with silence where there was nothing."""

from emulator.media.g711 import PCMA, PCMU, Buffer, Law
from emulator.worker.messages import RemoveLeg, SendDigits, UpdateLeg
from tests.support.media_rig import SILENT_FRAME, Rig, media


class Ear:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.laws: list[Law] = []
        self.peer = b""
        self.sent: list[bytes] = []
        self.is_closed = False

    def use_law(self, law: Law) -> None:
        self.laws.append(law)

    def heard(self, audio: Buffer) -> None:
        self.peer += bytes(audio)

    def said(self, frame: bytes) -> None:
        self.sent.append(frame)

    def closed(self) -> None:
        self.is_closed = True


def listen(rig: Rig) -> Ear:
    ear = Ear()
    leg = rig.engine.leg("L1")
    assert leg is not None
    leg.audience.tap(ear)
    return ear


def test_a_tap_hears_both_sides_slot_by_slot() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        bot = rig.open_bot()
        ear = listen(rig)
        bot.sink.bot_audio(PCMU.decode(b"\x11" * 160))
        rig.run_talking(peer, [b"\x21" * 160, b"\x22" * 160, b"\x23" * 160])
        assert ear.peer == b"\x21" * 160 + b"\x22" * 160 + b"\x23" * 160
        assert ear.sent == [b"\x11" * 160, SILENT_FRAME, SILENT_FRAME]
        assert [packet.payload for packet in peer.receive()] == ear.sent


def test_lost_packets_are_silence_in_their_place() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        ear = listen(rig)
        peer.send(b"\x21" * 160)
        peer.number += 2
        peer.send(b"\x22" * 160)
        rig.run(20)
        assert ear.peer == b"\x21" * 160 + SILENT_FRAME * 2 + b"\x22" * 160


def test_a_peer_that_sends_nothing_is_heard_as_silence() -> None:
    with Rig() as rig:
        rig.talking_leg()
        ear = listen(rig)
        rig.run(1000)
        assert ear.peer == SILENT_FRAME * 45
        assert ear.sent == [SILENT_FRAME] * 50


def test_a_key_that_is_sent_is_silence_to_the_tap() -> None:
    with Rig() as rig:
        rig.talking_leg()
        ear = listen(rig)
        rig.engine.handle(SendDigits("L1", "5"))
        rig.run(200)
        assert ear.sent == [SILENT_FRAME] * 10


def test_on_hold_the_peer_is_sent_nothing_and_the_tap_hears_that() -> None:
    with Rig() as rig:
        rig.talking_leg()
        bot = rig.open_bot()
        ear = listen(rig)
        rig.engine.handle(UpdateLeg("L1", media(send=False)))
        bot.sink.bot_audio(PCMU.decode(b"\x11" * 320))
        rig.run(40)
        assert ear.sent == [SILENT_FRAME] * 2


def test_a_new_codec_is_told_before_its_first_byte() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        ear = listen(rig)
        rig.engine.handle(UpdateLeg("L1", media(codec="PCMA", payload_type=8)))
        peer.send(b"\x21" * 160, payload_type=8)
        rig.run(20)
        assert ear.laws == [PCMU, PCMA]
        assert ear.sent == [PCMA.quiet(160)]


def test_the_end_of_the_leg_closes_its_taps_and_untap_does_not() -> None:
    with Rig() as rig:
        rig.talking_leg()
        stays, goes = listen(rig), listen(rig)
        leg = rig.engine.leg("L1")
        assert leg is not None
        leg.audience.untap(goes)
        rig.engine.handle(RemoveLeg("L1"))
        assert stays.is_closed
        assert not goes.is_closed
        assert goes.sent == []

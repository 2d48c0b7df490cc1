"""Two bridged legs: voices both ways, bots mixed in, keys, hold, one-way streams."""

import random

import pytest

from emulator.media.g711 import PCMA, PCMU, mix, transcode
from emulator.media.tones import dtmf, tone
from emulator.rtp.packet import RtpPacket
from emulator.rtp.telephone_event import DigitReceiver
from emulator.worker.messages import (
    Bridge,
    DigitPressed,
    DigitsSent,
    InjectDigit,
    LegRemoved,
    RemoveLeg,
    UpdateLeg,
)
from tests.support.media_rig import Peer, Rig, media

# Voices that never repeat: a stretch of one tells where it is from.
ALICE = bytes(random.Random(1).choices(range(0x00, 0x7F), k=80_000))
BOB = bytes(random.Random(2).choices(range(0x80, 0xFF), k=80_000))
QUIET = PCMU.quiet(160)


class Talk:
    """Two bridged parties that talk on and on."""

    def __init__(self, rig: Rig, **other: object) -> None:
        self.rig = rig
        self.alice, self.bob = rig.talking_leg("A"), rig.talking_leg("B", **other)
        rig.engine.handle(Bridge("A", "B"))
        self.alice.receive(), self.bob.receive()
        self.said = 0
        self.type_of_bob = 0

    def go_on(self, slots: int) -> None:
        """Both talk for so many slots of 20 ms."""
        for _ in range(slots):
            self.alice.send(ALICE[self.said : self.said + 160])
            self.bob.send(BOB[self.said : self.said + 160], self.type_of_bob)
            self.said += 160
            self.rig.run(20)

    def listen(self, slots: int) -> tuple[bytes, bytes]:
        """Talk; return what Alice and what Bob heard in these slots."""
        self.alice.receive(), self.bob.receive()
        self.go_on(slots)
        heard = sound(self.alice), sound(self.bob)
        assert [len(audio) for audio in heard] == [160 * slots] * 2
        return heard


def sound(peer: Peer) -> bytes:
    return b"".join(packet.payload for packet in peer.receive())


def keys(packets: list[RtpPacket]) -> str:
    receiver = DigitReceiver()
    return "".join(
        press.digit
        for packet in packets
        if packet.payload_type == 101
        for press in receiver.receive(packet.payload, packet.rtp_timestamp, 0.0)
    )


def press(rig: Rig, peer: Peer, event: int, slots: int = 5) -> None:
    """A phone's key: RFC 4733 packets in place of audio, the end three times."""
    begun = 160 * peer.number
    for n in range(1, slots + 3):
        end = 0x80 if n >= slots else 0
        duration = 160 * min(n, slots)
        payload = bytes((event, end | 10)) + duration.to_bytes(2, "big")
        peer.send_event(payload, begun, is_first=n == 1)
        rig.run(20)


def test_each_party_hears_the_other_whole_and_in_order() -> None:
    with Rig() as rig:
        heard_by_alice, heard_by_bob = Talk(rig).listen(50)
        # One slot is held back, and the slots of the legs are apart.
        for heard, said in ((heard_by_alice, BOB), (heard_by_bob, ALICE)):
            voice = heard.lstrip(b"\xff")
            assert len(voice) >= 47 * 160
            assert said.startswith(voice)
        stats = rig.stats("A")["bridge"]
        assert stats["played_ms"] >= 940
        assert (stats["dropped_ms"], stats["underruns"]) == (0, 0)
        assert rig.happened("media.bridged") == [{"leg": "A", "other_leg": "B"}]


def test_each_party_hears_its_own_codec() -> None:
    with Rig() as rig:
        talk = Talk(rig, codec="PCMA", payload_type=8)
        talk.type_of_bob = 8
        talk.go_on(5)
        heard_by_alice, heard_by_bob = talk.listen(20)
        assert heard_by_alice in transcode(BOB, PCMA, PCMU)
        assert heard_by_bob in transcode(ALICE, PCMU, PCMA)


def test_a_change_of_codec_in_the_middle_loses_nothing() -> None:
    with Rig() as rig:
        talk = Talk(rig)
        talk.go_on(10)
        rig.engine.handle(UpdateLeg("B", media(codec="PCMA", payload_type=8)))
        talk.type_of_bob = 8
        heard_by_alice, heard_by_bob = talk.listen(10)
        assert heard_by_bob in transcode(ALICE, PCMU, PCMA)
        as_pcma = transcode(BOB, PCMA, PCMU)
        at = 160 * 10
        assert heard_by_alice in BOB[:at] + as_pcma[at:]


@pytest.mark.parametrize("ptime_ms", [10, 30, 40, 60])
def test_the_parties_may_send_packets_of_different_length(ptime_ms: int) -> None:
    with Rig() as rig:
        talk = Talk(rig, ptime_ms=ptime_ms)
        size = ptime_ms * 8
        for now_ms in range(0, 2400, 10):
            if now_ms % 20 == 0:
                talk.alice.send(ALICE[now_ms * 8 : now_ms * 8 + 160])
            if now_ms % ptime_ms == 0:
                talk.bob.send(BOB[now_ms * 8 : now_ms * 8 + size])
            rig.run(10)
        for peer, leg, said in ((talk.alice, "A", BOB), (talk.bob, "B", ALICE)):
            heard = sound(peer)
            assert len(heard) >= 2280 * 8
            assert heard[-1000 * 8 :] in said
            assert rig.stats(leg)["bridge"]["underruns"] == 0
            assert rig.stats(leg)["bridge"]["dropped_ms"] <= 60


def test_a_party_hears_its_bot_and_the_other_party_at_once() -> None:
    with Rig() as rig:
        talk = Talk(rig)
        bot = rig.open_bot("A")
        talk.go_on(5)
        bot.audio.clear()
        said = PCMU.encode(tone((700,), 200))
        bot.sink.bot_audio(PCMU.decode(said))
        at = talk.said
        heard_by_alice, heard_by_bob = talk.listen(10)
        assert heard_by_alice in [
            mix(said, BOB[at - back : at - back + 1600], PCMU)
            for back in range(0, 640, 160)
        ]
        # Neither the other party hears that bot, nor the bot the other party.
        assert heard_by_bob in ALICE
        assert b"".join(bot.audio) in PCMU.decode(ALICE)


def test_a_party_that_sends_nothing_is_heard_as_silence() -> None:
    with Rig() as rig:
        talk = Talk(rig)
        talk.go_on(5)
        sound(talk.alice), sound(talk.bob)
        for n in range(20):
            talk.bob.send(BOB[160 * n : 160 * n + 160])
            rig.run(20)
        assert sound(talk.bob)[3 * 160 :] == QUIET * 17
        assert sound(talk.alice)[3 * 160 :] in BOB
        assert rig.stats("B")["bridge"]["underruns"] <= 1


def test_a_held_party_hears_and_says_nothing() -> None:
    with Rig() as rig:
        talk = Talk(rig)
        talk.go_on(5)
        rig.engine.handle(UpdateLeg("B", media(send=False, receive=False)))
        talk.go_on(8)
        sound(talk.alice), sound(talk.bob)
        talk.go_on(20)
        assert sound(talk.bob) == b""
        assert sound(talk.alice) == QUIET * 20
        rig.engine.handle(UpdateLeg("B", media()))
        talk.go_on(5)
        heard_by_alice, heard_by_bob = talk.listen(10)
        assert heard_by_alice in BOB
        assert heard_by_bob in ALICE


def test_a_key_goes_to_the_other_party_as_a_key_and_is_reported() -> None:
    with Rig() as rig:
        talk = Talk(rig)
        talk.go_on(5)
        talk.bob.receive()
        press(rig, talk.alice, 7)
        talk.go_on(20)
        packets = talk.bob.receive()
        assert keys(packets) == "7"
        assert [(r.leg_id, r.digit) for r in rig.of(DigitPressed)] == [("A", "7")]
        # Nobody asked for it: no answer.
        assert rig.of(DigitsSent) == []
        # 100 ms pressed: 5 packets, and the end twice more.
        assert sum(p.payload_type == 101 for p in packets) == 7
        assert {p.payload_type for p in talk.alice.receive()} == {0}


def test_a_key_that_came_by_signalling_goes_on_as_well() -> None:
    with Rig() as rig:
        talk = Talk(rig)
        rig.engine.handle(InjectDigit("A", "#", 160))
        rig.run(400)
        assert keys(talk.bob.receive()) == "#"


def test_a_key_goes_as_a_tone_to_a_party_without_telephone_events() -> None:
    with Rig() as rig:
        talk = Talk(rig, telephone_event_payload_type=None)
        press(rig, talk.alice, 5)
        rig.run(400)
        packets = talk.bob.receive()
        assert keys(packets) == ""
        tone_of_key = PCMU.encode(dtmf("5", 100))
        assert tone_of_key in b"".join(p.payload for p in packets)


def test_a_key_that_is_heard_is_not_sent_again() -> None:
    with Rig(inband_dtmf=True) as rig:
        talk = Talk(rig)
        key = PCMU.encode(dtmf("5", 100))
        for n in range(15):
            talk.alice.send(key[160 * n : 160 * n + 160] or QUIET)
            rig.run(20)
        packets = talk.bob.receive()
        assert [r.digit for r in rig.of(DigitPressed)] == ["5"]
        assert keys(packets) == ""
        assert key in b"".join(p.payload for p in packets)


def test_a_party_that_floods_keys_is_bounded() -> None:
    with Rig() as rig:
        talk = Talk(rig)
        for n in range(300):
            rig.engine.handle(InjectDigit("A", "0123456789"[n % 10], 100))
        (note,) = rig.happened("note")
        assert "sets of keys wait" in str(note["text"])
        assert rig.stats("B")["sent"]["keys_dropped"] > 100
        rig.run(400)
        assert keys(talk.bob.receive()).startswith("01")


def test_parting_silences_both_and_they_can_be_bridged_again() -> None:
    with Rig() as rig:
        talk = Talk(rig)
        talk.go_on(5)
        rig.engine.handle(Bridge("B", None))
        assert talk.listen(5) == (QUIET * 5, QUIET * 5)
        (parted,) = rig.happened("media.parted")
        assert (parted["reason"], parted["bridged_ms"]) == ("by command", 100)
        assert rig.stats("A")["bridge"]["bridged_ms"] == 100
        press(rig, talk.alice, 3)
        assert keys(talk.bob.receive()) == ""
        rig.engine.handle(Bridge("B", "A"))
        talk.go_on(3)
        assert talk.listen(5)[1] in ALICE


def test_the_end_of_one_leg_parts_both() -> None:
    with Rig() as rig:
        talk = Talk(rig)
        talk.go_on(5)
        rig.engine.handle(RemoveLeg("B"))
        (parted,) = rig.happened("media.parted")
        assert parted["reason"] == "B has ended"
        (removed,) = rig.of(LegRemoved)
        stats = removed.stats["bridge"]
        assert isinstance(stats, dict)
        assert stats["bridged_ms"] == 100
        sound(talk.alice)
        rig.run(100)
        assert sound(talk.alice) == QUIET * 5


def test_a_new_bridge_takes_the_place_of_the_old_one() -> None:
    with Rig() as rig:
        talk = Talk(rig)
        carol = rig.talking_leg("C")
        rig.engine.handle(Bridge("A", "C"))
        talk.go_on(5)
        carol.receive()
        assert talk.listen(5) == (QUIET * 5, QUIET * 5)
        assert sound(carol) in ALICE
        assert [entry["reason"] for entry in rig.happened("media.parted")] == [
            "bridged with another leg"
        ]


def test_bridging_twice_changes_nothing() -> None:
    with Rig() as rig:
        talk = Talk(rig)
        talk.go_on(3)
        rig.engine.handle(Bridge("B", "A"))
        assert talk.listen(5)[1] in ALICE
        assert rig.happened("media.parted") == []


def test_a_leg_that_is_not_here_is_told() -> None:
    with Rig() as rig:
        rig.talking_leg("A")
        rig.engine.handle(Bridge("A", "X"))
        rig.engine.handle(Bridge("A", "A"))
        rig.engine.handle(Bridge("X", "A"))
        rig.engine.handle(Bridge("A", None))
        assert [entry["text"] for entry in rig.happened("note")] == [
            "no other leg X here to bridge with",
            "no other leg A here to bridge with",
        ]


# -- one-way streams


def test_a_one_way_stream_has_the_caller_and_all_that_the_caller_hears() -> None:
    with Rig() as rig:
        talk = Talk(rig)
        monitor = rig.open_bot("A", two_way=False)
        bot = rig.open_bot("A")
        talk.go_on(5)
        bot.sink.bot_audio(PCMU.decode(PCMU.encode(tone((700,), 200))))
        monitor.audio.clear()
        at = talk.said
        heard, _ = talk.listen(10)
        assert b"".join(monitor.audio) in [
            PCMU.decode(mix(heard, ALICE[at - back : at - back + 1600], PCMU))
            for back in range(0, 640, 160)
        ]


def test_a_one_way_stream_may_have_the_caller_alone() -> None:
    with Rig() as rig:
        talk = Talk(rig)
        options = {"one_way_audio": "caller"}
        monitor = rig.open_bot("A", two_way=False, options=options)
        talk.go_on(10)
        assert b"".join(monitor.audio) == PCMU.decode(ALICE[: 10 * 160])


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 24_000])
def test_a_one_way_stream_of_a_silent_call_is_silence_in_true_time(
    rate_hz: int,
) -> None:
    with Rig() as rig:
        rig.talking_leg()
        monitor = rig.open_bot(two_way=False, sample_rate_hz=rate_hz)
        rig.run(1000)
        assert [len(chunk) for chunk in monitor.audio] == [rate_hz // 25] * 50


def test_a_one_way_stream_follows_a_change_of_codec() -> None:
    with Rig() as rig:
        talk = Talk(rig)
        monitor = rig.open_bot("B", two_way=False)
        talk.go_on(5)
        rig.engine.handle(UpdateLeg("B", media(codec="PCMA", payload_type=8)))
        talk.type_of_bob = 8
        talk.go_on(5)
        monitor.audio.clear()
        at = talk.said
        _, heard = talk.listen(10)
        assert b"".join(monitor.audio) in [
            PCMA.decode(mix(heard, BOB[at - back : at - back + 1600], PCMA))
            for back in range(0, 640, 160)
        ]

"""Legs of the engine: ports, latching, pace, prompts, digits, absence, removal."""

from pathlib import Path

import pytest

from emulator.media.g711 import PCMA, PCMU
from emulator.media.tones import dtmf, silence, tone
from emulator.rtp.telephone_event import DigitReceiver, Press
from emulator.worker.messages import (
    AddLeg,
    DigitPressed,
    DigitsSent,
    InjectDigit,
    LegAdded,
    LegFailed,
    LegRemoved,
    OpenStream,
    Play,
    PlayEnded,
    RemoveLeg,
    RtpSilent,
    SendDigits,
    StartLeg,
    StopPlay,
    StreamEnded,
    UpdateLeg,
)
from tests.support.media_rig import Rig, media


def test_a_leg_gets_an_even_port_and_wakes_the_host() -> None:
    with Rig() as rig:
        rig.add_leg()
        (added,) = rig.of(LegAdded)
        assert added.rtp_port % 2 == 0
        assert rig.wakes == 1


def test_no_free_port_is_reported() -> None:
    with Rig(low=32100, high=32101) as rig:
        rig.add_leg("L1")
        rig.engine.handle(AddLeg("L2", "C1"))
        (failed,) = rig.of(LegFailed)
        assert "media.rtp_range" in failed.reason


def test_the_same_leg_twice_is_refused() -> None:
    with Rig() as rig:
        rig.add_leg()
        rig.engine.handle(AddLeg("L1", "C1"))
        assert rig.of(LegFailed) == [LegFailed("L1", "the leg exists already")]


def test_there_is_nothing_to_tick_for_without_legs() -> None:
    with Rig() as rig:
        rig.add_leg()
        assert rig.run(20) is True
        rig.engine.handle(RemoveLeg("L1"))
        assert rig.run(5) is False
        assert rig.engine.is_idle


# -- latching


def test_nothing_is_sent_before_latching() -> None:
    with Rig() as rig:
        peer = rig.add_leg(media=media())
        rig.engine.handle(UpdateLeg("L1", media(remote_port=peer.port)))
        rig.engine.handle(StartLeg("L1"))
        rig.run(400)
        assert peer.receive() == []


def test_a_trusted_sdp_address_is_sent_to_before_latching() -> None:
    with Rig() as rig:
        peer = rig.add_leg()
        known = media(remote_port=peer.port, send_before_latch=True)
        rig.engine.handle(UpdateLeg("L1", known))
        rig.engine.handle(StartLeg("L1"))
        rig.run(400)
        assert len(peer.receive()) == 20


def test_a_prompt_waits_while_a_trusted_peer_hears_silence() -> None:
    with Rig() as rig:
        peer = rig.add_leg()
        known = media(remote_port=peer.port, send_before_latch=True)
        rig.engine.handle(UpdateLeg("L1", known))
        rig.engine.handle(Play("L1", "p", tone="beep"))
        rig.engine.handle(StartLeg("L1"))
        rig.run(240)
        assert rig.happened("prompt.started") == []
        assert rig.heard(peer) == "." * 12
        rig.run(40)
        assert len(rig.happened("prompt.started")) == 1


def test_a_caller_talks_at_once() -> None:
    with Rig() as rig:
        peer = rig.add_leg()
        known = media(
            remote_port=peer.port, send_before_latch=True, wait_for_peer=False
        )
        rig.engine.handle(UpdateLeg("L1", known))
        rig.engine.handle(Play("L1", "p", tone="beep"))
        rig.engine.handle(StartLeg("L1"))
        rig.run(20)
        (packet,) = peer.receive()
        assert packet.payload == PCMU.encode(tone((1000,), 500))[:160]


def test_a_caller_to_an_address_that_is_not_trusted_waits_for_it() -> None:
    with Rig() as rig:
        rig.add_leg(media=media(wait_for_peer=False))
        rig.engine.handle(Play("L1", "p", tone="beep"))
        rig.engine.handle(StartLeg("L1"))
        rig.run(200)
        assert rig.happened("prompt.started") == []


def test_the_first_packet_fixes_the_peer() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        assert rig.happened("media.latched") == [
            {"peer": f"127.0.0.1:{peer.port}", "as_in_sdp": False}
        ]
        assert rig.happened("media.first_audio") == [{"codec": "PCMU"}]
        rig.run(100)
        assert len(peer.receive()) == 5


def test_a_stranger_cannot_latch() -> None:
    with Rig() as rig:
        peer = rig.add_leg(media=media(allowed_source_ips=("127.0.0.2",)))
        rig.engine.handle(StartLeg("L1"))
        peer.send()
        rig.run(20)
        assert rig.happened("media.latched") == []
        rig.engine.handle(RemoveLeg("L1"))
        (removed,) = rig.of(LegRemoved)
        received = removed.stats["received"]
        assert isinstance(received, dict)
        assert received["foreign"] == 1


def test_what_is_no_rtp_cannot_latch() -> None:
    with Rig() as rig:
        peer = rig.add_leg(media=media())
        peer.send_bytes(b"hello, I am no RTP packet")
        rig.run(20)
        assert rig.happened("media.latched") == []


def test_after_latching_a_second_source_is_not_heard() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        bot = rig.open_bot()
        stranger = rig.stranger()
        stranger.send(b"\x01" * 160, ssrc=7)
        peer.send(b"\x02" * 160)
        rig.run(20)
        assert bot.audio == [PCMU.decode(b"\x02" * 160)]


def test_who_sends_from_the_sdp_address_puts_a_faster_stranger_out() -> None:
    with Rig() as rig:
        peer = rig.add_leg()
        rig.engine.handle(UpdateLeg("L1", media(remote_port=peer.port)))
        rig.engine.handle(StartLeg("L1"))
        thief = rig.stranger()
        thief.send(ssrc=13)
        rig.run(20)
        peer.send()
        rig.run(20)
        thief.receive()
        assert [entry["as_in_sdp"] for entry in rig.happened("media.latched")] == [
            False,
            True,
        ]
        for _ in range(50):
            thief.send(ssrc=13)
            peer.send()
            rig.run(20)
        assert thief.receive() == []
        assert len(peer.receive()) >= 50
        assert len(rig.happened("media.latched")) == 2


def test_packets_of_others_than_the_latched_source_are_counted() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        bot = rig.open_bot()
        stranger = rig.stranger()
        for _ in range(5):
            stranger.send(b"\x01" * 160)
        rig.run(20)
        peer.send(b"\x02" * 160)
        rig.run(20)
        assert rig.stats()["received"]["foreign"] == 5
        assert bot.audio == [PCMU.decode(b"\x02" * 160)]


def test_nobody_latches_before_the_answer_is_known() -> None:
    with Rig() as rig:
        peer = rig.add_leg(media=None)
        peer.send()
        rig.run(20)
        assert rig.happened("media.latched") == []
        rig.engine.handle(UpdateLeg("L1", media()))
        peer.send()
        rig.run(20)
        assert len(rig.happened("media.latched")) == 1


def test_a_new_address_latches_anew() -> None:
    with Rig() as rig:
        rig.talking_leg()
        other = rig.stranger()
        rig.engine.handle(UpdateLeg("L1", media(remote_port=other.port)))
        other.send()
        rig.run(40)
        assert rig.happened("media.latched")[-1]["as_in_sdp"] is True
        assert other.receive()


def test_a_peer_that_was_silent_may_come_back_from_another_port() -> None:
    with Rig() as rig:
        rig.talking_leg()
        rig.run(4000)
        other = rig.stranger()
        other.send()
        rig.run(40)
        assert other.receive()


# -- pace


def test_packets_are_continuous_in_number_and_time() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        rig.run(1000)
        packets = peer.receive()
        assert len(packets) == 50
        first = packets[0]
        for n, packet in enumerate(packets):
            assert packet.sequence_number == (first.sequence_number + n) % 2**16
            assert packet.rtp_timestamp == (first.rtp_timestamp + 160 * n) % 2**32


@pytest.mark.parametrize("ptime_ms", [10, 20, 30, 40, 60])
def test_each_packet_duration_keeps_its_pace(ptime_ms: int) -> None:
    with Rig() as rig:
        peer = rig.talking_leg(ptime_ms=ptime_ms)
        rig.run(1200)
        packets = peer.receive()
        assert len(packets) == 1200 // ptime_ms
        assert {len(packet.payload) for packet in packets} == {8 * ptime_ms}


def test_an_odd_packet_duration_becomes_20_ms() -> None:
    with Rig() as rig:
        peer = rig.talking_leg(ptime_ms=25)
        rig.run(100)
        assert [len(packet.payload) for packet in peer.receive()] == [160] * 5


def test_missed_ticks_are_made_up() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        rig.clock.now_s += 0.2
        rig.engine.tick(40, rig.clock.now_s)
        assert len(peer.receive()) == 10


def test_legs_share_the_phases() -> None:
    with Rig() as rig:
        peers = [rig.talking_leg(f"L{n}") for n in range(16)]
        for peer in peers:
            peer.receive()
        sent = []
        for _ in range(4):
            rig.run(5)
            sent.append(sum(len(peer.receive()) for peer in peers))
        assert sent == [4, 4, 4, 4]


def test_few_legs_share_one_slot_and_leave_the_others_out() -> None:
    with Rig() as rig:
        for n in range(4):
            rig.add_leg(f"L{n}", media())
        assert rig.ticks_wanted_over_a_cycle() == [4]
        rig.add_leg("L4", media())
        assert rig.ticks_wanted_over_a_cycle() == [1, 1, 1, 1]


def test_hold_stops_sending_and_keeps_the_clock() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        rig.run(20)
        (before,) = peer.receive()
        rig.engine.handle(UpdateLeg("L1", media(send=False)))
        rig.run(100)
        assert peer.receive() == []
        rig.engine.handle(UpdateLeg("L1", media()))
        rig.run(20)
        (after,) = peer.receive()
        assert after.marker
        assert (after.sequence_number - before.sequence_number) % 2**16 == 1
        assert (after.rtp_timestamp - before.rtp_timestamp) % 2**32 == 6 * 160


# -- prompts


def test_a_prompt_waits_for_latching() -> None:
    with Rig() as rig:
        peer = rig.add_leg(media=media())
        rig.engine.handle(Play("L1", "p", tone="beep"))
        rig.run(100)
        rig.engine.handle(StartLeg("L1"))
        rig.run(100)
        assert rig.happened("prompt.started") == []
        peer.send()
        rig.run(40)
        assert rig.happened("prompt.started") == [
            {"play_id": "p", "prompt": "beep", "duration_ms": 500}
        ]


def test_a_prompt_starts_without_latching_after_250_ms() -> None:
    with Rig() as rig:
        rig.add_leg(media=media())
        rig.engine.handle(Play("L1", "p", silence_ms=100))
        rig.engine.handle(StartLeg("L1"))
        rig.run(240)
        assert rig.happened("prompt.started") == []
        rig.run(200)
        assert rig.of(PlayEnded) == [PlayEnded("L1", "p", "played", 100)]


def test_prompts_play_in_the_order_of_the_commands(tmp_path: Path) -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        rig.background.is_holding = True
        path = write_wav(tmp_path / "a.wav", tone((440,), 40))
        rig.engine.handle(Play("L1", "file", path=path))
        rig.engine.handle(Play("L1", "tone", tone="beep"))
        rig.run(100)
        rig.background.release(1)
        rig.run(100)
        assert rig.heard(peer) == "." * 10
        rig.background.release()
        rig.run(1000)
        assert [
            (end.play_id, end.outcome, end.played_ms) for end in rig.of(PlayEnded)
        ] == [
            ("file", "played", 40),
            ("tone", "played", 500),
        ]
        packets = [packet.payload for packet in peer.receive()]
        assert b"".join(packets).startswith(PCMU.encode(tone((440,), 40)))


def test_a_prompt_ends_when_it_has_been_played() -> None:
    with Rig() as rig:
        rig.talking_leg()
        rig.engine.handle(Play("L1", "p", silence_ms=100))
        rig.run(100)
        assert rig.of(PlayEnded) == []
        rig.run(20)
        assert rig.of(PlayEnded) == [PlayEnded("L1", "p", "played", 100)]


def test_a_stopped_prompt_says_how_much_was_played() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        rig.engine.handle(Play("L1", "p", tone="beep"))
        rig.engine.handle(Play("L1", "q", tone="beep"))
        rig.run(100)
        rig.engine.handle(StopPlay("L1", "p"))
        rig.engine.handle(StopPlay("L1", "q"))
        assert rig.of(PlayEnded) == [
            PlayEnded("L1", "p", "stopped", 100),
            PlayEnded("L1", "q", "stopped", 0),
        ]
        peer.receive()
        rig.run(100)
        assert rig.heard(peer) == "....."


def test_a_prompt_that_cannot_be_played_fails_and_the_next_one_plays() -> None:
    with Rig() as rig:
        rig.talking_leg()
        rig.engine.handle(Play("L1", "p", path="/nowhere/x.wav"))
        rig.engine.handle(Play("L1", "q", tone="trumpet"))
        rig.engine.handle(Play("L1", "r", silence_ms=20))
        rig.run(60)
        outcomes = [(end.play_id, end.outcome) for end in rig.of(PlayEnded)]
        assert outcomes == [("p", "failed"), ("q", "failed"), ("r", "played")]
        assert rig.of(PlayEnded)[0].error == (
            "prompt /nowhere/x.wav: No such file or directory"
        )


def test_a_prompt_is_recoded_when_the_codec_changes() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        rig.engine.handle(Play("L1", "p", tone="beep"))
        rig.run(20)
        peer.receive()
        rig.engine.handle(UpdateLeg("L1", media(codec="PCMA", payload_type=8)))
        rig.run(20)
        (packet,) = peer.receive()
        assert packet.payload_type == 8
        expected = PCMA.encode(PCMU.decode(PCMU.encode(tone((1000,), 500))))
        assert packet.payload == expected[160:320]


# -- digits


def key(digit: int) -> bytes:
    return bytes([digit, 0x8A, 3, 0x20])


def test_a_key_of_the_caller_is_reported_and_reaches_the_bot() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        bot = rig.open_bot()
        for _ in range(3):
            peer.send(key(5), payload_type=101)
            peer.number -= 1
        rig.run(40)
        (pressed,) = rig.of(DigitPressed)
        assert (pressed.digit, pressed.duration_ms, pressed.source) == (
            "5", 100, "rfc4733",
        )  # fmt: skip
        assert bot.digits == [("5", 100)]


def test_a_key_by_signalling_merges_with_the_same_key_by_rtp() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        peer.send(key(5), payload_type=101)
        rig.run(20)
        rig.engine.handle(InjectDigit("L1", "5", 160))
        rig.engine.handle(InjectDigit("L1", "6", 160))
        assert [pressed.digit for pressed in rig.of(DigitPressed)] == ["5", "6"]


def test_a_key_whose_end_is_lost_is_reported() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        peer.send(bytes([5, 0x0A, 3, 0x20]), payload_type=101)
        rig.run(300)
        assert [pressed.digit for pressed in rig.of(DigitPressed)] == ["5"]


def test_digits_are_sent_as_events() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        rig.engine.handle(SendDigits("L1", "12#"))
        rig.run(1000)
        receiver = DigitReceiver()
        heard = [
            press
            for n, packet in enumerate(peer.receive())
            if packet.payload_type == 101
            for press in receiver.receive(
                packet.payload, packet.rtp_timestamp, n * 0.02
            )
        ]
        assert heard == [Press(digit, 100) for digit in "12#"]
        assert rig.of(DigitsSent) == [DigitsSent("L1")]


def test_digits_are_sent_as_tones_to_a_peer_without_events() -> None:
    with Rig() as rig:
        peer = rig.talking_leg(telephone_event_payload_type=None)
        rig.engine.handle(SendDigits("L1", "1"))
        rig.run(400)
        packets = peer.receive()
        assert {packet.payload_type for packet in packets} == {0}
        assert sum(packet.payload != b"\xff" * 160 for packet in packets) == 5
        assert rig.of(DigitsSent) == [DigitsSent("L1")]


# -- absence and removal


def test_a_peer_that_sends_nothing_is_reported_once() -> None:
    with Rig(rtp_timeout_s=5.0) as rig:
        rig.talking_leg()
        rig.run(4500)
        assert rig.of(RtpSilent) == []
        rig.run(4000)
        (silent,) = rig.of(RtpSilent)
        assert silent.silent_s >= 5


@pytest.mark.parametrize(
    ("payload_type", "payload"), [(13, b"\x40"), (101, bytes([5, 0x0A, 3, 0x20]))]
)
def test_a_peer_that_sends_rtp_without_audio_is_there(
    payload_type: int, payload: bytes
) -> None:
    with Rig(rtp_timeout_s=5.0) as rig:
        peer = rig.talking_leg()
        bot = rig.open_bot()
        for _ in range(40):
            peer.send(payload, payload_type)
            rig.run(200)
        assert rig.of(RtpSilent) == []
        assert len(rig.happened("media.latched")) == 1
        # To the bot it is silence as before.
        assert 380 <= len(bot.audio) <= 400


def test_garbage_and_rtcp_are_no_sign_that_media_flows() -> None:
    with Rig(rtp_timeout_s=5.0) as rig:
        peer = rig.talking_leg()
        for _ in range(40):
            peer.send_bytes(b"\x80\x00")
            peer.send_bytes(b"\x81\xc8" + bytes(26))
            rig.run(200)
        assert len(rig.of(RtpSilent)) == 1


def test_a_source_that_comes_back_after_a_pause_is_no_news() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        for _ in range(3):
            rig.run(4000)
            peer.send()
        rig.run(20)
        assert len(rig.happened("media.latched")) == 1


def test_a_leg_that_was_never_negotiated_is_silent_too() -> None:
    with Rig(rtp_timeout_s=5.0) as rig:
        rig.add_leg(media=None)
        rig.run(8000)
        assert rig.of(RtpSilent) == []
        rig.engine.handle(StartLeg("L1"))
        rig.run(4000)
        assert rig.of(RtpSilent) == []
        rig.run(3000)
        assert len(rig.of(RtpSilent)) == 1


def test_the_first_audio_is_counted_from_the_start() -> None:
    with Rig() as rig:
        peer = rig.add_leg(media=media())
        rig.engine.handle(StartLeg("L1"))
        rig.run(100)
        assert rig.stats()["first_audio_ms"] is None
        peer.send()
        rig.run(5)
        assert rig.stats()["first_audio_ms"] == 105


def test_audio_that_came_before_the_start_is_0_ms_after_it() -> None:
    with Rig() as rig:
        peer = rig.add_leg(media=media())
        peer.send()
        rig.run(100)
        rig.engine.handle(StartLeg("L1"))
        assert rig.stats()["first_audio_ms"] == 0


def test_a_held_peer_may_be_silent() -> None:
    with Rig(rtp_timeout_s=5.0) as rig:
        rig.talking_leg()
        rig.engine.handle(UpdateLeg("L1", media(receive=False)))
        rig.run(8000)
        assert rig.of(RtpSilent) == []


def test_removing_a_leg_ends_its_prompts_and_streams_first() -> None:
    with Rig() as rig:
        rig.talking_leg()
        bot = rig.open_bot()
        bot.ends_when_closed = False
        rig.engine.handle(Play("L1", "p", tone="beep"))
        rig.run(100)
        rig.engine.handle(RemoveLeg("L1", "callended"))
        assert rig.of(PlayEnded) == [PlayEnded("L1", "p", "leg_removed", 100)]
        assert bot.closed_for == "callended"
        assert rig.of(LegRemoved) == []
        assert not rig.engine.is_idle
        bot.ends_when_closed = True
        bot.close("callended")
        assert isinstance(rig.reports[-2], StreamEnded)
        assert isinstance(rig.reports[-1], LegRemoved)
        assert rig.engine.is_idle


def test_a_stream_that_never_ends_does_not_hold_its_leg_for_ever() -> None:
    with Rig() as rig:
        rig.talking_leg()
        rig.open_bot().ends_when_closed = False
        rig.engine.handle(RemoveLeg("L1"))
        rig.run(7000)
        assert len(rig.of(LegRemoved)) == len(rig.of(StreamEnded)) == 1


def test_a_removed_legs_port_is_free_again() -> None:
    with Rig(low=32102, high=32103) as rig:
        for _ in range(3):
            rig.talking_leg()
            rig.engine.handle(RemoveLeg("L1"))
        assert len(rig.of(LegRemoved)) == 3


def test_commands_for_a_leg_that_is_gone_are_answered_or_ignored() -> None:
    with Rig() as rig:
        rig.engine.handle(UpdateLeg("L1", media()))
        rig.engine.handle(StartLeg("L1"))
        rig.engine.handle(RemoveLeg("L1"))
        rig.engine.handle(StopPlay("L1", "p"))
        rig.engine.handle(SendDigits("L1", "1"))
        rig.engine.handle(InjectDigit("L1", "1", 100))
        assert rig.reports == []
        rig.engine.handle(Play("L1", "p", tone="beep"))
        rig.engine.handle(OpenStream("L1", "S1", "C1", "A1", "ws://x/", "1", "2"))
        ended, stream = rig.reports
        assert ended == PlayEnded("L1", "p", "leg_removed", 0)
        assert isinstance(stream, StreamEnded)
        assert (stream.status, stream.leg_id) == ("cancelled", "L1")


def test_garbage_from_the_peer_is_counted_and_never_fatal() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        bot = rig.open_bot()
        for data in (b"", b"\x80" * 2000, b"\x80\x00", bytes(400), b"\xff" * 60):
            peer.send_bytes(data)
        peer.send(b"\x11" * 160, payload_type=8)
        rig.run(60)
        assert bot.audio == []
        rig.engine.handle(RemoveLeg("L1"))
        received = rig.of(LegRemoved)[0].stats["received"]
        assert isinstance(received, dict)
        assert received["malformed"] == 4
        assert received["wrong_payload_type"] == 1


def write_wav(path: Path, pcm: bytes) -> str:
    import wave

    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(8000)
        writer.writeframes(pcm)
    return str(path)


def test_a_key_is_recognised_by_its_sound_when_the_setting_asks_for_it() -> None:
    sound = PCMU.encode(dtmf("5", 100) + silence(100))
    for wanted, expected in ((True, ["5"]), (False, [])):
        with Rig(inband_dtmf=wanted) as rig:
            peer = rig.talking_leg()
            rig.run_talking(peer, [sound[n : n + 160] for n in range(0, 1600, 160)])
            assert [press.digit for press in rig.of(DigitPressed)] == expected

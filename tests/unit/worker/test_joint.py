"""A leg and a bot: chunks, rates, order, marks, clear, bounds, ends."""

import pytest

from emulator.media.g711 import PCMA, PCMU
from emulator.worker.joint import MAX_WAITING_MARKS, SLICE_BYTES, Joint
from emulator.worker.messages import CloseStream, RemoveLeg, StreamEnded
from tests.support.media_rig import FakeBot, Outcome, Rig

LOUD = b"\x20" * 160
LOUD_PCM = PCMU.decode(LOUD)
QUIET_PCM = PCMU.decode(b"\xff" * 160)


def pcm_of(letters: str) -> bytes:
    """A message whose frames the peer hears as these letters."""
    return b"".join(PCMU.decode(letter.encode() * 160) for letter in letters)


# -- caller to bot


def test_each_frame_of_the_caller_is_a_chunk() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        bot = rig.open_bot()
        rig.run_talking(peer, [LOUD] * 5)
        assert bot.audio == [LOUD_PCM] * 5


def test_packets_of_other_sizes_are_cut_into_chunks() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        bot = rig.open_bot()
        signal = bytes(range(32, 92)) * 8
        for start in range(0, 480, 80):
            peer.send(signal[start : start + 80])
        rig.run(100)
        assert bot.audio == [
            PCMU.decode(signal[start : start + 160]) for start in (0, 160, 320)
        ]


def test_before_the_stream_is_open_nothing_is_kept() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        bot = rig.open_bot()
        bot.sink.stream_ended(Outcome())
        rig.run_talking(peer, [LOUD] * 3)
        assert bot.audio == []


def test_lost_packets_are_silence_of_their_length() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        bot = rig.open_bot()
        rig.run_talking(peer, [LOUD])
        peer.number += 2
        rig.run_talking(peer, [LOUD])
        assert bot.audio == [LOUD_PCM, QUIET_PCM, QUIET_PCM, LOUD_PCM]


def test_a_large_jump_is_no_endless_silence() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        bot = rig.open_bot()
        peer.number += 2000
        rig.run_talking(peer, [LOUD])
        assert bot.audio == [QUIET_PCM] * 10 + [LOUD_PCM]


def test_a_caller_who_sends_nothing_is_heard_as_silence() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        bot = rig.open_bot()
        rig.run_talking(peer, [LOUD])
        rig.run(500)
        assert bot.audio[0] == LOUD_PCM
        assert set(bot.audio[1:]) == {QUIET_PCM}
        assert 19 <= len(bot.audio[1:]) <= 21


def test_silence_that_was_put_in_is_not_put_in_again() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        bot = rig.open_bot()
        rig.run_talking(peer, [LOUD])
        peer.number += 8
        rig.run(160)
        rig.run_talking(peer, [LOUD])
        assert bot.audio == [LOUD_PCM, *[QUIET_PCM] * 8, LOUD_PCM]


@pytest.mark.parametrize("rate_hz", [16000, 24000])
def test_a_faster_bot_gets_chunks_of_its_rate(rate_hz: int) -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        bot = rig.open_bot(sample_rate_hz=rate_hz)
        rig.run_talking(peer, [LOUD] * 10)
        assert [len(chunk) for chunk in bot.audio] == [2 * rate_hz // 50] * 10


def test_a_mulaw_bot_gets_mulaw() -> None:
    with Rig() as rig:
        peer = rig.talking_leg(codec="PCMA", payload_type=0)
        bot = rig.open_bot(codec="mulaw")
        rig.run_talking(peer, [LOUD])
        assert bot.audio == [PCMU.encode(PCMA.decode(LOUD))]


# -- bot to caller


def test_bot_audio_is_heard_in_order() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        bot = rig.open_bot()
        bot.sink.bot_audio(pcm_of("AB"))
        bot.sink.bot_audio(memoryview(pcm_of("C")))
        rig.run(80)
        assert rig.heard(peer) == "ABC."


def test_the_short_tail_of_a_message_costs_its_slot() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        bot = rig.open_bot()
        bot.sink.bot_audio(pcm_of("A")[:200])
        bot.sink.bot_audio(pcm_of("B"))
        rig.run(40)
        first, second = (packet.payload for packet in peer.receive())
        assert first == b"A" * 100 + b"\xff" * 60
        assert second == b"B" * 160


@pytest.mark.parametrize("rate_hz", [16000, 24000])
def test_a_faster_bot_is_heard_without_holes(rate_hz: int) -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        bot = rig.open_bot(sample_rate_hz=rate_hz)
        loud = b"\x00\x10" * (rate_hz // 50)
        for _ in range(20):
            bot.sink.bot_audio(loud)
            rig.run(20)
        frames = [packet.payload for packet in peer.receive()]
        assert len(frames) == 20
        # After the resampler's 2 ms the level is steady: no frame has silence in it.
        assert all(frame.count(0xFF) == 0 for frame in frames[1:])


def test_a_mulaw_bot_is_heard() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        bot = rig.open_bot(codec="mulaw")
        bot.sink.bot_audio(b"A" * 320)
        rig.run(60)
        assert rig.heard(peer) == "AA."


def test_a_one_way_bot_is_not_heard_and_gets_no_keys() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        bot = rig.open_bot(two_way=False)
        bot.sink.bot_audio(pcm_of("A"))
        peer.send(bytes([5, 0x8A, 3, 0x20]), payload_type=101)
        rig.run(40)
        assert rig.heard(peer) == ".."
        assert bot.digits == []


def test_a_huge_message_is_converted_in_slices_and_heard_whole() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        bot = rig.open_bot()
        letters = "ABCDEFGHIJ" * 20
        assert len(pcm_of(letters)) > 3 * SLICE_BYTES
        bot.sink.bot_audio(pcm_of(letters))
        bot.sink.bot_mark("end")
        bot.sink.bot_audio(pcm_of("Z"))
        rig.run(4060)
        assert rig.heard(peer) == letters + "Z.."
        assert bot.marks == ["end"]


def test_a_short_tail_of_a_huge_message_costs_its_slot() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        bot = rig.open_bot()
        bot.sink.bot_audio(pcm_of("A" * 60)[:-100])
        bot.sink.bot_audio(pcm_of("B"))
        rig.run(1240)
        frames = [packet.payload for packet in peer.receive()]
        assert frames[59] == b"A" * 110 + b"\xff" * 50
        assert frames[60] == b"B" * 160


# -- marks and clear


def test_a_mark_is_echoed_when_its_audio_has_been_played() -> None:
    with Rig() as rig:
        rig.talking_leg()
        bot = rig.open_bot()
        bot.sink.bot_audio(pcm_of("AB"))
        bot.sink.bot_mark("end")
        rig.run(40)
        assert bot.marks == []
        rig.run(20)
        assert bot.marks == ["end"]


def test_a_mark_with_nothing_queued_is_echoed_at_once() -> None:
    with Rig() as rig:
        rig.talking_leg()
        bot = rig.open_bot()
        bot.sink.bot_mark("now")
        assert bot.marks == ["now"]


def play_two_messages(rig: Rig) -> FakeBot:
    bot = rig.open_bot()
    bot.sink.bot_audio(pcm_of("AAA"))
    bot.sink.bot_mark("one")
    bot.sink.bot_audio(pcm_of("BBB"))
    bot.sink.bot_mark("two")
    rig.run(20)
    bot.sink.bot_clear()
    return bot


def test_clear_lets_the_playing_message_end_and_echoes_marks_in_order() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        bot = play_two_messages(rig)
        rig.run(40)
        assert bot.marks == []
        rig.run(40)
        assert rig.heard(peer) == "AAA.."
        assert bot.marks == ["one", "two"]


def test_clear_by_packet_is_silence_in_the_next_slot() -> None:
    with Rig(clear_granularity="packet") as rig:
        peer = rig.talking_leg()
        bot = play_two_messages(rig)
        rig.run(40)
        assert rig.heard(peer) == "A.."
        assert bot.marks == ["one", "two"]


@pytest.mark.parametrize(
    ("granularity", "cleared_ms", "silent_after_ms"),
    [("message", 60, 40), ("packet", 100, 10)],
)
def test_the_timeline_says_how_long_a_clear_took(
    granularity: str, cleared_ms: int, silent_after_ms: int
) -> None:
    with Rig(clear_granularity=granularity) as rig:
        rig.talking_leg()
        play_two_messages(rig)
        rig.run(100)
        assert rig.happened("stream.cleared") == [
            {
                "stream_sid": "S1",
                "cleared_ms": cleared_ms,
                "silent_after_ms": pytest.approx(silent_after_ms, abs=10),
            }
        ]


def test_a_clear_of_nothing_is_no_entry() -> None:
    with Rig() as rig:
        rig.talking_leg()
        bot = rig.open_bot()
        bot.sink.bot_clear()
        rig.run(100)
        assert rig.happened("stream.cleared") == []


def test_clears_in_a_row_are_one_silence() -> None:
    with Rig() as rig:
        rig.talking_leg()
        bot = play_two_messages(rig)
        for letter in "CD":
            bot.sink.bot_audio(pcm_of(letter))
            bot.sink.bot_clear()
        rig.run(100)
        (entry,) = rig.happened("stream.cleared")
        assert entry["cleared_ms"] == 60 + 2 * 20


def test_the_silence_after_a_clear_of_a_huge_message_is_at_its_end() -> None:
    with Rig() as rig:
        rig.talking_leg()
        bot = rig.open_bot()
        bot.sink.bot_audio(pcm_of("A" * 200))
        bot.sink.bot_mark("end")
        rig.run(20)
        bot.sink.bot_clear()
        rig.run(3900)
        assert rig.happened("stream.cleared") == []
        rig.run(200)
        (entry,) = rig.happened("stream.cleared")
        assert entry["silent_after_ms"] == pytest.approx(3980, abs=20)
        assert bot.marks == ["end"]


def test_a_bot_that_leaves_before_the_silence_has_no_entry() -> None:
    with Rig() as rig:
        rig.talking_leg()
        bot = play_two_messages(rig)
        bot.sink.stream_ended(Outcome())
        rig.run(100)
        assert rig.happened("stream.cleared") == []


def test_clear_may_drop_marks() -> None:
    with Rig(mark_on_clear="drop") as rig:
        rig.talking_leg()
        bot = play_two_messages(rig)
        rig.run(100)
        assert bot.marks == ["one"]


def test_clear_keeps_the_unconverted_rest_of_the_playing_message_only() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        bot = rig.open_bot()
        bot.sink.bot_audio(pcm_of("A" * 200))
        bot.sink.bot_audio(pcm_of("B" * 200))
        bot.sink.bot_mark("end")
        rig.run(20)
        bot.sink.bot_clear()
        rig.run(4100)
        assert rig.heard(peer).strip(".") == "A" * 200
        assert bot.marks == ["end"]


def test_the_streams_own_options_win() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        bot = rig.open_bot(options={"clear_granularity": "packet", "close_mode": "x"})
        bot.sink.bot_audio(pcm_of("AAA"))
        rig.run(20)
        bot.sink.bot_clear()
        rig.run(20)
        assert rig.heard(peer) == "A."


# -- bounds


def test_too_much_audio_drops_the_oldest_with_one_note() -> None:
    with Rig(max_queued_s=1.0) as rig:
        peer = rig.talking_leg()
        bot = rig.open_bot()
        for letter in "ABCDEFGH":
            bot.sink.bot_audio(pcm_of(letter * 10))
        bot.sink.bot_mark("end")
        rig.run(1040)
        assert rig.heard(peer) == "".join(letter * 10 for letter in "DEFGH") + ".."
        assert len(rig.happened("note")) == 1
        assert "stream.max_queued_s" in str(rig.happened("note")[0]["text"])
        assert bot.marks == ["end"]


def test_an_hour_at_once_is_bounded() -> None:
    with Rig(max_queued_s=2.0) as rig:
        peer = rig.talking_leg()
        bot = rig.open_bot()
        for _ in range(100):
            bot.sink.bot_audio(pcm_of("A" * 60))
        bot.sink.bot_mark("end")
        rig.run(2500)
        assert 50 <= rig.heard(peer).count("A") <= 101
        assert bot.marks == ["end"]


def test_endless_marks_are_bounded() -> None:
    with Rig() as rig:
        rig.talking_leg()
        bot = rig.open_bot()
        bot.sink.bot_audio(pcm_of("A"))
        for n in range(MAX_WAITING_MARKS + 3):
            bot.sink.bot_mark(str(n))
        rig.run(60)
        assert len(bot.marks) == MAX_WAITING_MARKS
        bot.sink.bot_mark("again")
        assert bot.marks[-1] == "again"


# -- ends


def test_audio_left_by_a_bot_that_closes_is_cut_with_a_note() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        bot = rig.open_bot()
        bot.sink.bot_audio(pcm_of("A" * 10))
        rig.run(40)
        bot.sink.stream_ended(Outcome())
        rig.run(40)
        assert rig.heard(peer) == "AA.."
        (ended,) = rig.of(StreamEnded)
        assert (ended.stream_sid, ended.leg_id, ended.closed_first) == (
            "S1",
            "L1",
            "bot",
        )
        assert ended.stats["cut_ms"] == 160
        assert "160 ms" in str(rig.happened("note")[0]["text"])


def test_audio_left_by_a_bot_may_be_played_to_its_end() -> None:
    with Rig(on_bot_close="drain") as rig:
        peer = rig.talking_leg()
        bot = rig.open_bot()
        bot.sink.bot_audio(pcm_of("AAA"))
        bot.sink.bot_mark("end")
        bot.sink.stream_ended(Outcome())
        # The flow goes on when all has been heard: what it does next cuts nothing.
        rig.run(40)
        assert rig.of(StreamEnded) == []
        rig.run(40)
        assert rig.heard(peer) == "AAA."
        assert bot.marks == []
        (ended,) = rig.of(StreamEnded)
        assert ended.stats["cut_ms"] == 0


def test_a_caller_who_leaves_cuts_what_drains_and_the_report_says_so() -> None:
    with Rig(on_bot_close="drain") as rig:
        rig.talking_leg()
        bot = rig.open_bot()
        bot.sink.bot_audio(pcm_of("AAAAA"))
        bot.sink.stream_ended(Outcome())
        rig.run(40)
        rig.engine.handle(RemoveLeg("L1"))
        (ended,) = rig.of(StreamEnded)
        assert ended.stats["cut_ms"] == 60


def test_our_own_close_reaches_the_bot_and_is_reported() -> None:
    with Rig() as rig:
        rig.talking_leg()
        bot = rig.open_bot()
        rig.engine.handle(CloseStream("S1", "stopped"))
        assert bot.closed_for == "stopped"
        assert len(rig.of(StreamEnded)) == 1
        rig.engine.handle(CloseStream("S1", "stopped"))
        assert len(rig.of(StreamEnded)) == 1


def test_a_stream_that_waits_for_its_resampler_can_be_closed() -> None:
    with Rig() as rig:
        rig.talking_leg()
        rig.background.is_holding = True
        bot = rig.open_bot(sample_rate_hz=16000)
        rig.engine.handle(RemoveLeg("L1"))
        rig.background.release()
        assert not bot.is_started
        assert [ended.status for ended in rig.of(StreamEnded)] == ["cancelled"]


def test_stream_entries_reach_the_timeline_of_the_leg() -> None:
    with Rig() as rig:
        rig.talking_leg()
        rig.open_bot().sink.stream_happened("stream.opened", 5.0, {"a": 1})
        (event,) = rig.happened("stream.opened")
        assert event["a"] == 1 and event["stream_sid"]


def test_two_bots_hear_the_same_caller() -> None:
    with Rig() as rig:
        peer = rig.talking_leg()
        bots = [rig.open_bot(), rig.open_bot()]
        rig.run_talking(peer, [LOUD])
        assert [bot.audio for bot in bots] == [[LOUD_PCM]] * 2


def test_a_flood_of_tiny_messages_behind_a_huge_one_is_bounded() -> None:
    with Rig(max_queued_s=10) as rig:
        rig.talking_leg()
        bot = rig.open_bot()
        bot.sink.bot_audio(bytes(100_000))
        for _ in range(5000):
            bot.sink.bot_audio(b"\x01\x00")
        joint = bot.sink
        assert isinstance(joint, Joint)
        assert len(joint._pending) <= 500
        assert rig.stats()["playout"]["dropped_ms"] > 0


def test_a_close_drains_what_is_not_converted_yet() -> None:
    with Rig(on_bot_close="drain") as rig:
        peer = rig.talking_leg()
        bot = rig.open_bot()
        bot.sink.bot_audio(PCMU.decode(b"A" * 48_000))
        bot.sink.stream_ended(Outcome())
        heard = ""
        for _ in range(4):
            rig.run(1550)
            heard += rig.heard(peer)
        assert heard.count("A") == 300


def test_too_much_audio_makes_no_hole() -> None:
    with Rig(max_queued_s=10) as rig:
        rig.talking_leg()
        bot = rig.open_bot()
        for _ in range(20):
            bot.sink.bot_audio(PCMU.decode(b"A" * 40_000))
            rig.run(100)
        rig.run(5000)
        playout = rig.stats()["playout"]
        assert playout["underruns"] == playout["gap_ms"] == 0
        bot.sink.stream_ended(Outcome())
        (ended,) = rig.of(StreamEnded)
        assert ended.stats["dropped_ms"] == playout["dropped_ms"] > 0

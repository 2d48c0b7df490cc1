"""What a clear cuts, how soon it is silent, and what became of the bot's audio."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from emulator.events import JsonValue
from emulator.media.g711 import PCMU
from emulator.worker.messages import RemoveLeg, StreamEnded
from tests.support.media_rig import Outcome, Rig


def frames(count: int) -> bytes:
    return PCMU.decode(b"\x20" * 160 * count)


def cleared(rig: Rig) -> list[tuple[JsonValue, JsonValue]]:
    return [
        (data["cleared_ms"], data["silent_after_ms"])
        for data in rig.happened("stream.cleared")
    ]


def playout(rig: Rig) -> Mapping[str, JsonValue]:
    (data,) = rig.happened("stream.playout")
    return data


@pytest.mark.parametrize(
    ("granularity", "cut_ms", "silent_after_ms"),
    [("message", 400, 160), ("packet", 560, 0)],
)
def test_a_clear_is_timed_to_the_last_byte_that_is_heard(
    granularity: str, cut_ms: int, silent_after_ms: int
) -> None:
    with Rig(clear_granularity=granularity) as rig:
        rig.talking_leg()
        bot = rig.open_bot()
        bot.sink.bot_audio(frames(10))
        bot.sink.bot_audio(frames(20))
        rig.run(40)
        bot.sink.bot_clear()
        bot.sink.bot_audio(frames(50))
        rig.run(600)
        ((cut, silent),) = cleared(rig)
        assert cut == cut_ms
        # The frame that is being played ends first.
        assert isinstance(silent, int)
        assert silent_after_ms <= silent <= silent_after_ms + 20


def test_a_clear_of_nothing_is_no_event() -> None:
    with Rig() as rig:
        rig.talking_leg()
        bot = rig.open_bot()
        bot.sink.bot_clear()
        assert cleared(rig) == []


def test_a_clear_within_a_huge_message_waits_for_its_unconverted_rest() -> None:
    with Rig() as rig:
        rig.talking_leg()
        bot = rig.open_bot()
        bot.sink.bot_audio(frames(400))
        rig.run(10)
        bot.sink.bot_clear()
        rig.run(7000)
        assert cleared(rig) == []
        rig.run(1100)
        ((cut, silent),) = cleared(rig)
        assert cut == 0
        assert silent == pytest.approx(8000, abs=20)


def test_clears_in_a_row_are_timed_once_at_a_time() -> None:
    with Rig() as rig:
        rig.talking_leg()
        bot = rig.open_bot()
        for _ in range(3):
            bot.sink.bot_audio(frames(10))
            rig.run(20)
            bot.sink.bot_clear()
        rig.run(400)
        assert len(cleared(rig)) == 1
        bot.sink.bot_audio(frames(10))
        bot.sink.bot_clear()
        rig.run(400)
        assert len(cleared(rig)) == 2


@pytest.mark.parametrize("mark_on_clear", ["echo", "drop"])
def test_the_time_is_taken_whatever_becomes_of_the_bots_marks(
    mark_on_clear: str,
) -> None:
    with Rig(mark_on_clear=mark_on_clear) as rig:
        rig.talking_leg()
        bot = rig.open_bot()
        for name in "ab":
            bot.sink.bot_audio(frames(10))
            bot.sink.bot_mark(name)
        rig.run(20)
        bot.sink.bot_clear()
        bot.sink.bot_clear()
        rig.run(400)
        assert len(cleared(rig)) == 1
        assert bot.marks == (["a", "b"] if mark_on_clear == "echo" else ["a"])


def test_the_end_of_a_stream_says_what_became_of_the_bots_audio() -> None:
    with Rig() as rig:
        rig.talking_leg()
        bot = rig.open_bot()
        bot.sink.bot_audio(frames(5))
        rig.run(160)
        bot.sink.bot_audio(frames(5))
        bot.sink.bot_audio(frames(5))
        rig.run(20)
        bot.sink.bot_clear()
        rig.run(200)
        bot.sink.bot_audio(frames(20))
        rig.run(100)
        bot.sink.stream_ended(Outcome())
        assert playout(rig) == {
            "stream_sid": "S1",
            "messages_from_bot": 4,
            "underruns": 2,
            "gap_ms": playout(rig)["gap_ms"],
            "cleared_ms": 100,
            "clear_to_silence_max_ms": playout(rig)["clear_to_silence_max_ms"],
            "dropped_ms": 0,
            "cut_ms": 300,
        }
        (ended,) = rig.of(StreamEnded)
        assert ended.stats["cut_ms"] == 300


def test_a_caller_who_leaves_cuts_what_was_not_converted_too() -> None:
    with Rig() as rig:
        rig.talking_leg()
        bot = rig.open_bot()
        bot.sink.bot_audio(frames(1000))
        rig.run(20)
        rig.engine.handle(RemoveLeg("L1"))
        assert playout(rig)["cut_ms"] == pytest.approx(20_000 - 20, abs=20)


def test_a_stream_that_never_was_has_no_playout() -> None:
    with Rig() as rig:
        rig.talking_leg()
        bot = rig.open_bot(two_way=False)
        bot.sink.stream_ended(Outcome())
        assert rig.happened("stream.playout") == []

"""Playout: order, marks, clear, holes."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.media.playout import Playout

SILENCE = 0xFF
BOT, PROMPT = "bot", "prompt"


class Listener:
    """A playout with 20 ms frames and the marks it has reached."""

    def __init__(self, frame_bytes: int = 160) -> None:
        self.playout = Playout(frame_bytes, SILENCE)
        self.marks: list[str] = []
        self.frame_bytes = frame_bytes

    def add(self, frames: str, owner: str = BOT, message: int = 0) -> None:
        """Queue one frame per letter."""
        audio = b"".join(c.encode() * self.frame_bytes for c in frames)
        self.playout.add(audio, owner, message)

    def mark(self, name: str, owner: str = BOT) -> None:
        self.playout.mark(owner, partial(self.marks.append, name))

    def hear(self, slots: int) -> str:
        """Return a letter per slot, ``.`` for silence, lower case for a padded one."""
        heard = ""
        for _ in range(slots):
            frame = self.playout.take()
            if frame is None:
                heard += "."
                continue
            assert len(frame) == self.frame_bytes
            letter = chr(frame[0])
            heard += letter if frame[-1] == frame[0] else letter.lower()
        return heard

    def clear(self, *, keep: bool = True, drop_marks: bool = False) -> int:
        return self.playout.clear(BOT, keep_message=keep, drop_marks=drop_marks)


def test_audio_is_heard_in_order_and_then_silence() -> None:
    line = Listener()
    line.add("AB")
    line.add("C")
    assert line.hear(5) == "ABC.."


def test_a_tail_is_padded_with_silence() -> None:
    line = Listener()
    line.playout.add(b"A" * 200, BOT)
    assert line.hear(3) == "Aa."


def test_a_frame_may_span_segments() -> None:
    line = Listener(frame_bytes=240)
    line.playout.add(b"A" * 160, BOT)
    line.playout.add(b"B" * 320, BOT)
    assert line.playout.take() == b"A" * 160 + b"B" * 80
    assert line.playout.take() == b"B" * 240
    assert line.playout.take() is None


def test_a_mark_is_reached_when_the_last_byte_has_been_played() -> None:
    line = Listener()
    line.add("AB")
    line.mark("end")
    line.hear(2)
    assert line.marks == []
    line.hear(1)
    assert line.marks == ["end"]


def test_a_mark_inside_a_frame_waits_for_its_slot() -> None:
    line = Listener(frame_bytes=240)
    line.playout.add(b"A" * 160, BOT)
    line.mark("inside")
    line.playout.add(b"B" * 160, BOT)
    line.playout.take()
    assert line.marks == []
    line.playout.take()
    assert line.marks == ["inside"]


def test_a_mark_with_nothing_queued_is_reached_at_once() -> None:
    line = Listener()
    line.mark("now")
    assert line.marks == ["now"]


def test_marks_of_one_name_are_each_reached_in_order() -> None:
    line = Listener()
    line.add("A")
    for name in ("x", "x", "y"):
        line.mark(name)
    line.hear(2)
    assert line.marks == ["x", "x", "y"]


def test_a_start_mark_is_reached_in_the_slot_that_plays() -> None:
    line = Listener()
    line.playout.mark_start(PROMPT, partial(line.marks.append, "begins"))
    line.add("A", PROMPT)
    assert line.marks == []
    line.hear(1)
    assert line.marks == ["begins"]


def test_clear_by_message_lets_the_playing_message_end() -> None:
    line = Listener()
    line.add("AAA", message=1)
    line.add("BB", message=2)
    assert line.hear(1) == "A"
    assert line.clear() == 320
    assert line.hear(4) == "AA.."


def test_clear_by_message_keeps_every_segment_of_the_playing_message() -> None:
    line = Listener()
    line.add("A", message=1)
    line.add("B", message=1)
    line.add("C", message=2)
    line.hear(1)
    line.clear()
    assert line.hear(2) == "B."


def test_clear_drops_a_message_that_has_not_begun() -> None:
    line = Listener()
    line.add("AA", message=1)
    assert line.clear() == 320
    assert line.hear(1) == "."


def test_clear_by_packet_silences_the_next_slot() -> None:
    line = Listener()
    line.add("AAA", message=1)
    line.hear(1)
    assert line.clear(keep=False) == 320
    assert line.hear(1) == "."


def test_marks_pending_at_clear_are_reached_in_order() -> None:
    line = Listener()
    line.add("AA", message=1)
    line.mark("one")
    line.add("BB", message=2)
    line.mark("two")
    line.hear(1)
    line.clear()
    assert line.hear(1) == "A"
    assert line.marks == []
    line.hear(1)
    assert line.marks == ["one", "two"]


def test_clear_may_drop_the_marks_behind_what_it_drops() -> None:
    line = Listener()
    line.add("AA", message=1)
    line.mark("one")
    line.add("BB", message=2)
    line.mark("two")
    line.hear(1)
    line.clear(drop_marks=True)
    line.hear(3)
    assert line.marks == ["one"]
    assert line.playout.count_marks(BOT) == 0


def test_clear_leaves_prompts_alone() -> None:
    line = Listener()
    line.add("PP", PROMPT)
    line.add("BB", BOT, 1)
    line.hear(1)
    line.clear()
    assert line.hear(2) == "P."


def test_removing_an_owner_takes_audio_and_marks() -> None:
    line = Listener()
    line.add("PPP", PROMPT)
    line.mark("prompt", PROMPT)
    line.add("B")
    line.mark("bot")
    line.hear(1)
    assert line.playout.remove(PROMPT) == 320
    assert line.hear(2) == "B."
    assert line.marks == ["bot"]


def test_trimming_drops_the_oldest_audio_and_keeps_marks() -> None:
    line = Listener()
    for number, letter in enumerate("ABCD"):
        line.add(letter * 2, message=number)
        line.mark(letter)
    assert line.playout.trim(BOT, 640) == 640
    assert line.hear(5) == "CCDD."
    assert line.marks == ["A", "B", "C", "D"]


def test_a_short_hole_is_an_underrun_and_a_long_one_a_pause() -> None:
    line = Listener()
    line.add("A")
    line.hear(3)
    line.add("B")
    line.hear(20)
    line.add("C")
    line.hear(1)
    assert (line.playout.underruns, line.playout.gap_ms) == (1, 40)


def test_the_silence_before_the_first_audio_is_no_underrun() -> None:
    line = Listener()
    line.hear(3)
    line.add("A")
    line.hear(1)
    assert line.playout.underruns == 0


def test_what_loops_begins_again_without_a_gap_until_it_is_removed() -> None:
    line = Listener()
    audio = bytes(range(200)) * 2
    line.playout.add(audio, PROMPT, loops=True)
    line.mark("end")
    line.add("B")
    heard = b"".join(line.playout.take() or b"" for _ in range(20))
    assert heard == (audio * 8)[: 20 * 160]
    line.playout.remove(PROMPT)
    assert line.hear(2) == "B."
    assert line.playout.queued_bytes == 0


def test_a_loop_is_recoded_for_all_its_rounds() -> None:
    line = Listener()
    line.playout.add(b"A" * 160, PROMPT, loops=True)
    line.hear(1)
    line.playout.recode(bytes.lower)
    assert line.hear(3) == "aaa"


def test_what_waits_can_be_recoded() -> None:
    line = Listener()
    line.add("AA", message=1)
    line.add("BB", message=2)
    line.hear(1)
    line.playout.recode(lambda audio: audio.lower())
    assert line.playout.take() == b"a" * 160
    assert line.playout.take() == b"b" * 160


@pytest.mark.parametrize("frame_bytes", [80, 160, 240, 480])
@given(parts=st.lists(st.binary(min_size=1, max_size=500), max_size=8))
def test_every_byte_is_played_once_and_in_order(
    frame_bytes: int, parts: list[bytes]
) -> None:
    playout = Playout(frame_bytes, SILENCE)
    for number, part in enumerate(parts):
        playout.add(part, BOT, number)
    whole = b"".join(parts)
    assert playout.queued_bytes == len(whole)
    played = b"".join(iter(playout.take, None))
    assert played[: len(whole)] == whole
    assert set(played[len(whole) :]) <= {SILENCE}
    assert playout.queued_bytes == 0

"""What one leg is about to hear: audio and marks in order, drained frame by frame.

    add, mark ->  [segment][mark][segment][segment][mark] ...  -> take, once per slot
                   ^ being played

A *segment* is G.711 audio in the leg's own codec; it belongs to an *owner* (a prompt, a
stream) and to a *message* of that owner. A *mark* stands between segments, so that it
keeps its place whatever is dropped around it; it is reached in the slot after the one
that carried the last byte before it: when that byte has been played, not sent. A
segment that loops begins again at its end, without a gap, and holds up all behind it
until its owner removes it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from emulator.media.g711 import BYTES_PER_MS

# Silence between two pieces of audio that is shorter than this is heard as a hole in
# speech (an underrun); a longer one is a pause that the speaker made.
GAP_LIMIT_MS = 200
# What ``take_least`` answers when there was no audio to come on top of.
NOTHING_CAME = 1 << 40


@dataclass(slots=True)
class Segment:
    """Audio of one owner; a message may span several segments."""

    audio: bytes
    owner: object
    message: int
    loops: bool = False


@dataclass(slots=True)
class Mark:
    """A place in the audio; ``reached`` is called once, when playout gets there."""

    owner: object
    reached: Callable[[], None]


class Playout:
    """A queue of G.711 bytes in time order; playing starts with the first frame.

    Its owners bound what they queue (``trim``).

    Attributes:
        queued_bytes: Audio that is waiting, the rest of the head included.
        underruns, gap_ms: Holes in the audio, and their sum.
        dropped_bytes: Audio that ``trim`` pushed out, or that an owner did before.
    """

    __slots__ = (
        "_audio", "_dry_slots", "_due", "_entries", "_frame_bytes", "_head",
        "_is_playing", "_least_bytes", "_past_peak_bytes", "_peak_bytes", "_position",
        "_silence", "dropped_bytes", "gap_ms", "queued_bytes", "underruns",
    )  # fmt: skip

    def __init__(self, frame_bytes: int, silence: int) -> None:
        self.use_frames_of(frame_bytes, silence)
        self._entries: deque[Segment | Mark] = deque()
        # The segment being played, opened up for the fast path of ``take``.
        self._head: Segment | None = None
        self._audio = b""
        self._position = 0
        # Marks behind the last byte of the frame that is being played now.
        self._due: list[Mark] = []
        self._is_playing = False
        # The silence before the first audio is no hole, however short.
        self._dry_slots = GAP_LIMIT_MS
        self.queued_bytes = 0
        # The most that was waiting: since ``take_peak``, and before it.
        self._peak_bytes = self._past_peak_bytes = 0
        # The least that was left when more came, since ``take_least``.
        self._least_bytes = NOTHING_CAME
        self.dropped_bytes = 0
        self.underruns = 0
        self.gap_ms = 0

    @property
    def is_playing(self) -> bool:
        """The last frame that was taken held audio."""
        return self._is_playing

    @property
    def is_idle(self) -> bool:
        """Nothing waits and the last frame has been played to its end."""
        return not (self._is_playing or self.queued_bytes or self._entries)

    def use_frames_of(self, frame_bytes: int, silence: int) -> None:
        """Hand out frames of another length or silence from now on."""
        self._frame_bytes = frame_bytes
        self._silence = bytes((silence,))

    def recode(self, convert: Callable[[bytes], bytes]) -> None:
        """Put all that waits into another codec of the same byte rate."""
        self._audio = convert(self._audio)
        if self._head is not None:
            self._head.audio = convert(self._head.audio)
        for entry in self._entries:
            if isinstance(entry, Segment):
                entry.audio = convert(entry.audio)

    def add(
        self, audio: bytes, owner: object, message: int = 0, *, loops: bool = False
    ) -> None:
        """Queue ``audio``; what ``loops`` is as long as a frame at least."""
        self._entries.append(Segment(audio, owner, message, loops))
        if self.queued_bytes < self._least_bytes and self._is_playing:
            self._least_bytes = self.queued_bytes
        self.queued_bytes += len(audio)
        if self.queued_bytes > self._peak_bytes:
            self._peak_bytes = self.queued_bytes

    def mark(self, owner: object, reached: Callable[[], None]) -> None:
        """Call ``reached`` when all that is queued now has been played."""
        if self.is_idle:
            reached()
        else:
            self._entries.append(Mark(owner, reached))

    def mark_start(self, owner: object, reached: Callable[[], None]) -> None:
        """Call ``reached`` in the slot that plays what is added next."""
        self._entries.append(Mark(owner, reached))

    def take(self) -> bytes | None:
        """Return the frame of this slot, or None for silence.

        The end of a segment that does not fill a frame is joined with the next one, or
        padded with silence when nothing follows.
        """
        if self._due:
            self._reach_due()
        audio, position = self._audio, self._position
        end = position + self._frame_bytes
        if end <= len(audio):
            self._position = end
            self.queued_bytes -= self._frame_bytes
            return audio[position:end]
        if self._head is not None and self._head.loops:
            self._rewind(self._head)
        if self._position == len(self._audio) and self._entries:
            entry = self._entries[0]
            if type(entry) is Segment and len(entry.audio) >= self._frame_bytes:
                return self._take_first(entry)
        return self._take_across()

    def clear(self, owner: object, *, keep_message: bool, drop_marks: bool) -> int:
        """Drop what ``owner`` has queued; return how many bytes.

        With ``keep_message`` the message that is being played ends at its own end.
        Marks stay, so that all they still wait for is what was kept, or go too when
        they stand behind audio that goes.
        """
        kept = self.playing_message(owner) if keep_message else None

        def drops(segment: Segment) -> bool:
            return segment.owner is owner and segment.message != kept

        return self._filter(drops, owner if drop_marks else None)

    def playing_message(self, owner: object) -> int | None:
        """Return the message of ``owner`` that is being played, if any."""
        return self._head.message if self._holds(owner) and self._head else None

    def trim(self, owner: object, max_bytes: int) -> int:
        """Drop the oldest audio of ``owner`` until ``max_bytes`` are left in all.

        Returns:
            How many bytes went. Marks stay.
        """
        before = self.queued_bytes
        if before > max_bytes and self._holds(owner):
            self._close_head()
        kept: list[Segment | Mark] = []
        while self.queued_bytes > max_bytes and self._entries:
            entry = self._entries.popleft()
            if isinstance(entry, Segment) and entry.owner is owner:
                self.queued_bytes -= len(entry.audio)
            else:
                kept.append(entry)
        self._entries.extendleft(reversed(kept))
        dropped = before - self.queued_bytes
        self.dropped_bytes += dropped
        return dropped

    def count_marks(self, owner: object) -> int:
        """Return how many marks of ``owner`` wait."""
        waiting = [entry for entry in self._entries if isinstance(entry, Mark)]
        return sum(mark.owner is owner for mark in (*waiting, *self._due))

    def peek(self) -> bytes | None:
        """Return the frame that ``take`` would return, if one segment holds it."""
        end = self._position + self._frame_bytes
        if end <= len(self._audio):
            return self._audio[self._position : end]
        if self._position < len(self._audio):
            return None
        for entry in self._entries:
            if isinstance(entry, Segment):
                frame = entry.audio[: self._frame_bytes]
                return frame if len(frame) == self._frame_bytes else None
        return None

    def remove(self, owner: object) -> int:
        """Drop every segment and mark of ``owner``; return the bytes of audio."""
        dropped = self._filter(lambda segment: segment.owner is owner, None)
        self._entries = deque(
            entry
            for entry in self._entries
            if not (isinstance(entry, Mark) and entry.owner is owner)
        )
        self._due = [mark for mark in self._due if mark.owner is not owner]
        return dropped

    @property
    def peak_bytes(self) -> int:
        """The most that was waiting since the last ``take_peak``."""
        return self._peak_bytes

    def take_peak(self) -> int:
        """Return the most that was waiting since the last call."""
        peak, self._peak_bytes = self._peak_bytes, self.queued_bytes
        self._past_peak_bytes = max(self._past_peak_bytes, peak)
        return peak

    def take_least(self) -> int:
        """Return the least that was left when more came, since the last call.

        The silence before the first audio, and one that was heard, do not count.
        """
        least, self._least_bytes = self._least_bytes, NOTHING_CAME
        return least

    def counters(self) -> dict[str, int]:
        """Return what was counted, by names that carry their units."""
        peak_bytes = max(self._past_peak_bytes, self._peak_bytes)
        return {
            "underruns": self.underruns,
            "gap_ms": self.gap_ms,
            "dropped_ms": self.dropped_bytes // BYTES_PER_MS,
            "peak_queued_ms": peak_bytes // BYTES_PER_MS,
        }

    def _holds(self, owner: object) -> bool:
        return self._head is not None and self._head.owner is owner

    def _filter(self, drops: Callable[[Segment], bool], marks_of: object | None) -> int:
        """Drop segments, and marks of ``marks_of`` behind the first that goes."""
        before = self.queued_bytes
        if self._head is not None and drops(self._head):
            self._close_head()
        kept: deque[Segment | Mark] = deque()
        for entry in self._entries:
            if isinstance(entry, Segment) and drops(entry):
                self.queued_bytes -= len(entry.audio)
            elif isinstance(entry, Segment) or not (
                entry.owner is marks_of and self.queued_bytes < before
            ):
                kept.append(entry)
        self._entries = kept
        return before - self.queued_bytes

    def _close_head(self) -> None:
        """Forget what is left of the segment being played."""
        self.queued_bytes -= len(self._audio) - self._position
        self._head, self._audio, self._position = None, b"", 0

    def _rewind(self, segment: Segment) -> None:
        """Put a segment that loops behind its own last bytes."""
        self._entries.appendleft(segment)
        self.queued_bytes += len(segment.audio)

    def _take_first(self, segment: Segment) -> bytes:
        """Begin the next segment: every frame does, of a bot that sends frames."""
        self._entries.popleft()
        self._head, self._audio = segment, segment.audio
        self._position = self._frame_bytes
        self.queued_bytes -= self._frame_bytes
        if self._dry_slots or not self._is_playing:
            self._note_gap()
        return segment.audio[: self._frame_bytes]

    def _take_across(self) -> bytes | None:
        """Build a frame from the end of the head and from what follows it."""
        rest = self._audio[self._position :]
        self.queued_bytes -= len(rest)
        self._head, self._audio, self._position = None, b"", 0
        while len(rest) < self._frame_bytes and self._open_next(bool(rest)):
            end = min(self._frame_bytes - len(rest), len(self._audio))
            rest += self._audio[:end]
            self._position = end
            self.queued_bytes -= end
        if not rest:
            self._is_playing = False
            self._dry_slots += 1
            return None
        self._note_gap()
        return rest.ljust(self._frame_bytes, self._silence)

    def _open_next(self, has_audio: bool) -> bool:
        """Make the next segment the head; reach the marks on the way.

        With ``has_audio`` the marks stand behind bytes of the frame that is being
        built: they are due in the next slot.
        """
        while self._entries:
            entry = self._entries.popleft()
            if isinstance(entry, Segment):
                self._head, self._audio, self._position = entry, entry.audio, 0
                return True
            if has_audio:
                self._due.append(entry)
            else:
                entry.reached()
        return False

    def _reach_due(self) -> None:
        due, self._due = self._due, []
        for mark in due:
            mark.reached()

    def _note_gap(self) -> None:
        gap_ms = self._dry_slots * self._frame_bytes // BYTES_PER_MS
        if 0 < gap_ms < GAP_LIMIT_MS:
            self.underruns += 1
            self.gap_ms += gap_ms
        self._dry_slots = 0
        self._is_playing = True

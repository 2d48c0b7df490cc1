"""One party's live voice on its way to another's ear: a short queue between two paces.

    push(), as the network brings it  ->  [......]  ->  take(), once per slot

What comes is played with one slot held back, which hides the jitter of an ordinary
network. The queue cannot grow for good: after a stall of ours, or when the speaker's
clock is fast, what is too much goes, in a pause of speech if there is one in time.
"""

from __future__ import annotations

from dataclasses import dataclass

from emulator.events import JsonValue
from emulator.media.g711 import BYTES_PER_MS, Buffer, Law, peak, transcode

# More than this, or than three long packets, never waits; the oldest goes.
LIMIT_MS = 120
# The longest packet that a peer may have agreed on; a longer stretch is no packet.
_MAX_PACKET_BYTES = 60 * BYTES_PER_MS
# As much may lie in the queue after every slot: it hides jitter.
HOLD_MS = 20
# The least that lay there in this time was never needed.
_WINDOW_MS = 500
# So much too much goes at once: it is the trace of a stall. Less waits for a pause.
_COARSE_MS = 40
# About -50 dBm0: speech is louder.
_QUIET_PEAK = 100


@dataclass(slots=True)
class VoiceCounters:
    """What became of the voices that one party was to hear.

    Attributes:
        played_bytes: Heard, in G.711 bytes of the listener.
        dropped_bytes: Left out, so that no delay stays.
        underruns: Slots of silence since the voice came too late.
    """

    played_bytes: int = 0
    dropped_bytes: int = 0
    underruns: int = 0

    def counters(self) -> dict[str, JsonValue]:
        """Return what was counted, by names that carry their units."""
        return {
            "played_ms": self.played_bytes // BYTES_PER_MS,
            "dropped_ms": self.dropped_bytes // BYTES_PER_MS,
            "underruns": self.underruns,
        }


class Inlet:
    """A queue from a speaker's law and packet size to a listener's.

    Args:
        source: The law of what is pushed.
        target: The law of what is taken.
    """

    def __init__(self, source: Law, target: Law, counters: VoiceCounters) -> None:
        self._source = source
        self._target = target
        self._counters = counters
        self._queue = bytearray()
        self._packet_bytes = 0
        self._has_begun = False
        self._has_held_back = False
        # Of the window that runs: the least that lay in the queue, and its length.
        self._least = LIMIT_MS * BYTES_PER_MS
        self._window_bytes = 0
        # Too much, found in the window before; it waits for a pause of speech.
        self._surplus = 0

    @property
    def queued_ms(self) -> int:
        """How much waits."""
        return len(self._queue) // BYTES_PER_MS

    def use_source(self, law: Law) -> None:
        """The speaker talks in ``law`` from now on."""
        self._source = law

    def use_target(self, law: Law) -> None:
        """The listener wants ``law`` from now on, also of what waits."""
        self._queue[:] = transcode(self._queue, self._target, law)
        self._target = law

    def push(self, audio: Buffer) -> None:
        """Take the next stretch of the voice, of any length."""
        source, target = self._source, self._target
        self._queue += audio if source is target else transcode(audio, source, target)
        packet_bytes = self._packet_bytes = min(len(audio), _MAX_PACKET_BYTES)
        surplus = len(self._queue) - max(LIMIT_MS * BYTES_PER_MS, 3 * packet_bytes)
        if surplus > 0:
            self._drop(surplus)

    def take(self, n_bytes: int) -> bytes | None:
        """Return the next ``n_bytes`` for a slot of that length; None for silence."""
        queue = self._queue
        if not (self._has_begun or self._may_begin(n_bytes)):
            return None
        if len(queue) < n_bytes:
            return self._run_dry(n_bytes)
        if self._surplus:
            self._drop_surplus(n_bytes)
        frame = bytes(queue[:n_bytes])
        del queue[:n_bytes]
        self._counters.played_bytes += n_bytes
        if len(queue) < self._least:
            self._least = len(queue)
        self._window_bytes += n_bytes
        if self._window_bytes >= _WINDOW_MS * BYTES_PER_MS:
            self._close_window()
        return frame

    def _may_begin(self, n_bytes: int) -> bool:
        """Whether one packet is in reserve, or one slot has been held back."""
        level = len(self._queue)
        is_ready = self._has_held_back and level >= n_bytes
        self._has_begun = is_ready or level >= n_bytes + max(self._packet_bytes, 1)
        self._has_held_back = level > 0
        return self._has_begun

    def _run_dry(self, n_bytes: int) -> bytes | None:
        """Play what is left, and hold back anew: the reserve was too small."""
        rest = bytes(self._queue)
        self._queue.clear()
        self._has_begun = self._has_held_back = False
        self._begin_window()
        self._surplus = 0
        self._counters.underruns += 1
        self._counters.played_bytes += len(rest)
        return rest + self._target.quiet(n_bytes - len(rest)) if rest else None

    def _begin_window(self) -> None:
        self._least = LIMIT_MS * BYTES_PER_MS
        self._window_bytes = 0

    def _close_window(self) -> None:
        """Find what was never needed; what no pause took since the last time goes."""
        if self._surplus:
            self._drop(min(self._surplus, len(self._queue)))
        else:
            surplus = max(0, self._least - HOLD_MS * BYTES_PER_MS)
            self._surplus = surplus
            if surplus > _COARSE_MS * BYTES_PER_MS:
                self._drop(surplus)
        self._begin_window()

    def _drop_surplus(self, n_bytes: int) -> None:
        """Leave out the next slot's audio if it is a pause."""
        step = min(n_bytes, self._surplus, len(self._queue) - n_bytes)
        if step > 0 and peak(self._queue[:step], self._target) <= _QUIET_PEAK:
            self._drop(step)

    def _drop(self, n_bytes: int) -> None:
        del self._queue[:n_bytes]
        self._surplus = max(0, self._surplus - n_bytes)
        # A voice that nobody listens to yet misses nothing.
        if self._has_begun:
            self._counters.dropped_bytes += n_bytes

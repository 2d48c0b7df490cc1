"""Getting rid of the delay that a stall of the worker leaves behind.

While the worker stands still, a live conversation goes on outside: what the bot sends
afterwards comes on top of what it would have sent anyway, and would be heard late for
the rest of the call. So, after a stall of S ms, at most S ms (in whole frames, and one
more: nobody saw it begin) are discarded within a second, silence first. A bot that
sends ahead of real time loses nothing: its queue hides the stall by itself.
"""

from __future__ import annotations

from emulator.media.g711 import BYTES_PER_MS, Law, peak
from emulator.media.playout import NOTHING_CAME, Playout

# A live queue is this short at every slot: one frame of prebuffer and one more, and a
# message of up to 100 ms that has just come.
LIVE_LIMIT_MS = 20 + 20 + 100
RECOVERY_S = 1.0
# What is left when more comes is looked at over as long: longer than a live bot's
# messages are apart. Frames that are not quiet go so early that it is seen once more.
_LOOK_S = 0.12
_MARGIN_S = 2 * _LOOK_S
# A stall may have begun up to a frame before the tick that it was noticed by.
_UNSEEN_MS = 20
# A queue that is longer than the stall explains belongs to a bot that sends ahead.
_AHEAD_MARGIN_MS = 100
# About -50 dBm0: speech is louder.
QUIET_PEAK = 100
# Quiet frames that one slot may skip: a pause shrinks, it does not vanish at once.
_MAX_QUIET_FRAMES = 3


class StallRecovery:
    """Watches the queue of one leg, slot by slot; repairs it after a stall.

    Attributes:
        stalls, stalled_ms: Stalls that met this leg while it was live.
        discarded_ms: Audio that was discarded for them.
    """

    __slots__ = (
        "_deadline_s", "_least_before_bytes", "_look_until_s", "_owed_bytes",
        "_peak_before_bytes", "_playout", "_surplus_bytes", "_usual_bytes",
        "_usual_least_bytes", "discarded_ms", "is_active", "stalled_ms", "stalls",
    )  # fmt: skip

    def __init__(self, playout: Playout) -> None:
        self.is_active = False
        self.stalls = 0
        self.stalled_ms = 0
        self.discarded_ms = 0
        self._playout = playout
        self._peak_before_bytes = 0
        self._least_before_bytes = NOTHING_CAME
        # Before the stall: the most that waited, and the least when more came.
        self._usual_bytes = 0
        self._usual_least_bytes = NOTHING_CAME
        # What stays even when the queue is shortest, as seen in the last look.
        self._surplus_bytes = 0
        self._look_until_s = 0.0
        self._owed_bytes = 0
        self._deadline_s = 0.0

    def roll(self) -> None:
        """Forget the queue of the second before the last; called once a second."""
        self._peak_before_bytes = self._playout.take_peak()
        if not self.is_active:
            self._least_before_bytes = self._playout.take_least()

    def stalled(self, stall_ms: int, now_s: float) -> None:
        """Begin a recovery if the leg was live; called before the next slot."""
        usual = max(self._playout.peak_bytes, self._peak_before_bytes)
        if not self._playout.is_playing or usual > LIVE_LIMIT_MS * BYTES_PER_MS:
            return
        self.stalls += 1
        self.stalled_ms += stall_ms
        limit = int(RECOVERY_S * 1000) * BYTES_PER_MS
        owed_bytes = self._owed_bytes + (stall_ms + _UNSEEN_MS) * BYTES_PER_MS
        self._owed_bytes = min(owed_bytes, limit)
        if not self.is_active:
            self._usual_bytes = usual
            least = self._playout.take_least()
            self._usual_least_bytes = min(least, self._least_before_bytes)
        self._look_again(now_s)
        self._deadline_s = now_s + RECOVERY_S
        self.is_active = True

    def recover(self, law: Law, frame_bytes: int, now_s: float) -> None:
        """Discard what is due of this slot: quiet frames, near the deadline any.

        Only frames that are about to be played are looked at, so that the work of a
        slot is bounded: after a stall every call recovers at once.
        """
        excess = self._playout.queued_bytes - self._usual_bytes
        is_ahead = excess > self._owed_bytes + _AHEAD_MARGIN_MS * BYTES_PER_MS
        if is_ahead or now_s > self._deadline_s or self._owed_bytes <= 0:
            self.is_active = False
            self._owed_bytes = 0
            return
        self._look(now_s)
        excess = max(excess, self._surplus_bytes)
        # From here on it takes a frame in every slot to be done in time.
        last_s = self._deadline_s - _MARGIN_S
        must = now_s >= last_s - excess / (1000 * BYTES_PER_MS)
        for _ in range(1 if must else _MAX_QUIET_FRAMES):
            if excess < frame_bytes or not (must or self._is_quiet_next(law)):
                return
            self._playout.take()
            excess -= frame_bytes
            self._owed_bytes -= frame_bytes
            self.discarded_ms += frame_bytes // BYTES_PER_MS
            self._surplus_bytes = max(0, self._surplus_bytes - frame_bytes)
            if not self._surplus_bytes:
                self._look_again(now_s)

    def _look(self, now_s: float) -> None:
        """See what stays in the queue all the time, beyond what did before the stall.

        The most that waits says too little: a message that comes a little early makes
        it a frame longer, and a frame of delay would stay.
        """
        if now_s < self._look_until_s or self._surplus_bytes:
            return
        least = self._playout.take_least()
        if NOTHING_CAME not in (least, self._usual_least_bytes):
            self._surplus_bytes = max(0, least - self._usual_least_bytes)
        self._look_until_s = now_s + _LOOK_S

    def _look_again(self, now_s: float) -> None:
        self._playout.take_least()
        self._surplus_bytes = 0
        self._look_until_s = now_s + _LOOK_S

    def counters(self) -> dict[str, int]:
        """Return what was counted, by names that carry their units."""
        return {
            "stalls": self.stalls,
            "stalled_ms": self.stalled_ms,
            "stall_discarded_ms": self.discarded_ms,
        }

    def _is_quiet_next(self, law: Law) -> bool:
        frame = self._playout.peek()
        return frame is not None and peak(frame, law) <= QUIET_PEAK

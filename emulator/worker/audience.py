"""Who listens to a leg: bots, recordings, the other party of a bridge.

All of them hear the peer's audio in order and without gaps: silence takes the place of
lost packets, and of a peer that sends nothing, as on a telephone line.
"""

from __future__ import annotations

from collections.abc import Callable

from emulator.clock import Clock
from emulator.media.g711 import BYTES_PER_MS, Buffer, Law
from emulator.worker.joint import Joint
from emulator.worker.taps import Tap

# The listeners' time goes on when the peer sends nothing for so long; jitter and a
# packet or two of loss are shorter.
QUIET_AFTER_S = 0.1
# Lost packets are replaced by at most this much silence; more is a pause.
MAX_CONCEALED_MS = 200


class Audience:
    """The listeners of one leg; the per-packet path calls ``heard_by``, ``said_by``.

    Attributes:
        joints: The streams that are joined to the leg.
        heard_by: Take what the peer says; empty when nobody listens.
        said_by: Take what the peer is sent, once per slot.
        audio_s: When the peer was heard last.
        filled_bytes: Silence since then; it may stand for packets that are lost.
    """

    __slots__ = (
        "_clock", "_law", "_since_s", "_taps", "audio_s", "filled_bytes", "heard_by",
        "joints", "said_by",
    )  # fmt: skip

    def __init__(self, law: Law, clock: Clock) -> None:
        self.joints: tuple[Joint, ...] = ()
        self.heard_by: tuple[Callable[[Buffer], None], ...] = ()
        self.said_by: tuple[Callable[[bytes], None], ...] = ()
        # When the first of today's listeners came: silence counts from then at most.
        self.audio_s = self._since_s = clock.monotonic_s()
        self.filled_bytes = 0
        self._taps: tuple[Tap, ...] = ()
        self._law = law
        self._clock = clock

    def join(self, joint: Joint) -> None:
        """Let a bot listen."""
        self.joints = (*self.joints, joint)
        self._wire()

    def part(self, joint: Joint) -> None:
        """A bot has gone."""
        self.joints = tuple(other for other in self.joints if other is not joint)
        self._wire()

    def tap(self, tap: Tap) -> None:
        """Let ``tap`` hear both sides from now on."""
        tap.use_law(self._law)
        self._taps = (*self._taps, tap)
        self._wire()

    def untap(self, tap: Tap) -> None:
        """Let ``tap`` hear no more."""
        self._taps = tuple(other for other in self._taps if other is not tap)
        self._wire()

    def close_taps(self) -> None:
        """The leg goes: nobody listens in any more."""
        taps, self._taps = self._taps, ()
        self._wire()
        for tap in taps:
            tap.closed()

    def use_law(self, law: Law) -> None:
        """The leg's codec has changed."""
        self._law = law
        for joint in self.joints:
            joint.use_law(law)
        for tap in self._taps:
            tap.use_law(law)

    def conceal(self, missing_bytes: int) -> None:
        """Put silence where packets are missing, less what has been put already."""
        owed = min(missing_bytes, MAX_CONCEALED_MS * BYTES_PER_MS) - self.filled_bytes
        self.filled_bytes = 0
        if owed > 0:
            quiet = self._law.quiet(owed)
            for hear in self.heard_by:
                hear(quiet)

    def is_quiet(self, now_s: float) -> bool:
        """Whether listeners would miss the peer's silence."""
        silent_s = now_s - max(self.audio_s, self._since_s)
        return bool(self.heard_by) and silent_s > QUIET_AFTER_S

    def hear_quiet(self, frame: bytes) -> None:
        """The peer sends nothing in this slot."""
        self.filled_bytes += len(frame)
        for hear in self.heard_by:
            hear(frame)

    def _wire(self) -> None:
        """Tell the per-packet path who listens."""
        if not self.heard_by:
            self._since_s = self._clock.monotonic_s()
        self.heard_by = (
            *(joint.hear for joint in self.joints),
            *(tap.heard for tap in self._taps),
        )
        self.said_by = (
            *(joint.said for joint in self.joints if joint.is_mixed),
            *(tap.said for tap in self._taps),
        )

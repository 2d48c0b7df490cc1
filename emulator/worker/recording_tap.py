"""Both sides of a leg in step: what a recording hears.

``said`` is the clock. The peer's audio comes as the network brings it, so it may lag or
lead; the two are cut to stretches of one length, each in its place.
"""

from __future__ import annotations

from emulator.media.g711 import BYTES_PER_MS, PCMU, Buffer, Law, peak
from emulator.worker.leg import Leg
from emulator.worker.recording_file import Stretch

# The peer may lag so far, a phone's jitter, before silence takes the place of what has
# not come.
MAX_LAG_BYTES = 60 * BYTES_PER_MS
# After a burst it may lead so far; then its silence is left out until it no longer
# does, and beyond the second bound everything is.
MAX_LEAD_BYTES = 120 * BYTES_PER_MS
MAX_BURST_BYTES = 2000 * BYTES_PER_MS
_QUIET_PEAK = 64


class RecordingTap:
    """A ``worker.taps.Tap`` that keeps audio until it is taken.

    Args:
        hide_digits: Whether a key that is down (RFC 4733) silences the peer.
    """

    def __init__(self, hide_digits: bool, leg: Leg) -> None:
        self._hide_digits = hide_digits
        self._leg = leg
        self._law: Law = PCMU
        self._peer = bytearray()
        self._ours = bytearray()
        # The silence that ``_peer`` ends with because nothing had come in time.
        self._filled_bytes = 0
        self._past: list[Stretch] = []

    def use_law(self, law: Law) -> None:
        """Begin a stretch in another law."""
        if law is not self._law:
            self.complete()
            self._law = law

    def heard(self, audio: Buffer) -> None:
        """Take the peer's audio; it replaces silence that was put too early."""
        lead = len(self._peer) + len(audio) - len(self._ours)
        if lead > 0 and self._filled_bytes:
            early = min(lead, self._filled_bytes)
            del self._peer[-early:]
            lead -= early
        self._filled_bytes = 0
        if lead > MAX_LEAD_BYTES and self._is_left_out(audio, lead):
            return
        if self._hide_digits and self._leg.key_is_down:
            audio = self._law.quiet(len(audio))
        self._peer += audio

    def said(self, frame: bytes) -> None:
        """Take what the peer was sent in one slot."""
        self._ours += frame
        if len(self._ours) - len(self._peer) > MAX_LAG_BYTES:
            self._peer += self._law.quiet(len(frame))
            self._filled_bytes += len(frame)

    def closed(self) -> None:
        """Nothing more comes; whoever removes the leg ends its recordings."""

    def take(self) -> list[Stretch]:
        """Return what is there of both sides."""
        self._cut(min(len(self._peer), len(self._ours)))
        past, self._past = self._past, []
        return past

    def complete(self) -> None:
        """Fill up the shorter side, so that all is taken."""
        size = max(len(self._peer), len(self._ours))
        for side in (self._peer, self._ours):
            side += self._law.quiet(size - len(side))
        self._cut(size)

    def _cut(self, size: int) -> None:
        if size:
            peer, ours = bytes(self._peer[:size]), bytes(self._ours[:size])
            self._past.append(Stretch(self._law, peer, ours))
            del self._peer[:size], self._ours[:size]
        self._filled_bytes = min(self._filled_bytes, len(self._peer))

    def _is_left_out(self, audio: Buffer, lead: int) -> bool:
        return lead > MAX_BURST_BYTES or peak(audio, self._law) <= _QUIET_PEAK

"""Listening in on a leg: recordings, captures, and whatever else keeps both sides.

    peer -> Leg -> heard()     in order, gaps and absence filled with silence
    peer <- Leg -> said()      one frame per slot, silence included

A leg without taps pays nothing for them.
"""

from __future__ import annotations

from typing import Protocol

from emulator.media.g711 import Buffer, Law


class Tap(Protocol):
    """Gets both sides of one leg, in the leg's law, 8000 bytes a second each.

    ``said`` is the clock: it comes once per slot from the answer on. ``heard``
    comes as the network brings it, in stretches of any length.
    """

    def use_law(self, law: Law) -> None:
        """Audio is in ``law`` from here on; called first when the tap is set."""

    def heard(self, audio: Buffer) -> None:
        """Take what the peer said; the buffer is used again after this call."""

    def said(self, frame: bytes) -> None:
        """Take what the peer was sent in this slot; silence for a key or a hold."""

    def closed(self) -> None:
        """The leg is gone; nothing more comes. Not called for ``untap``."""
